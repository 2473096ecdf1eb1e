//! The consuming side of an instance: its inlets, and the wait for something on one of them.

use super::peek::{InRing, Opened, RecordPlace, Step, Taking, Upstream};
use crate::clock::Monotonic;
use crate::page::counter::Counter;
use crate::page::own::Own;
use crate::record::descriptor::Descriptor;
use crate::record::refusal::Refusal;
use crate::region::memory::{PeerRegion, PeerSpan};
use crate::wait::rest::Rest;
use std::sync::Arc;

/// The consuming side of an instance.
pub struct Receiver {
    rings: Vec<InRing>,
    /// Where the next round over the rings starts, so that none is served last for ever.
    round: usize,
    rest: Rest,
}

impl Receiver {
    pub(crate) const fn new(rings: Vec<InRing>, rest: Rest) -> Self {
        Self {
            rings,
            round: 0,
            rest,
        }
    }

    /// How many inbound rings there are.
    #[must_use]
    pub fn ring_count(&self) -> usize {
        self.rings.len()
    }

    /// What is known of the sender of ring `ring`.
    #[must_use]
    pub fn upstream(&self, ring: usize) -> Option<&Upstream> {
        self.rings.get(ring).map(|ring| &ring.upstream)
    }

    /// Whether every producer has said that it serves.
    #[must_use]
    pub fn all_producers_serve(&self) -> bool {
        self.rings.iter().all(InRing::producer_serves)
    }

    /// The next ring on which there is something, starting after the one served last.
    pub fn ring_with_news(&mut self) -> Option<usize> {
        let count = self.rings.len();
        let found = (self.round..count)
            .chain(0..self.round)
            .find(|ring| self.rings.get(*ring).is_some_and(InRing::has_news))?;
        self.round = (found + 1) % count.max(1);
        Some(found)
    }

    /// Peeks at ring `ring` and opens what is there, appending to `into`. Refusals are counted here.
    pub fn step(&mut self, own: &Own, ring: usize, into: &mut Vec<u8>) -> Step {
        self.step_choosing(own, ring, into, |_| Taking::Copy)
    }

    /// As [`Self::step`], but leaves what comes over a `mapped` edge where it is: [`Self::in_place`] reads
    /// it, until it is released.
    pub fn step_in_place(&mut self, own: &Own, ring: usize, into: &mut Vec<u8>) -> Step {
        self.step_choosing(own, ring, into, |_| Taking::InPlace)
    }

    /// The bytes of a segment that was left in place, as its producer may still change them.
    #[must_use]
    pub fn in_place(&self, opened: &Opened) -> Option<PeerSpan<'_>> {
        if !opened.in_place {
            return None;
        }
        let descriptor = &opened.descriptor;
        let region = self.region(opened.record.ring)?;
        region.span(descriptor.offset, descriptor.len_bytes)
    }

    /// The record of ring `ring` that a word of a predecessor means, if one can: published before this
    /// process began, and not released.
    pub(crate) fn record_at(&self, ring: usize, word: u64) -> Option<RecordPlace> {
        self.rings.get(ring)?.record_at(word)
    }

    /// Whether a predecessor had released this record, before older ones.
    pub(crate) fn was_done(&mut self, record: RecordPlace) -> bool {
        self.rings
            .get_mut(record.ring)
            .is_some_and(|ring| ring.was_done(record.first))
    }

    /// The region that ring `ring` lies in.
    pub(crate) fn region(&self, ring: usize) -> Option<&Arc<PeerRegion>> {
        self.rings.get(ring).map(InRing::region)
    }

    /// As [`Self::step`], but `choose` looks at the descriptor first: at what it says that the segment
    /// belongs to, which is not authenticated yet, and how long it is. So a consumer that bounds its
    /// memory can leave a large segment of a mapped edge where it is; a sealed one has at most
    /// [`crate::record::descriptor::SEGMENT_BYTES`], and is opened in any case.
    pub fn step_choosing(
        &mut self,
        own: &Own,
        ring: usize,
        into: &mut Vec<u8>,
        choose: impl FnOnce(&Descriptor) -> Taking,
    ) -> Step {
        let Some(in_ring) = self.rings.get_mut(ring) else {
            return Step::Empty;
        };
        let woken = self.rest.woken();
        let step = in_ring.step(into, choose);
        if let (Some(woken), Step::Opened(opened)) = (woken, &step) {
            self.rest.learn(woken.ns_since(opened.published));
        }
        if let Step::Refused { refusal, .. } = &step {
            own.count(Counter::Refused(*refusal), 1);
        }
        in_ring.note_taken(&own.page);
        // The places of what was refused or passed over are done with, if nothing before them is held.
        in_ring.release_done(&own.page);
        step
    }

    /// Opens segment `segment` of a held record again, for another attempt. `None` past its end.
    pub(crate) fn reopen(
        &mut self,
        own: &Own,
        record: RecordPlace,
        segment: u64,
        into: &mut Vec<u8>,
    ) -> Option<Result<Descriptor, Refusal>> {
        let opened = self.rings.get_mut(record.ring)?.reopen(record, segment, into);
        if let Some(Err(refusal)) = &opened {
            own.count(Counter::Refused(*refusal), 1);
        }
        opened
    }

    /// Drops what is still to come of the record that is arriving on `ring`.
    pub fn give_up_arriving(&mut self, ring: usize) {
        if let Some(ring) = self.rings.get_mut(ring) {
            ring.give_up_arriving();
        }
    }

    /// Releases a record: all that it caused has been published (I5).
    pub fn release(&mut self, own: &Own, record: RecordPlace) {
        if let Some(ring) = self.rings.get_mut(record.ring) {
            ring.release(record, &own.page);
        }
    }

    /// Waits until there is news on a ring, or `until`; may return without reason.
    pub fn wait(&mut self, own: &Own, until: Option<Monotonic>) {
        let rings = &self.rings;
        self.rest.wait(own, until, || rings.iter().any(InRing::has_news));
    }

    /// Waits until there is news on ring `ring`, or `until`; may return without reason.
    pub(crate) fn wait_for(&mut self, own: &Own, ring: usize, until: Monotonic) {
        let ring = self.rings.get(ring);
        self.rest
            .wait(own, Some(until), || ring.is_none_or(InRing::has_news));
    }

    fn has_news(&self) -> bool {
        self.rings.iter().any(InRing::has_news)
    }

    /// Announces sleep; `false` if there is news, so that there must be none. The caller then waits for the
    /// doorbell, and calls [`Self::awake`].
    pub fn announce(&mut self, own: &Own) -> bool {
        self.rest.announce(own) && !self.has_news()
    }

    /// Says that the sleep is over, or did not happen.
    pub fn awake(&mut self, own: &Own) {
        self.rest.awake(own);
    }

    /// Wakes who needs this core next, for one that does not sleep in [`Self::wait`].
    pub fn make_room(&mut self, own: &Own) {
        self.rest.make_room(own);
    }

    pub(crate) fn resume(&mut self, own: &Own, gapless: &[bool]) {
        for (ring, gapless) in self.rings.iter_mut().zip(gapless) {
            ring.resume(&own.page, *gapless);
        }
    }
}
