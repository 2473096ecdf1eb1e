//! The record of one output port while its handler writes it, and where its segments go from there.

use super::failure::Failure;
use super::headers;
use hacher_data_path::name::Name;
use hacher_data_path::region::layout::SEGMENT_BYTES;
use std::cell::RefCell;

/// Takes the plaintext segments of output records: the sealing side of the data path, or a test harness.
pub(crate) trait RecordSink {
    /// Passes on the next segment of the record on `port`; `last` ends the record.
    fn segment(&mut self, port: usize, plain: &[u8], last: bool) -> Result<(), Failure>;

    /// Whether all who read what leaves by `port` read it as a stream.
    fn streams(&self, port: usize) -> bool {
        let _ = port;
        true
    }

    /// Most bytes that [`Self::segment`] takes at once on `port`, [`SEGMENT_BYTES`] or more.
    fn segment_bytes(&self, port: usize) -> usize {
        let _ = port;
        SEGMENT_BYTES
    }

    /// Makes room for a record of `len_bytes` where its consumer will read it; `false` if it does not travel
    /// so.
    fn place(&mut self, port: usize, len_bytes: usize) -> Result<bool, Failure> {
        let _ = (port, len_bytes);
        Ok(false)
    }

    /// Writes to that record; `false` past its end.
    fn write_placed(&mut self, port: usize, at: usize, bytes: &[u8]) -> bool {
        let _ = (port, at, bytes);
        false
    }

    /// Passes that record on.
    fn send_placed(&mut self, port: usize) -> Result<(), Failure> {
        let _ = port;
        Ok(())
    }
}

/// A sink that several open ports send to, one after the other.
pub(super) trait SharedSink {
    /// Has `act` use the sink.
    fn with(&self, act: &mut dyn FnMut(&mut dyn RecordSink) -> Result<(), Failure>) -> Result<(), Failure>;
}

impl SharedSink for RefCell<&mut dyn RecordSink> {
    fn with(&self, act: &mut dyn FnMut(&mut dyn RecordSink) -> Result<(), Failure>) -> Result<(), Failure> {
        // Borrowed for no longer than this call, and no sink calls a handler.
        act(&mut **self.borrow_mut())
    }
}

/// How the record of a port was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the buffer.
    Private,
    /// Where its consumer will read it.
    Direct {
        /// Bytes of headers before its body.
        body_at: usize,
    },
}

/// The record that is being written to one port.
#[derive(Debug)]
pub(crate) struct PortBuffer {
    pub(super) name: Name,
    /// Headers prefix and body bytes that have not been passed on.
    pub(super) plain: Vec<u8>,
    pub(super) used: bool,
    pub(super) streams: bool,
    /// Whether its body was given in one go.
    pub(super) is_whole: bool,
    /// Segments already passed on; the record can then only be completed or aborted.
    segments_sent: usize,
    /// Of what was passed on, the headers.
    header_bytes: usize,
    pub(super) place: Option<Place>,
}

impl PortBuffer {
    pub(crate) fn new(name: Name) -> Self {
        Self {
            name,
            plain: Vec::new(),
            used: false,
            is_whole: false,
            streams: false,
            segments_sent: 0,
            header_bytes: 0,
            place: None,
        }
    }

    /// Forgets the record of the last run, keeps the room.
    pub(crate) fn clear(&mut self) {
        self.plain.clear();
        self.used = false;
        self.is_whole = false;
        self.streams = false;
        self.segments_sent = 0;
        self.header_bytes = 0;
        self.place = None;
    }

    pub(crate) fn is_used(&self) -> bool {
        self.used
    }

    /// Whether part of the record has left already, so that a failed run must abort it.
    pub(crate) fn is_partly_sent(&self) -> bool {
        self.segments_sent > 0
    }

    /// Plaintext bytes of the record that have not been passed on, headers included.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.plain.len()
    }

    /// Bytes of headers in what was passed on.
    pub(crate) fn header_bytes(&self) -> u64 {
        self.header_bytes as u64
    }

    /// Bytes of headers in what is passed on next.
    fn pending_header_bytes(&self) -> usize {
        match self.segments_sent {
            0 => headers::prefixed_bytes(&self.plain),
            _ => self.header_bytes,
        }
    }

    /// Starts the record of a run that has no handler: the input, passed on to the `error` port.
    pub(crate) fn start(&mut self, inherited: &[u8]) -> &mut Vec<u8> {
        self.used = true;
        headers::start(&mut self.plain, inherited);
        &mut self.plain
    }

    /// Passes on everything that is left, and ends the record.
    pub(crate) fn finish(&mut self, port: usize, sink: &mut dyn RecordSink) -> Result<(), Failure> {
        if let Some(Place::Direct { .. }) = self.place {
            return sink.send_placed(port);
        }
        let header_bytes = self.pending_header_bytes();
        let mut rest = self.plain.as_slice();
        let segment_bytes = match rest.len() {
            // Whatever the port says, it is one segment.
            ..=SEGMENT_BYTES => SEGMENT_BYTES,
            _ => sink.segment_bytes(port),
        };
        while let Some((segment, after)) = rest
            .split_at_checked(segment_bytes)
            .filter(|(_, after)| !after.is_empty())
        {
            sink.segment(port, segment, false)?;
            self.segments_sent += 1;
            self.header_bytes = header_bytes;
            rest = after;
        }
        sink.segment(port, rest, true)?;
        self.header_bytes = header_bytes;
        Ok(())
    }

    /// Fixes the size of the record: what is in the buffer are its headers.
    pub(super) fn place(
        &mut self,
        port: usize,
        len_bytes: usize,
        sink: &mut dyn RecordSink,
    ) -> Result<(), Failure> {
        let body_at = self.plain.len();
        let whole = body_at.checked_add(len_bytes);
        let whole = whole.ok_or(Failure::permanent("the output is larger than the outbox"))?;
        self.place = if sink.place(port, whole)? && sink.write_placed(port, 0, &self.plain) {
            self.plain.clear();
            self.header_bytes = body_at;
            Some(Place::Direct { body_at })
        } else {
            self.plain.resize(whole, 0);
            Some(Place::Private)
        };
        Ok(())
    }

    /// Writes into the body of the record that was placed; `false` past its end.
    pub(super) fn write_placed(
        &mut self,
        port: usize,
        at: usize,
        bytes: &[u8],
        sink: &mut dyn RecordSink,
    ) -> bool {
        if let Some(Place::Direct { body_at }) = self.place {
            return sink.write_placed(port, body_at + at, bytes);
        }
        let from = headers::prefixed_bytes(&self.plain) + at;
        let to = self.plain.get_mut(from..from + bytes.len());
        to.is_some_and(|to| {
            to.copy_from_slice(bytes);
            true
        })
    }

    /// Sends what is there of a streamed record, however little it is.
    pub(super) fn send_begun_segment(
        &mut self,
        port: usize,
        sink: &mut dyn RecordSink,
    ) -> Result<(), Failure> {
        if self.streams && !self.plain.is_empty() && sink.streams(port) {
            let header_bytes = self.pending_header_bytes();
            sink.segment(port, &self.plain, false)?;
            self.segments_sent += 1;
            self.header_bytes = header_bytes;
            self.plain.clear();
        }
        Ok(())
    }

    pub(super) fn send_full_segments(
        &mut self,
        port: usize,
        sink: &mut dyn RecordSink,
    ) -> Result<(), Failure> {
        let header_bytes = self.pending_header_bytes();
        let mut sent = 0;
        while let Some(segment) = self.plain.get(sent..sent + SEGMENT_BYTES) {
            sink.segment(port, segment, false)?;
            self.segments_sent += 1;
            self.header_bytes = header_bytes;
            sent += SEGMENT_BYTES;
        }
        self.plain.drain(..sent);
        Ok(())
    }
}
