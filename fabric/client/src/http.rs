//! A connection over which a client speaks HTTP/1.1 with a gateway or a daemon.

use crate::outgoing::{Outgoing, Unsent};
pub use crate::question::Question;
use crate::streamed::Streamed;
use crate::tls::Met;
use bytes::Bytes;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use hacher_http::admin_address::AdminAddress;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep, sleep};

/// What is read of a reply that nobody vouches for. A problem has some hundred bytes.
const UNSEALED_MAX_BYTES: usize = 64 << 10;
/// What a problem (RFC 9457) is written as.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";
/// Characters of a problem's title, and of its detail, that are shown.
const TITLE_MAX_CHARS: usize = 200;
const DETAIL_MAX_CHARS: usize = 1000;

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
    /// Nothing has moved on the connection for as long as may be.
    #[error("{address} sent nothing for too long")]
    Idle {
        /// Where.
        address: AdminAddress,
    },
    /// The reply is longer than what was asked for can be.
    #[error(
        "the reply of {address} is longer than {max_bytes} bytes, the most that is taken (`--max-reply`)"
    )]
    TooLong {
        /// Where.
        address: AdminAddress,
        /// What was taken at most.
        max_bytes: usize,
    },
    /// The input cannot be read to its end.
    #[error("cannot read the input: {0}")]
    Input(io::Error),
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

    /// What it says of an error (RFC 9457), in a line: its status, title and detail.
    #[must_use]
    pub fn problem(&self) -> String {
        let problem = self.json();
        let text = |key: &str, max_chars| {
            let text = problem.get(key).and_then(Value::as_str)?;
            Some(in_one_line(text, max_chars))
        };
        let title = text("title", TITLE_MAX_CHARS);
        let title = title.unwrap_or_else(|| "the chain answered with an error".to_owned());
        let detail = text("detail", DETAIL_MAX_CHARS).map(|detail| format!(": {detail}"));
        format!("{} {title}{}", self.status.as_u16(), detail.unwrap_or_default())
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// Text of somebody else's, cut, without anything in it that begins another line or steers a terminal.
fn in_one_line(text: &str, max_chars: usize) -> String {
    let mut characters = text.chars();
    let mut line = String::new();
    for character in characters.by_ref().take(max_chars) {
        match character.is_control() {
            true => line.extend(character.escape_unicode()),
            false => line.push(character),
        }
    }
    if characters.next().is_some() {
        line.push_str("...");
    }
    line
}

/// A reply whose body is still to come.
#[derive(Debug)]
pub struct Arriving {
    address: AdminAddress,
    /// Its status.
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
}

/// A keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    address: AdminAddress,
    /// What requests call the server.
    host: String,
    sender: SendRequest<Outgoing>,
    reply_max_bytes: usize,
    met: Option<Met>,
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
        Self::over(stream, address.into(), None).await
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
                Self::over(stream, address.clone(), None).await
            }
        }
    }

    /// Speaks over a stream, on which nothing may move for `idle_max`, if that is bounded.
    async fn over<S>(stream: S, address: AdminAddress, idle_max: Option<Duration>) -> Result<Self, HttpError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match handshake(TokioIo::new(Outward::new(stream, idle_max))).await {
            Err(source) => Err(HttpError::broken(&address, source)),
            Ok((sender, connection)) => {
                // Ends with the connection; its errors reach us through the sender.
                tokio::spawn(connection);
                let host = match &address {
                    AdminAddress::Port(address) => address.to_string(),
                    AdminAddress::Path(_) => "localhost".to_owned(),
                };
                Ok(Self {
                    address,
                    host,
                    sender,
                    reply_max_bytes: usize::MAX,
                    met: None,
                })
            }
        }
    }

    /// Speaks over a stream to a server that is called `host`, and is known by what TLS has shown of it, if
    /// there is TLS.
    pub(crate) async fn over_stream<S>(
        stream: S,
        address: SocketAddr,
        host: String,
        met: Option<Met>,
        idle_max: Duration,
    ) -> Result<Self, HttpError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Self::over(stream, address.into(), Some(idle_max)).await?;
        Ok(Self {
            host,
            met,
            ..connection
        })
    }

    /// What TLS has shown of the server; `None` without TLS.
    #[must_use]
    pub const fn met(&self) -> Option<Met> {
        self.met
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
        let headers = content_type.map(|content_type| ("content-type", content_type));
        let reply = self.begin(method, path, headers, Outgoing::Plain(body)).await?;
        reply.collect(self.reply_max_bytes).await
    }

    /// Asks a question at a target, and reads the whole reply.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn ask(&mut self, target: &str, question: &Question) -> Result<Reply, HttpError> {
        let fields = question.fields.iter();
        let headers = fields.map(|(name, value)| (name.as_str(), value.as_str()));
        let body = Outgoing::Plain(question.body.clone());
        let reply = self.begin(question.method.clone(), target, headers, body).await?;
        reply.collect(self.reply_max_bytes).await
    }

    /// Asks a question at a target with a body that is sent as it is read, in place of its own, and reads the
    /// head of the reply, which may come before all of the body was sent.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn stream(
        &mut self,
        target: &str,
        question: &Question,
        body: Option<Streamed>,
    ) -> Result<Arriving, HttpError> {
        let fields = question.fields.iter();
        let headers = fields.map(|(name, value)| (name.as_str(), value.as_str()));
        let body = body.map_or_else(|| Outgoing::Plain(question.body.clone()), Outgoing::Streamed);
        self.begin(question.method.clone(), target, headers, body).await
    }

    /// Sends a request, and reads the head of the reply.
    pub(crate) async fn begin<'h>(
        &mut self,
        method: Method,
        path: &str,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
        body: Outgoing,
    ) -> Result<Arriving, HttpError> {
        let host = self.host.as_str();
        let mut request = Request::builder().method(method).uri(path).header("host", host);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(body)?;
        let sent = self.sender.send_request(request).await;
        let reply: Response<Incoming> = sent.map_err(|source| HttpError::broken(&self.address, source))?;
        let (parts, body) = reply.into_parts();
        Ok(Arriving {
            address: self.address.clone(),
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    /// Gets a path, and at most so many bytes; of an error, what says which.
    pub(crate) async fn get_at_most(&mut self, path: &str, max_bytes: usize) -> Result<Reply, HttpError> {
        let reply = self
            .begin(Method::GET, path, None, Outgoing::Plain(Bytes::new()))
            .await?;
        match reply.status.is_success() {
            true => reply.collect(max_bytes).await,
            false => reply.collect_unsealed().await,
        }
    }

    /// Gets a path.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn get(&mut self, path: &str) -> Result<Reply, HttpError> {
        self.send(Method::GET, path, None, Bytes::new()).await
    }
}

impl HttpError {
    /// A connection that broke, by itself or because nothing moved on it.
    fn broken(address: &AdminAddress, source: hyper::Error) -> Self {
        if let Some(Unsent::Read(error)) = source.source().and_then(<dyn Error>::downcast_ref) {
            return Self::Input(io::Error::new(error.kind(), error.to_string()));
        }
        let address = address.clone();
        let cause = source.source().and_then(<dyn Error>::downcast_ref::<io::Error>);
        match cause.map(io::Error::kind) {
            Some(io::ErrorKind::TimedOut) => Self::Idle { address },
            _ => Self::Broken { address, source },
        }
    }

    /// Whether the request has not left: the connection was closed before.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Broken { source, .. } if source.is_canceled())
    }
}

impl Arriving {
    /// The reply without its body.
    #[must_use]
    pub fn head(&self) -> Reply {
        Reply {
            status: self.status,
            headers: self.headers.clone(),
            body: Bytes::new(),
        }
    }

    /// Who answers.
    #[must_use]
    pub const fn address(&self) -> &AdminAddress {
        &self.address
    }

    /// A header, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How many bytes the body has at least.
    pub(crate) fn announced_bytes(&self) -> u64 {
        self.body.size_hint().lower()
    }

    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// [`HttpError::Broken`] and [`HttpError::Idle`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(source)) => return Err(HttpError::broken(&self.address, source)),
            }
        }
    }

    /// All of the body, if it has at most so many bytes.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn collect(self, max_bytes: usize) -> Result<Reply, HttpError> {
        let address = self.address;
        let collected = Limited::new(self.body, max_bytes).collect().await;
        let body = collected.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(source) => HttpError::broken(&address, *source),
            Err(_) => HttpError::TooLong { address, max_bytes },
        })?;
        Ok(Reply {
            status: self.status,
            headers: self.headers,
            body: body.to_bytes(),
        })
    }

    /// What anybody on the way may have written: a problem, if it is a short one, and of everything else the
    /// head alone.
    pub(crate) async fn collect_unsealed(self) -> Result<Reply, HttpError> {
        let (status, headers) = (self.status, self.headers.clone());
        let head_alone = Reply {
            status,
            headers,
            body: Bytes::new(),
        };
        let media_type = self.header("content-type").unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(PROBLEM_MEDIA_TYPE) {
            return Ok(head_alone);
        }
        match self.collect(UNSEALED_MAX_BYTES).await {
            Err(HttpError::TooLong { .. }) => Ok(head_alone),
            collected => collected,
        }
    }
}

/// A socket on which an answer can be read after the server has stopped to read the request (RFC 9112,
/// section 9.5). Hyper takes a failed write for the end of everything, so what nobody reads any more counts
/// as written, and the reading side tells how it ended.
#[derive(Debug)]
struct Outward<S> {
    stream: S,
    /// Why the server reads no more.
    failed: Option<io::Error>,
    idle: Option<Idle>,
}

impl<S> Outward<S> {
    fn new(stream: S, idle_max: Option<Duration>) -> Self {
        Self {
            stream,
            failed: None,
            idle: idle_max.map(Idle::new),
        }
    }

    /// Something has moved.
    fn moves(&mut self) {
        if let Some(idle) = &mut self.idle {
            idle.begin();
        }
    }
}

/// How long nothing has moved. Hyper reads whenever it waits, so reading is what fails at the end.
#[derive(Debug)]
struct Idle {
    max: Duration,
    over: Pin<Box<Sleep>>,
}

impl Idle {
    fn new(max: Duration) -> Self {
        Self {
            max,
            over: Box::pin(sleep(max)),
        }
    }

    fn begin(&mut self) {
        // A time that is too far away to be one never comes.
        if let Some(until) = Instant::now().checked_add(self.max) {
            self.over.as_mut().reset(until);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Outward<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if Pin::new(&mut self.stream).poll_read(cx, buffer)?.is_pending() {
            return match &mut self.idle {
                Some(idle) => idle
                    .over
                    .as_mut()
                    .poll(cx)
                    .map(|()| Err(io::ErrorKind::TimedOut.into())),
                None => Poll::Pending,
            };
        }
        self.moves();
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Outward<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.failed.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        match ready!(Pin::new(&mut self.stream).poll_write(cx, bytes)) {
            Ok(written) => {
                self.moves();
                Poll::Ready(Ok(written))
            }
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
