//! What a handler is given: one record, or for a join one record from each upstream function.

use super::environment::Environment;
use super::failure::Failure;
use super::headers;
use super::part::Part;
use super::secret::{Secret, find_secret};
use super::view::View;
use crate::clock::Monotonic;
use hacher_data_path::machine::clock::Clock;
use hacher_data_path::record::invocation::InvocationId;
use std::io::{self, BufRead, Read};
use std::time::Duration;

/// Facts about one run of the handler.
#[derive(Clone, Copy)]
pub(crate) struct Run<'r> {
    pub(crate) invocation: InvocationId,
    pub(crate) attempt: u32,
    pub(crate) deadline: Monotonic,
    /// Since when this attempt runs: its timeout counts from here.
    pub(crate) started: Monotonic,
    /// How long it may; 0 for as long as the deadline allows.
    pub(crate) timeout_ns: u64,
    /// Of a function that reads its input as a stream: the deadline, and since when its timeout counts, as
    /// the last segment has renewed them.
    pub(crate) renewed: Option<&'r dyn Fn() -> (Monotonic, Monotonic)>,
    pub(crate) secrets: &'r [Secret],
    pub(crate) environment: &'r Environment,
    pub(crate) clock: &'r dyn Clock,
    pub(crate) closed: &'r dyn Fn(InvocationId) -> bool,
}

/// Where the later segments of a record that is still arriving come from.
pub(crate) trait SegmentSource {
    /// Waits for the next segment and adds it to `part`; `true` when it was the last.
    fn open_next(&mut self, part: &mut Part) -> Result<bool, Failure>;
}

/// What a handler gets that takes the one record of a join.
const JOINED: Failure =
    Failure::permanent("this function joins several records: its handler has to choose one by `Input::part`");

/// The input of one run.
pub struct Input<'r> {
    run: Run<'r>,
    parts: &'r mut [Part],
    source: Option<&'r mut dyn SegmentSource>,
}

impl core::fmt::Debug for Input<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Never the body: it must not reach a log by accident.
        formatter
            .debug_struct("Input")
            .field("invocation", &self.run.invocation)
            .field("attempt", &self.run.attempt)
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}

impl<'r> Input<'r> {
    /// `parts` is never empty; `source` is given for a single record that has not arrived whole.
    pub(crate) fn new(
        run: Run<'r>,
        parts: &'r mut [Part],
        source: Option<&'r mut dyn SegmentSource>,
    ) -> Self {
        Self { run, parts, source }
    }

    /// Which request this run belongs to; the same in every function of the chain.
    #[must_use]
    pub fn invocation(&self) -> InvocationId {
        self.run.invocation
    }

    /// 1 for the first run on this record, 2 for the first retry, and so on.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.run.attempt
    }

    /// Time left until this process is ended because its run takes too long: until the function's `timeout`,
    /// which counts from the start of this attempt, or until the request's deadline, whichever is earlier.
    /// Zero when it has passed. In a function that reads its input as a stream, each segment that was read or
    /// sent renews both.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.cancellation().remaining()
    }

    /// Whether there is no point in going on: the client went away, the request was answered otherwise, or no
    /// time [remains](Self::remaining). A long computation looks now and then, and gives up; one that goes
    /// on is ended soon, and its trustlet with it.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancellation().is_cancelled()
    }

    /// What tells how long the run may go on, apart from the input: to be asked while a [`Reader`] has it.
    #[must_use]
    pub fn cancellation(&self) -> Cancellation<'r> {
        Cancellation { run: self.run }
    }

    /// A variable of the function's environment, as its `env` sets it; `None` also if it is not UTF-8. As
    /// [`std::env::var`] in a trustlet, and what a test says in the harness.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<String> {
        self.run.environment.var(name)
    }

    /// A secret by the name that the chain file gives it: the bytes of its file when the chain was loaded,
    /// with any line break at its end, unless the chain file says `trim = true` of it.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&[u8]> {
        find_secret(self.run.secrets, name)
    }

    /// The part that came from function `upstream`, of a join as of a single record. `None` if there is none,
    /// and also if there are several, from different ports: [`Self::part_on`] tells them apart.
    #[must_use]
    pub fn part(&self, upstream: &str) -> Option<&Part> {
        let mut parts = self.parts.iter().filter(|part| part.upstream() == upstream);
        parts.next().filter(|_| parts.next().is_none())
    }

    /// The part that came from output port `port` of function `upstream`.
    #[must_use]
    pub fn part_on(&self, upstream: &str, port: &str) -> Option<&Part> {
        let is_meant = |part: &&Part| part.upstream() == upstream && part.port() == port;
        self.parts.iter().find(is_meant)
    }

    /// All parts, in the order in which the chain file names the upstream functions.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        self.parts
    }

    /// Whether this run joins several records. None of them is *the* record then: what speaks of one record
    /// (its body, its type, its sender) is asked of a [`Part`].
    #[must_use]
    pub fn is_join(&self) -> bool {
        self.parts.len() > 1
    }

    /// The one record, if nothing is joined.
    fn single(&self) -> Option<&Part> {
        self.parts.first().filter(|_| !self.is_join())
    }

    /// Whether this run reads its input as a stream: `stream = true` of the function, or of the edge.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.run.renewed.is_some()
    }

    /// Whether all of the input has arrived, so that no read waits.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.parts.iter().all(Part::is_complete)
    }

    /// The function that sent the record, `ingress` for the client's request; of a join `None`.
    #[must_use]
    pub fn upstream(&self) -> Option<&str> {
        self.single().map(Part::upstream)
    }

    /// What the sender says the record is; of a join `None`.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.single().and_then(Part::content_type)
    }

    /// A header (lower-case name) of the record. Of a join, one that speaks of the whole request
    /// ([`headers::is_inherited`]), as its first part has it; others are `None`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let is_told = !self.is_join() || headers::is_inherited(name);
        let part = self.parts.first().filter(|_| is_told)?;
        part.header(name)
    }

    /// The method of the request, in upper case; `POST` where a record has none, as a harness may make it.
    #[must_use]
    pub fn method(&self) -> &str {
        self.header(headers::METHOD).unwrap_or("POST")
    }

    /// The path of the request: what stands behind `/chains/NAME`, beginning with `/` if it is not empty; or
    /// the whole path where the chain's `route` led here. Percent-encoded, but for what needs not be.
    #[must_use]
    pub fn path(&self) -> &str {
        self.header(headers::PATH).unwrap_or("")
    }

    /// The query of the request, as the client encoded it; `None` if it has none.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.header(headers::QUERY)
    }

    /// What the chain's `route` captured as `{name}`, decoded, or as `{*name}`, encoded; `None` for a request
    /// that came to `/chains/NAME`.
    #[must_use]
    pub fn capture(&self, name: &str) -> Option<&str> {
        let mut headers = self.parts.first()?.headers();
        let is_it = |key: &str| key.strip_prefix(headers::CAPTURE_PREFIX) == Some(name);
        headers.find_map(|(key, value)| is_it(key).then_some(value))
    }

    /// The address that the request came from, as the gateway saw it; a proxy's where one stands before the
    /// gateway, and what proxies say is in the header [`headers::FORWARDED_FOR`]. The first functions of a
    /// chain alone have it.
    #[must_use]
    pub fn client_address(&self) -> Option<&str> {
        let list = self.header(headers::FORWARDED_FOR)?;
        list.rsplit(',').next().map(str::trim)
    }

    /// The whole body of the record; waits until it has arrived.
    ///
    /// # Errors
    /// A transient [`Failure`] when the rest of the record does not arrive, or is refused. A permanent one
    /// of a join.
    pub fn bytes(&mut self) -> Result<&[u8], Failure> {
        Ok(self.whole()?.map_or(&[], Part::bytes))
    }

    /// The whole body of the record where its producer wrote it, without copying any of it; waits until it
    /// has arrived. `None` if the record did not come over a `mapped` edge: [`Self::bytes`] gives its body
    /// in any case.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub fn view(&mut self) -> Result<Option<View<'_>>, Failure> {
        // What was sealed is not waited for: a reader takes it as it comes.
        if self.single().is_some_and(|part| !part.is_in_place()) {
            return Ok(None);
        }
        Ok(self.whole()?.and_then(Part::view))
    }

    /// The one part, once all of it has arrived.
    fn whole(&mut self) -> Result<Option<&Part>, Failure> {
        if self.is_join() {
            return Err(JOINED);
        }
        let Some(part) = self.parts.first_mut() else {
            return Ok(None);
        };
        if let Some(source) = self.source.as_mut() {
            while !part.complete {
                part.complete = source.open_next(part)?;
            }
        }
        Ok(Some(part))
    }

    /// Reads the body of the record as it arrives, holding no more than one segment of it. Of a join, the
    /// first read fails.
    pub fn reader(&mut self) -> Reader<'_, 'r> {
        let at = self.parts.first().map_or(0, |part| part.body_at);
        if let Some(part) = self.parts.first_mut().filter(|part| part.is_in_place()) {
            part.plain.truncate(at); // an earlier reader's piece
        }
        self.reader_at(Position { at, next: 0 })
    }

    /// Goes on where another reader of this input has stopped, for code that cannot hold one: an iterator of
    /// another language. A position of before another [`Self::reader`] reads other bytes, but nothing else.
    pub fn reader_at(&mut self, position: Position) -> Reader<'_, 'r> {
        Reader {
            input: self,
            position,
        }
    }

    /// Goes on with copies of what has been opened, and gives away the buffers it was in: for a language in
    /// which views of a body may outlive the run, and read memory that the next record would be opened into.
    /// Where there is no memory for a copy, a part is empty from here on.
    #[must_use]
    pub fn replace_buffers(&mut self) -> Vec<Vec<u8>> {
        self.parts.iter_mut().map(Part::replace_buffer).collect()
    }
}

/// Tells how long a run may go on, and whether there is still a point in it.
#[derive(Clone, Copy)]
pub struct Cancellation<'r> {
    run: Run<'r>,
}

impl core::fmt::Debug for Cancellation<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Cancellation")
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

impl Cancellation<'_> {
    /// As [`Input::remaining`].
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let Run {
            deadline,
            started,
            timeout_ns,
            renewed,
            ..
        } = self.run;
        let (deadline, started) = renewed.map_or((deadline, started), |renewed| renewed());
        let until = match timeout_ns {
            0 => deadline,
            _ => deadline.min(started.after(Duration::from_nanos(timeout_ns))),
        };
        until.saturating_duration_since(self.run.clock.now())
    }

    /// As [`Input::is_cancelled`].
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.remaining().is_zero() || (self.run.closed)(self.run.invocation)
    }
}

/// Streams the body of a record: later segments are opened while the sender is still sealing more.
#[derive(Debug)]
pub struct Reader<'i, 'r> {
    input: &'i mut Input<'r>,
    position: Position,
}

/// How far a [`Reader`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// In the part's buffer.
    at: usize,
    /// Of a body in place: how much of it was copied.
    next: usize,
}

impl Reader<'_, '_> {
    /// Where [`Input::reader_at`] goes on.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }
}

impl Read for Reader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let unread = self.fill_buf()?;
        let len = unread.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), unread.get(..len)) {
            to.copy_from_slice(from);
        }
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for Reader<'_, '_> {
    /// What has been opened and not consumed; opens the next segment if that is nothing.
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.input.is_join() {
            return Err(JOINED.into());
        }
        let Some(part) = self.input.parts.first_mut() else {
            return Ok(&[]);
        };
        while self.position.at >= part.plain.len() {
            if part.copy_piece(self.position.next) {
                self.position.at = part.body_at;
                self.position.next += part.plain.len() - part.body_at;
                break;
            }
            let Some(source) = self.input.source.as_mut().filter(|_| !part.complete) else {
                return Ok(&[]);
            };
            // What was read is not needed again: keep the headers, make room for the next segment.
            part.plain.truncate(part.body_at);
            self.position.at = part.body_at;
            part.complete = source.open_next(part)?;
        }
        Ok(part.plain.get(self.position.at..).unwrap_or(&[]))
    }

    fn consume(&mut self, len_bytes: usize) {
        self.position.at = self.position.at.saturating_add(len_bytes);
    }
}
