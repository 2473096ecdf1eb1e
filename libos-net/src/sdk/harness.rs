//! Runs a handler in a unit test: no daemon, no trustlet, no shared memory.
//!
//! ```
//! use hacher_libos_net::{Failure, Input, Output, harness::Call};
//!
//! fn shout(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
//!     let text = input.bytes()?.to_ascii_uppercase();
//!     output.send(&text)
//! }
//!
//! let reply = Call::new().body(b"hello").run(shout);
//! assert_eq!(reply.port("out").unwrap().body(), b"HELLO");
//! ```

use super::environment::Environment;
use super::failure::Failure;
use super::headers::{self, HeaderError};
use super::input::{Input, Run, SegmentSource};
use super::output::{DEFAULT_PORT, ERROR_PORT, Output};
use super::part::Part;
use super::port_buffer::PortBuffer;
use super::renewal;
use super::run::PANICKED;
use super::secret::Secret;
use super::start::Start;
use crate::clock::{self, SystemClock};
use hacher_data_path::fault::cause::Cause;
use hacher_data_path::name::Name;
use hacher_data_path::record::invocation::InvocationId;
use hacher_data_path::region::layout::SEGMENT_BYTES;
pub use record::Record;
use records::Records;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;
use zeroize::Zeroizing;

mod record;
mod records;

/// The outbox of a function whose chain file does not say otherwise.
pub const DEFAULT_OUTBOX_BYTES: u64 = 64 * 1024 * 1024;
/// How long a request may take, and a run, unless the test says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

struct CallInput {
    upstream: String,
    port: String,
    body: Vec<u8>,
    headers: Vec<(String, String)>,
    /// Body bytes in each segment.
    segment_bytes: usize,
    /// Its sender gives up after these bytes.
    breaks_off: bool,
}

/// One call of a handler, in the making. What a chain would not let pass fails here too.
#[must_use = "a call does nothing before it is run"]
pub struct Call {
    inputs: Vec<CallInput>,
    ports: Vec<String>,
    secrets: Vec<(String, Vec<u8>)>,
    environment: Vec<(String, String)>,
    attempt: u32,
    deadline: Duration,
    timeout: Duration,
    /// How often [`Input::is_cancelled`] answers `false`.
    looks: Option<u32>,
    outbox_bytes: u64,
    /// Ports whose records a reader holds.
    held: Vec<String>,
    /// The function reads its input as a stream.
    streams: bool,
    panics: bool,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            inputs: Vec::new(),
            ports: Vec::new(),
            secrets: Vec::new(),
            environment: Vec::new(),
            attempt: 1,
            deadline: PATIENCE,
            timeout: PATIENCE,
            looks: None,
            outbox_bytes: DEFAULT_OUTBOX_BYTES,
            held: Vec::new(),
            streams: false,
            panics: false,
        }
    }
}

impl core::fmt::Debug for Call {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Call")
            .field("inputs", &self.inputs.len())
            .finish_non_exhaustive()
    }
}

/// What a handler did.
#[derive(Debug)]
#[must_use = "a test looks at what the handler did"]
pub struct Reply {
    result: Result<(), Failure>,
    records: Vec<Record>,
}

impl Call {
    /// A call without input yet, on a function with the one port `out`: the first attempt, with a minute
    /// left, an outbox of [`DEFAULT_OUTBOX_BYTES`], no secrets and no environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// The body of a single record, coming from `ingress`.
    pub fn body(self, body: &[u8]) -> Self {
        self.input("ingress", body)
    }

    /// A record from the port `out` of function `upstream`; call it once for each input of a join.
    pub fn input(self, upstream: &str, body: &[u8]) -> Self {
        self.input_on(upstream, DEFAULT_PORT, body)
    }

    /// A record from `port` of function `upstream`.
    pub fn input_on(mut self, upstream: &str, port: &str, body: &[u8]) -> Self {
        self.inputs.push(CallInput {
            upstream: upstream.to_owned(),
            port: port.to_owned(),
            body: body.to_vec(),
            headers: Vec::new(),
            segment_bytes: SEGMENT_BYTES,
            breaks_off: false,
        });
        self
    }

    /// A record that function `upstream` gave up after `attempts`, from its port `error`: `body` is what it
    /// had got, and the headers that explain the failure are added. `reason` is what the handler said, empty
    /// if it said nothing.
    pub fn error_input(self, upstream: &str, cause: Cause, reason: &str, attempts: u32, body: &[u8]) -> Self {
        let [function, told, why, how_often] = headers::EXPLANATION;
        let call = self
            .input_on(upstream, ERROR_PORT, body)
            .header(function, upstream)
            .header(told, cause.word());
        let call = if reason.is_empty() {
            call
        } else {
            call.header(why, reason)
        };
        call.header(how_often, &attempts.to_string())
    }

    /// Has the record that was added last arrive in segments of `len_bytes` bytes of its body each, at most
    /// 64 KiB; the handler gets the later ones as it reads. Records of a join have always arrived whole.
    ///
    /// # Panics
    /// If `len_bytes` is 0.
    pub fn segment_bytes(mut self, len_bytes: usize) -> Self {
        assert!(len_bytes > 0, "a segment of a body has at least one byte");
        if let Some(input) = self.inputs.last_mut() {
            input.segment_bytes = len_bytes.min(SEGMENT_BYTES);
        }
        self
    }

    /// Has the sender of the record that was added last give up after all of its bytes, before its end: as
    /// when a function fails in the middle of a streamed record.
    pub fn breaks_off(mut self) -> Self {
        if let Some(input) = self.inputs.last_mut() {
            input.breaks_off = true;
        }
        self
    }

    /// Adds a header to the record that was added last; a name may have several values. A `traceparent` is
    /// renewed, as in a chain: the handler finds the trace and the flags, and its own run as the parent.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Some(input) = self.inputs.last_mut() {
            input.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Sets the content type of the record that was added last.
    pub fn content_type(self, value: &str) -> Self {
        self.header(headers::CONTENT_TYPE, value)
    }

    /// Has the handler read its input as a stream, as `stream = true` of the chain file does.
    pub fn stream(mut self) -> Self {
        self.streams = true;
        self
    }

    /// Makes the record that was added last one of a request with this method.
    pub fn method(self, method: &str) -> Self {
        self.header(headers::METHOD, method)
    }

    /// The same of a request to this path, below `/chains/NAME` or of the chain's route.
    pub fn path(self, path: &str) -> Self {
        self.header(headers::PATH, path)
    }

    /// The same of a request with this query, encoded.
    pub fn query(self, query: &str) -> Self {
        self.header(headers::QUERY, query)
    }

    /// The same of a request of which the chain's route has captured `value` as `name`.
    pub fn capture(self, name: &str, value: &str) -> Self {
        self.header(&[headers::CAPTURE_PREFIX, name].concat(), value)
    }

    /// Declares the output ports, instead of the one port `out`.
    pub fn ports(mut self, ports: &[&str]) -> Self {
        self.ports = ports.iter().map(|port| (*port).to_owned()).collect();
        self
    }

    /// Gives the handler a secret.
    pub fn secret(mut self, name: &str, value: &[u8]) -> Self {
        self.secrets.push((name.to_owned(), value.to_vec()));
        self
    }

    /// Sets a variable of the environment that [`Input::env`] reads. `std::env::var` does not see it: a test
    /// shares its process's environment with others.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Which attempt this is; the first unless said otherwise.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// How long the request may still take.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long this attempt may take: the `timeout` of the chain file.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes [`Input::is_cancelled`] answer `true`: the client has gone.
    pub fn cancelled(self) -> Self {
        self.cancelled_after(0)
    }

    /// Makes [`Input::is_cancelled`] answer `true` from the time on that the handler has asked `looks` times.
    pub fn cancelled_after(mut self, looks: u32) -> Self {
        self.looks = Some(looks);
        self
    }

    /// Bounds the records that leave at once, as `outbox` of the chain file does.
    pub fn outbox_bytes(mut self, len_bytes: u64) -> Self {
        self.outbox_bytes = len_bytes;
        self
    }

    /// Says that somebody who reads what leaves by `port` holds it: a function without `stream = true`, a
    /// join, or `egress` behind such a function. Then [`flush`](std::io::Write::flush) passes nothing on,
    /// and a streamed record is bounded by the outbox, too. Other ports are read as streams.
    ///
    /// # Panics
    /// When the handler is run, if there is no such port.
    pub fn held(mut self, port: &str) -> Self {
        self.held.push(port.to_owned());
        self
    }

    /// Says that the handler is to panic: a failed attempt then, as in a trustlet. A panic that is not
    /// expected fails the test.
    pub fn expects_panic(mut self) -> Self {
        self.panics = true;
        self
    }

    /// Has `initialise` make what a function needs before its first record, with the environment and secrets
    /// of this call; as [`serve_with`](crate::serve_with) does.
    ///
    /// # Errors
    /// Those of `initialise`.
    pub fn start<H, E>(&self, initialise: impl FnOnce(&Start<'_>) -> Result<H, E>) -> Result<H, E> {
        let environment = Environment::OfTest(self.environment.clone());
        initialise(&Start::new(&self.secret_values(), &environment))
    }

    /// Runs `handler`.
    ///
    /// # Panics
    /// When the handler does, unless that [is expected](Self::expects_panic), or if it does not though it is
    /// expected to; and when the call itself is wrong: without input, or with a name or a header that no
    /// chain could have.
    pub fn run<H>(mut self, handler: H) -> Reply
    where
        H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
    {
        assert!(
            !self.inputs.is_empty(),
            "a handler runs on a record: add an input"
        );
        let mut records = Records::new(self.outbox_bytes);
        let result = self
            .run_into(handler, &mut records)
            .expect("a header fits into its bound");
        Reply {
            result,
            records: records.into_written(),
        }
    }

    fn secret_values(&self) -> Vec<Secret> {
        let secrets = self.secrets.iter().map(|(key, value)| Secret {
            name: name_of(key),
            value: Zeroizing::new(value.clone()),
        });
        secrets.collect()
    }

    /// The parts of the input, and what of them is still to arrive.
    fn parts(&mut self) -> Result<(Vec<Part>, LateSegments), HeaderError> {
        let mut parts = Vec::new();
        let mut late = LateSegments::default();
        let joins = self.inputs.len() > 1;
        for input in core::mem::take(&mut self.inputs) {
            let mut part = Part::new(name_of(&input.upstream), name_of(&input.port));
            let plain = part.plain_mut();
            headers::start(plain, &[]);
            for (key, value) in &input.headers {
                headers::append(plain, key, value)?;
            }
            let mut rest = input.body;
            if !joins && (rest.len() > input.segment_bytes || input.breaks_off) {
                // Headers take room in the first segment, as they would on the way.
                let room = input.segment_bytes.min(SEGMENT_BYTES.saturating_sub(plain.len()));
                late.rest = rest.split_off(room.min(rest.len()));
                late.segment_bytes = input.segment_bytes;
                late.breaks_off = input.breaks_off;
            } else {
                assert!(!input.breaks_off, "what a join gets has arrived whole");
                part.set_complete();
            }
            part.plain_mut().append(&mut rest);
            part.parse_headers()?;
            parts.push(part);
        }
        Ok((parts, late))
    }

    fn run_into<H>(
        &mut self,
        mut handler: H,
        records: &mut Records,
    ) -> Result<Result<(), Failure>, HeaderError>
    where
        H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
    {
        let (mut parts, mut late) = self.parts()?;
        let invocation = InvocationId::new(1);
        renewal::renew(&mut parts, invocation, 1, self.attempt);
        let mut inherited = Vec::new();
        if let Some(part) = parts.first() {
            headers::inherit(&mut inherited, part.encoded_headers());
        }
        let mut declared = core::mem::take(&mut self.ports);
        if declared.is_empty() {
            declared.push(DEFAULT_PORT.to_owned());
        }
        let mut ports: Vec<_> = declared
            .iter()
            .map(|port| PortBuffer::new(name_of(port)))
            .collect();
        records.declare(declared, &self.held);
        let secrets = self.secret_values();
        let environment = Environment::OfTest(core::mem::take(&mut self.environment));
        let (looks, asked) = (self.looks, Cell::new(0));
        let started = clock::now();
        let deadline = started.after(self.deadline);
        let unmoved = move || (deadline, started);
        let run = Run {
            renewed: self.streams.then_some(&unmoved as &dyn Fn() -> _),
            invocation,
            attempt: self.attempt,
            deadline,
            started,
            timeout_ns: u64::try_from(self.timeout.as_nanos()).unwrap_or(u64::MAX),
            secrets: &secrets,
            environment: &environment,
            clock: &SystemClock,
            closed: &move |_| {
                asked.set(asked.get() + 1);
                looks.is_some_and(|looks| asked.get() > looks)
            },
        };
        let input = Input::new(run, &mut parts, Some(&mut late));
        let mut output = Output::new(&mut ports, &inherited, records);
        let ran = catch_unwind(AssertUnwindSafe(|| handler(input, &mut output)));
        assert!(
            ran.is_err() || !self.panics,
            "the handler was expected to panic, and did not"
        );
        let mut result = ran.unwrap_or_else(|panic| {
            if !self.panics {
                resume_unwind(panic);
            }
            Err(PANICKED)
        });
        if let Some(lost) = late.lost {
            // Whatever the handler made of it: such a run is dropped.
            result = Err(lost);
        }
        if result.is_ok() {
            result = finish(&mut ports, records);
        }
        Ok(result)
    }
}

/// Sends what the handler has left, as a trustlet does.
fn finish(ports: &mut [PortBuffer], records: &mut Records) -> Result<(), Failure> {
    let mut used = false;
    for (index, port) in ports.iter_mut().enumerate().filter(|(_, port)| port.is_used()) {
        used = true;
        records.check_size(port.pending_bytes())?;
        port.finish(index, records)?;
    }
    if used {
        Ok(())
    } else {
        Err(Failure::permanent("the handler produced no output"))
    }
}

fn name_of(text: &str) -> Name {
    Name::new(text).expect("a name has 1 to 63 bytes")
}

/// The rest of a body that is longer than one segment, as the data path would bring it.
#[derive(Default)]
struct LateSegments {
    rest: Vec<u8>,
    segment_bytes: usize,
    breaks_off: bool,
    /// Why the input will never be whole.
    lost: Option<Failure>,
}

impl SegmentSource for LateSegments {
    fn open_next(&mut self, part: &mut Part) -> Result<bool, Failure> {
        if self.rest.is_empty() && self.breaks_off {
            let lost = Failure::retry("the sender gave up on the input");
            self.lost = Some(lost);
            return Err(lost);
        }
        let len = self.rest.len().min(self.segment_bytes);
        part.plain_mut().extend(self.rest.drain(..len));
        Ok(self.rest.is_empty() && !self.breaks_off)
    }
}

impl Reply {
    /// What becomes of the run: what the handler returned, or what is wrong with its output or its input. A
    /// panic that was expected is a transient failure.
    ///
    /// # Errors
    /// That failure.
    pub fn result(&self) -> Result<(), Failure> {
        self.result
    }

    /// The failure, if the run has failed.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.result.err()
    }

    /// The complete record that the handler wrote to `port`. After a failure there is none, as the data path
    /// would have delivered none.
    #[must_use]
    pub fn port(&self, port: &str) -> Option<&Record> {
        let complete = |record: &&Record| record.port == port && record.complete;
        self.records.iter().find(complete).filter(|_| self.result.is_ok())
    }

    /// What has left of a [streamed](crate::PortWriter::stream) record on `port` before the run failed: its
    /// consumers have begun with it, and are told to drop it.
    #[must_use]
    pub fn partial(&self, port: &str) -> Option<&Record> {
        let begun = |record: &&Record| record.port == port && record.segments > 0;
        self.records.iter().find(begun).filter(|_| self.result.is_err())
    }
}

#[cfg(test)]
mod tests;
