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

use super::failure::Failure;
use super::headers::{self, HeaderError, Headers};
use super::input::{Input, Part, Run, Secret, SegmentSource};
use super::output::{DEFAULT_PORT, Output};
use super::port_buffer::{PortBuffer, RecordSink};
use super::run::run_caught;
use crate::clock::{self, SystemClock};
use hacher_data_path::name::Name;
use hacher_data_path::record::invocation::InvocationId;
use hacher_data_path::region::layout::SEGMENT_BYTES;
use std::time::Duration;
use zeroize::Zeroizing;

struct CallInput {
    upstream: String,
    body: Vec<u8>,
    headers: Vec<(String, String)>,
}

/// One call of a handler, in the making.
#[derive(Default)]
pub struct Call {
    inputs: Vec<CallInput>,
    ports: Vec<String>,
    secrets: Vec<(String, Vec<u8>)>,
    attempt: u32,
    cancelled: bool,
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
pub struct Reply {
    result: Result<(), Failure>,
    records: Vec<Record>,
}

/// A record that a handler wrote.
#[derive(Debug)]
pub struct Record {
    port: String,
    plain: Vec<u8>,
    segments: usize,
    complete: bool,
}

impl Call {
    /// A call without input yet, on a function with the one port `out`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            attempt: 1,
            ..Self::default()
        }
    }

    /// The body of a single record, coming from `ingress`.
    #[must_use]
    pub fn body(self, body: &[u8]) -> Self {
        self.input("ingress", body)
    }

    /// A record from the function `upstream`; call it once for each input of a join.
    #[must_use]
    pub fn input(mut self, upstream: &str, body: &[u8]) -> Self {
        self.inputs.push(CallInput {
            upstream: upstream.to_owned(),
            body: body.to_vec(),
            headers: Vec::new(),
        });
        self
    }

    /// Adds a header to the record that was added last; a name may have several values.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Some(input) = self.inputs.last_mut() {
            input.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Sets the content type of the record that was added last.
    #[must_use]
    pub fn content_type(self, value: &str) -> Self {
        self.header(headers::CONTENT_TYPE, value)
    }

    /// Makes the record that was added last one of a request with this method.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        self.header(headers::METHOD, method)
    }

    /// The same of a request to this path, below `/chains/NAME` or of the chain's route.
    #[must_use]
    pub fn path(self, path: &str) -> Self {
        self.header(headers::PATH, path)
    }

    /// The same of a request with this query, encoded.
    #[must_use]
    pub fn query(self, query: &str) -> Self {
        self.header(headers::QUERY, query)
    }

    /// The same of a request of which the chain's route has captured `value` as `name`.
    #[must_use]
    pub fn capture(self, name: &str, value: &str) -> Self {
        self.header(&[headers::CAPTURE_PREFIX, name].concat(), value)
    }

    /// Declares the output ports, instead of the one port `out`.
    #[must_use]
    pub fn ports(mut self, ports: &[&str]) -> Self {
        self.ports = ports.iter().map(|port| (*port).to_owned()).collect();
        self
    }

    /// Gives the handler a secret.
    #[must_use]
    pub fn secret(mut self, name: &str, value: &[u8]) -> Self {
        self.secrets.push((name.to_owned(), value.to_vec()));
        self
    }

    /// Which attempt this is; the first unless said otherwise.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Makes [`Input::is_cancelled`] answer `true`.
    #[must_use]
    pub fn cancelled(mut self) -> Self {
        self.cancelled = true;
        self
    }

    /// Runs `handler`, catching a panic as the trustlet would.
    ///
    /// # Panics
    /// When the call itself is wrong: a name or a header that no chain could have.
    pub fn run<H>(self, handler: H) -> Reply
    where
        H: Fn(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
    {
        let mut records = Records::default();
        let result = self
            .run_into(handler, &mut records)
            .expect("a header fits into its bound");
        Reply {
            result,
            records: records.0,
        }
    }

    fn run_into<H>(self, handler: H, records: &mut Records) -> Result<Result<(), Failure>, HeaderError>
    where
        H: Fn(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
    {
        let name = |text: &str| Name::new(text).expect("a name has 1 to 63 bytes");
        let mut parts = Vec::new();
        let mut late = LateSegments::default();
        let single = self.inputs.len() == 1;
        for CallInput {
            upstream,
            body,
            headers,
        } in &self.inputs
        {
            let mut part = Part::new(name(upstream), name(DEFAULT_PORT));
            let plain = part.plain_mut();
            headers::start(plain, &[]);
            for (key, value) in headers {
                headers::append(plain, key, value)?;
            }
            plain.extend_from_slice(body);
            if single && plain.len() > SEGMENT_BYTES {
                late.rest = plain.split_off(SEGMENT_BYTES);
            } else {
                part.set_complete();
            }
            part.parse_headers()?;
            parts.push(part);
        }
        let mut inherited = Vec::new();
        if let Some(part) = parts.first() {
            headers::inherit(&mut inherited, part.encoded_headers());
        }
        let declared = if self.ports.is_empty() {
            vec![DEFAULT_PORT.to_owned()]
        } else {
            self.ports
        };
        let mut ports: Vec<_> = declared.iter().map(|port| PortBuffer::new(name(port))).collect();
        records.0 = declared.into_iter().map(Record::new).collect();
        let secrets: Vec<_> = self
            .secrets
            .into_iter()
            .map(|(key, value)| Secret {
                name: name(&key),
                value: Zeroizing::new(value),
            })
            .collect();
        let cancelled = self.cancelled;
        let run = Run {
            invocation: InvocationId::new(1),
            attempt: self.attempt,
            deadline: clock::now().after(Duration::from_secs(60)),
            secrets: &secrets,
            clock: &SystemClock,
            closed: &move |_| cancelled,
        };
        let mut result = run_caught(
            &handler,
            Input::new(run, &mut parts, Some(&mut late)),
            &mut Output::new(&mut ports, &inherited, records),
        );
        for (index, port) in ports.iter_mut().enumerate().filter(|(_, port)| port.is_used()) {
            if result.is_ok() {
                result = port.finish(index, records);
            }
        }
        Ok(result)
    }
}

/// The rest of a body that is longer than one segment, as the data path would bring it.
#[derive(Default)]
struct LateSegments {
    rest: Vec<u8>,
}

impl SegmentSource for LateSegments {
    fn open_next(&mut self, part: &mut Part) -> Result<bool, Failure> {
        let len = self.rest.len().min(SEGMENT_BYTES);
        part.plain_mut().extend(self.rest.drain(..len));
        Ok(self.rest.is_empty())
    }
}

#[derive(Default)]
struct Records(Vec<Record>);

impl RecordSink for Records {
    fn segment(&mut self, port: usize, plain: &[u8], last: bool) -> Result<(), Failure> {
        if let Some(record) = self.0.get_mut(port) {
            record.plain.extend_from_slice(plain);
            record.segments += 1;
            record.complete = last;
        }
        Ok(())
    }
}

impl Record {
    fn new(port: String) -> Self {
        Self {
            port,
            plain: Vec::new(),
            segments: 0,
            complete: false,
        }
    }

    fn split(&self) -> (&[u8], &[u8]) {
        headers::split(&self.plain).unwrap_or((&[], &[]))
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.split().1
    }

    /// A header's first value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        headers::find(self.split().0, name)
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers::new(self.split().0)
    }

    /// What the handler says the body is.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.header(headers::CONTENT_TYPE)
    }

    /// The status of the reply that the record makes at `egress`.
    #[must_use]
    pub fn status(&self) -> u16 {
        let chosen = self.header(headers::STATUS).and_then(headers::status_of);
        chosen.unwrap_or(200)
    }

    /// How many segments the record left in.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.segments
    }
}

impl Reply {
    /// What the handler returned; a panic is a transient failure.
    ///
    /// # Errors
    /// The handler's failure.
    pub fn result(&self) -> Result<(), Failure> {
        self.result
    }

    /// The complete record that the handler wrote to `port`. After a failure there is none, as the data path
    /// would have delivered none.
    #[must_use]
    pub fn port(&self, port: &str) -> Option<&Record> {
        self.records
            .iter()
            .find(|record| record.port == port && record.complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_large_body_arrives_whole_and_streams() {
        let body: Vec<u8> = (0..200_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let whole = Call::new().body(&body).run(|mut input, output| {
            let bytes = input.bytes()?.to_vec();
            output.send(&bytes)
        });
        assert_eq!(whole.port("out").unwrap().body(), body);
        assert_eq!(whole.port("out").unwrap().segments(), 4);
        let streamed = Call::new().body(&body).run(|mut input, output| {
            let mut writer = output.out()?;
            writer.stream();
            std::io::copy(&mut input.reader(), &mut writer)?;
            Ok(())
        });
        assert_eq!(streamed.port("out").unwrap().body(), body);
    }

    #[test]
    fn a_body_that_ends_on_a_segment_boundary_is_not_followed_by_an_empty_segment() {
        let body = vec![7; SEGMENT_BYTES - 2];
        let reply = Call::new().body(b"").run(move |_, output| output.send(&body));
        assert_eq!(reply.port("out").unwrap().segments(), 1);
    }

    #[test]
    fn a_panic_is_a_failed_attempt_and_delivers_nothing() {
        let reply = Call::new().body(b"x").run(|_, output| {
            output.send(b"half")?;
            panic!("oh no");
        });
        assert!(reply.result().unwrap_err().is_transient());
        assert!(reply.port("out").is_none());
    }

    #[test]
    fn a_join_sees_its_parts_by_name_and_headers_are_inherited() {
        let reply = Call::new()
            .input("left", b"L")
            .header("traceparent", "00-1")
            .input("right", b"R")
            .ports(&["out", "reject"])
            .secret("KEY", b"s3cret")
            .run(|input, output| {
                assert_eq!(input.secret("KEY"), Some(&b"s3cret"[..]));
                let left = input.part("left").ok_or(Failure::permanent("no left"))?.bytes();
                let mut writer = output.port("reject")?;
                writer.write_all(left)?;
                writer.set_content_type("text/plain")?;
                Ok(())
            });
        let record = reply.port("reject").unwrap();
        assert_eq!(record.body(), b"L");
        assert_eq!(record.content_type(), Some("text/plain"));
        assert_eq!(record.header("traceparent"), Some("00-1"));
        assert!(reply.port("out").is_none());
    }

    #[test]
    fn what_describes_the_input_is_not_said_of_the_output_unless_the_handler_says_so() {
        let call = || {
            Call::new()
                .body(b"{}")
                .content_type("application/json")
                .header("content-encoding", "gzip")
                .header("ce-id", "7")
                .header("baggage", "a=1")
                .header("traceparent", "00-1")
        };
        let silent = call().run(|_, output| output.send(b"made here"));
        let headers: Vec<_> = silent.port("out").unwrap().headers().collect();
        assert_eq!(headers, [("baggage", "a=1"), ("traceparent", "00-1")]);
        let speaking = call().run(|mut input, output| {
            let mut out = output.out()?;
            out.set_content_type("text/plain")?;
            out.describe_as(&input.parts()[0])?;
            out.set_header("ce-id", "8")?;
            out.append_header("link", "<a>")?;
            out.append_header("link", "<b>")?;
            out.remove_header("baggage")?;
            out.append(input.bytes()?)
        });
        let headers: Vec<_> = speaking.port("out").unwrap().headers().collect();
        assert_eq!(
            headers,
            [
                ("traceparent", "00-1"),
                ("content-type", "application/json"),
                ("content-encoding", "gzip"),
                ("ce-id", "8"),
                ("link", "<a>"),
                ("link", "<b>"),
            ]
        );
    }

    #[test]
    fn a_header_that_http_could_not_carry_is_a_permanent_failure() {
        let of_the_connection = headers::OF_THE_CONNECTION.map(|name| (name, "a"));
        let own = [
            "hacher-query",
            "hacher-invocation",
            "Hacher-Other",
            "hacher-error-other",
        ];
        let malformed = [("x y", "a"), ("", "a"), ("x", "a\r\nb: c")];
        let all = of_the_connection.into_iter().chain(own.map(|name| (name, "a")));
        for (name, value) in all
            .chain(malformed)
            .chain([("Transfer-Encoding", "chunked"), ("hacher-status", "199")])
        {
            let reply = Call::new()
                .body(b"")
                .run(move |_, output| output.out()?.set_header(name, value));
            assert!(!reply.result().unwrap_err().is_transient());
        }
    }

    #[test]
    fn an_undeclared_port_is_a_permanent_failure() {
        let reply = Call::new()
            .body(b"")
            .run(|_, output| output.send_to("nowhere", b""));
        assert!(!reply.result().unwrap_err().is_transient());
    }

    #[test]
    fn a_reader_holds_little_more_than_one_segment() {
        let body = vec![1; 5 * SEGMENT_BYTES];
        Call::new()
            .body(&body)
            .run(|mut input, _| {
                let mut buffer = [0; 1000];
                let mut reader = input.reader();
                while reader.read(&mut buffer)? > 0 {}
                assert!(input.parts()[0].bytes().len() <= SEGMENT_BYTES);
                Ok(())
            })
            .result()
            .unwrap();
    }
}
