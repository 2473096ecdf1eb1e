//! HTTP/2 where it differs from HTTP/1: windows that a client keeps shut, heads of many fields, bodies over
//! the limit.

use bytes::Bytes;
use hacher_tests::{Scrape, Service, functions};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How long something may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a client says something, so that its connection is not silent.
const BEAT: Duration = Duration::from_millis(500);

fn echo(ingress: &str) -> Service {
    let functions = functions(["a"], "echo", "timeout = \"30s\"");
    let flow = "chain = \"t\"\nflow = [\"ingress -> a -> egress\"]";
    Service::start(&format!("{flow}\n[ingress]\n{ingress}\n{functions}")).unwrap()
}

/// A client that has its windows in its own hand.
struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    /// Bytes of replies.
    data_bytes: usize,
    /// Answers to PING.
    pongs: usize,
}

mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const WINDOW_UPDATE: u8 = 8;
}
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

impl Client {
    /// Connects, and gives each stream a window of so many bytes.
    fn open(address: SocketAddr, window: u32) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(BEAT)).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let mut client = Self {
            stream,
            received: Vec::new(),
            data_bytes: 0,
            pongs: 0,
        };
        // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113, section 6.5.2).
        let [a, b, c, d] = window.to_be_bytes();
        client.send(kind::SETTINGS, 0, 0, &[0, 4, a, b, c, d]).unwrap();
        client
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![len[1], len[2], len[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame)
    }

    /// Sends the head of a request.
    fn head(&mut self, stream: u32, path: &str, is_post: bool, ends: u8) {
        // Indexed fields of the static table (RFC 7541, appendix A): method and scheme; literals for path and
        // authority.
        let mut head = vec![if is_post { 0x83 } else { 0x82 }, 0x86, 0x04];
        head.push(u8::try_from(path.len()).unwrap());
        head.extend_from_slice(path.as_bytes());
        head.extend_from_slice(&[0x01, 1, b'x']);
        self.send(kind::HEADERS, END_HEADERS | ends, stream, &head)
            .unwrap();
    }

    /// Begins a request; with a body, which the gateway's windows have room for, it is a POST.
    fn request(&mut self, stream: u32, path: &str, body: &[u8]) {
        let ends = if body.is_empty() { END_STREAM } else { 0 };
        self.head(stream, path, !body.is_empty(), ends);
        let mut chunks = body.chunks(16_384).peekable();
        while let Some(chunk) = chunks.next() {
            let ends = if chunks.peek().is_none() { END_STREAM } else { 0 };
            self.send(kind::DATA, ends, stream, chunk).unwrap();
        }
    }

    /// Answers what has to be answered; an error once the connection has ended.
    fn take_in(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        while self.received.len() >= 9 {
            let head: [u8; 9] = self.received[..9].try_into().unwrap();
            let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            if self.received.len() < 9 + len {
                break;
            }
            let payload: Vec<u8> = self.received.drain(..9 + len).skip(9).collect();
            match (head[3], head[4] & ACK) {
                (kind::DATA, _) => self.data_bytes += len,
                (kind::SETTINGS, 0) => self.send(kind::SETTINGS, ACK, 0, &[])?,
                (kind::PING, ACK) => self.pongs += 1,
                (kind::PING, 0) => self.send(kind::PING, ACK, 0, &payload)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits until the gateway has read all that was sent, and done what it asks for at once.
    fn round_trip(&mut self) {
        let before = self.pongs;
        self.send(kind::PING, 0, 0, &[0; 8]).unwrap();
        while self.pongs == before {
            self.take_in().unwrap();
        }
    }

    /// Keeps the connection busy, with `more` bytes of window for stream 1 each time, until the gateway ends
    /// it: how many bytes of replies came.
    fn until_it_ends(mut self, more: u32) -> usize {
        let end = Instant::now() + PATIENCE;
        let mut beat = Instant::now();
        while self.take_in().is_ok() {
            assert!(Instant::now() < end, "the gateway waits for ever");
            if beat.elapsed() >= BEAT {
                beat = Instant::now();
                let mut said = self.send(kind::PING, 0, 0, &[0; 8]);
                if more > 0 {
                    said = said.and_then(|()| self.send(kind::WINDOW_UPDATE, 0, 1, &more.to_be_bytes()));
                }
                if said.is_err() {
                    break;
                }
            }
        }
        self.data_bytes
    }
}

#[test]
fn a_reply_whose_last_piece_has_no_window_is_ended() {
    let service = echo("deadline = \"60s\"");
    let address = service.gateway;
    // Less than a piece, and more than one.
    let (short, long) = (vec![b'x'; 50_000], vec![b'x'; 150_000]);
    std::thread::scope(|scope| {
        let mut cases = Vec::new();
        for body in [&short, &long] {
            for (window, more) in [(0, 0), (1000, 0), (1000, 1), (140_000, 0)] {
                let ended = scope.spawn(move || {
                    let mut client = Client::open(address, window);
                    // The windows of the gateway are there before the body is sent.
                    client.take_in().unwrap();
                    client.request(1, "/chains/t", body);
                    client.until_it_ends(more)
                });
                cases.push((window, more, body.len(), ended));
            }
        }
        // Texts of the gateway's own, on as many streams as there may be.
        for (path, window) in [("/healthz", 0), ("/nothing", 0), ("/nothing", 5)] {
            let ended = scope.spawn(move || {
                let mut client = Client::open(address, window);
                for number in 0..64 {
                    client.request(1 + 2 * number, path, &[]);
                }
                client.until_it_ends(0)
            });
            cases.push((window, 0, 1000, ended));
        }
        for (window, more, len, ended) in cases {
            let received = ended.join().unwrap();
            let whole = window as usize > len;
            assert!(
                received <= window as usize * 64 + 1000,
                "{received} of a window of {window} and {more}"
            );
            assert!(
                !whole || received >= len,
                "{received} of {len} with a window of {window}"
            );
        }
    });
    assert_eq!(service.post("t", long).unwrap().status, 200);
}

#[test]
fn an_upload_that_its_client_resets_without_an_error_is_not_taken_for_whole() {
    let runs = |scrape: &Scrape, outcome: &str| {
        let label = format!("outcome=\"{outcome}\"");
        scrape.sum("hacher_runs_total", &["function=\"a\"", &label])
    };
    for (what, more) in [("echo", ""), ("stream-digest", "stream = true")] {
        let functions = functions(["a"], what, more);
        let flow = "chain = \"t\"\nflow = [\"ingress -> a -> egress\"]";
        let service = Service::start(&format!("{flow}\n{functions}")).unwrap();
        let mut client = Client::open(service.gateway, 65_535);
        for number in 0..5 {
            let stream = 4 * number + 1;
            client.head(stream, "/chains/t", true, 0);
            client.send(kind::DATA, 0, stream, b"beginning").unwrap();
            client.round_trip();
            if what == "stream-digest" {
                Scrape::when(&service, "its upload has begun", |scrape| {
                    scrape.sum("hacher_requests_in_flight", &[]) == Some(1.0)
                })
                .unwrap();
            }
            // NO_ERROR, as a server says that needs no more of a request (RFC 9113, section 8.1).
            client.send(kind::RST_STREAM, 0, stream, &[0; 4]).unwrap();
            // The next one is behind it in every queue.
            let before = client.data_bytes;
            client.request(stream + 2, "/chains/t", b"whole");
            while client.data_bytes == before {
                client.take_in().unwrap();
            }
        }
        let scrape = Scrape::when(&service, "the whole ones", |scrape| {
            runs(scrape, "succeeded") >= Some(5.0)
        })
        .unwrap();
        assert_eq!(runs(&scrape, "succeeded"), Some(5.0), "{what}: {}", scrape.text);
    }
}

fn within<T>(future: impl Future<Output = T>) -> T {
    let runtime = hacher_tests::runtime();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.unwrap() })
}

async fn connect<B>(address: SocketAddr) -> SendRequest<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

/// A body whose length nobody knows before its end.
struct Unannounced(VecDeque<Bytes>);

impl Body for Unannounced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|data| Ok(Frame::data(data))))
    }
}

async fn text(reply: Response<hyper::body::Incoming>) -> String {
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

#[test]
fn a_head_has_at_most_100_fields() {
    let service = echo("");
    within(async {
        let mut sender = connect::<Full<Bytes>>(service.gateway).await;
        for (fields, status) in [(99, 200), (100, 200), (101, 431), (400, 431), (100, 200)] {
            // Each of another name, and all of the same.
            for name in ["x", "x-"] {
                let mut request = Request::get("http://x/healthz");
                for number in 0..fields {
                    let name = if name == "x" {
                        name.to_owned()
                    } else {
                        format!("{name}{number}")
                    };
                    request = request.header(name, "1");
                }
                let reply = sender
                    .send_request(request.body(Full::default()).unwrap())
                    .await
                    .unwrap();
                assert_eq!(reply.status(), status, "{fields} fields {name}");
                let text = text(reply).await;
                assert!(status == 200 || text.contains("100 fields"), "{text}");
            }
        }
    });
}

#[test]
fn replies_without_content_end_their_streams_and_nothing_else() {
    let functions = functions(["a"], "status", "");
    let flow = "chain = \"t\"\nflow = [\"ingress -> a -> egress\"]";
    let service = Service::start(&format!("{flow}\n{functions}")).unwrap();
    within(async {
        let mut sender = connect::<Full<Bytes>>(service.gateway).await;
        for _ in 0..10 {
            for (method, path, body, status, content, length) in [
                ("GET", "/healthz", "", 200, "ok\n", Some("3")),
                ("HEAD", "/healthz", "", 200, "", Some("3")),
                ("HEAD", "/readyz", "", 200, "", Some("6")),
                ("HEAD", "/chains/t", "", 405, "", None),
                ("HEAD", "/nothing", "", 404, "", None),
                ("POST", "/chains/t", "200", 200, "content", Some("7")),
                ("POST", "/chains/t", "204", 204, "", None),
                ("POST", "/chains/t", "205", 205, "", None),
                ("POST", "/chains/t", "404", 404, "content", Some("7")),
            ] {
                let request = Request::builder().method(method).uri(format!("http://x{path}"));
                let request = request.body(Full::new(Bytes::from(body))).unwrap();
                let reply = sender.send_request(request).await.unwrap();
                let what = format!("{method} {path} {body}: {reply:?}");
                assert_eq!(reply.status(), status, "{what}");
                if let Some(length) = length {
                    let said = reply.headers().get("content-length");
                    assert!(said.is_none_or(|said| said == length), "{what}");
                }
                if status == 204 {
                    // RFC 9110, section 8.6.
                    assert!(reply.headers().get("content-length").is_none(), "{what}");
                }
                assert_eq!(text(reply).await, content, "{what}");
            }
        }
    });
}

#[test]
fn a_body_over_the_limit_is_413_and_its_connection_goes_on() {
    let service = echo("max_body = \"1MiB\"");
    let whole = Bytes::from(vec![b'x'; 8 << 20]);
    within(async {
        let mut sender = connect::<Full<Bytes>>(service.gateway).await;
        for _ in 0..10 {
            // Announced, so that it is refused at once.
            let request = Request::post("http://x/chains/t")
                .body(Full::new(whole.clone()))
                .unwrap();
            let reply = sender.send_request(request).await.unwrap();
            assert_eq!(reply.status(), 413);
            assert!(
                text(reply)
                    .await
                    .contains(r#"the limit is \"1MiB\" (`ingress.max_body`)"#)
            );
            let small = Request::post("http://x/chains/t")
                .body(Full::new(Bytes::from_static(b"x")))
                .unwrap();
            assert_eq!(sender.send_request(small).await.unwrap().status(), 200);
        }
        let mut sender = connect(service.gateway).await;
        for _ in 0..10 {
            // Not announced.
            let pieces = (0..128).map(|at| whole.slice(at << 16..(at + 1) << 16));
            let body = Unannounced(pieces.collect());
            let reply = sender
                .send_request(Request::post("http://x/chains/t").body(body).unwrap())
                .await;
            let reply = reply.unwrap();
            assert_eq!(reply.status(), 413);
            assert!(
                text(reply)
                    .await
                    .contains(r#"the limit is \"1MiB\" (`ingress.max_body`)"#)
            );
        }
    });
    assert_eq!(service.post("t", "x").unwrap().status, 200);
}
