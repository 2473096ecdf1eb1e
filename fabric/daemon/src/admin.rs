//! What operators may ask, over HTTP on a loopback port or at a path: `/metrics`, `/status`, `/traces`,
//! `/readyz`, `/healthz`.

use super::filter::Filter;
use super::memory::MemoryQuestion;
use super::metrics::{self, Detail, Register};
use super::tables::Tables;
use super::{status, traces};
use bytes::Bytes;
use hacher_http::admin_address::AdminAddress;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{AddressFamily, getsockname};
use serde_json::json;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// Operators connected at a time; more wait.
const CONNECTIONS_MAX: usize = 32;
/// How long a request's head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be used before its client must make another: one that reads nothing keeps others
/// out no longer.
const LIFE: Duration = Duration::from_secs(60);

/// A socket that operators connect to.
pub(super) enum Listener {
    /// A port of this machine.
    Port(TcpListener),
    /// A path, which only its owner may use.
    Path(UnixListener),
}

/// A connection over either.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Listener {
    /// Takes over a listening socket.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        // Not by `set_nonblocking`, whose system call the jail refuses.
        fcntl_setfl(&socket, fcntl_getfl(&socket)? | OFlags::NONBLOCK)?;
        let family = getsockname(&socket)?.address_family();
        if family == AddressFamily::UNIX {
            UnixListener::from_std(socket.into()).map(Self::Path)
        } else {
            TcpListener::from_std(socket.into()).map(Self::Port)
        }
    }

    /// Where to connect to, as `--admin` has it.
    pub(super) fn address(&self) -> String {
        let address = match self {
            Self::Port(listener) => listener.local_addr().map(AdminAddress::Port),
            Self::Path(listener) => listener.local_addr().map(|address| {
                AdminAddress::Path(address.as_pathname().map(Path::to_owned).unwrap_or_default())
            }),
        };
        address.map_or_else(|_| String::new(), |address| address.to_string())
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Port(listener) => Box::new(listener.accept().await?.0),
            Self::Path(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// Serves operators for ever.
pub(super) async fn serve(
    listener: Listener,
    tables: Rc<RefCell<Tables>>,
    own: Register,
    memory: Rc<MemoryQuestion>,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Never closed, so this waits or succeeds.
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        let Ok(stream) = listener.accept().await else {
            // Out of descriptors, most likely: those in use will be closed.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (tables, own, memory) = (Rc::clone(&tables), own.clone(), Rc::clone(&memory));
        spawn_local(async move {
            let service = service_fn(async |request: Request<Incoming>| {
                let path = request.uri().path();
                if matches!(path, "/metrics" | "/status") {
                    memory.ask().await;
                }
                Ok::<_, Infallible>(answer(&request, &tables.borrow(), &own))
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = pin!(connection);
            // A client that breaks off concerns nobody else, so how it ended does not matter.
            if timeout(LIFE, connection.as_mut()).await.is_err() {
                connection.as_mut().graceful_shutdown();
                let _ = timeout(HEAD_TIMEOUT, connection).await;
            }
            drop(permit);
        });
    }
}

fn reply(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(content_type),
    );
    response
}

/// What a query asks for; or the status and the text that say what is wrong with it.
fn filter(
    request: &Request<Incoming>,
    tables: &Tables,
    keys: &[&str],
) -> Result<Filter, (StatusCode, String)> {
    let said = |detail: String| format!("{}\n", json!({ "error": detail }));
    let filter =
        Filter::parse(request.uri().query(), keys).map_err(|error| (StatusCode::BAD_REQUEST, said(error)))?;
    tables
        .check(&filter)
        .map_err(|error| (StatusCode::NOT_FOUND, said(error)))?;
    Ok(filter)
}

fn answer(request: &Request<Incoming>, tables: &Tables, own: &Register) -> Response<Full<Bytes>> {
    const JSON: &str = "application/json";
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let detail = "only GET and HEAD are answered here\n".to_owned();
        let mut refusal = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, detail);
        let allowed = hyper::header::HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, allowed);
        return refusal;
    }
    match request.uri().path() {
        "/metrics" => match Detail::of_query(request.uri().query()) {
            Some(detail) => reply(StatusCode::OK, TEXT, metrics::render(tables, own, detail)),
            None => {
                let known = "`per` is `function` or `instance`\n";
                reply(StatusCode::BAD_REQUEST, TEXT, known.to_owned())
            }
        },
        "/status" => match filter(request, tables, status::KEYS) {
            Ok(filter) => reply(StatusCode::OK, JSON, format!("{:#}\n", tables.status(&filter))),
            Err((status, problem)) => reply(status, JSON, problem),
        },
        "/traces" => match filter(request, tables, traces::KEYS) {
            Ok(filter) => reply(StatusCode::OK, JSON, format!("{}\n", tables.traces(&filter))),
            Err((status, problem)) => reply(status, JSON, problem),
        },
        "/readyz" => match tables.not_ready() {
            chains if chains.is_empty() => reply(StatusCode::OK, TEXT, "ready\n".to_owned()),
            chains => {
                let list = format!("not ready: {}\n", chains.join(", "));
                reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, list)
            }
        },
        "/healthz" => reply(StatusCode::OK, TEXT, "ok\n".to_owned()),
        _ => {
            let known = "there are /metrics, /status, /traces, /readyz and /healthz here\n";
            reply(StatusCode::NOT_FOUND, TEXT, known.to_owned())
        }
    }
}
