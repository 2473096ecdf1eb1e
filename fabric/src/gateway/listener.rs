//! Accepts connections and speaks HTTP over them.

use super::framing::HEAD_MAX_BYTES;
use super::route::answer;
use super::screen::Screen;
use super::tls::{Tls, TlsError};
use super::{Gateway, places};
use hacher_libos_net::attachment::Listener;
use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Connections at a time, where the machine allows as many; more wait in the socket's backlog.
const CONNECTIONS_MAX: usize = 1024;
/// How long a request's head may take, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;
/// A pause when descriptors run out.
const PAUSE: Duration = Duration::from_millis(50);

/// The listening socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListenError {
    #[error("the listening socket cannot be used: {0}")]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A socket that connections come in on.
pub(super) struct Acceptor {
    socket: TcpListener,
    tls: Option<Rc<Tls>>,
}

/// Makes the monitor's socket usable here.
pub(super) fn prepare(listener: Listener) -> Result<Acceptor, ListenError> {
    // Not by `set_nonblocking`, whose system call the jail refuses.
    let flags = fcntl_getfl(&listener.socket).map_err(io::Error::from)?;
    fcntl_setfl(&listener.socket, flags | OFlags::NONBLOCK).map_err(io::Error::from)?;
    let socket = TcpListener::from_std(listener.socket.into())?;
    let tls = listener
        .tls
        .map(|files| Tls::new(files).map(Rc::new))
        .transpose()?;
    Ok(Acceptor { socket, tls })
}

/// Runs tasks in this thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> Executor<F> for Local {
    fn execute(&self, task: F) {
        spawn_local(async move {
            task.await;
        });
    }
}

impl Acceptor {
    /// What its handshakes use; `None` for plain HTTP.
    pub(super) fn tls(&self) -> Option<Rc<Tls>> {
        self.tls.clone()
    }

    /// Accepts until draining begins.
    pub(super) async fn accept(self, gateway: Rc<Gateway>) {
        let places = Arc::new(Semaphore::new(places::connections(CONNECTIONS_MAX, &self.socket)));
        while !gateway.draining.get() {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = gateway.drain.notified() => return,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            // Replies are written whole; waiting for more to send would only add latency.
            let _ = stream.set_nodelay(true);
            gateway.connections.set(gateway.connections.get() + 1);
            let (gateway, tls) = (Rc::clone(&gateway), self.tls.as_ref().map(|tls| tls.acceptor()));
            spawn_local(async move {
                connect(&gateway, stream, tls.as_ref()).await;
                gateway
                    .connections
                    .set(gateway.connections.get().saturating_sub(1));
                if gateway.draining.get() {
                    gateway.drain.notify_waiters();
                }
                drop(place);
            });
        }
    }
}

async fn connect(gateway: &Rc<Gateway>, stream: TcpStream, tls: Option<&TlsAcceptor>) {
    let Some(tls) = tls else {
        return speak(gateway, Screen::new(stream), None).await;
    };
    // A client that fails the handshake is told so by TLS itself.
    if let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let screen = match agreed.as_deref() {
            Some(b"h2") => Screen::through(stream),
            _ => Screen::new(stream),
        };
        screen.exchange().set_over_tls();
        speak(gateway, screen, agreed.as_deref()).await;
    }
}

/// Speaks what was agreed on; what the client begins with, if nothing was.
async fn speak<S>(gateway: &Rc<Gateway>, screen: Screen<S>, agreed: Option<&[u8]>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let exchange = screen.exchange();
    let io = TokioIo::new(screen);
    let service = service_fn(|request: Request<Incoming>| {
        let (gateway, exchange) = (Rc::clone(gateway), Rc::clone(&exchange));
        async move { Ok::<_, Infallible>(answer(gateway, exchange, request).await) }
    });
    let builder = Builder::new(Local);
    let mut builder = match agreed {
        Some(b"h2") => builder.http2_only(),
        Some(b"http/1.1") => builder.http1_only(),
        _ => builder,
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_MAX_BYTES).unwrap_or(u32::MAX));
    let mut connection = pin!(builder.serve_connection(io, service));
    // Errors of a connection are its client's; what matters was counted.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = gateway.drain.notified() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
