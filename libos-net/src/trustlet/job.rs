//! One run of the handler, as far as it is known before and between its attempts.

use super::join::Bundle;
use super::suspects::Suspect;
use crate::clock::Monotonic;
use hacher_data_path::inlet::RecordPlace;
use hacher_data_path::record::invocation::InvocationId;

/// A run that is to be, or has been.
pub(super) struct Job {
    pub(super) bundle: Bundle,
    pub(super) invocation: InvocationId,
    pub(super) deadline: Monotonic,
    pub(super) attempt: u32,
    /// The record that makes the job ready: the only one, or of a join the one that came last.
    pub(super) record: RecordPlace,
    /// The one part's later segments have not been opened.
    pub(super) streams: bool,
    /// A part of its record was released, so there is no other attempt.
    pub(super) is_used_up: bool,
    /// When it could run, so that the clock need not be read again before it does.
    pub(super) ready: Monotonic,
    pub(super) times: Times,
}

/// What is known of a job's times before it runs.
#[derive(Clone, Copy, Default)]
pub(super) struct Times {
    pub(super) seen_ns: u64,
    pub(super) queued_ns: u64,
    pub(super) hand_over_ns: u64,
    pub(super) open_ns: u64,
    /// A process before this one had taken it.
    pub(super) is_taken_again: bool,
}

/// A job that failed and waits for its next attempt.
pub(super) struct Delayed {
    pub(super) job: Job,
    pub(super) due: Monotonic,
}

impl Delayed {
    /// The next attempt of `job`, of which no opened bytes are kept: it may wait for long, and others with
    /// it.
    pub(super) fn again(mut job: Job, due: Monotonic) -> Self {
        job.attempt += 1;
        job.bundle.shed();
        Self { job, due }
    }
}

/// A job of whose record a part has come. It waits for the rest beside all others: what would make room for
/// the rest may have to be done here first.
pub(super) struct Unfinished {
    pub(super) job: Job,
    pub(super) then: Then,
}

/// What becomes of a job when all of its record has come.
#[derive(Clone, Copy)]
pub(super) enum Then {
    /// It waits at a join for the others.
    Join,
    Run,
    /// It waits for its next attempt.
    Retry(Monotonic),
    /// It has had all its attempts, and leaves by the `error` port.
    GiveUp(Suspect),
}
