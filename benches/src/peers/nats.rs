//! Core NATS with TLS: functions that subscribe to a subject each, and a server that carries records from one
//! to the next.
//!
//! ```text
//! caller --> server --> function 1 --> server --> function 2 --> ... function N --> server --> caller
//! ```
//!
//! Each function reads the whole payload and publishes it, as it came, to the next subject; the last one
//! publishes a receipt of 8 bytes to the caller's. A subject names the function and how many are left, so the
//! payload needs no envelope, and one chain of functions serves every shorter one. No streams, no
//! acknowledgements, no persistence.

use crate::peer::{self, Peer, Start};
use crate::place::Pinned;
use crate::subject::{Cores, Identity, Place, Started, Subject, checksum, payload};
use async_nats::{Client, ConnectOptions, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use hacher_fabric::failed::Failed;
use hacher_libos_net::clock;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The name that functions and server are started under.
pub const ROLE: &str = "hacher-bench-nats";

const FUNCTION: &str = "function";
const SERVER: &str = "server";
/// Where the caller gets receipts.
const RECEIPTS: &str = "receipts";
/// Where Debian puts the server, if that is not on the path.
const DEBIAN_FOLDER: &str = "/usr/sbin";
/// More than any payload that is measured; the server's default is 1 MiB.
const PAYLOAD_MAX_BYTES: u32 = 17 << 20;
/// How long the server may take to start.
const START: Duration = Duration::from_secs(10);
/// How long one sample may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What reports call it.
#[must_use]
pub const fn identity(placement: Place) -> Identity {
    Identity {
        transport: "nats-tls",
        protection: "tls1.3",
        placement,
        touched: true,
    }
}

/// The subject of function `number`, with `left` functions to go, itself included.
fn subject(number: u32, left: u32) -> String {
    format!("function.{number}.{left}")
}

/// Where the server is.
fn server_program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from(DEBIAN_FOLDER)])
        .map(|folder| folder.join("nats-server"))
        .find(|file| file.is_file())
}

/// How to reach the server.
#[derive(Clone, Serialize, Deserialize)]
struct Address {
    port: u16,
    certificate: Vec<u8>,
}

impl Address {
    async fn connect(&self) -> Result<Client, Failed> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.certificate.clone()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = ConnectOptions::new()
            .tls_client_config(config)
            .require_tls(true)
            .skip_subject_validation(true)
            .connect(format!("tls://localhost:{}", self.port))
            .await?;
        Ok(client)
    }
}

/// What a function is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    address: Address,
    number: u32,
    functions: u32,
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// A function or the server, as it was told.
pub(super) fn peer() -> Result<(), Failed> {
    match peer::arrive()?.as_str() {
        FUNCTION => {
            let orders = serde_json::from_reader(std::io::stdin())?;
            runtime()?.block_on(function(&orders))
        }
        SERVER => {
            let mut folder = String::new();
            std::io::stdin().read_line(&mut folder)?;
            let program = server_program().ok_or_else(|| Failed::new("nats-server is gone"))?;
            // Its place and the tie to its starter stay.
            let error = Command::new(program)
                .arg("--config")
                .arg(Path::new(folder.trim()).join("server.conf"))
                .exec();
            Err(error.into())
        }
        part => Err(Failed::new(format!("there is no part {part:?}"))),
    }
}

async fn function(orders: &Orders) -> Result<(), Failed> {
    let Orders {
        address,
        number,
        functions,
    } = orders;
    let client = address.connect().await?;
    let mut inputs = client.subscribe(format!("function.{number}.*")).await?;
    // Whatever is published from now on arrives.
    client.flush().await?;
    let next: Vec<String> = (0..=*functions).map(|left| subject(number + 1, left)).collect();
    writeln!(std::io::stdout(), "ready")?;
    while let Some(message) = inputs.next().await {
        let sum = std::hint::black_box(checksum(&message.payload));
        let left = message
            .subject
            .rsplit('.')
            .next()
            .and_then(|left| left.parse().ok());
        let left: usize = left.ok_or_else(|| Failed::new("a subject has no number"))?;
        match left.checked_sub(1).and_then(|left| next.get(left)) {
            Some(next) if left > 1 => client.publish(next.clone(), message.payload).await?,
            _ => {
                let receipt = Bytes::copy_from_slice(&sum.to_le_bytes());
                client.publish(RECEIPTS, receipt).await?;
            }
        }
    }
    Ok(())
}

/// The server, its functions and their caller.
pub struct Chain {
    place: Place,
    seat: Option<u32>,
    functions: u32,
    runtime: Runtime,
    client: Client,
    receipts: Subscriber,
    _peers: Vec<Peer>,
    _folder: TempDir,
}

impl Chain {
    /// Starts them, if there is a server on this machine.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn start(program: &Path, place: Place, cores: Cores, functions: u32) -> Result<Started, Failed> {
        if server_program().is_none() {
            let notice = "nats-tls is left out: there is no nats-server on this machine";
            return Ok(Started::LeftOut(notice.to_owned()));
        }
        let folder = tempfile::tempdir()?;
        let seat = cores.seat(place, 0)?;
        let (server, address) = start_server(program, seat, folder.path())?;
        let mut peers = vec![server];
        for number in 1..=functions {
            let orders = Orders {
                address: address.clone(),
                number,
                functions,
            };
            peers.push(start_function(program, cores.seat(place, number)?, &orders)?);
        }
        let runtime = runtime()?;
        let (client, receipts) = runtime.block_on(async {
            let client = address.connect().await?;
            let receipts = client.subscribe(RECEIPTS).await?;
            client.flush().await?;
            Ok::<_, Failed>((client, receipts))
        })?;
        Ok(Started::Ready(Box::new(Self {
            place,
            seat,
            functions,
            runtime,
            client,
            receipts,
            _peers: peers,
            _folder: folder,
        })))
    }
}

fn start_server(program: &Path, core: Option<u32>, folder: &Path) -> Result<(Peer, Address), Failed> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let write = |name: &str, text: String| fs::write(folder.join(name), text);
    write("certificate.pem", made.cert.pem())?;
    write("key.pem", made.signing_key.serialize_pem())?;
    let at = folder.display();
    write(
        "server.conf",
        format!(
            "listen: \"localhost:-1\"\nmax_payload: {PAYLOAD_MAX_BYTES}\nports_file_dir: \"{at}\"\nlog_file: \"{at}/log\"\n\
             tls {{ cert_file: \"{at}/certificate.pem\", key_file: \"{at}/key.pem\" }}\n"
        ),
    )?;
    let start = Start {
        program,
        role: ROLE,
        part: SERVER,
        core,
    };
    let mut server = Peer::start(&start, Stdio::piped(), Stdio::null())?;
    let input = server.child().stdin.take();
    writeln!(
        input.ok_or_else(|| Failed::new("nats-server takes no input"))?,
        "{at}"
    )?;
    let file = folder.join(format!("nats-server_{}.ports", server.child().id()));
    let end = Instant::now() + START;
    loop {
        if let Some(port) = fs::read_to_string(&file).ok().and_then(|text| port_in(&text)) {
            let certificate = made.cert.der().to_vec();
            return Ok((server, Address { port, certificate }));
        }
        if Instant::now() > end || !server.is_alive() {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            return Err(Failed::new(format!("nats-server did not start\n{log}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The port in what the server writes down: `{"nats":["tls://127.0.0.1:4222"]}`.
fn port_in(text: &str) -> Option<u16> {
    let ports: serde_json::Value = serde_json::from_str(text).ok()?;
    ports
        .get("nats")?
        .get(0)?
        .as_str()?
        .rsplit(':')
        .next()?
        .parse()
        .ok()
}

fn start_function(program: &Path, core: Option<u32>, orders: &Orders) -> Result<Peer, Failed> {
    let gone = || Failed::new("a function of NATS did not start");
    let start = Start {
        program,
        role: ROLE,
        part: FUNCTION,
        core,
    };
    let mut function = Peer::start(&start, Stdio::piped(), Stdio::piped())?;
    let input = function.child().stdin.take().ok_or_else(gone)?;
    serde_json::to_writer(input, orders)?;
    let output = function.child().stdout.take().ok_or_else(gone)?;
    let mut line = String::new();
    if BufReader::new(output).read_line(&mut line)? == 0 {
        return Err(gone());
    }
    Ok(function)
}

impl Subject for Chain {
    fn identity(&self) -> Identity {
        identity(self.place)
    }

    fn measure(
        &mut self,
        payload_bytes: usize,
        hops: u32,
        samples: u32,
        record: &mut dyn FnMut(u64),
    ) -> Result<(), Failed> {
        if hops == 0 || hops > self.functions {
            return Err(Failed::new(format!(
                "a chain of {} functions cannot have {hops} hops",
                self.functions
            )));
        }
        let _pinned = Pinned::to_core(self.seat)?;
        let payload = Bytes::from(payload(payload_bytes));
        let expected = checksum(&payload).to_le_bytes();
        let first = subject(1, hops);
        let Self { client, receipts, .. } = self;
        self.runtime.block_on(async {
            for _ in 0..samples {
                let start = clock::now();
                client.publish(first.clone(), payload.clone()).await?;
                let receipt = tokio::time::timeout(PATIENCE, receipts.next()).await?;
                record(clock::now().ns_since(start));
                if receipt.is_none_or(|receipt| receipt.payload != expected.as_slice()) {
                    return Err(Failed::new("NATS has not delivered the payload"));
                }
            }
            Ok(())
        })
    }
}
