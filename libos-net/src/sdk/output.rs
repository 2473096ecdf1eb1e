//! What a handler produces: at most one record on each output port. Nothing leaves the trustlet before the
//! handler has returned `Ok`, unless a port is told to [`PortWriter::stream`].

use super::failure::Failure;
use super::headers::{self, HeaderError};
use super::part::Part;
use super::place::Placed;
use super::port_buffer::{PortBuffer, RecordSink, SharedSink};
use hacher_data_path::region::layout::SEGMENT_BYTES;
use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, Write};

/// The port that a function has unless its chain file says otherwise.
pub const DEFAULT_PORT: &str = "out";
/// The port that a record leaves by, as it came, when its function gives it up and the chain file has an edge
/// from there.
pub const ERROR_PORT: &str = "error";

const FIXED: Failure =
    Failure::permanent("a record that was placed is written through what placing it returned");
const NO_STATUS: Failure = Failure::permanent("the status of a reply is a number from 200 to 599");

/// The output of one run.
pub struct Output<'r> {
    ports: &'r mut [PortBuffer],
    /// Encoded headers that every output record starts with.
    inherited: &'r [u8],
    /// Shared by the writers that are open at once; each of them borrows it for as long as one call takes.
    sink: RefCell<&'r mut dyn RecordSink>,
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
            sink: RefCell::new(sink),
        }
    }

    /// A writer to the port named `port`. Asking for a port starts its record, even if nothing is written;
    /// asking again goes on with the same record.
    ///
    /// # Errors
    /// A permanent [`Failure`] when the chain file declares no such port.
    pub fn port(&mut self, port: &str) -> Result<PortWriter<'_>, Failure> {
        let [writer] = self.ports([port])?;
        Ok(writer)
    }

    /// Writers to several ports at once, in the order of `ports`; each of them is as of [`Self::port`].
    ///
    /// ```
    /// # use hacher_libos_net::{Failure, Input, Output, harness::Call};
    /// # fn split(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    /// let [mut even, mut odd] = output.ports(["even", "odd"])?;
    /// for byte in input.bytes()? {
    ///     let half = if byte % 2 == 0 { &mut even } else { &mut odd };
    ///     half.append(&[*byte])?;
    /// }
    /// # Ok(())
    /// # }
    /// # let reply = Call::new().body(&[1, 2, 3]).ports(&["even", "odd"]).run(split);
    /// # assert_eq!(reply.port("odd").unwrap().body(), [1, 3]);
    /// ```
    ///
    /// # Errors
    /// A permanent [`Failure`] when the chain file declares no such port, or when one is named twice.
    #[expect(clippy::missing_panics_doc, reason = "states what was looked up just before")]
    pub fn ports<const N: usize>(&mut self, ports: [&str; N]) -> Result<[PortWriter<'_>; N], Failure> {
        let mut found = [const { None }; N];
        for (index, buffer) in self.ports.iter_mut().enumerate() {
            if let Some(at) = ports.iter().position(|port| buffer.name == **port)
                && let Some(slot) = found.get_mut(at)
            {
                *slot = Some((index, buffer));
            }
        }
        // Names of ports are distinct: a name that is there twice found the port once.
        if found.iter().any(Option::is_none) {
            let is_twice = ports
                .iter()
                .enumerate()
                .any(|(at, port)| ports.iter().take(at).any(|earlier| earlier == port));
            return Err(Failure::permanent(if is_twice {
                "the handler opened one port twice at once"
            } else {
                "the handler wrote to a port that the chain file does not declare (`ports`)"
            }));
        }
        let (inherited, sink) = (self.inherited, &self.sink);
        let writers = found.map(|slot| {
            slot.map(|(index, buffer)| {
                if !buffer.used {
                    buffer.used = true;
                    headers::start(&mut buffer.plain, inherited);
                }
                PortWriter { index, buffer, sink }
            })
        });
        Ok(writers.map(|writer| writer.expect("each was found")))
    }

    /// A writer to the port `out`.
    ///
    /// # Errors
    /// As [`Self::port`].
    pub fn out(&mut self) -> Result<PortWriter<'_>, Failure> {
        self.port(DEFAULT_PORT)
    }

    /// Chooses the status of the reply that the record on the port `out` makes; as
    /// [`PortWriter::set_status`].
    ///
    /// # Errors
    /// As [`Self::port`] and [`PortWriter::set_status`].
    pub fn set_status(&mut self, status: u16) -> Result<(), Failure> {
        self.out()?.set_status(status)
    }

    /// A writer to the port named `port`, for a body that is given in one go: once in a run. Status and
    /// headers may be there already.
    ///
    /// # Errors
    /// A permanent [`Failure`] when that was done before, since a run sends at most one record to each port;
    /// and as [`Self::port`].
    pub fn whole(&mut self, port: &str) -> Result<PortWriter<'_>, Failure> {
        let writer = self.port(port)?;
        if writer.buffer.is_whole {
            return Err(Failure::permanent(
                "the handler sent a second record to one port: a run sends at most one, which `append` adds to",
            ));
        }
        writer.buffer.is_whole = true;
        Ok(writer)
    }

    /// Sends `body` to the port `out`, in one go.
    ///
    /// # Errors
    /// As [`Self::whole`].
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
    /// As [`Self::whole`].
    pub fn send_to(&mut self, port: &str, body: &[u8]) -> Result<(), Failure> {
        let mut writer = self.whole(port)?;
        writer.append(body)
    }
}

/// Writes the record of one port. It starts with the headers of the input that speak of the whole request
/// ([`headers::is_inherited`]): trace context, idempotency key, query. What describes the body is set here.
pub struct PortWriter<'o> {
    index: usize,
    buffer: &'o mut PortBuffer,
    sink: &'o dyn SharedSink,
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

    /// Chooses the status of the reply that this record makes, 200 to 599; 200 if no function chooses one. It
    /// is not inherited: the function whose record reaches `egress` chooses. A reply with 204, 205 or 304 has
    /// no content, so the client gets none of the body.
    ///
    /// # Errors
    /// A permanent [`Failure`] when `status` is another number; and as [`Self::set_header`].
    pub fn set_status(&mut self, status: u16) -> Result<(), Failure> {
        if !headers::STATUSES.contains(&status) {
            return Err(NO_STATUS);
        }
        let digit = |unit: u16| b'0' + u8::try_from(status / unit % 10).unwrap_or(0);
        let digits = [digit(100), digit(10), digit(1)];
        let digits = core::str::from_utf8(&digits).unwrap_or_default();
        headers::set(self.headers()?, headers::STATUS, digits).map_err(refused)
    }

    /// Sets a header, replacing all earlier values. Names are written in any case, and kept in lower case.
    /// The client gets all headers of the last record, but for inherited ones that speak of its request.
    ///
    /// # Errors
    /// A permanent [`Failure`] when name or value is none, when the name speaks of the connection
    /// ([`headers::OF_THE_CONNECTION`]) or is the system's ([`headers::OWN_PREFIX`]), when the headers grow
    /// past their bound, or when part of a streamed record has left.
    pub fn set_header(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let name = Self::settable(name, value)?;
        headers::set(self.headers()?, &name, value).map_err(refused)
    }

    /// Adds a header after earlier values of the same name, as lists such as `link` and lines such as
    /// `set-cookie` have them.
    ///
    /// # Errors
    /// As [`Self::set_header`]; and when the header may stand in a message once ([`headers::is_single`]) and
    /// has a value already.
    pub fn append_header(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let name = Self::settable(name, value)?;
        let plain = self.headers()?;
        if headers::is_single(&name)
            && headers::split(plain).is_ok_and(|(set, _)| headers::find(set, &name).is_some())
        {
            return Err(refused(HeaderError::Repeated));
        }
        headers::append(plain, &name, value).map_err(refused)
    }

    /// Removes all values of a header, inherited ones too: a name in any case.
    ///
    /// # Errors
    /// When part of a streamed record has left.
    pub fn remove_header(&mut self, name: &str) -> Result<(), Failure> {
        headers::remove(self.headers()?, &headers::lower_case(name)).map_err(refused)
    }

    /// Removes what an `error` port says of why a record was given up (`hacher-error-*`), which is inherited:
    /// the client learns of it only what this record says.
    ///
    /// # Errors
    /// As [`Self::remove_header`].
    pub fn remove_explanation(&mut self) -> Result<(), Failure> {
        headers::EXPLANATION
            .into_iter()
            .try_for_each(|name| self.remove_header(name))
    }

    /// The name of a header that a function may set so, in lower case.
    fn settable<'n>(name: &'n str, value: &str) -> Result<Cow<'n, str>, Failure> {
        let name = headers::lower_case(name);
        let is_status = *name == *headers::STATUS;
        if headers::OF_THE_CONNECTION.contains(&&*name) {
            Err(refused(HeaderError::OfTheConnection))
        } else if is_status && headers::status_of(value).is_none() {
            Err(NO_STATUS)
        } else if name.starts_with(headers::OWN_PREFIX)
            && !is_status
            && !headers::EXPLANATION.contains(&&*name)
        {
            Err(refused(HeaderError::Reserved))
        } else {
            Ok(name)
        }
    }

    /// Says that the body is what the body of `part` is: takes over its content type and content coding.
    ///
    /// # Errors
    /// As [`Self::set_header`].
    pub fn describe_as(&mut self, part: &Part) -> Result<(), Failure> {
        let plain = self.headers()?;
        for name in headers::OF_THE_BODY {
            headers::remove(plain, name).map_err(refused)?;
        }
        for (name, value) in headers::named(part.encoded_headers(), &headers::OF_THE_BODY) {
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
        let (index, buffer) = (self.index, &mut *self.buffer);
        self.sink.with(&mut |sink| buffer.place(index, len_bytes, sink))?;
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
        let (index, buffer) = (self.index, &mut *self.buffer);
        for chunk in bytes.chunks(SEGMENT_BYTES) {
            buffer.plain.extend_from_slice(chunk);
            self.sink
                .with(&mut |sink| buffer.send_full_segments(index, sink))?;
        }
        Ok(())
    }
}

const fn refused(error: HeaderError) -> Failure {
    Failure::permanent(match error {
        HeaderError::Invalid => {
            "a header of an output record needs a name that is a token, and a value without control characters"
        }
        HeaderError::OfTheConnection => {
            "a header of an output record speaks of the connection or its framing, which the gateway does"
        }
        HeaderError::Reserved => "a header of an output record begins with `hacher-`, as the system's do",
        HeaderError::Repeated => "a header of an output record that may stand once has a value already",
        HeaderError::Malformed | HeaderError::TooLong => "the headers of an output record are too long",
    })
}

impl Write for PortWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    /// Of a streamed record, passes on what was written so far, in a segment of its own, for whoever waits
    /// for just that; if its readers have `stream = true`, or it goes to `egress` from a function that
    /// has. Otherwise nothing happens.
    fn flush(&mut self) -> io::Result<()> {
        let (index, buffer) = (self.index, &mut *self.buffer);
        Ok(self
            .sink
            .with(&mut |sink| buffer.send_begun_segment(index, sink))?)
    }
}
