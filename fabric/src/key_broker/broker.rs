//! Connections to a key broker, and what it answers: bounded, from whom TLS says it is, and never from
//! elsewhere.

use super::url::BrokerUrl;
use crate::failed::Failed;
use crate::given;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The longest answer of a broker: a sealed secret has some 12 KiB, a token at most as much.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// A key broker, and whose certificates it may have.
pub(crate) struct KeyBroker {
    url: BrokerUrl,
    tls: Option<Arc<ClientConfig>>,
}

/// What a broker answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl KeyBroker {
    /// A broker that is not asked yet. `authorities`: a file with certificates of those who sign its own.
    pub(crate) fn new(url: &BrokerUrl, authorities: Option<&Path>) -> Result<Self, Failed> {
        let tls = match (url.0.is_tls, authorities) {
            (false, Some(_)) => {
                return Err(Failed::new(format!(
                    "{url}: --kbs-ca is for https://, and this is plain HTTP"
                )));
            }
            (false, None) => None,
            (true, None) => {
                return Err(Failed::new(format!(
                    "{url}: --kbs-ca says who signs the key broker's certificate"
                )));
            }
            (true, Some(path)) => Some(Arc::new(configuration(path)?)),
        };
        Ok(Self {
            url: url.clone(),
            tls,
        })
    }

    pub(crate) const fn url(&self) -> &BrokerUrl {
        &self.url
    }

    pub(super) async fn connect(&self) -> Result<Connection, Failed> {
        let failed = |error: io::Error| Failed::new(format!("cannot connect: {error}"));
        let address = (self.url.0.host.as_str(), self.url.0.port);
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let Some(configuration) = &self.tls else {
            // Whatever a name leads to.
            let peer = stream.peer_addr().map_err(failed)?;
            if !peer.ip().to_canonical().is_loopback() {
                return Err(Failed::new(format!(
                    "`{}` leads to {peer}: plain HTTP is for a key broker on this machine only",
                    self.url.0.host
                )));
            }
            return Connection::over(stream, self.url.0.authority()).await;
        };
        let name = ServerName::try_from(self.url.0.host.clone())?;
        let connector = TlsConnector::from(Arc::clone(configuration));
        let stream = connector.connect(name, stream).await.map_err(failed)?;
        Connection::over(stream, self.url.0.authority()).await
    }
}

fn configuration(authorities: &Path) -> Result<ClientConfig, Failed> {
    let mut roots = RootCertStore::empty();
    for certificate in given::certificates(&[authorities.to_owned()])? {
        roots
            .add(CertificateDer::from(certificate))
            .map_err(|error| Failed::new(format!("--kbs-ca `{}`: {error}", authorities.display())))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(builder.with_no_client_auth())
}

/// A keep-alive connection to a broker.
pub(super) struct Connection {
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    async fn over<S>(stream: S, host: String) -> Result<Self, Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the connection; its errors reach us through the sender.
        tokio::spawn(connection);
        Ok(Self { host, sender })
    }

    /// Sends a request, of JSON if there is a body, and reads the whole answer.
    pub(super) async fn send(
        &mut self,
        method: &str,
        path: &str,
        cookie: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Answer, Failed> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("accept", "application/json");
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let (parts, body) = self.sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
        let body = body.map_err(|error| Failed::new(format!("its answer to {path}: {error}")))?;
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
        })
    }
}
