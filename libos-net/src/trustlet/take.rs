//! `take`: a record from a ring (a join: one from each upstream function), opening it; and the run of the
//! handler that it makes ready.

use super::arriving::{Arriving, Lost, add_in_place};
use super::event_loop::Trustlet;
use super::job::{Delayed, Job, Then, Times, Unfinished};
use super::join::{Bundle, Joined};
use super::suspects::Stage;
use crate::clock::Monotonic;
use crate::fault::notice::{Fault, KeptBack};
use crate::sdk::failure::Failure;
use crate::sdk::input::Input;
use crate::sdk::output::Output;
use crate::sdk::part::Part;
use hacher_data_path::fault::cause::Cause;
use hacher_data_path::inlet::{Opened, Step, Taking};
use hacher_data_path::page::counter::Counter;
use hacher_data_path::page::telemetry::{Outcome, Phase};
use hacher_data_path::record::refusal::Refusal;
use hacher_data_path::region::layout::{SEGMENT_BYTES, page_word};

/// Bytes kept of records that come while others wait, and are no parts of joins.
const COLLECTED_MAX_BYTES: usize = 1 << 20;

impl<H> Trustlet<H>
where
    H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    /// Takes what there is on `ring`, and runs the handler if that completes an input.
    pub(super) fn take(&mut self, ring: usize) {
        let seen = self.now();
        if let Some(unfinished) = self.take_unfinished(ring) {
            return self.collect(unfinished);
        }
        let Some(upstream) = self.place.receiver.upstream(ring) else {
            return;
        };
        let mut bundle = self.pool.take(1, upstream);
        let Some(part) = bundle.parts.first_mut() else {
            return;
        };
        let (reads_stream, joins) = (upstream.streams, upstream.group_width > 1);
        let place = &mut self.place;
        let step = place
            .receiver
            .step_choosing(&place.own, ring, part.plain_mut(), |descriptor| {
                // What leaves its place is free for the producer's next segment.
                match reads_stream && !descriptor.last && descriptor.len_bytes <= SEGMENT_BYTES {
                    true => Taking::Copy,
                    false => Taking::InPlace,
                }
            });
        match step {
            Step::Empty => self.pool.give(bundle),
            Step::Abandoned(record) => {
                self.place.own.count(Counter::Abandoned, 1);
                self.place.receiver.release(&self.place.own, record);
                self.pool.give(bundle);
            }
            Step::Refused {
                refusal,
                arriving,
                claimed,
            } => {
                if let Some(record) = arriving {
                    self.place.receiver.release(&self.place.own, record);
                }
                // What was replayed, or belongs to another edge, is not what is missing here.
                if let (Some(claimed), Refusal::Forged | Refusal::OutOfOrder) = (claimed, refusal) {
                    let deadline = self.believed(claimed.deadline, seen);
                    // Nothing vouches for what it claims, so nothing is waited for.
                    self.tell_gateway(claimed.invocation, deadline, seen, 1, &Cause::InputRefused.into());
                }
                self.pool.give(bundle);
            }
            Step::Interrupted { claimed } => {
                let (cause, code) = self.predecessor_end;
                let fault = Fault { code, ..cause.into() };
                let deadline = self.believed(claimed.deadline, seen);
                // As above: nothing is waited for.
                self.tell_gateway(claimed.invocation, deadline, seen, 1, &fault);
                self.pool.give(bundle);
            }
            // The rest of a record that nobody waits for: not reached, as each that has begun is waited for,
            // or passed over.
            Step::Opened(opened) if !opened.begins => {
                self.place.own.count(Counter::Refused(Refusal::OutOfOrder), 1);
                if !opened.descriptor.last {
                    self.place.receiver.give_up_arriving(ring);
                }
                self.pool.give(bundle);
            }
            Step::Opened(opened) => {
                add_in_place(&self.place.receiver, &opened, part);
                let headers = part.parse_headers();
                if opened.descriptor.last {
                    part.set_complete();
                }
                bundle.places.push(opened.record);
                if self.place.receiver.was_done(opened.record) {
                    return self.pass_over(bundle, &opened);
                }
                // What was left in place was not opened.
                let ready = if opened.in_place {
                    seen
                } else {
                    self.place.own.now()
                };
                let times = self.times(&opened, seen, ready);
                let job = Job {
                    bundle,
                    invocation: opened.descriptor.invocation,
                    deadline: self.believed(opened.descriptor.deadline, seen),
                    attempt: 1,
                    record: opened.record,
                    streams: !opened.descriptor.last,
                    is_used_up: false,
                    ready,
                    times,
                };
                let pointless = headers.is_ok() && self.is_pointless(&job, seen);
                if headers.is_ok() && !pointless && !joins {
                    // Its times are noted when it is settled: until then somebody waits for what it makes.
                    return match job.streams && !reads_stream && self.must_not_wait() {
                        true => self.collect(Unfinished { job, then: Then::Run }),
                        false => self.run(job),
                    };
                }
                self.note_arrival(&job);
                if headers.is_err() {
                    self.place.own.count(Counter::Refused(Refusal::BadHeaders), 1);
                    self.give_up(job, &Cause::InputRefused.into());
                } else if pointless {
                    self.drop_job(job);
                } else {
                    self.join(job);
                }
            }
        }
    }

    /// Releases a record again that a predecessor had released out of order.
    pub(super) fn pass_over(&mut self, bundle: Bundle, opened: &Opened) {
        if !opened.descriptor.last {
            self.place.receiver.give_up_arriving(opened.record.ring);
        }
        self.release(bundle);
    }

    pub(super) fn times(&self, opened: &Opened, seen: Monotonic, ready: Monotonic) -> Times {
        let open_ns = ready.ns_since(seen);
        if self.place.receiver.was_taken(opened.record) {
            // It did not lie there all the time: a process before this one may have run it.
            return Times {
                seen_ns: seen.as_ns(),
                open_ns,
                is_taken_again: true,
                ..Times::default()
            };
        }
        // The time of publishing is the producer's word; clamped, a lie about it changes nothing but this
        // figure.
        let published = opened.published.min(seen);
        let free = self.free_since.clamp(published, seen);
        Times {
            seen_ns: seen.as_ns(),
            queued_ns: free.ns_since(published),
            hand_over_ns: seen.ns_since(free),
            open_ns,
            is_taken_again: false,
        }
    }

    /// Notes how long a record lay there and how long its hand-over took, if no process before this one had
    /// taken it.
    pub(super) fn note_arrival(&self, job: &Job) {
        if job.times.is_taken_again {
            return;
        }
        let (own, ring) = (&self.place.own, job.record.ring);
        own.record(Phase::Queued(ring), job.times.queued_ns);
        own.record(Phase::HandOver(ring), job.times.hand_over_ns);
    }

    /// Whether the rest of a record must not be waited for alone: its producer may have no room for it before
    /// something else is done here.
    fn must_not_wait(&self) -> bool {
        self.keeps_others_waiting() || self.place.receiver.ring_count() > 1
    }

    /// The job whose record is arriving on `ring`.
    fn take_unfinished(&mut self, ring: usize) -> Option<Unfinished> {
        let is_of_ring = |unfinished: &Unfinished| unfinished.job.record.ring == ring;
        let index = self.unfinished.iter().position(is_of_ring)?;
        Some(self.unfinished.swap_remove(index))
    }

    /// A record that belongs to a join.
    pub(super) fn join(&mut self, mut job: Job) {
        let then = match self.suspect(&job).filter(|suspect| self.is_last(suspect)) {
            Some(mut suspect) if job.streams && self.leaves_by_error_port(&suspect) => {
                job.attempt = suspect.attempts;
                // Now, as its rest may never come.
                self.tell_dead_run(&job, &suspect, Outcome::Failed);
                suspect.is_new = false;
                Then::GiveUp(suspect)
            }
            Some(suspect) => return self.give_up_suspect(job, &suspect),
            None => Then::Join,
        };
        self.collect(Unfinished { job, then });
    }

    /// Opens what has come of a record, and goes on with it if that is all of it. Else it waits with all
    /// others.
    pub(super) fn collect(&mut self, Unfinished { mut job, then }: Unfinished) {
        if job.streams {
            // To collect records may take more memory than there is.
            self.mark_running(&job, Monotonic::from_ns(0));
            if let Then::GiveUp(_) = then {
                self.mark_stage(Stage::ErrorPort);
            }
            let kept_max = self.may_keep(then);
            let mut source = Arriving::new(&self.place.own, &mut self.place.receiver, &job);
            let part = job.bundle.parts.first_mut();
            let arrived = part.map(|part| source.open_available(part, kept_max));
            job.times.open_ns += source.open_ns;
            let lost = source.lost;
            self.mark_stage(Stage::Run);
            if let Some(Ok(false)) = arrived {
                self.place.own.store(page_word::RUNNING_INBOUND, 0);
                return self.unfinished.push(Unfinished { job, then });
            }
            job.streams = false;
            if let Some(Err(_)) = arrived {
                return match then {
                    // Its producer's retry is the same record, and would have all attempts once more.
                    Then::GiveUp(suspect) if lost == Some(Lost::Abandoned) => {
                        self.give_up_without(job, &suspect, KeptBack::NotWhole);
                    }
                    _ => self.lose(job, lost),
                };
            }
            self.place.own.store(page_word::RUNNING_INBOUND, 0);
        }
        match then {
            Then::Join => self.add_to_join(job),
            Then::Run => {
                job.ready = self.place.own.now();
                match self.is_pointless(&job, job.ready) {
                    true => self.drop_job(job),
                    false => self.run(job),
                }
            }
            Then::Retry(due) => self.delayed.push(Delayed::again(job, due)),
            Then::GiveUp(suspect) => self.give_up_suspect(job, &suspect),
        }
    }

    /// Bytes that may be kept of what is opened of a record before all of it has come.
    fn may_keep(&mut self, then: Then) -> usize {
        let others = self.unfinished_bytes();
        match then {
            Then::Join => self.joins.room().saturating_sub(others),
            Then::Run => COLLECTED_MAX_BYTES.saturating_sub(others),
            // Another attempt, or giving up, opens it again.
            Then::Retry(_) | Then::GiveUp(_) => 0,
        }
    }

    fn unfinished_bytes(&mut self) -> usize {
        let parts = self
            .unfinished
            .iter_mut()
            .flat_map(|each| &mut each.job.bundle.parts);
        parts.map(Part::kept_bytes).sum()
    }

    /// Runs the handler if no part of its input is missing.
    fn add_to_join(&mut self, job: Job) {
        let ring = job.record.ring;
        self.tell_arrival(&job, ring);
        // Also here, and not only before sleep: there may be no sleep for long.
        self.drop_unwanted();
        let Some(upstream) = self.place.receiver.upstream(ring).copied() else {
            return;
        };
        let ready = self.place.own.now();
        let Job {
            bundle,
            invocation,
            deadline,
            record,
            times,
            ..
        } = job;
        // What others' parts may hold is less by what is held of those that have not come as a whole.
        let elsewhere = self.unfinished_bytes();
        let (waits, pool) = ((ready, deadline), &mut self.pool);
        match self
            .joins
            .add(bundle, &upstream, invocation, waits, (pool, elsewhere))
        {
            Joined::Waiting => {}
            Joined::Duplicate(bundle) => self.release(bundle),
            Joined::TooMany(bundle) => {
                self.place.own.count(Counter::Abandoned, 1);
                self.release(bundle);
            }
            Joined::Complete(bundle) => {
                self.run(Job {
                    bundle,
                    invocation,
                    deadline,
                    attempt: 1,
                    record,
                    streams: false,
                    is_used_up: false,
                    ready,
                    times,
                });
            }
        }
    }

    /// Drops a job whose input will never be whole.
    pub(super) fn lose(&mut self, job: Job, lost: Option<Lost>) {
        match lost {
            Some(Lost::Refused) => self.give_up(job, &Cause::InputRefused.into()),
            Some(Lost::Unwanted) => {
                self.place.own.count(Counter::Cancelled, 1);
                self.drop_job(job);
            }
            Some(Lost::Late) => {
                self.place.own.count(Counter::Expired, 1);
                self.place.receiver.give_up_arriving(job.record.ring);
                self.release(job.bundle);
            }
            // The producer's own retry, or its fault notice, follows.
            Some(Lost::Abandoned) | None => {
                self.place.own.count(Counter::Abandoned, 1);
                self.release(job.bundle);
            }
        }
    }
}
