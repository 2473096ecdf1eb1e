//! Connections to the collector. The daemon has no network, so the monitor makes them; it speaks HTTP over
//! them itself.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// How long a collector may take for one request, as OTLP has it.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// How long the monitor may take to begin a connection.
const SOCKET_PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// The longest wait that a collector can ask for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was taken; this is the answer.
    Taken(Bytes),
    /// Not now: the collector is not there, or busy. `why` is for people; `after`: when it wants to be asked
    /// again, if it said so.
    NotNow { why: String, after: Option<Duration> },
    /// It is of no use to send it again.
    Refused(StatusCode),
}

impl Sent {
    fn not_now(why: impl Into<String>) -> Self {
        Self::NotNow {
            why: why.into(),
            after: None,
        }
    }
}

/// Where there are connections, and how they are asked for.
#[derive(Default)]
pub(super) struct Connector {
    wanted: Notify,
    made: Notify,
    socket: Cell<Option<OwnedFd>>,
    open: RefCell<Option<SendRequest<Full<Bytes>>>>,
}

impl Connector {
    /// Waits until a connection is wanted.
    pub(super) async fn is_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Whether there is a connection that may be used.
    pub(super) fn has_one(&self) -> bool {
        let is_open = self.open.borrow().as_ref().is_some_and(|open| !open.is_closed());
        let socket = self.socket.take();
        let is_there = socket.is_some();
        self.socket.set(socket);
        is_open || is_there
    }

    /// The monitor has made a connection, or could not.
    pub(super) fn made(&self, socket: Option<OwnedFd>) {
        self.socket.set(socket);
        self.made.notify_one();
    }

    /// A connection over which a request can be sent now.
    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        // Taken out: it is put back when an answer has shown that it is still good.
        let open = self.open.borrow_mut().take();
        if let Some(mut open) = open
            && open.ready().await.is_ok()
        {
            return Ok(open);
        }
        if !self.has_one() {
            self.wanted.notify_one();
            // One that comes later serves the next request.
            let _ = timeout(SOCKET_PATIENCE, self.made.notified()).await;
        }
        let socket = self.socket.take().ok_or("nobody listens there")?;
        let stream = TcpStream::from_std(socket.into()).map_err(|error| error.to_string())?;
        let made = handshake(TokioIo::new(stream)).await;
        let (open, connection) = made.map_err(|error| error.to_string())?;
        spawn_local(async move {
            // The sender gets the error that ended it.
            let _ = connection.await;
        });
        Ok(open)
    }

    /// Sends a request, and waits for its answer.
    pub(super) async fn send(&self, authority: &str, path: &str, body: Vec<u8>) -> Sent {
        match timeout(ANSWER_PATIENCE, self.exchange(authority, path, body)).await {
            Ok(sent) => sent,
            Err(_) => Sent::not_now(format!("no answer within {ANSWER_PATIENCE:?}")),
        }
    }

    async fn exchange(&self, authority: &str, path: &str, body: Vec<u8>) -> Sent {
        let request = Request::post(path)
            .header(HOST, authority)
            .header(USER_AGENT, concat!("hacher/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(Full::new(Bytes::from(body)));
        let Ok(request) = request else {
            return Sent::Refused(StatusCode::BAD_REQUEST);
        };
        let mut open = match self.open().await {
            Ok(open) => open,
            Err(why) => return Sent::not_now(why),
        };
        let answer = match open.send_request(request).await {
            Ok(answer) => answer,
            Err(error) => return Sent::not_now(error.to_string()),
        };
        let sent = judged(answer).await;
        if !matches!(sent, Sent::NotNow { .. }) {
            *self.open.borrow_mut() = Some(open);
        }
        sent
    }
}

/// What an answer means (OTLP/HTTP, *Response* and *Retryable response codes*).
async fn judged(answer: Response<Incoming>) -> Sent {
    let status = answer.status();
    let after = answer.headers().get(RETRY_AFTER).and_then(seconds);
    // Read to its end, so that the connection serves the next request.
    let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await;
    match status {
        _ if status.is_success() => Sent::Taken(body.map(|body| body.to_bytes()).unwrap_or_default()),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Sent::NotNow {
            why: format!("it answers with {status}"),
            after,
        },
        _ => Sent::Refused(status),
    }
}

fn seconds(value: &HeaderValue) -> Option<Duration> {
    let seconds = value.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}
