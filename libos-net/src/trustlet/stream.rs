//! A run of a function that reads its input as a stream: it may take as long as the stream does, as long as
//! it moves.
//!
//! ```text
//! timeout     between two steps (a segment read, a segment sent) of the handler; waiting does not count
//! deadline    renewed with each step: nobody waits longer than that for the next one
//! ```

use super::job::Job;
use crate::clock::Monotonic;
use core::cell::Cell;
use core::time::Duration;
use hacher_data_path::attach::message::Begin;
use hacher_data_path::hop::{Own, Receiver};
use hacher_data_path::record::invocation::InvocationId;
use hacher_data_path::region::layout::page_word;

/// Whether the function that is attached so reads records as streams, of one of its inputs at least.
pub(super) fn reads_streams(receiver: &Receiver) -> bool {
    (0..receiver.ring_count()).any(|ring| is_stream(receiver, ring))
}

/// Whether it reads those of this ring so.
pub(super) fn is_stream(receiver: &Receiver, ring: usize) -> bool {
    receiver.upstream(ring).is_some_and(|upstream| upstream.streams)
}

/// How a run moves along its streams, seen from both of its ends.
pub(super) struct Stream<'a> {
    own: &'a Own,
    invocation: InvocationId,
    /// The chain's deadline.
    limit: Duration,
    deadline: Cell<Monotonic>,
    /// When it moved last.
    moved: Cell<Monotonic>,
}

impl<'a> Stream<'a> {
    /// For one run on a record that is read as a stream.
    pub(super) fn new(own: &'a Own, begin: &Begin, job: &Job) -> Self {
        Self {
            own,
            invocation: job.invocation,
            limit: Duration::from_nanos(begin.deadline_ns),
            deadline: Cell::new(job.deadline),
            moved: Cell::new(job.ready),
        }
    }

    /// Until when the next step is waited for.
    pub(super) const fn deadline(&self) -> Monotonic {
        self.deadline.get()
    }

    /// The deadline, and since when the timeout counts.
    pub(super) const fn times(&self) -> (Monotonic, Monotonic) {
        (self.deadline.get(), self.moved.get())
    }

    /// Whether nobody waits for what comes of it.
    pub(super) fn is_unwanted(&self) -> bool {
        self.own.is_closed(self.invocation)
    }

    /// The handler waits for others from now on.
    pub(super) fn waits(&self) {
        self.own.store(page_word::BUSY_SINCE, 0);
    }

    /// A segment was read or sent, and the handler goes on.
    pub(super) fn moves(&self) {
        let now = self.own.now();
        let deadline = now.after(self.limit);
        self.deadline.set(deadline);
        self.moved.set(now);
        self.own.store(page_word::RUNNING_DEADLINE, deadline.as_ns());
        self.own.store(page_word::BUSY_SINCE, now.as_ns());
    }
}
