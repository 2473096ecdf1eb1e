//! A small HTTP client for the commands that talk to a gateway or a daemon on this machine.

use bytes::Bytes;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use hacher_http::admin_address::AdminAddress;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A request that got no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Nobody listens there.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Nobody listens at that path, or this user may not connect to it.
    #[error("cannot connect to unix:{}: {source}", .path.display())]
    ConnectPath {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to {address} broke: {source}")]
    Broken {
        /// Where.
        address: AdminAddress,
        /// How.
        source: hyper::Error,
    },
    /// The reply is longer than what was asked for can be.
    #[error("{address} answered with more than {max_bytes} bytes")]
    TooLong {
        /// Where.
        address: AdminAddress,
        /// What was taken at most.
        max_bytes: usize,
    },
    /// The request is not one.
    #[error("not a request: {0}")]
    Request(#[from] hyper::http::Error),
}

/// A whole reply.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// A header, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// A keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    address: AdminAddress,
    sender: SendRequest<Full<Bytes>>,
    reply_max_bytes: usize,
}

impl Connection {
    /// Connects. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`HttpError::Connect`], or [`HttpError::Broken`] in the handshake.
    pub async fn open(address: SocketAddr) -> Result<Self, HttpError> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|source| HttpError::Connect { address, source })?;
        // Without it the kernel holds small requests back.
        stream
            .set_nodelay(true)
            .map_err(|source| HttpError::Connect { address, source })?;
        Self::over(stream, address.into()).await
    }

    /// Connects to where a daemon answers operators. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// As [`Connection::open`], or [`HttpError::ConnectPath`].
    pub async fn open_admin(address: &AdminAddress) -> Result<Self, HttpError> {
        match address {
            AdminAddress::Port(port) => Self::open(*port).await,
            AdminAddress::Path(path) => {
                let connected = UnixStream::connect(path).await;
                let stream = connected.map_err(|source| HttpError::ConnectPath {
                    path: path.clone(),
                    source,
                })?;
                Self::over(stream, address.clone()).await
            }
        }
    }

    pub(crate) async fn over<S>(stream: S, address: AdminAddress) -> Result<Self, HttpError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match handshake(TokioIo::new(Outgoing::new(stream))).await {
            Err(source) => Err(HttpError::Broken { address, source }),
            Ok((sender, connection)) => {
                // Ends with the connection; its errors reach us through the sender.
                tokio::spawn(connection);
                Ok(Self {
                    address,
                    sender,
                    reply_max_bytes: usize::MAX,
                })
            }
        }
    }

    /// Takes no reply that is longer, for a server that may be anybody's.
    pub const fn take_at_most(&mut self, reply_max_bytes: usize) {
        self.reply_max_bytes = reply_max_bytes;
    }

    /// Sends a request and reads the whole reply, which may come before all of the request was sent: a server
    /// need not read what it refuses.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<Reply, HttpError> {
        let host = match &self.address {
            AdminAddress::Port(address) => address.to_string(),
            AdminAddress::Path(_) => "localhost".to_owned(),
        };
        let mut request = Request::builder().method(method).uri(path).header("host", host);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let broken = |source| HttpError::Broken {
            address: self.address.clone(),
            source,
        };
        let reply = self
            .sender
            .send_request(request.body(Full::new(body))?)
            .await
            .map_err(broken)?;
        let (parts, body) = reply.into_parts();
        let collected = Limited::new(body, self.reply_max_bytes).collect().await;
        let body = collected.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(source) => broken(*source),
            Err(_) => HttpError::TooLong {
                address: self.address.clone(),
                max_bytes: self.reply_max_bytes,
            },
        })?;
        let body = body.to_bytes();
        Ok(Reply {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    /// Gets a path.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn get(&mut self, path: &str) -> Result<Reply, HttpError> {
        self.send(Method::GET, path, None, Bytes::new()).await
    }
}

/// A socket on which an answer can be read after the server has stopped to read the request (RFC 9112,
/// section 9.5). Hyper takes a failed write for the end of everything, so what nobody reads any more counts
/// as written, and the reading side tells how it ended.
#[derive(Debug)]
struct Outgoing<S> {
    stream: S,
    /// Why the server reads no more.
    failed: Option<io::Error>,
}

impl<S> Outgoing<S> {
    const fn new(stream: S) -> Self {
        Self { stream, failed: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Outgoing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let is_end = buffer.filled().len() == before && buffer.remaining() > 0;
        match self.failed.take() {
            Some(error) if is_end => Poll::Ready(Err(error)),
            failed => {
                self.failed = failed;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Outgoing<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.failed.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        match ready!(Pin::new(&mut self.stream).poll_write(cx, bytes)) {
            Ok(written) => Poll::Ready(Ok(written)),
            Err(error) => {
                self.failed = Some(error);
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What a file probably holds, by its name.
#[must_use]
pub fn content_type_of(path: &Path) -> &'static str {
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("csv") => "text/csv",
        Some("json") => "application/json",
        Some("txt") => "text/plain",
        _ => "application/octet-stream",
    }
}
