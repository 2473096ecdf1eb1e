//! What a handler produces: at most one record on each output port. Nothing leaves the trustlet before the
//! handler has returned `Ok`, unless a port is told to [`PortWriter::stream`].

use super::failure::Failure;
use super::headers;
use crate::descriptor::SEGMENT_BYTES;
use crate::name::Name;
use std::io::{self, Write};

/// The port that a function has unless its chain file says otherwise.
pub const DEFAULT_PORT: &str = "out";

/// Takes the plaintext segments of output records: the sealing side of the data path, or a test harness.
pub(crate) trait RecordSink {
    /// Passes on the next segment of the record on `port`; `last` ends the record.
    fn segment(&mut self, port: usize, plain: &[u8], last: bool) -> Result<(), Failure>;
}

/// The record that is being written to one port.
#[derive(Debug)]
pub(crate) struct PortBuffer {
    name: Name,
    /// Headers prefix and body bytes that have not been passed on.
    plain: Vec<u8>,
    used: bool,
    streams: bool,
    /// Segments already passed on; the record can then only be completed or aborted.
    segments_sent: usize,
}

impl PortBuffer {
    pub(crate) fn new(name: Name) -> Self {
        Self {
            name,
            plain: Vec::new(),
            used: false,
            streams: false,
            segments_sent: 0,
        }
    }

    /// Forgets the record of the last run, keeps the room.
    pub(crate) fn clear(&mut self) {
        self.plain.clear();
        self.used = false;
        self.streams = false;
        self.segments_sent = 0;
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

    /// Starts the record of a run that has no handler: the input, passed on to the `error` port.
    pub(crate) fn start(&mut self, inherited: &[u8]) -> &mut Vec<u8> {
        self.used = true;
        headers::start(&mut self.plain, inherited);
        &mut self.plain
    }

    /// Passes on everything that is left, and ends the record.
    pub(crate) fn finish(&mut self, port: usize, sink: &mut dyn RecordSink) -> Result<(), Failure> {
        let mut rest = self.plain.as_slice();
        while let Some((segment, after)) = rest
            .split_at_checked(SEGMENT_BYTES)
            .filter(|(_, after)| !after.is_empty())
        {
            sink.segment(port, segment, false)?;
            self.segments_sent += 1;
            rest = after;
        }
        sink.segment(port, rest, true)
    }

    fn send_full_segments(&mut self, port: usize, sink: &mut dyn RecordSink) -> Result<(), Failure> {
        let mut sent = 0;
        while let Some(segment) = self.plain.get(sent..sent + SEGMENT_BYTES) {
            sink.segment(port, segment, false)?;
            self.segments_sent += 1;
            sent += SEGMENT_BYTES;
        }
        self.plain.drain(..sent);
        Ok(())
    }
}

/// The output of one run.
pub struct Output<'r> {
    ports: &'r mut [PortBuffer],
    /// Encoded headers that every output record starts with: those of the input.
    inherited: &'r [u8],
    sink: &'r mut dyn RecordSink,
}

impl core::fmt::Debug for Output<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Output")
            .field("ports", &self.ports.len())
            .finish_non_exhaustive()
    }
}

impl<'r> Output<'r> {
    pub(crate) fn new(
        ports: &'r mut [PortBuffer],
        inherited: &'r [u8],
        sink: &'r mut dyn RecordSink,
    ) -> Self {
        Self {
            ports,
            inherited,
            sink,
        }
    }

    /// A writer to the port named `port`. Asking for a port starts its record, even if nothing is written.
    ///
    /// # Errors
    /// A permanent [`Failure`] when the chain file declares no such port.
    pub fn port(&mut self, port: &str) -> Result<PortWriter<'_>, Failure> {
        let (index, buffer) = self
            .ports
            .iter_mut()
            .enumerate()
            .find(|(_, buffer)| buffer.name == *port)
            .ok_or(Failure::permanent(
                "the handler wrote to a port that the chain file does not declare",
            ))?;
        if !buffer.used {
            buffer.used = true;
            headers::start(&mut buffer.plain, self.inherited);
        }
        Ok(PortWriter {
            index,
            buffer,
            sink: &mut *self.sink,
        })
    }

    /// A writer to the port `out`.
    ///
    /// # Errors
    /// As [`Self::port`].
    pub fn out(&mut self) -> Result<PortWriter<'_>, Failure> {
        self.port(DEFAULT_PORT)
    }

    /// Sends `body` to the port `out`, in one go.
    ///
    /// # Errors
    /// As [`Self::port`].
    pub fn send(&mut self, body: &[u8]) -> Result<(), Failure> {
        self.send_to(DEFAULT_PORT, body)
    }

    /// Sends `body` to `port`, in one go.
    ///
    /// # Errors
    /// As [`Self::port`].
    pub fn send_to(&mut self, port: &str, body: &[u8]) -> Result<(), Failure> {
        let mut writer = self.port(port)?;
        writer.append(body)
    }
}

/// Writes the record of one port. Headers of the input are inherited; set others, or replace them, here.
pub struct PortWriter<'o> {
    index: usize,
    buffer: &'o mut PortBuffer,
    sink: &'o mut dyn RecordSink,
}

impl core::fmt::Debug for PortWriter<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("PortWriter")
            .field("port", &self.buffer.name)
            .finish_non_exhaustive()
    }
}

impl PortWriter<'_> {
    /// Says what the body is.
    ///
    /// # Errors
    /// As [`Self::set_header`].
    pub fn set_content_type(&mut self, content_type: &str) -> Result<(), Failure> {
        self.set_header(headers::CONTENT_TYPE, content_type)
    }

    /// Sets a header (lower-case name), replacing an earlier value.
    ///
    /// # Errors
    /// A permanent [`Failure`] when the headers grow past their bound, or part of a streamed record has left.
    pub fn set_header(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        if self.buffer.is_partly_sent() {
            return Err(Failure::permanent(
                "headers must be set before a streamed record has left",
            ));
        }
        headers::set(&mut self.buffer.plain, name, value)
            .map_err(|_| Failure::permanent("the headers of an output record are too long"))
    }

    /// Makes this record leave segment by segment as it is written, instead of all at once after the handler
    /// has returned. Consumers work on the beginning while the end is being made; if the run then fails, they
    /// are told to drop what they have.
    pub fn stream(&mut self) -> &mut Self {
        self.buffer.streams = true;
        self
    }

    /// Appends to the body.
    ///
    /// # Errors
    /// Of a streamed record: what kept a segment from leaving (the deadline passed, the outbox is too small).
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if !self.buffer.streams {
            self.buffer.plain.extend_from_slice(bytes);
            return Ok(());
        }
        for chunk in bytes.chunks(SEGMENT_BYTES) {
            self.buffer.plain.extend_from_slice(chunk);
            self.buffer.send_full_segments(self.index, self.sink)?;
        }
        Ok(())
    }
}

impl Write for PortWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
