//! One record, as the handler that gets it sees it.

use super::headers::{self, Headers};
use super::trace_parent::{TRACEPARENT, TraceAt};
use super::view::{InPlace, View};
use hacher_data_path::name::Name;
use hacher_data_path::record::span_id::SpanId;
use hacher_data_path::region::layout::SEGMENT_BYTES;
use hacher_data_path::region::memory::PeerRegion;
use std::sync::Arc;

/// One record as the handler sees it: who sent it, its headers and its body, opened into private memory.
#[derive(Debug)]
pub struct Part {
    upstream: Name,
    port: Name,
    /// Headers prefix and as much of the body as has been opened and not yet been handed to a `Reader`; the
    /// headers alone of what is in place.
    pub(super) plain: Vec<u8>,
    /// Where in `plain` the body starts.
    pub(super) body_at: usize,
    /// Where in `plain` the trace is named that it belongs to.
    trace: Option<TraceAt>,
    pub(super) complete: bool,
    /// The body of a record that came over a `mapped` edge.
    in_place: InPlace,
    /// How many bytes of its body were given up and have to be opened again, if any were.
    shed_bytes: Option<usize>,
}

impl Part {
    pub(crate) fn new(upstream: Name, port: Name) -> Self {
        Self {
            upstream,
            port,
            plain: Vec::new(),
            body_at: 0,
            trace: None,
            complete: false,
            in_place: InPlace::default(),
            shed_bytes: None,
        }
    }

    /// Gives its opened bytes up, unless they are where its producer put them.
    pub(crate) fn shed(&mut self) {
        if !self.is_in_place() {
            self.shed_bytes = Some(self.len_bytes());
            self.plain = Vec::new();
            self.body_at = 0;
        }
    }

    /// Whether its bytes were given up.
    pub(crate) fn is_shed(&self) -> bool {
        self.shed_bytes.is_some()
    }

    /// Forgets the last record, keeps the room.
    pub(crate) fn clear(&mut self, upstream: Name, port: Name) {
        self.upstream = upstream;
        self.port = port;
        self.plain.clear();
        self.body_at = 0;
        self.trace = None;
        self.complete = false;
        self.in_place.clear();
        self.shed_bytes = None;
    }

    /// Adds a segment that stays where it is; its headers follow the first one into private memory.
    pub(crate) fn add_in_place(&mut self, region: &Arc<PeerRegion>, offset: usize, len_bytes: usize) {
        self.in_place.add(region, offset, len_bytes, &mut self.plain);
    }

    /// Whether the body stays where its producer wrote it.
    pub(crate) fn is_in_place(&self) -> bool {
        self.in_place.is_used()
    }

    /// Bytes of the body that have arrived.
    pub(crate) fn len_bytes(&self) -> usize {
        if self.is_in_place() {
            self.in_place.len_bytes()
        } else {
            self.shed_bytes.unwrap_or(0) + self.plain.len().saturating_sub(self.body_at)
        }
    }

    /// Bytes of private memory that are kept for the next record.
    pub(crate) fn kept_bytes(&mut self) -> usize {
        self.plain.capacity() + self.in_place.kept_bytes()
    }

    /// The buffer that segments are opened into; [`Self::parse_headers`] follows the first one.
    pub(crate) fn plain_mut(&mut self) -> &mut Vec<u8> {
        &mut self.plain
    }

    pub(crate) fn parse_headers(&mut self) -> Result<(), headers::HeaderError> {
        let mut trace = None;
        let (found, _) = headers::split_noting(&self.plain, |name, value, at| {
            if name == TRACEPARENT.as_bytes() {
                trace = trace.or_else(|| TraceAt::of(value, at));
            }
        })?;
        self.body_at = headers::PREFIX_BYTES + found.len();
        self.trace = trace;
        Ok(())
    }

    /// The trace that it belongs to, as it came.
    pub(crate) fn trace(&self) -> Option<TraceAt> {
        self.trace
    }

    /// Names `span` as the parent of what is made of it.
    pub(crate) fn renew_trace(&mut self, span: SpanId) {
        if let Some(trace) = self.trace {
            trace.write(span, &mut self.plain);
        }
    }

    pub(crate) fn set_complete(&mut self) {
        self.complete = true;
    }

    /// Of a body in place, copies the piece from `at` on for a `Reader`, in place of the piece before; `false`
    /// if there is no more of it yet.
    pub(super) fn copy_piece(&mut self, at: usize) -> bool {
        let piece = self.in_place.len_bytes().saturating_sub(at).min(SEGMENT_BYTES);
        if piece == 0 {
            return false;
        }
        self.plain.resize(self.body_at + piece, 0);
        let into = self.plain.get_mut(self.body_at..).unwrap_or(&mut []);
        self.in_place.copy_to(at, into) == piece
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Goes on with a copy, or empty where there is no memory for one; the buffer that its bytes were in
    /// until now.
    pub(super) fn replace_buffer(&mut self) -> Vec<u8> {
        let mut copy = Vec::new();
        if copy.try_reserve_exact(self.plain.len()).is_ok() {
            copy.extend_from_slice(&self.plain);
        }
        core::mem::replace(&mut self.plain, copy)
    }

    pub(crate) fn encoded_headers(&self) -> &[u8] {
        self.plain.get(headers::PREFIX_BYTES..self.body_at).unwrap_or(&[])
    }

    /// The function that sent this record; `ingress` for the client's request.
    #[must_use]
    pub fn upstream(&self) -> &str {
        self.upstream.as_str()
    }

    /// The output port that the sender wrote it to.
    #[must_use]
    pub fn port(&self) -> &str {
        self.port.as_str()
    }

    /// The value of a header (lower-case name), e.g. `content-type` or `traceparent`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        headers::find(self.encoded_headers(), name)
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers::new(self.encoded_headers())
    }

    /// What the sender says the body is.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.header(headers::CONTENT_TYPE)
    }

    /// The body, as far as it has arrived. The parts of a join have always arrived whole; of a single large
    /// record this may be its beginning, and [`Input::bytes`](crate::Input::bytes) waits for all of it.
    ///
    /// On a `mapped` edge the bytes are copied when they are first asked for; see [`Self::view`].
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        if self.is_in_place() {
            return self.in_place.bytes();
        }
        self.plain.get(self.body_at..).unwrap_or(&[])
    }

    /// The body where its producer wrote it, as far as it has arrived; `None` if it did not come over a
    /// `mapped` edge.
    #[must_use]
    pub fn view(&self) -> Option<View<'_>> {
        self.is_in_place().then(|| View::new(&self.in_place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_body_is_stays_known_when_its_bytes_are_given_up() {
        let name = Name::new("out").unwrap();
        let mut part = Part::new(name, name);
        headers::start(part.plain_mut(), &[]);
        part.plain_mut().extend_from_slice(&[1; 10]);
        part.parse_headers().unwrap();
        part.shed();
        part.plain_mut().extend_from_slice(&[1; 5]);
        assert_eq!(part.len_bytes(), 15);
        part.shed();
        assert_eq!((part.len_bytes(), part.is_shed()), (15, true));
        assert!(part.bytes().is_empty());
        part.clear(name, name);
        assert_eq!((part.len_bytes(), part.is_shed()), (0, false));
    }
}
