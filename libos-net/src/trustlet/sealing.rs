//! The output of a run on its way to the data path, which may have to wait for room.

use super::stream::Stream;
use crate::clock::Monotonic;
use crate::fault::notice::Fault;
use crate::sdk::failure::Failure;
use crate::sdk::port_buffer::{PortBuffer, RecordSink};
use core::time::Duration;
use hacher_data_path::error::{Exhausted, SendError};
use hacher_data_path::fault::cause::Cause;
use hacher_data_path::hop::Own;
use hacher_data_path::hop::Sender;
use hacher_data_path::page::telemetry::Phase;
use hacher_data_path::seal::RecordContext;

/// For how long the end of a record that will not be finished waits for room, before other work goes on.
const ABORT_WAIT: Duration = Duration::from_millis(5);

/// Takes the output's segments to the data path, waiting for room where there is none.
pub(super) struct Sealing<'a> {
    pub(super) own: &'a Own,
    pub(super) sender: &'a mut Sender,
    pub(super) context: RecordContext,
    /// For how long to wait for room.
    pub(super) until: Monotonic,
    pub(super) fault: Option<Fault>,
    pub(super) seal_ns: u64,
    /// What of it went to segments of records that have not ended, by port; empty while there were none.
    pub(super) begun_ns: Vec<u64>,
    /// With headers.
    pub(super) out_bytes: u64,
    /// Of a function that reads its input as a stream.
    pub(super) stream: Option<&'a Stream<'a>>,
    /// Nobody waits for the output any more.
    pub(super) is_unwanted: bool,
}

impl<'a> Sealing<'a> {
    /// For a record of `context`; waits for room until `until`.
    pub(super) const fn new(
        own: &'a Own,
        sender: &'a mut Sender,
        context: RecordContext,
        until: Monotonic,
    ) -> Self {
        Self {
            own,
            sender,
            context,
            until,
            fault: None,
            seal_ns: 0,
            begun_ns: Vec::new(),
            out_bytes: 0,
            stream: None,
            is_unwanted: false,
        }
    }

    /// Does `act` as soon as there is room for its `len_bytes` bytes.
    pub(super) fn once_there_is_room<T>(
        &mut self,
        len_bytes: usize,
        mut act: impl FnMut(&mut Sender, &Own) -> Result<T, SendError>,
    ) -> Result<T, Failure> {
        loop {
            match act(self.sender, self.own) {
                Ok(done) => return Ok(done),
                Err(error) if error.is_transient() && self.own.now() < self.until => {
                    self.sender.wait_for_room(self.own, self.until);
                }
                Err(SendError::Exhausted(Exhausted::TooLarge { outbox_bytes })) => {
                    self.fault = Some(Fault {
                        sizes_bytes: Some((self.out_bytes + len_bytes as u64, outbox_bytes)),
                        ..Cause::OutputTooLarge.into()
                    });
                    return Err(Failure::permanent("the output is larger than the outbox"));
                }
                Err(_) => {
                    self.fault = Some(Cause::Backlogged.into());
                    return Err(Failure::permanent(
                        "a later function was too slow to take the output",
                    ));
                }
            }
        }
    }

    /// Before a step that may wait for room, in a function that streams: it has as long as the stream has
    /// from now on.
    fn begin_step(&mut self) -> Result<(), Failure> {
        let Some(stream) = self.stream else {
            return Ok(());
        };
        if stream.is_unwanted() {
            self.is_unwanted = true;
            return Err(Failure::permanent("nobody waits for the output"));
        }
        stream.waits();
        self.until = stream.deadline();
        self.context.deadline = self.until;
        Ok(())
    }

    /// The step is done, and the stream has moved.
    fn end_step(&self) {
        if let Some(stream) = self.stream {
            stream.moves();
        }
    }

    /// Notes what a segment took before the end of its record.
    fn note_begun(&mut self, port: usize, ns: u64) {
        self.seal_ns += ns;
        if self.begun_ns.len() <= port {
            self.begun_ns.resize(port + 1, 0);
        }
        if let Some(begun) = self.begun_ns.get_mut(port) {
            *begun += ns;
        }
    }

    /// What the segments of a port's record have taken so far.
    fn begun(&self, port: usize) -> u64 {
        self.begun_ns.get(port).copied().unwrap_or(0)
    }

    /// The record of a port has ended.
    fn end_begun(&mut self, port: usize) {
        if let Some(begun) = self.begun_ns.get_mut(port) {
            *begun = 0;
        }
    }

    /// Tells of records that have begun and will not end.
    pub(super) fn tell_unfinished(&mut self) {
        for (port, ns) in self.begun_ns.drain(..).enumerate().filter(|(_, ns)| *ns > 0) {
            self.own.record(Phase::Seal(port), ns);
        }
    }

    pub(super) fn abort(&mut self, port: usize) {
        self.sender.drop_placed(port);
        // Whoever has the beginning waits for the rest, and the next handler may take long. Beyond this wait
        // the event loop says it: nobody who waits for what comes next waits for that.
        let until = self.until.min(self.own.now().after(ABORT_WAIT));
        let abort = |sender: &mut Sender| sender.abort(self.own, port, &self.context);
        while abort(self.sender).is_err_and(SendError::is_transient) && self.own.now() < until {
            self.sender.wait_for_room(self.own, until);
        }
    }
}

impl RecordSink for Sealing<'_> {
    fn segment(&mut self, port: usize, plain: &[u8], last: bool) -> Result<(), Failure> {
        if self.fault.is_some() {
            // The record has a hole already, whatever the handler makes of that.
            return Err(Failure::permanent(
                "the handler went on after its output had failed",
            ));
        }
        // Timing every segment costs little beside sealing 64 KiB; a record of one segment is timed by the
        // caller.
        let start = (!last).then(|| self.own.now());
        self.begin_step()?;
        let context = self.context;
        // What flows to readers that release it as they read lies in the outbox within a window.
        let flows = !last && self.sender.streams(port);
        self.once_there_is_room(plain.len(), |sender, own| {
            if flows && sender.is_ahead(port) {
                return Err(Exhausted::Full.into());
            }
            sender.send(own, port, &context, plain, last)
        })?;
        self.end_step();
        self.out_bytes += plain.len() as u64;
        if let Some(start) = start {
            self.note_begun(port, self.own.ns_since(start));
        }
        Ok(())
    }

    fn streams(&self, port: usize) -> bool {
        self.sender.streams(port)
    }

    fn segment_bytes(&self, port: usize) -> usize {
        self.sender.segment_bytes(port)
    }

    fn place(&mut self, port: usize, len_bytes: usize) -> Result<bool, Failure> {
        self.begin_step()?;
        let invocation = self.context.invocation;
        let placed =
            self.once_there_is_room(len_bytes, |sender, _| sender.place(port, invocation, len_bytes))?;
        self.end_step();
        if placed {
            self.out_bytes += len_bytes as u64;
        }
        Ok(placed)
    }

    fn write_placed(&mut self, port: usize, at: usize, bytes: &[u8]) -> bool {
        self.sender.write_placed(port, at, bytes)
    }

    fn send_placed(&mut self, port: usize) -> Result<(), Failure> {
        self.begin_step()?;
        let context = self.context;
        self.once_there_is_room(0, |sender, own| sender.send_placed(own, port, &context))?;
        self.end_step();
        Ok(())
    }
}

/// Sends the records of all ports that the handler used.
pub(super) fn send_all(
    ports: &mut [PortBuffer],
    sealing: &mut Sealing<'_>,
    mut now: Monotonic,
    ended: &mut Monotonic,
) -> Result<(), Failure> {
    let outbox_bytes = sealing.sender.outbox_bytes();
    let mut used = false;
    *ended = now;
    for (index, port) in ports.iter_mut().enumerate().filter(|(_, port)| port.is_used()) {
        used = true;
        let size_bytes = port.pending_bytes() as u64;
        if size_bytes > outbox_bytes && !sealing.sender.streams(index) {
            sealing.fault = Some(Fault {
                sizes_bytes: Some((size_bytes, outbox_bytes)),
                ..Cause::OutputTooLarge.into()
            });
            return Err(Failure::permanent("the output is larger than the outbox"));
        }
        let (seal_before, begun_before) = (sealing.seal_ns, sealing.begun(index));
        port.finish(index, sealing)?;
        let then = sealing.sender.published_last().max(now);
        // All segments of the rest are within that time.
        sealing.end_begun(index);
        sealing.seal_ns = seal_before + then.ns_since(now);
        sealing
            .own
            .record(Phase::Seal(index), begun_before + then.ns_since(now));
        now = then;
        *ended = now;
    }
    if used {
        return Ok(());
    }
    sealing.fault = Some(Cause::NoOutput.into());
    Err(Failure::permanent("the handler produced no output"))
}
