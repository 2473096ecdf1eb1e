//! Somebody between a client and a gateway, who ends TLS with a certificate of his own, sees every message,
//! and does with it what a test says.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// To detect what hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Passes a message on to the gateway, and gives its answer.
pub type Forward<'a> = &'a mut dyn FnMut(&[u8]) -> Vec<u8>;
/// What is done with the message of a client: what he is answered, or nothing, and the connection is closed.
pub type Script = Box<dyn FnMut(Vec<u8>, Forward<'_>) -> Option<Vec<u8>> + Send>;

/// Where he listens, and what he has seen.
#[derive(Debug, Clone)]
pub struct Middle {
    /// In place of the gateway's.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A certificate for `localhost` and 127.0.0.1, its key, and the authority that signs such.
#[derive(Debug)]
pub struct Pair {
    /// In DER.
    pub certificate: CertificateDer<'static>,
    /// In PKCS #8.
    pub key: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

impl Middle {
    /// Stands in front of `gateway`; over TLS at both sides if he has a certificate, where he takes whatever
    /// the gateway shows that `trusted` has signed.
    ///
    /// # Errors
    /// When he cannot listen, or the pair is none.
    pub fn start(
        gateway: SocketAddr,
        tls: Option<(&Pair, &CertificateDer<'static>)>,
        script: Script,
    ) -> io::Result<Self> {
        let configurations = tls
            .map(|(pair, trusted)| Ok::<_, io::Error>((server(pair)?, client(trusted)?)))
            .transpose()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let middle = Self {
            address: listener.local_addr()?,
            seen: Arc::default(),
        };
        let (seen, script) = (Arc::clone(&middle.seen), Arc::new(Mutex::new(script)));
        std::thread::spawn(move || {
            for accepted in listener.incoming().map_while(Result::ok) {
                let (seen, script, configurations) =
                    (Arc::clone(&seen), Arc::clone(&script), configurations.clone());
                std::thread::spawn(move || {
                    // What breaks here, the client sees.
                    let _ = talk(accepted, gateway, configurations.as_ref(), &seen, &script);
                });
            }
        });
        Ok(middle)
    }

    /// All messages that he has seen, of clients and of the gateway.
    #[must_use]
    pub fn seen(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether any of them has these bytes.
    #[must_use]
    pub fn has_seen(&self, bytes: &[u8]) -> bool {
        let has = |message: &Vec<u8>| message.windows(bytes.len()).any(|window| window == bytes);
        self.seen().iter().any(has)
    }
}

fn talk(
    accepted: TcpStream,
    gateway: SocketAddr,
    configurations: Option<&(Arc<ServerConfig>, Arc<ClientConfig>)>,
    seen: &Mutex<Vec<Vec<u8>>>,
    script: &Mutex<Script>,
) -> io::Result<()> {
    accepted.set_read_timeout(Some(PATIENCE))?;
    let mut client: Box<dyn Stream> = match configurations {
        None => Box::new(accepted),
        Some((server, _)) => {
            let connection = ServerConnection::new(Arc::clone(server)).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(connection, accepted))
        }
    };
    let mut upstream: Option<Box<dyn Stream>> = None;
    let note = |message: &[u8]| {
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(message.to_vec())
    };
    while let Some(request) = message(&mut *client)? {
        note(&request);
        let mut forward = |bytes: &[u8]| {
            // One connection to the gateway for one of a client's, and another when it has ended.
            for _ in 0..2 {
                if upstream.is_none() {
                    upstream = connect(gateway, configurations).ok();
                }
                let answered = upstream.as_mut().and_then(|upstream| {
                    upstream.write_all(bytes).ok()?;
                    message(&mut **upstream).ok().flatten()
                });
                match answered {
                    Some(answer) => {
                        note(&answer);
                        return answer;
                    }
                    None => upstream = None,
                }
            }
            Vec::new()
        };
        let answer = script.lock().unwrap_or_else(PoisonError::into_inner)(request, &mut forward);
        let Some(answer) = answer else { break };
        client.write_all(&answer)?;
        client.flush()?;
    }
    Ok(())
}

fn connect(
    gateway: SocketAddr,
    configurations: Option<&(Arc<ServerConfig>, Arc<ClientConfig>)>,
) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(gateway)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let Some((_, configuration)) = configurations else {
        return Ok(Box::new(stream));
    };
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::clone(configuration), name).map_err(io::Error::other)?;
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

/// One message of HTTP/1.1 whose length is said; nothing at the end of the connection.
fn message(stream: &mut dyn Stream) -> io::Result<Option<Vec<u8>>> {
    let (mut message, mut byte) = (Vec::new(), [0]);
    while !message.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        message.extend_from_slice(&byte);
    }
    let head = String::from_utf8_lossy(&message).to_ascii_lowercase();
    let length = head
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let at = message.len();
    message.resize(at + length, 0);
    stream.read_exact(message.get_mut(at..).unwrap_or_default())?;
    Ok(Some(message))
}

fn server(pair: &Pair) -> io::Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.key.clone()));
    let configuration = builder
        .with_no_client_auth()
        .with_single_cert(vec![pair.certificate.clone()], key);
    configuration.map(Arc::new).map_err(io::Error::other)
}

fn client(trusted: &CertificateDer<'static>) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).map_err(io::Error::other)?;
    Ok(Arc::new(
        builder.with_root_certificates(roots).with_no_client_auth(),
    ))
}
