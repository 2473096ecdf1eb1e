//! A function behind uvicorn, over TLS 1.3 and connections that are kept. Several in a row are several
//! servers, which the client calls one after the other, each with what the one before has answered.

use super::call::{Call, split_times};
use super::function::Function;
use super::sources::{FUNCTION, ONE_THREAD, OVER_HTTPS, Sources};
use super::venv::Venv;
use super::way::{Answers, Way, no_times};
use crate::baseline::call::Caller;
use crate::baseline::http::brief;
use crate::baseline::server::runtime;
use crate::baseline::tls::Credentials;
use crate::peer::{Peer, ROLE, Start};
use crate::place::Pinned;
use crate::subject::{Cores, Identity, Place, checksum};
use bytes::Bytes;
use hacher_fabric::failed::Failed;
use hacher_libos_net::clock;
use serde::{Deserialize, Serialize};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What reports call it.
pub const TRANSPORT: &str = "uvicorn";
/// What the peer is told to do.
pub(crate) const PART: &str = "uvicorn";

/// What a peer becomes.
#[derive(Debug, Serialize, Deserialize)]
struct Orders {
    program: PathBuf,
    arguments: Vec<PathBuf>,
    function: String,
}

/// The servers, and the client that calls them.
pub struct OverHttps {
    callers: Vec<Caller>,
    runtime: Runtime,
    body: Bytes,
    place: Place,
    seat: Option<u32>,
    _servers: Vec<Peer>,
}

impl OverHttps {
    /// Has `program`, the executable of `hacher-bench`, start `functions` servers of `function`.
    ///
    /// # Errors
    /// When they do not start, or cannot be placed like this.
    pub fn start(
        program: &Path,
        function: &Function,
        functions: u32,
        (venv, sources): (&Venv, &Sources),
        (place, cores): (Place, Cores),
    ) -> Result<Self, Failed> {
        let files = TempDir::new()?;
        let (certificate, key) = (files.path().join("certificate.pem"), files.path().join("key.pem"));
        let credentials = Credentials::written(&certificate, &key)?;
        let orders = Orders {
            program: venv.interpreter(),
            arguments: vec![sources.path(OVER_HTTPS), certificate, key],
            function: function.module.to_owned(),
        };
        let (mut servers, mut callers) = (Vec::new(), Vec::new());
        for position in 1..=functions {
            let start = Start {
                program,
                role: ROLE,
                part: PART,
                core: cores.seat(place, position)?,
            };
            let mut server = Peer::start(&start, Stdio::piped(), Stdio::piped())?;
            let address = brief(&mut server, &orders)?;
            callers.push(Caller::new(address, Some(credentials.connector()?), true));
            servers.push(server);
        }
        let mut way = Self {
            callers,
            runtime: runtime()?,
            body: Bytes::from(function.input()),
            place,
            seat: cores.seat(place, 0)?,
            _servers: servers,
        };
        // A server reads its certificate some time after it has said its port, and before it answers.
        way.call(1, &mut |_| ())?;
        Ok(way)
    }
}

impl Way for OverHttps {
    fn identity(&self) -> Identity {
        Identity {
            transport: TRANSPORT,
            protection: "tls1.3",
            placement: self.place,
            touched: true,
        }
    }

    fn call(&mut self, samples: u32, record: &mut dyn FnMut(Call)) -> Result<u64, Failed> {
        let _pinned = Pinned::to_core(self.seat)?;
        let functions = u32::try_from(self.callers.len())?;
        let Self {
            callers,
            runtime,
            body,
            ..
        } = self;
        let mut answers = Answers::default();
        runtime.block_on(async {
            for _ in 0..samples {
                let start = clock::now();
                let mut reply = body.clone();
                for caller in &mut *callers {
                    reply = caller.send(reply, None).await?;
                }
                let (answer, handler_ns) = split_times(&reply, functions).ok_or_else(no_times)?;
                let checksum = checksum(answer);
                let total_ns = clock::now().ns_since(start);
                record(Call { total_ns, handler_ns });
                answers.note(checksum)?;
            }
            Ok(answers.checksum())
        })
    }
}

/// Becomes the interpreter that its orders name. Its core, and the tie of its life to that of the process
/// that has started it, outlive this.
pub(crate) fn peer() -> Result<(), Failed> {
    let orders: Orders = serde_json::from_reader(std::io::stdin())?;
    let error = Command::new(&orders.program)
        .args(&orders.arguments)
        .env(FUNCTION, &orders.function)
        .env(ONE_THREAD.0, ONE_THREAD.1)
        .exec();
    Err(Failed::new(format!(
        "cannot start {}: {error}",
        orders.program.display()
    )))
}
