//! `settle`: what becomes of the input after an attempt: it is released, or kept for another attempt, or
//! given up.

use super::arriving::Lost;
use super::attempt::Ran;
use super::backoff::backoff_ns;
use super::event_loop::Trustlet;
use super::job::{Delayed, Job, Then, Unfinished};
use super::stream::is_stream;
use crate::clock::Monotonic;
use crate::fault::notice::Fault;
use crate::own_process::last_words;
use crate::sdk::failure::Failure;
use crate::sdk::input::Input;
use crate::sdk::output::Output;
use crate::sdk::run::PANICKED;
use core::time::Duration;
use hacher_data_path::fault::cause::Cause;
use hacher_data_path::page::counter::Counter;
use hacher_data_path::page::telemetry::{Outcome, Phase, Trace};
use hacher_data_path::region::layout::page_word;

impl<H> Trustlet<H>
where
    H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    /// Decides what becomes of the input.
    pub(super) fn settle(&mut self, job: Job, mut ran: Ran) {
        let own = &self.place.own;
        let ring = job.record.ring;
        if job.attempt == 1 && job.bundle.places.len() == 1 {
            self.note_arrival(&job);
        }
        // A further attempt was not handed over again; of opening, it has its own share.
        let (queued_ns, hand_over_ns, open_ns) = match job.attempt {
            1 => (job.times.queued_ns, job.times.hand_over_ns, job.times.open_ns),
            _ => (0, 0, ran.open_ns),
        };
        own.record(Phase::Open(ring), open_ns);
        own.record(Phase::Run, ran.run_ns);
        own.count(Counter::BytesIn, ran.in_bytes);
        own.count(Counter::BytesOut, ran.out_bytes);
        let mut retry_at = self.retry_at(&job, &ran);
        let own = &self.place.own;
        if retry_at.is_some() && own.is_closed(job.invocation) {
            (ran.lost, retry_at) = (Some(Lost::Unwanted), None);
        }
        let outcome = match (&ran.result, ran.lost, retry_at) {
            (Ok(()), None, _) => Outcome::Succeeded,
            (_, _, Some(_)) => Outcome::Retried,
            (_, Some(Lost::Abandoned | Lost::Late | Lost::Unwanted), None) => Outcome::Abandoned,
            _ => Outcome::Failed,
        };
        let fault = match (&ran.result, ran.lost) {
            (_, Some(Lost::Refused)) => Some(Cause::InputRefused.into()),
            (Err(failure), None) => Some(ran.fault.unwrap_or_else(|| fault_of(failure))),
            (_, Some(_)) | (Ok(()), None) => None,
        };
        let trace = Trace {
            invocation: job.invocation.halves().0,
            inbound: u32::try_from(ring).unwrap_or(u32::MAX),
            attempt: job.attempt,
            outcome,
            cause: fault.map(|fault| (fault.cause, fault.code)),
            seen_ns: if job.attempt == 1 {
                job.times.seen_ns
            } else {
                job.ready.as_ns()
            },
            queued_ns,
            hand_over_ns,
            open_ns,
            run_ns: ran.run_ns,
            seal_ns: ran.seal_ns,
            in_bytes: ran.in_bytes,
            out_bytes: ran.out_bytes,
        };
        own.trace(&trace);
        if let Some(span) = ran.span {
            self.tell_run(&job, &span, (job.ready, ran.ended), trace);
        }
        self.free_since = ran.ended;
        // Of a run that failed it is not known what was waited for since.
        self.ended = (ran.result.is_ok() && ran.lost.is_none()).then_some(ran.ended);
        match (fault, ran.lost, retry_at) {
            (_, Some(lost), _) => self.lose(job, Some(lost)),
            (None, None, _) => {
                self.place.own.count(Counter::Succeeded, 1);
                self.drop_job(job);
            }
            (Some(_), None, Some(due)) => self.delay(job, due),
            (Some(fault), None, None) => self.give_up(job, &fault),
        }
    }

    /// When the next attempt is due, if there is to be one.
    pub(super) fn retry_at(&mut self, job: &Job, ran: &Ran) -> Option<Monotonic> {
        let transient = ran.result.is_err_and(|failure| failure.is_transient());
        let begin = &self.place.begin;
        if !transient
            || ran.lost.is_some()
            || ran.fault.is_some()
            || job.is_used_up
            || job.attempt >= begin.limits.retry_attempts
        {
            return None;
        }
        let wait_ns = backoff_ns(begin, job.attempt, &mut self.jitter);
        let due = self.place.own.now().after(Duration::from_nanos(wait_ns));
        (due < job.deadline).then_some(due)
    }

    pub(super) fn delay(&mut self, job: Job, due: Monotonic) {
        self.place.own.count(Counter::Retried, 1);
        self.place.own.store(page_word::BUSY_SINCE, 0);
        self.place.own.store(page_word::RUNNING_INBOUND, 0);
        // A stream's rest stays where it is: no other record is begun before this one is tried again. Of
        // others, what has not been looked at must arrive before the ring can go on to the next record.
        match job.streams && !is_stream(&self.place.receiver, job.record.ring) {
            true => self.collect(Unfinished {
                job,
                then: Then::Retry(due),
            }),
            false => self.delayed.push(Delayed::again(job, due)),
        }
    }
}

/// What a run is given up for that ended with `failure`.
fn fault_of(failure: &Failure) -> Fault {
    if *failure != PANICKED {
        return Fault {
            reason: Some(*failure),
            ..Cause::Failed.into()
        };
    }
    // Of a panic the cause says it all.
    let (cause, code) = last_words::last_panic().cause();
    Fault { code, ..cause.into() }
}
