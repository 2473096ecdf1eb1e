//! Clients that do not behave: slow to send a head, a body, slow to read, or gone in the middle.
//!
//! The gateway may cut each of them off; what it does send must be right, and nobody else may notice.

use super::Run;
use super::subject::ECHO;
use fastrand::Rng;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Nothing takes longer, but for a client that nobody cuts off and nobody answers.
const PATIENCE: Duration = Duration::from_secs(150);
/// What a slow reader asks to be sent back.
const LARGE_BYTES: usize = 2 << 20;

fn head(len: usize) -> String {
    format!(
        "POST /chains/{ECHO} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
    )
}

async fn connect(run: &Run) -> Option<TcpStream> {
    let stream = TcpStream::connect(run.served.target.address).await;
    if stream.is_err() {
        sleep(Duration::from_millis(200)).await; // there may be no gateway
    }
    stream.ok()
}

fn pattern(random: &mut Rng, len: usize) -> Vec<u8> {
    let mut body: Vec<u8> = std::iter::repeat_with(|| random.u64(..).to_le_bytes())
        .take(len / 8 + 1)
        .flatten()
        .collect();
    body.truncate(len);
    body
}

/// Sends a head byte by byte, and never ends it.
pub(super) async fn heads(run: Rc<Run>) {
    while !run.is_over() {
        let Some(mut stream) = connect(&run).await else {
            continue;
        };
        for byte in head(10).bytes().take(60) {
            if run.is_over() || stream.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        run.ledger.borrow_mut().injected("slow heads");
    }
}

/// Sends a body in small pieces; the reply is right, or says that it took too long.
pub(super) async fn bodies(run: Rc<Run>) {
    let mut random = Rng::with_seed(run.seed ^ 0xb0d1);
    while !run.is_over() {
        let begun = Instant::now();
        let Some(stream) = connect(&run).await else {
            continue;
        };
        let body = pattern(&mut random, 50_000);
        let told = timeout(PATIENCE, send_slowly(&run, stream, &body)).await;
        let cut = run.served.outages.borrow().touch(begun);
        settle(&run, "slow bodies", told, &body, cut);
    }
}

async fn send_slowly(run: &Run, mut stream: TcpStream, body: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(head(body.len()).as_bytes()).await?;
    for piece in body.chunks(2500) {
        stream.write_all(piece).await?;
        if !run.is_over() {
            sleep(Duration::from_millis(150)).await;
        }
    }
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    Ok(reply)
}

/// Reads a large reply in small pieces.
pub(super) async fn readers(run: Rc<Run>) {
    let mut random = Rng::with_seed(run.seed ^ 0x4ead);
    while !run.is_over() {
        let begun = Instant::now();
        let Some(stream) = connect(&run).await else {
            continue;
        };
        let body = pattern(&mut random, LARGE_BYTES);
        let told = timeout(PATIENCE, read_slowly(&run, stream, &body)).await;
        let cut = run.served.outages.borrow().touch(begun);
        settle(&run, "slow readers", told, &body, cut);
    }
}

async fn read_slowly(run: &Run, mut stream: TcpStream, body: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(head(body.len()).as_bytes()).await?;
    stream.write_all(body).await?;
    let mut reply = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let len = stream.read(&mut piece).await?;
        if len == 0 {
            return Ok(reply);
        }
        reply.extend_from_slice(piece.get(..len).unwrap_or(&[]));
        if !run.is_over() {
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Counts how a slow request ended.
fn settle(
    run: &Run,
    what: &'static str,
    told: Result<io::Result<Vec<u8>>, tokio::time::error::Elapsed>,
    body: &[u8],
    gateway_died: bool,
) {
    let mut ledger = run.ledger.borrow_mut();
    match told {
        Err(_) => ledger.unexpected(format!("{what}: neither answered nor cut off")),
        Ok(Err(_)) => ledger.injected(what), // cut off
        Ok(Ok(reply)) => match check(&reply, body) {
            Ok(()) => ledger.injected(what),
            Err(_) if gateway_died => ledger.injected(what),
            Err(fault) => ledger.unexpected(format!("{what}: {fault}")),
        },
    }
}

/// A whole reply is right, or says why there is none; one that was cut off is the beginning of a right one.
fn check(reply: &[u8], body: &[u8]) -> Result<(), String> {
    let end = reply.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else {
        return Ok(()); // cut off before there was a head
    };
    let (head, found) = reply.split_at(end + 4);
    let head = String::from_utf8_lossy(head);
    let status = head.get(9..12).unwrap_or("");
    match status {
        "200" if body.starts_with(found) => Ok(()),
        "200" => Err(format!("{} bytes, none of them as sent", found.len())),
        "408" | "413" | "429" | "503" => Ok(()),
        _ => Err(format!("answered with {}", head.lines().next().unwrap_or(""))),
    }
}

/// Goes away in the middle of a head, of a body, or before the reply.
pub(super) async fn disconnections(run: Rc<Run>) {
    let mut random = Rng::with_seed(run.seed ^ 0xd15c);
    while !run.is_over() {
        sleep(Duration::from_millis(random.u64(50..800))).await;
        let Some(mut stream) = connect(&run).await else {
            continue;
        };
        let len = random.usize(..200_000);
        let mut request = head(len).into_bytes();
        request.extend(pattern(&mut random, len));
        request.truncate(random.usize(..=request.len()));
        if random.bool() {
            // Resets the connection instead of ending it.
            let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)); // it ends either way
        }
        let _ = stream.write_all(&request).await; // may be cut off
        sleep(Duration::from_millis(random.u64(..20))).await;
        run.ledger.borrow_mut().injected("disconnections");
    }
}
