//! A client that speaks HTTP/1.1 or 2, with TLS or without.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, Version, body::Incoming};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What a client needs to trust the service.
pub(super) type Tls = Arc<ClientConfig>;

/// How a client uses its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1, kept alive.
    Kept,
    /// HTTP/1.1, a connection for each request.
    Fresh,
    /// HTTP/2, kept.
    Http2,
}

/// Where a service is reached.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    tls: Option<Tls>,
}

/// A whole reply.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: bool,
    pub(super) body: Bytes,
}

/// A request that got no reply.
pub(super) struct Broken {
    pub(super) what: String,
    /// It was never sent: the connection had been closed before, as a server may at any time.
    pub(super) unsent: bool,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// One client.
pub(super) struct Client {
    target: Target,
    protocol: Protocol,
    kept: Option<Sender>,
}

/// A configuration that trusts `certificate` alone.
pub(super) fn trusting(certificate: &CertificateDer<'static>) -> Result<Tls, String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(certificate.clone())
        .map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(
        builder.with_root_certificates(roots).with_no_client_auth(),
    ))
}

impl Target {
    pub(super) const fn new(address: SocketAddr, tls: Option<Tls>) -> Self {
        Self { address, tls }
    }

    pub(super) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

impl Client {
    pub(super) const fn new(target: Target, protocol: Protocol) -> Self {
        Self {
            target,
            protocol,
            kept: None,
        }
    }

    /// Posts `body` to a chain.
    pub(super) async fn post(&mut self, chain: &str, body: Bytes) -> Result<Reply, Broken> {
        let mut sender = match self.kept.take() {
            Some(sender) => sender,
            None => self.open().await.map_err(|what| Broken { what, unsent: false })?,
        };
        let reply = send(&mut sender, &self.target, chain, body).await?;
        let body = reply.0.collect().await.map_err(|error| Broken {
            what: format!("the reply broke off: {error}"),
            unsent: false,
        })?;
        if self.protocol != Protocol::Fresh {
            self.kept = Some(sender);
        }
        Ok(Reply {
            status: reply.1,
            retry_after: reply.2,
            body: body.to_bytes(),
        })
    }

    async fn open(&self) -> Result<Sender, String> {
        let connect = TcpStream::connect(self.target.address).await;
        let stream = connect.map_err(|error| format!("cannot connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let Some(tls) = &self.target.tls else {
            return self.shake_hands(stream).await;
        };
        let mut tls = ClientConfig::clone(tls);
        tls.alpn_protocols = match self.protocol {
            Protocol::Http2 => vec![b"h2".to_vec()],
            Protocol::Kept | Protocol::Fresh => vec![b"http/1.1".to_vec()],
        };
        let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
        self.shake_hands(stream.map_err(|error| format!("no TLS: {error}"))?)
            .await
    }

    async fn shake_hands(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    ) -> Result<Sender, String> {
        let stream = TokioIo::new(stream);
        if self.protocol == Protocol::Http2 {
            let (sender, connection) = http2::handshake(LocalExecutor, stream)
                .await
                .map_err(|error| format!("no HTTP/2: {error}"))?;
            tokio::task::spawn_local(connection);
            return Ok(Sender::Http2(sender));
        }
        let (sender, connection) = http1::handshake(stream)
            .await
            .map_err(|error| format!("no HTTP/1.1: {error}"))?;
        tokio::task::spawn_local(connection);
        Ok(Sender::Http1(sender))
    }
}

/// Runs what HTTP/2 needs to run beside on this thread.
#[derive(Clone)]
struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async {
            future.await;
        });
    }
}

async fn send(
    sender: &mut Sender,
    target: &Target,
    chain: &str,
    body: Bytes,
) -> Result<(Incoming, u16, bool), Broken> {
    let scheme = if target.is_tls() { "https" } else { "http" };
    let (uri, version) = match sender {
        Sender::Http1(_) => (format!("/chains/{chain}"), Version::HTTP_11),
        Sender::Http2(_) => (
            format!("{scheme}://{}/chains/{chain}", target.address),
            Version::HTTP_2,
        ),
    };
    let request = Request::post(uri).version(version);
    let request = match sender {
        Sender::Http1(_) => request.header("host", target.address.to_string()),
        Sender::Http2(_) => request,
    };
    let request = request.body(Full::new(body)).map_err(|error| Broken {
        what: error.to_string(),
        unsent: false,
    })?;
    let broken = |error: hyper::Error| Broken {
        what: format!("the connection broke: {error}"),
        unsent: error.is_canceled(),
    };
    let reply: Response<Incoming> = match sender {
        Sender::Http1(sender) => {
            sender.ready().await.map_err(|error| Broken {
                what: format!("the connection is gone: {error}"),
                unsent: true,
            })?;
            sender.send_request(request).await.map_err(broken)?
        }
        Sender::Http2(sender) => {
            sender.ready().await.map_err(|error| Broken {
                what: format!("the connection is gone: {error}"),
                unsent: true,
            })?;
            sender.send_request(request).await.map_err(broken)?
        }
    };
    let retry_after = reply.headers().contains_key("retry-after");
    let status = reply.status().as_u16();
    Ok((reply.into_body(), status, retry_after))
}
