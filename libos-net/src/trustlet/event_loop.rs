//! What a trustlet does next: a run that is due, a record from a ring, or sleep.

use super::backoff::backoff_ns;
use super::job::{Delayed, Job, Unfinished};
use super::join::{Bundle, Joins, Pool};
use super::standstill::{LOOK_EVERY, Standstill};
use super::stream::{is_stream, reads_streams};
use super::suspects::{self, Suspects};
use crate::attach::attachment::Attachment;
use crate::clock::Monotonic;
use crate::sdk::failure::Failure;
use crate::sdk::input::Input;
use crate::sdk::output::Output;
use crate::sdk::port_buffer::PortBuffer;
use crate::sdk::secret::Secret;
use core::time::Duration;
use hacher_data_path::fault::cause::Cause;
use hacher_data_path::hop::Own;
use hacher_data_path::inlet::RecordPlace;
use hacher_data_path::page::counter::Counter;
use hacher_data_path::place::making::Place;
use hacher_data_path::region::layout::page_word;

/// How often a function looks whether the stream is still wanted that it is to try again.
const UNWANTED_LOOK: Duration = Duration::from_millis(50);

/// A function at its place in a chain. [`serve`](crate::serve) turns it for as long as its process lives;
/// whoever drives it himself, as tests do, turns it step by step.
pub struct Trustlet<H> {
    pub(super) handler: H,
    pub(super) place: Place,
    pub(super) secrets: Vec<Secret>,
    pub(super) ports: Vec<PortBuffer>,
    /// What the segments of each port's record have taken; kept here between runs for its room.
    pub(super) begun_ns: Vec<u64>,
    pub(super) pool: Pool,
    pub(super) joins: Joins,
    pub(super) delayed: Vec<Delayed>,
    /// Of records of which a part has come; one of each ring at most.
    pub(super) unfinished: Vec<Unfinished>,
    pub(super) standstill: Standstill,
    /// Records that earlier processes have died in.
    pub(super) suspects: Suspects,
    /// What outputs inherit of the input's headers.
    pub(super) inherited: Vec<u8>,
    /// Since when this instance has had nothing to do.
    pub(super) free_since: Monotonic,
    /// When the last run ended, if nothing has been waited for since.
    pub(super) ended: Option<Monotonic>,
    /// State of the generator of jitter; no secret depends on it.
    pub(super) jitter: u64,
    /// Whether it reads its input as a stream.
    pub(super) reads_streams: bool,
    /// How the process before this one ended.
    pub(super) predecessor_end: (Cause, u32),
}

impl<H> Trustlet<H>
where
    H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    /// Runs `handler` at the place of `attachment`, and takes over what a predecessor has left.
    pub fn attached(handler: H, attachment: Attachment) -> Self {
        let (place, secrets) = attachment.into_place();
        Self::new(handler, place, secrets)
    }

    pub(crate) fn new(handler: H, place: Place, secrets: Vec<Secret>) -> Self {
        let ports = place.sender.port_names().map(PortBuffer::new).collect();
        let now = place.own.now();
        let mut jitter = now.as_ns() | 1;
        let suspects = Suspects::take_over(&place.own, &place.begin, &place.receiver, |attempts| {
            backoff_ns(&place.begin, attempts, &mut jitter)
        });
        let predecessor_end = suspects::predecessor_end(&place.own, &place.begin);
        for word in [
            page_word::RUNNING_INBOUND,
            page_word::RUNNING_STAGE,
            page_word::RUNNING_INVOCATION,
            page_word::RUNNING_ATTEMPT,
            page_word::BUSY_SINCE,
            page_word::LAST_WORDS,
        ] {
            place.own.store(word, 0);
        }
        Self {
            handler,
            ports,
            begun_ns: Vec::new(),
            pool: Pool::default(),
            joins: Joins::new(place.begin.in_flight),
            delayed: Vec::new(),
            unfinished: Vec::new(),
            standstill: Standstill::new(place.receiver.ring_count(), now),
            suspects,
            inherited: Vec::new(),
            free_since: now,
            ended: None,
            jitter,
            reads_streams: reads_streams(&place.receiver),
            predecessor_end,
            place,
            secrets,
        }
    }

    pub(super) fn serve(mut self) -> ! {
        loop {
            if !self.turn() {
                self.rest();
            }
        }
    }

    /// The present; or when the last run ended, if it was followed by nothing but looking for more.
    pub(super) fn now(&mut self) -> Monotonic {
        let own = &self.place.own;
        self.ended.take().unwrap_or_else(|| own.now())
    }

    /// Does the next thing that can be done now; `false` if there is none.
    pub fn turn(&mut self) -> bool {
        if self.place.sender.owes_aborts() {
            self.place.sender.say_aborts(&self.place.own);
        }
        if let Some(job) = self.take_due() {
            self.run(job);
        } else if let Some(job) = self.take_unwanted() {
            self.place.own.count(Counter::Cancelled, 1);
            self.drop_job(job);
        } else if self.waits_for_retry() {
            return false;
        } else if let Some(ring) = self.place.receiver.ring_with_news() {
            self.take(ring);
        } else {
            return false;
        }
        true
    }

    /// Whether a stream is to be tried again before anything else: it holds what comes behind it on its ring.
    fn waits_for_retry(&self) -> bool {
        self.reads_streams
            && self
                .delayed
                .iter()
                .any(|delayed| is_stream(&self.place.receiver, delayed.job.record.ring))
    }

    /// Does what comes before sleep, and sleeps until there is something to do.
    pub fn rest(&mut self) {
        self.ended = None;
        self.drop_unwanted();
        self.make_way();
        let until = self.next_timer();
        let owes_aborts = self.place.sender.owes_aborts();
        // Who waits for the rest of a record that has none is told as soon as there is room, which rings the
        // bell.
        let waits_for_retry = self.waits_for_retry();
        let place = &mut self.place;
        if let Some(due) = until.filter(|_| waits_for_retry) {
            // Whatever comes meanwhile waits; but nobody rings when its client goes.
            let look = place.own.now().after(UNWANTED_LOOK);
            place.own.bell().wait(Some(due.min(look)));
        } else if !owes_aborts || place.sender.announce_starved() {
            place.receiver.wait(&place.own, until);
        }
        if owes_aborts {
            place.sender.fed();
        }
    }

    pub(super) fn next_timer(&self) -> Option<Monotonic> {
        let due = self.delayed.iter().map(|delayed| delayed.due).min();
        let unfinished = self
            .unfinished
            .iter()
            .map(|unfinished| unfinished.job.deadline)
            .min();
        let deadline = unfinished.into_iter().chain(self.joins.first_deadline()).min();
        let look = deadline.map(|_| self.place.own.now().after(LOOK_EVERY));
        due.into_iter().chain(deadline).chain(look).min()
    }

    /// Whether records wait here for something else than their turn, so that their producers wait for them.
    pub(super) fn keeps_others_waiting(&self) -> bool {
        !(self.delayed.is_empty() && self.joins.is_empty() && self.unfinished.is_empty())
    }

    pub(super) fn take_due(&mut self) -> Option<Job> {
        if self.delayed.is_empty() {
            return None;
        }
        let now = self.place.own.now();
        let index = self.delayed.iter().position(|delayed| delayed.due <= now)?;
        Some(self.delayed.swap_remove(index).job)
    }

    /// A stream that waits for its next attempt, and whose client has gone: what lies behind it on its ring
    /// need not wait for it.
    fn take_unwanted(&mut self) -> Option<Job> {
        if !self.waits_for_retry() {
            return None;
        }
        let own = &self.place.own;
        let is_unwanted = |delayed: &Delayed| own.is_closed(delayed.job.invocation);
        let index = self.delayed.iter().position(is_unwanted)?;
        Some(self.delayed.swap_remove(index).job)
    }

    /// Drops what waits for its parts, or for its rest, and is wanted no more.
    pub(super) fn drop_unwanted(&mut self) {
        if self.joins.is_empty() && self.unfinished.is_empty() {
            return;
        }
        let now = self.place.own.now();
        loop {
            let own = &self.place.own;
            let why = |(index, unfinished): (usize, &Unfinished)| {
                Some((index, why_pointless(own, &unfinished.job, now)?))
            };
            let Some((index, counter)) = self.unfinished.iter().enumerate().find_map(why) else {
                break;
            };
            own.count(counter, 1);
            let Unfinished { job, .. } = self.unfinished.swap_remove(index);
            self.drop_job(job);
        }
        let mut from = 0;
        while let Some(dropped) = self.joins.take_dropped(&mut from, |join| {
            let is_late = || (join.deadline <= now).then_some(Counter::Expired);
            let is_closed = self.place.own.is_closed(join.invocation);
            is_closed.then_some(Counter::Cancelled).or_else(is_late)
        }) {
            self.drop_join(dropped);
        }
    }

    /// Drops parts that are in the way, when nothing else can be done.
    fn make_way(&mut self) {
        if self.joins.is_empty() {
            return;
        }
        let now = self.place.own.now();
        self.standstill.look(&self.place.receiver, now);
        // A request that has its reply is not ended elsewhere, and its joins wait for their parts. Where they
        // are in the way, their parts will hardly come: a function has given up, or written to another port.
        // They must not keep others' parts out. Only the oldest of a ring make room.
        while let Some(dropped) = self.joins.take_dropped(&mut 0, |join| {
            let Place { own, receiver, .. } = &self.place;
            let is_in_the_way = |place: &RecordPlace| {
                receiver.is_oldest(*place)
                    && self.standstill.is_made_by(receiver, place.ring, join.since, now)
            };
            let is_unwanted =
                join.bundle.places.iter().any(is_in_the_way) && own.is_answered(join.invocation);
            is_unwanted.then_some(Counter::Cancelled)
        }) {
            self.drop_join(dropped);
        }
    }

    fn drop_join(&mut self, (bundle, counter): (Bundle, Counter)) {
        self.place.own.count(counter, bundle.places.len() as u64);
        self.release(bundle);
    }

    /// The deadline that a record brings, which its producer may have made up: no request is worth more than
    /// the chain allows, and no wait of this instance may last longer.
    pub(super) fn believed(&self, deadline: Monotonic, seen: Monotonic) -> Monotonic {
        deadline.min(seen.after(Duration::from_nanos(self.place.begin.deadline_ns)))
    }

    pub(super) fn is_pointless(&self, job: &Job, now: Monotonic) -> bool {
        let own = &self.place.own;
        let why = why_pointless(own, job, now);
        if let Some(counter) = why {
            own.count(counter, 1);
        }
        why.is_some()
    }

    pub(super) fn drop_job(&mut self, job: Job) {
        if job.streams {
            self.place.receiver.give_up_arriving(job.record.ring);
        }
        self.release(job.bundle);
    }

    pub(super) fn release(&mut self, bundle: Bundle) {
        if !self.suspects.is_empty() {
            self.suspects.forget(&self.place.own, &bundle.places);
        }
        for place in &bundle.places {
            self.place.receiver.release(&self.place.own, *place);
        }
        self.pool.give(bundle);
        let own = &self.place.own;
        own.store(page_word::BUSY_SINCE, 0);
        own.store(page_word::RUNNING_INBOUND, 0);
    }
}

/// Why nobody is served by this job any more, if so.
fn why_pointless(own: &Own, job: &Job, now: Monotonic) -> Option<Counter> {
    if job.deadline <= now {
        return Some(Counter::Expired);
    }
    own.is_closed(job.invocation).then_some(Counter::Cancelled)
}

#[cfg(test)]
mod tests;
