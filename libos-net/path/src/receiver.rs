//! The consuming side of an instance: its inlets, what is done with their payload, and the wait for something
//! on one of them. How a segment comes through them is told in [`crate::hop`].

use crate::inlet::Inlet;
use crate::inlet::step::{Opened, RecordPlace, Step, Upstream};
use crate::machine::clock::Monotonic;
use crate::page::counter::Counter;
use crate::page::own::Own;
use crate::payload::Payload;
use crate::record::descriptor::Descriptor;
use crate::record::refusal::Refusal;
use crate::region::memory::{PeerRegion, PeerSpan};
use crate::wait::rest::Rest;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// One inlet, and what is done with what comes through it.
pub(crate) struct InboundRing {
    pub(crate) inlet: Inlet,
    pub(crate) payload: Payload,
}

impl InboundRing {
    /// After a look at this ring: counts what was refused, and says how far this instance has come.
    #[inline]
    pub(crate) fn note_step(&mut self, own: &Own, step: &Step) {
        if let Step::Refused { refusal, .. } = step {
            own.count(Counter::Refused(*refusal), 1);
        }
        self.inlet.note_taken(&own.page);
        // The places of what was refused or passed over are done with, if nothing before them is held.
        self.inlet.release_done(&own.page);
    }
}

/// The consuming side of an instance.
pub struct Receiver {
    inbound: Vec<InboundRing>,
    /// Where the next round over the rings starts, so that none is served last for ever.
    round: usize,
    rest: Rest,
}

impl Receiver {
    pub(crate) const fn new(inbound: Vec<InboundRing>, rest: Rest) -> Self {
        Self {
            inbound,
            round: 0,
            rest,
        }
    }

    /// How many inbound rings there are.
    #[must_use]
    pub fn ring_count(&self) -> usize {
        self.inbound.len()
    }

    /// Ring `ring`, and the waiting that learns from what comes through it.
    #[inline]
    pub(crate) fn inbound_mut(&mut self, ring: usize) -> Option<(&mut InboundRing, &mut Rest)> {
        Some((self.inbound.get_mut(ring)?, &mut self.rest))
    }

    fn inlet(&self, ring: usize) -> Option<&Inlet> {
        self.inbound.get(ring).map(|inbound| &inbound.inlet)
    }

    fn inlet_mut(&mut self, ring: usize) -> Option<&mut Inlet> {
        self.inbound.get_mut(ring).map(|inbound| &mut inbound.inlet)
    }

    /// What is known of the sender of ring `ring`.
    #[must_use]
    pub fn upstream(&self, ring: usize) -> Option<&Upstream> {
        self.inlet(ring).map(Inlet::upstream)
    }

    /// Whether every producer has said that it serves.
    #[must_use]
    pub fn all_producers_serve(&self) -> bool {
        self.inbound.iter().all(|inbound| inbound.inlet.producer_serves())
    }

    /// Whether more than half of ring `ring` is held by records that are not released.
    #[must_use]
    pub fn is_crowded(&self, ring: usize) -> bool {
        self.inlet(ring).is_some_and(Inlet::is_crowded)
    }

    /// Whether no record before this one, on its ring, is held.
    #[must_use]
    pub fn is_oldest(&self, record: RecordPlace) -> bool {
        self.inlet(record.ring)
            .is_some_and(|inlet| inlet.is_oldest(record.first))
    }

    /// Whether records that are not released hold so much of what the producer of ring `ring` has room for
    /// that it matters: a quarter of its segments or more, over all rings of its function; on a mapped edge,
    /// where a segment has any size, anything.
    #[must_use]
    pub fn holds_much(&self, ring: usize) -> bool {
        let Some(of) = self.inbound.get(ring) else {
            return false;
        };
        let function = |inbound: &InboundRing| inbound.inlet.upstream().function_index;
        let is_of_it = |other: &&InboundRing| function(other) == function(of);
        let held = self
            .inbound
            .iter()
            .filter(is_of_it)
            .map(|other| other.inlet.held_slots());
        let held = held.fold(0, u64::saturating_add);
        held > 0 && held.saturating_mul(4) >= of.inlet.full_slots() as u64
    }

    /// Whether the producer of ring `ring` says that it waits for room.
    #[must_use]
    pub fn producer_starves(&self, ring: usize) -> bool {
        self.inlet(ring).is_some_and(Inlet::producer_starves)
    }

    /// The next ring on which there is something, starting after the one served last.
    #[inline]
    pub fn ring_with_news(&mut self) -> Option<usize> {
        let count = self.inbound.len();
        let found = (self.round..count)
            .chain(0..self.round)
            .find(|ring| self.inlet(*ring).is_some_and(Inlet::has_news))?;
        self.round = (found + 1) % count.max(1);
        Some(found)
    }

    /// The bytes of a segment that was left in place, as its producer may still change them.
    #[must_use]
    pub fn in_place(&self, opened: &Opened) -> Option<PeerSpan<'_>> {
        if !opened.in_place {
            return None;
        }
        self.inlet(opened.record.ring)?.mapped_segment(&opened.descriptor)
    }

    /// The record of ring `ring` that a word of a predecessor means, if one can: published before this
    /// process began, and not released.
    #[must_use]
    pub fn record_at(&self, ring: usize, word: u64) -> Option<RecordPlace> {
        self.inlet(ring)?.record_at(word)
    }

    /// Whether a predecessor had released this record, before older ones.
    #[must_use]
    pub fn was_done(&mut self, record: RecordPlace) -> bool {
        self.inlet_mut(record.ring)
            .is_some_and(|inlet| inlet.was_done(record.first))
    }

    /// Whether a predecessor had taken this record, whatever it did with it.
    #[must_use]
    #[inline]
    pub fn was_taken(&self, record: RecordPlace) -> bool {
        self.inlet(record.ring)
            .is_some_and(|inlet| inlet.was_taken(record.first))
    }

    /// The region that ring `ring` lies in.
    #[must_use]
    pub fn region(&self, ring: usize) -> Option<&Arc<PeerRegion>> {
        self.inlet(ring).map(Inlet::region)
    }

    /// Opens segment `segment` of a held record again, for another attempt. `None` past its end.
    #[must_use]
    pub fn reopen(
        &mut self,
        own: &Own,
        record: RecordPlace,
        segment: u64,
        into: &mut Vec<u8>,
    ) -> Option<Result<Descriptor, Refusal>> {
        let InboundRing { inlet, payload } = self.inbound.get_mut(record.ring)?;
        let opened = payload.open_again(inlet, record, segment, into);
        if let Some(Err(refusal)) = &opened {
            own.count(Counter::Refused(*refusal), 1);
        }
        opened
    }

    /// Releases what has come so far of a record that arrives as a stream: from here on it is not delivered
    /// again.
    pub fn release_part(&mut self, own: &Own, record: RecordPlace) {
        if let Some(inlet) = self.inlet_mut(record.ring) {
            inlet.release_part(record, &own.page);
        }
    }

    /// Takes nothing from ring `ring` while it is paused: there is no room for what would come.
    pub fn set_paused(&mut self, ring: usize, paused: bool) {
        if let Some(inlet) = self.inlet_mut(ring) {
            inlet.set_paused(paused);
        }
    }

    /// Drops what is still to come of the record that is arriving on `ring`.
    pub fn give_up_arriving(&mut self, ring: usize) {
        if let Some(inlet) = self.inlet_mut(ring) {
            inlet.give_up_arriving();
        }
    }

    /// Waits until there is news on a ring, or `until`; may return without reason.
    pub fn wait(&mut self, own: &Own, until: Option<Monotonic>) {
        let inbound = &self.inbound;
        self.rest.wait(own, until, || any_news(inbound));
    }

    /// Waits until there is news on ring `ring`, or `until`; may return without reason.
    pub fn wait_for(&mut self, own: &Own, ring: usize, until: Monotonic) {
        let inlet = self.inbound.get(ring).map(|inbound| &inbound.inlet);
        self.rest
            .wait(own, Some(until), || inlet.is_none_or(Inlet::has_news));
    }

    /// Announces sleep; `false` if there is news, so that there must be none. The caller then waits for the
    /// doorbell, and calls [`Self::awake`].
    pub fn announce(&mut self, own: &Own) -> bool {
        self.rest.announce(own) && !any_news(&self.inbound)
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
        for (inbound, gapless) in self.inbound.iter_mut().zip(gapless) {
            inbound.inlet.resume(&own.page, *gapless);
        }
    }
}

fn any_news(inbound: &[InboundRing]) -> bool {
    inbound.iter().any(|inbound| inbound.inlet.has_news())
}
