//! The input of a run that has not come yet, or that is opened once more.

use super::job::Job;
use super::join::Bundle;
use super::stream::Stream;
use crate::clock::Monotonic;
use crate::sdk::failure::Failure;
use crate::sdk::input::SegmentSource;
use crate::sdk::part::Part;
use hacher_data_path::hop::Own;
use hacher_data_path::hop::Receiver;
use hacher_data_path::inlet::{Opened, RecordPlace, Step, Taking};
use hacher_data_path::page::counter::Counter;
use hacher_data_path::record::refusal::Refusal;
use hacher_data_path::region::layout::SEGMENT_BYTES;

/// Why an input will never be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    Abandoned,
    Refused,
    Late,
    /// Nobody waits for what would come of it.
    Unwanted,
}

const REFUSED: Failure = Failure::retry("a segment of the input was refused");

/// The later segments of a record of which a part has come.
pub(super) struct Arriving<'a> {
    pub(super) own: &'a Own,
    pub(super) receiver: &'a mut Receiver,
    pub(super) record: RecordPlace,
    pub(super) deadline: Monotonic,
    /// Next segment to open again; `None` once those of an earlier attempt are used up.
    pub(super) again: Option<u64>,
    pub(super) complete: bool,
    pub(super) lost: Option<Lost>,
    pub(super) open_ns: u64,
    pub(super) opened_bytes: u64,
    /// Of a function that reads its input as a stream.
    pub(super) stream: Option<&'a Stream<'a>>,
    /// A part of the record was released.
    pub(super) is_used_up: bool,
}

impl<'a> Arriving<'a> {
    pub(super) fn new(own: &'a Own, receiver: &'a mut Receiver, job: &Job) -> Self {
        Self {
            own,
            receiver,
            record: job.record,
            deadline: job.deadline,
            again: None,
            complete: !job.streams,
            lost: None,
            open_ns: 0,
            opened_bytes: 0,
            stream: None,
            is_used_up: job.is_used_up,
        }
    }

    /// Before a handler that reads a stream waits for its next segment: it has used what came before.
    fn use_up(&mut self, stream: &Stream<'_>, part: &Part) {
        stream.waits();
        // What lies in place is one large segment, as a producer writes that does not stream.
        if !part.is_in_place() {
            self.is_used_up = true;
            self.receiver.release_part(self.own, self.record);
        }
    }

    /// Goes back to the record's beginning: opens its first segment again.
    pub(super) fn restart(&mut self, bundle: &mut Bundle) -> Result<(), Failure> {
        let Some(part) = bundle.parts.first_mut() else {
            return Ok(());
        };
        if part.is_in_place() {
            return Ok(()); // nothing of it is used up
        }
        let Some(upstream) = self.receiver.upstream(self.record.ring).copied() else {
            return Ok(());
        };
        part.clear(upstream.function, upstream.port);
        let was_complete = self.complete;
        self.again = Some(0);
        let last = self.open_next(part)?;
        part.parse_headers()
            .map_err(|_| Failure::retry("the input has malformed headers"))?;
        if last {
            part.set_complete();
        }
        // Whether the whole record has arrived does not change by reading it again.
        self.complete = was_complete;
        Ok(())
    }

    /// Opens again what was given up while it waited.
    pub(super) fn reopen_shed(&mut self, bundle: &mut Bundle) -> Result<(), Failure> {
        while let Some((part, record)) = bundle.first_shed() {
            let start = self.own.now();
            self.reopen(part, record)?;
            self.open_ns += self.own.ns_since(start);
        }
        Ok(())
    }

    /// Opens the first part again, if it was given up while it waited.
    pub(super) fn reopen_first(&mut self, bundle: &mut Bundle) -> Result<(), Failure> {
        match bundle.first_part_shed() {
            Some((part, record)) => self.reopen(part, record),
            None => Ok(()),
        }
    }

    /// Opens all of a record that has arrived and is not released.
    pub(super) fn reopen(&mut self, part: &mut Part, record: RecordPlace) -> Result<(), Failure> {
        let Some(upstream) = self.receiver.upstream(record.ring).copied() else {
            return self.lose(Lost::Refused, REFUSED);
        };
        part.clear(upstream.function, upstream.port);
        for segment in 0.. {
            let opened = self.receiver.reopen(self.own, record, segment, part.plain_mut());
            let Some(Ok(descriptor)) = opened else { break };
            if segment == 0 && part.parse_headers().is_err() {
                break;
            }
            if descriptor.last {
                part.set_complete();
                return Ok(());
            }
        }
        self.lose(Lost::Refused, REFUSED)
    }

    /// Opens all that is left into `part`, and waits for it.
    pub(super) fn open_rest(&mut self, part: &mut Part) -> Result<(), Failure> {
        while !part.is_complete() {
            if self.open_next(part)? {
                part.set_complete();
            }
        }
        Ok(())
    }

    /// Opens what has come into `part`, and waits for nothing; whether that was all of it. Opened bytes
    /// beyond `kept_max` are given up, to be opened again.
    pub(super) fn open_available(&mut self, part: &mut Part, kept_max: usize) -> Result<bool, Failure> {
        while !part.is_complete() {
            match self.step(part)? {
                Some(true) => part.set_complete(),
                Some(false) => {}
                None => return Ok(false),
            }
            if part.is_shed() || part.kept_bytes() > kept_max {
                part.shed();
            }
        }
        Ok(true)
    }

    /// Opens the next segment into `part`, if there is one; whether it was the last.
    fn step(&mut self, part: &mut Part) -> Result<Option<bool>, Failure> {
        // As its first segment was.
        let upstream = self.receiver.upstream(self.record.ring);
        let is_copied = !part.is_in_place() && upstream.is_some_and(|upstream| upstream.streams);
        let start = self.own.now();
        let step = self
            .receiver
            .step_choosing(
                self.own,
                self.record.ring,
                part.plain_mut(),
                |descriptor| match is_copied && descriptor.len_bytes <= SEGMENT_BYTES {
                    true => Taking::Copy,
                    false => Taking::InPlace,
                },
            );
        let (lost, why) = match step {
            // As no producer writes: what follows a short segment is none that fills memory.
            Step::Opened(opened) if is_copied && opened.in_place => {
                self.own.count(Counter::Refused(Refusal::Malformed), 1);
                self.complete = opened.descriptor.last;
                return self.lose(Lost::Refused, REFUSED);
            }
            Step::Opened(opened) => {
                add_in_place(self.receiver, &opened, part);
                self.open_ns += self.own.ns_since(start);
                self.opened_bytes += opened.descriptor.len_bytes as u64;
                self.complete = opened.descriptor.last;
                if let Some(stream) = self.stream {
                    stream.moves();
                }
                return Ok(Some(opened.descriptor.last));
            }
            Step::Empty => return Ok(None),
            Step::Abandoned(_) => (Lost::Abandoned, Failure::retry("the sender gave up on the input")),
            Step::Refused { .. } | Step::Interrupted { .. } => (Lost::Refused, REFUSED),
        };
        self.complete = true;
        self.lose(lost, why)
    }

    fn lose<T>(&mut self, lost: Lost, failure: Failure) -> Result<T, Failure> {
        self.lost = Some(lost);
        Err(failure)
    }
}

impl SegmentSource for Arriving<'_> {
    fn open_next(&mut self, part: &mut Part) -> Result<bool, Failure> {
        if let Some(segment) = self.again {
            let start = self.own.now();
            match self
                .receiver
                .reopen(self.own, self.record, segment, part.plain_mut())
            {
                Some(Ok(descriptor)) => {
                    self.again = Some(segment + 1);
                    self.open_ns += self.own.ns_since(start);
                    // The first is counted with the part.
                    if segment > 0 {
                        self.opened_bytes += descriptor.len_bytes as u64;
                    }
                    return Ok(descriptor.last);
                }
                Some(Err(_)) => {
                    return self.lose(Lost::Refused, REFUSED);
                }
                None if self.complete => return self.lose(Lost::Refused, REFUSED),
                None => self.again = None,
            }
        }
        let stream = self.stream;
        if let Some(stream) = stream {
            self.use_up(stream, part);
        }
        loop {
            if let Some(last) = self.step(part)? {
                return Ok(last);
            }
            if stream.is_some_and(Stream::is_unwanted) {
                return self.lose(Lost::Unwanted, Failure::retry("nobody waits for the answer"));
            }
            let until = self.until();
            if self.own.now() >= until {
                return self.lose(Lost::Late, Failure::retry("the input did not arrive in time"));
            }
            self.receiver.wait_for(self.own, self.record.ring, until);
        }
    }
}

impl Arriving<'_> {
    /// Until when the rest of the input is waited for.
    fn until(&self) -> Monotonic {
        self.stream.map_or(self.deadline, Stream::deadline)
    }
}

/// Adds a segment to `part` that was left in place, if it was.
pub(super) fn add_in_place(receiver: &Receiver, opened: &Opened, part: &mut Part) {
    if opened.in_place
        && let Some(region) = receiver.region(opened.record.ring)
    {
        part.add_in_place(region, opened.descriptor.offset, opened.descriptor.len_bytes);
    }
}
