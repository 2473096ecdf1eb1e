//! Accepts connections and speaks HTTP over them.

use super::budget::{HTTP_2_WINDOW_BYTES, PLACES_MAX};
use super::client::Client;
use super::connection::{Connection, Ending};
use super::framing::{FIELDS_MAX, HEAD_MAX_BYTES, head_too_long};
use super::gateway::Gateway;
use super::open_files;
use super::places::Place;
use super::reply::Reply;
use super::reply_body::ReplyBody;
use super::request_body::{RequestBody, no_room};
use super::route::answer;
use super::screen::{Exchange, Screen};
use super::tls::{Handshake, Tls, TlsError};
use super::turn::RequestTurn;
use super::wire::Wire;
use hacher_libos_net::attach::Listener;
use hacher_libos_net::telemetry::{Counter, Reject};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at a time on one HTTP/2 connection at most; at least, where chains take fewer requests at a time.
const STREAMS_MAX: u32 = 128;
const STREAMS_MIN: u32 = 8;
/// Bytes that an HTTP/2 client may have sent and no request has taken, for one stream.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Bytes of replies that HTTP/2 takes over before they can be written.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// An HTTP/2 client that is silent for so long is asked whether it is there, and has so long to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
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

/// A client's socket, or TLS over it: one type, as all that speaks HTTP over it would be there twice.
type Link = Either<Wire, Box<TlsStream<Wire>>>;

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

    /// Accepts until the end, or until its beginning if whoever comes then is left to a successor.
    pub(super) async fn accept(self, gateway: Rc<Gateway>) {
        let room = open_files::connections(PLACES_MAX, &self.socket);
        gateway.places.limit_to(room);
        gateway.tell_figures();
        loop {
            let accepted = tokio::select! {
                biased;
                () = gateway.drain.stops_accepting() => return,
                accepted = self.socket.accept() => accepted,
            };
            let Ok((stream, from)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            // Replies are written whole; waiting for more to send would only add latency.
            let _ = stream.set_nodelay(true);
            gateway.places.room().await;
            let place = gateway.places.take(Client::at(from.ip()));
            let (gateway, tls) = (Rc::clone(&gateway), self.tls.as_ref().map(|tls| tls.acceptor()));
            let peer = from.ip();
            spawn_local(async move { connect(&gateway, stream, peer, place, tls.as_ref()).await });
        }
    }
}

async fn connect(
    gateway: &Rc<Gateway>,
    stream: TcpStream,
    peer: IpAddr,
    place: Place,
    tls: Option<&Handshake>,
) {
    let connection = Rc::clone(&place.connection);
    let wire = Wire::new(stream, place);
    let Some(tls) = tls else {
        let screen = Screen::new(Link::Left(wire)).ended_by(&connection, &gateway.drain);
        screen.exchange().set_peer(peer);
        return speak(gateway, &connection, screen, None).await;
    };
    // A client that fails the handshake is told so by TLS itself.
    let accepted = tokio::select! {
        accepted = timeout(HANDSHAKE_TIMEOUT, tls.acceptor.accept(wire)) => accepted,
        _ = connection.told_to_end(Ending::Gracefully) => return,
    };
    let Ok(Ok(stream)) = accepted else {
        return gateway.count(Counter::HandshakesFailed);
    };
    // What it asks for comes a round trip later.
    connection.note_look();
    let shaken = stream.get_ref().1;
    let (agreed, binding) = (shaken.alpn_protocol().map(<[u8]>::to_vec), tls.binding(shaken));
    let link = Link::Right(Box::new(stream));
    let screen = match agreed.as_deref() {
        Some(b"h2") => Screen::through(link),
        _ => Screen::new(link).ended_by(&connection, &gateway.drain),
    };
    screen.exchange().set_over_tls(binding);
    screen.exchange().set_peer(peer);
    speak(gateway, &connection, screen, agreed.as_deref()).await;
}

/// Speaks what was agreed on; what the client begins with, if nothing was.
pub(super) async fn speak<S>(
    gateway: &Rc<Gateway>,
    connection: &Rc<Connection>,
    screen: Screen<S>,
    agreed: Option<&[u8]>,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let exchange = screen.exchange();
    let speaks = Rc::clone(&exchange);
    let io = TokioIo::new(screen);
    let service = service_fn(|request: Request<Incoming>| {
        let (gateway, connection) = (Rc::clone(gateway), Rc::clone(connection));
        let exchange = Rc::clone(&exchange);
        async move { Ok::<_, Infallible>(serve(&gateway, &connection, &exchange, request).await) }
    });
    let builder = Builder::new(Local);
    let mut builder = match agreed {
        Some(b"h2") => builder.http2_only(),
        Some(b"http/1.1") => builder.http1_only(),
        _ => builder,
    };
    // Heads and pauses are timed by the places' clock.
    builder
        .http1()
        .header_read_timeout(None)
        .max_buf_size(HEAD_MAX_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(gateway.in_flight_max().clamp(STREAMS_MIN, STREAMS_MAX))
        .initial_connection_window_size(HTTP_2_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(u32::try_from(HEAD_MAX_BYTES).unwrap_or(u32::MAX));
    let mut served = pin!(builder.serve_connection(io, service));
    let mut ending = Ending::Open;
    loop {
        // Errors of a connection are its client's; what matters was counted.
        tokio::select! {
            _ = served.as_mut() => return,
            told = connection.told_to_end(ending) => {
                if told == Ending::Now {
                    return;
                }
                // On HTTP/1 the screen finds the moment at which nothing is lost.
                if speaks.is_http_2() {
                    served.as_mut().graceful_shutdown();
                }
                ending = told;
            }
        }
    }
}

/// Answers one request, and sees to what is left of it.
async fn serve(
    gateway: &Gateway,
    connection: &Rc<Connection>,
    exchange: &Rc<Exchange>,
    request: Request<Incoming>,
) -> Reply {
    let (parts, incoming) = request.into_parts();
    let mut body = RequestBody::new(&parts, incoming);
    let turn = RequestTurn::new(connection, &gateway.places, &gateway.drain);
    let is_http_2 = parts.version == Version::HTTP_2;
    let request = Request::from_parts(parts, ());
    let chain_at = |path: &str| Some(gateway.locate(path)?.endpoint.begin.chain.to_string());
    let mut access = gateway
        .access
        .entry(&request, turn.identity(), body.received(), chain_at);
    let mut reply = if is_http_2 && request.headers().len() > FIELDS_MAX {
        gateway.count(Counter::Rejected(Reject::Malformed));
        // On HTTP/1 the reader of heads says so. A map of many short fields takes far more memory than their
        // bytes.
        head_too_long("fields", FIELDS_MAX).response()
    } else if is_http_2 && !gateway.places.charge_http_2(connection) {
        connection.end(Ending::Gracefully, gateway.places.now());
        no_room().response()
    } else {
        answer(gateway, exchange, &turn, &request, &mut body).await
    };
    // Its fields are not needed while what is left of its body is waited for.
    drop(request);
    // A short request is read to its end before the reply, so that one that breaks the rules there is told
    // so. On HTTP/2 a longer one is reset without an error (RFC 9113, section 8.1).
    let awaited = turn.body().awaits();
    let is_read = tokio::select! {
        biased;
        is_read = body.skip() => is_read,
        () = gateway.drain.cuts() => false,
    };
    drop(awaited);
    if !is_http_2 {
        connection.writable().await;
    }
    // Not before: until then, a client that closes its side closes it while it waits.
    let is_last = exchange.end();
    if gateway.drain.has_begun() {
        say_goodbye(gateway, connection, is_http_2, &mut reply);
    }
    if !is_http_2 && connection.is_to_end() {
        reply
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if !is_http_2 && (is_last || !is_read || turn.is_spare()) {
        connection.leave_unread();
        reply
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if is_http_2 {
        if reply.body().is_uncharged() {
            // However many streams a client leaves unread, what answers them is counted.
            match gateway.places.charge_text(reply.body().len_bytes()) {
                Some(charge) => reply.body_mut().hold_charge(charge),
                None => *reply.body_mut() = ReplyBody::text(""),
            }
        }
        reply.body_mut().mark_end();
    }
    if let Some(mut access) = access.take() {
        access.replies(&reply, reply.body().known_bytes().map(|bytes| bytes as u64));
        reply.body_mut().tell(access);
    }
    let len_bytes = reply.body().len_bytes();
    reply.body_mut().hold(turn.replies(len_bytes, exchange));
    reply
}

/// Has a client leave: over HTTP/1 with this reply; over HTTP/2 once nothing more is served, as it may send
/// many requests at a time.
fn say_goodbye(gateway: &Gateway, connection: &Connection, is_http_2: bool, reply: &mut Reply) {
    if !is_http_2 {
        reply
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    } else if gateway.drain.refuses() {
        connection.end(Ending::Gracefully, gateway.places.now());
    }
}
