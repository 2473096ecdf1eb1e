//! The calling end of HTTP.

use super::fault::Fault;
use super::tls;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How many hops a request has left.
pub(super) const HOPS: HeaderName = HeaderName::from_static("hops");

/// Calls one server.
pub(crate) struct Caller {
    address: SocketAddr,
    host: HeaderValue,
    tls: Option<TlsConnector>,
    keeps: bool,
    kept: Option<SendRequest<Full<Bytes>>>,
}

impl Caller {
    /// Connects with the first call; `keeps` says whether later ones use the same connection.
    pub(crate) const fn new(address: SocketAddr, tls: Option<TlsConnector>, keeps: bool) -> Self {
        Self {
            address,
            host: HeaderValue::from_static("localhost"),
            tls,
            keeps,
            kept: None,
        }
    }

    /// Hands over a payload; returns the sum of receipts when all hops have answered.
    pub(super) async fn call(&mut self, payload: Bytes, hops: u32) -> Result<u64, Fault> {
        let body = self.send(payload, Some(hops)).await?;
        let receipt = body.as_ref().try_into().map_err(|_| Fault::Reply {
            status: StatusCode::OK,
            len_bytes: body.len(),
        })?;
        Ok(u64::from_le_bytes(receipt))
    }

    /// Hands over a payload, and says how many hops it has left if that is told; returns the body of the
    /// answer.
    pub(crate) async fn send(&mut self, payload: Bytes, hops: Option<u32>) -> Result<Bytes, Fault> {
        let mut sender = match self.kept.take() {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let mut request = Request::post("/").body(Full::new(payload))?;
        request.headers_mut().insert(HOST, self.host.clone());
        if let Some(hops) = hops {
            request.headers_mut().insert(HOPS, hops.into());
        }
        sender.ready().await?;
        let reply = sender.send_request(request).await?;
        let status = reply.status();
        let body = reply.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            return Err(Fault::Reply {
                status,
                len_bytes: body.len(),
            });
        }
        if self.keeps {
            self.kept = Some(sender);
        }
        Ok(body)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Fault> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => speak(stream).await,
            Some(connector) => speak(connector.connect(tls::name()?, stream).await?).await,
        }
    }
}

async fn speak<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Ends when the sender is dropped; its errors reach the caller through the sender.
    tokio::spawn(connection);
    Ok(sender)
}
