//! What a handler produces: at most one record on each output port. Nothing leaves the trustlet before the
//! handler has returned `Ok`, unless a port is told to [`PortWriter::stream`].

use super::failure::Failure;
use super::headers::{self, HeaderError};
use super::input::Part;
use super::place::Placed;
use super::port_buffer::{PortBuffer, RecordSink};
use hacher_data_path::region::layout::SEGMENT_BYTES;
use std::io::{self, Write};

/// The port that a function has unless its chain file says otherwise.
pub const DEFAULT_PORT: &str = "out";

const FIXED: Failure =
    Failure::permanent("a record that was placed is written through what placing it returned");

/// The output of one run.
pub struct Output<'r> {
    ports: &'r mut [PortBuffer],
    /// Encoded headers that every output record starts with.
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

    /// Fixes the size of the record on the port `out`; as [`PortWriter::place`].
    ///
    /// # Errors
    /// As [`Self::port`] and [`PortWriter::place`].
    pub fn place(&mut self, len_bytes: usize) -> Result<Placed<'_>, Failure> {
        self.out()?.place(len_bytes)
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

/// Writes the record of one port. It starts with the headers of the input that speak of the whole request
/// ([`headers::is_inherited`]): trace context, idempotency key, query. What describes the body is set here.
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

impl<'o> PortWriter<'o> {
    /// Says what the body is.
    ///
    /// # Errors
    /// As [`Self::set_header`].
    pub fn set_content_type(&mut self, content_type: &str) -> Result<(), Failure> {
        self.set_header(headers::CONTENT_TYPE, content_type)
    }

    /// Sets a header (lower-case name), replacing all earlier values. Which headers of the last record a
    /// client gets is the gateway's to say; functions see all.
    ///
    /// # Errors
    /// A permanent [`Failure`] when name or value is none, when the headers grow past their bound, or when
    /// part of a streamed record has left.
    pub fn set_header(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        headers::set(self.headers()?, name, value).map_err(refused)
    }

    /// Adds a header (lower-case name) after earlier values of the same name, as lists such as `link` have
    /// them.
    ///
    /// # Errors
    /// As [`Self::set_header`].
    pub fn append_header(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        headers::append(self.headers()?, name, value).map_err(refused)
    }

    /// Removes all values of a header (lower-case name), inherited ones too.
    ///
    /// # Errors
    /// As [`Self::set_header`].
    pub fn remove_header(&mut self, name: &str) -> Result<(), Failure> {
        headers::remove(self.headers()?, name).map_err(refused)
    }

    /// Says that the body is what the body of `part` is: takes over its content type and content coding.
    ///
    /// # Errors
    /// As [`Self::set_header`].
    pub fn describe_as(&mut self, part: &Part) -> Result<(), Failure> {
        for name in headers::OF_THE_BODY {
            self.remove_header(name)?;
        }
        let of_the_body = |(name, _): &(&str, &str)| headers::OF_THE_BODY.contains(name);
        for (name, value) in part.headers().filter(of_the_body) {
            self.append_header(name, value)?;
        }
        Ok(())
    }

    /// What starts with the headers, as long as they may still be changed.
    fn headers(&mut self) -> Result<&mut Vec<u8>, Failure> {
        if self.buffer.place.is_some() {
            return Err(FIXED);
        }
        if self.buffer.is_partly_sent() {
            return Err(Failure::permanent(
                "headers must be set before a streamed record has left",
            ));
        }
        Ok(&mut self.buffer.plain)
    }

    /// Fixes the size of the body and returns what writes it, in any order and as much of it as is wanted. If
    /// the record goes over a `mapped` edge alone, that writes where the consumer will read it, without a
    /// copy; otherwise into private memory. Headers are set before; nothing else is written to this port
    /// then.
    ///
    /// # Errors
    /// A permanent [`Failure`] when something of the body was written, or when the record is larger than the
    /// outbox; and when there is no room for it before the deadline.
    pub fn place(self, len_bytes: usize) -> Result<Placed<'o>, Failure> {
        let headers = headers::split(&self.buffer.plain).map(|(headers, _)| headers.len());
        let is_untouched = headers.is_ok_and(|len| self.buffer.plain.len() == headers::PREFIX_BYTES + len);
        if !is_untouched || self.buffer.place.is_some() || self.buffer.is_partly_sent() {
            return Err(Failure::permanent(
                "a record is placed once, before any of its body is written",
            ));
        }
        self.buffer.place(self.index, len_bytes, self.sink)?;
        Ok(Placed {
            index: self.index,
            buffer: self.buffer,
            sink: self.sink,
            len_bytes,
        })
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
        if self.buffer.place.is_some() {
            return Err(FIXED);
        }
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

const fn refused(error: HeaderError) -> Failure {
    Failure::permanent(match error {
        HeaderError::Invalid => {
            "a header of an output record needs a lower-case name and a value without control characters"
        }
        HeaderError::Malformed | HeaderError::TooLong => "the headers of an output record are too long",
    })
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
