//! What the clients of a chain see while something else goes on: how many requests are answered, and how long
//! each takes.

use hacher_fabric::http::Connection;
use hyper::Method;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Clients, each with one connection, one request after another.
const CLIENTS: usize = 4;
/// What each request has for a body, and its echo too.
const BODY_BYTES: usize = 1024;

/// Requests that were sent to an echo.
#[derive(Debug, Default)]
pub struct Measured {
    /// How long each took, in microseconds, sorted.
    took_us: Vec<u64>,
    /// How many had no answer, or a wrong one.
    pub failed: usize,
}

/// Sends requests to the echo at `path` for so long.
///
/// # Panics
///
/// When a client cannot connect.
#[must_use]
pub fn measure(address: SocketAddr, path: &'static str, length: Duration) -> Measured {
    let threads: Vec<_> = (0..CLIENTS)
        .map(|_| std::thread::spawn(move || client(address, path, length)))
        .collect();
    let mut all = Measured::default();
    for thread in threads {
        let one = thread.join().expect("a client ends");
        all.took_us.extend(one.took_us);
        all.failed += one.failed;
    }
    all.took_us.sort_unstable();
    all
}

fn client(address: SocketAddr, path: &str, length: Duration) -> Measured {
    let runtime = crate::runtime();
    runtime.block_on(async {
        let mut measured = Measured::default();
        let mut connection = Connection::open(address).await.expect("a connection");
        let end = Instant::now() + length;
        while Instant::now() < end {
            let start = Instant::now();
            let body = vec![b'x'; BODY_BYTES].into();
            let reply = connection.send(Method::POST, path, None, body).await;
            let took_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            measured.took_us.push(took_us);
            if !reply.is_ok_and(|reply| reply.status == 200 && reply.body.len() == BODY_BYTES) {
                measured.failed += 1;
                connection = Connection::open(address).await.expect("a connection");
            }
        }
        measured
    })
}

impl Measured {
    /// How many were sent.
    #[must_use]
    pub const fn requests(&self) -> usize {
        self.took_us.len()
    }

    /// What `part` of a thousand took at most, in microseconds.
    #[must_use]
    pub fn at_most_us(&self, part: usize) -> u64 {
        let last = self.requests().saturating_sub(1);
        let at = (self.requests() * part / 1000).min(last);
        self.took_us.get(at).copied().unwrap_or_default()
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "requests {:>7}  errors {}  p50 {:>6} us  p99 {:>6} us  p99.9 {:>6} us",
            self.requests(),
            self.failed,
            self.at_most_us(500),
            self.at_most_us(990),
            self.at_most_us(999)
        )
    }
}
