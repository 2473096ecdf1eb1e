//! Runs a handler in a unit test: no daemon, no trustlet, no shared memory. What a chain would not let pass
//! fails here too: a record for a port that is not declared, an output larger than the outbox, a header that
//! cannot be sent, no output at all.
//!
//! ```
//! use hacher::{BoxError, Cause, Input, harness::Call};
//! use std::io::Read;
//! use std::time::Duration;
//!
//! fn measure(mut input: Input<'_>) -> Result<String, BoxError> {
//!     let (attempt, hurry) = (input.attempt(), input.remaining() < Duration::from_secs(1));
//!     let mut body = String::new();
//!     input.reader().read_to_string(&mut body)?;
//!     Ok(format!("{} in attempt {attempt}, {}", body.len(), if hurry { "in a hurry" } else { "at leisure" }))
//! }
//!
//! let body = |reply: hacher::harness::Reply| String::from_utf8_lossy(reply.port("out").unwrap().body()).into_owned();
//!
//! // The second attempt, half a second before the deadline, and an input that comes in four pieces.
//! let call = Call::new().body(&[b'x'; 1000]).segment_bytes(250).attempt(2).deadline(Duration::from_millis(500));
//! assert_eq!(body(call.run(measure)), "1000 in attempt 2, in a hurry");
//!
//! // The sender gives up in the middle: the run is dropped, whatever the handler makes of it.
//! let reply = Call::new().body(b"half of i").breaks_off().run(measure);
//! assert_eq!(reply.failure().unwrap().reason(), "the sender gave up on the input");
//!
//! // What function `resize` has given up, on its port `error`.
//! let call = Call::new().error_input("resize", Cause::TimedOut, "", 3, b"a photograph");
//! assert_eq!(body(call.run(measure)), "12 in attempt 1, at leisure");
//! ```

use crate::handler::Handler;
use crate::serve::run;
use hacher_libos_net::harness as inner;
use hacher_libos_net::{Cause, Input, Output, Start};
use std::time::Duration;

pub use inner::{DEFAULT_OUTBOX_BYTES, Record, Reply};

/// One call of a handler, in the making.
#[derive(Debug, Default)]
#[must_use = "a call does nothing before it is run"]
pub struct Call(inner::Call);

impl Call {
    /// A call without input yet, on a function with the one port `out`: the first attempt, with a minute
    /// left, an outbox of [`DEFAULT_OUTBOX_BYTES`], no secrets and no environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// The body of a single record, coming from `ingress`.
    pub fn body(self, body: &[u8]) -> Self {
        Self(self.0.body(body))
    }

    /// A record from the port `out` of function `upstream`; call it once for each input of a join.
    pub fn input(self, upstream: &str, body: &[u8]) -> Self {
        Self(self.0.input(upstream, body))
    }

    /// A record from `port` of function `upstream`.
    pub fn input_on(self, upstream: &str, port: &str, body: &[u8]) -> Self {
        Self(self.0.input_on(upstream, port, body))
    }

    /// A record that function `upstream` gave up after `attempts`, from its port `error`: `body` is what it
    /// had got, and the headers that explain the failure are added. `reason` is what its handler said, empty
    /// if it said nothing.
    pub fn error_input(self, upstream: &str, cause: Cause, reason: &str, attempts: u32, body: &[u8]) -> Self {
        Self(self.0.error_input(upstream, cause, reason, attempts, body))
    }

    /// Has the record that was added last arrive in segments of `len_bytes` bytes of its body each, at most
    /// 64 KiB; the handler gets the later ones as it reads. Records of a join have always arrived whole.
    ///
    /// # Panics
    /// If `len_bytes` is 0.
    pub fn segment_bytes(self, len_bytes: usize) -> Self {
        Self(self.0.segment_bytes(len_bytes))
    }

    /// Has the sender of the record that was added last give up after all of its bytes, before its end: as
    /// when a function fails in the middle of a streamed record.
    pub fn breaks_off(self) -> Self {
        Self(self.0.breaks_off())
    }

    /// Has the handler read its input as a stream, as `stream = true` of the chain file does.
    pub fn stream(self) -> Self {
        Self(self.0.stream())
    }

    /// Adds a header to the record that was added last; a name may have several values.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// Sets the content type of the record that was added last.
    pub fn content_type(self, value: &str) -> Self {
        Self(self.0.content_type(value))
    }

    /// Makes the record that was added last one of a request with this method.
    pub fn method(self, method: &str) -> Self {
        Self(self.0.method(method))
    }

    /// The same of a request to this path, below `/chains/NAME` or of the chain's route.
    pub fn path(self, path: &str) -> Self {
        Self(self.0.path(path))
    }

    /// The same of a request with this query, encoded.
    pub fn query(self, query: &str) -> Self {
        Self(self.0.query(query))
    }

    /// The same of a request of which the chain's route has captured `value` as `name`.
    pub fn capture(self, name: &str, value: &str) -> Self {
        Self(self.0.capture(name, value))
    }

    /// Declares the output ports, instead of the one port `out`.
    pub fn ports(self, ports: &[&str]) -> Self {
        Self(self.0.ports(ports))
    }

    /// Gives the handler a secret.
    pub fn secret(self, name: &str, value: &[u8]) -> Self {
        Self(self.0.secret(name, value))
    }

    /// Sets a variable of the environment that [`Input::env`] and [`Start::env`] read. `std::env::var` does
    /// not see it: a test shares its process's environment with others.
    pub fn env(self, name: &str, value: &str) -> Self {
        Self(self.0.env(name, value))
    }

    /// Which attempt this is; the first unless said otherwise.
    pub fn attempt(self, attempt: u32) -> Self {
        Self(self.0.attempt(attempt))
    }

    /// How long the request may still take.
    pub fn deadline(self, deadline: Duration) -> Self {
        Self(self.0.deadline(deadline))
    }

    /// How long this attempt may take: the `timeout` of the chain file.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }

    /// Makes [`Input::is_cancelled`] answer `true`: the client has gone.
    pub fn cancelled(self) -> Self {
        Self(self.0.cancelled())
    }

    /// Makes [`Input::is_cancelled`] answer `true` from the time on that the handler has asked `looks` times.
    pub fn cancelled_after(self, looks: u32) -> Self {
        Self(self.0.cancelled_after(looks))
    }

    /// Bounds the records that leave at once, as `outbox` of the chain file does.
    pub fn outbox_bytes(self, len_bytes: u64) -> Self {
        Self(self.0.outbox_bytes(len_bytes))
    }

    /// Says that somebody who reads what leaves by `port` holds it: a function without `stream = true`, a
    /// join, or `egress` behind such a function. Then [`flush`](std::io::Write::flush) passes nothing on,
    /// and a streamed record is bounded by the outbox, too. Other ports are read as streams.
    ///
    /// # Panics
    /// When the handler is run, if there is no such port.
    pub fn held(self, port: &str) -> Self {
        Self(self.0.held(port))
    }

    /// Says that the handler is to panic: a failed attempt then, as in a trustlet. A panic that is not
    /// expected fails the test.
    pub fn expects_panic(self) -> Self {
        Self(self.0.expects_panic())
    }

    /// Has `initialise` make what a function needs before its first record, with the environment and secrets
    /// of this call; as [`serve_with`](crate::serve_with) does.
    ///
    /// # Errors
    /// Those of `initialise`.
    pub fn start<H, E>(&self, initialise: impl FnOnce(&Start<'_>) -> Result<H, E>) -> Result<H, E> {
        self.0.start(initialise)
    }

    /// Runs `handler`. To run one with state again, hand in `&mut handler`.
    ///
    /// # Panics
    /// When the handler does, unless that [is expected](Self::expects_panic), or if it does not though it is
    /// expected to; and when the call itself is wrong: without input, or with a name or a header that no
    /// chain could have.
    pub fn run<Form, H: Handler<Form>>(self, mut handler: H) -> Reply {
        self.0
            .run(|input: Input<'_>, output: &mut Output<'_>| run(&mut handler, input, output))
    }
}
