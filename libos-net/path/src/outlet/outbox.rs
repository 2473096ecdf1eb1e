//! The outbox of this instance: one region with the rings of all its sealed outlets, and the slots that their
//! segments lie in.

use super::publish::OutRing;
use super::slots::{SlotIndex, Slots};
use crate::record::descriptor::Descriptor;
use crate::region::layout::{OutboxLayout, SLOT_TAIL_BYTES, outbox_word};
use crate::region::memory::{SealedRegion, SealedSpan};
use crate::sync::Ordering;
use crate::wait::park::Sleeper;

/// The region, and which of its slots are free.
pub(crate) struct Outbox {
    region: SealedRegion,
    layout: OutboxLayout,
    slots: Slots,
    starved: Sleeper,
}

impl Outbox {
    /// `random`: this process's own number.
    pub(crate) fn new(region: SealedRegion, layout: OutboxLayout, random: u64) -> Self {
        // So that who cannot authenticate what lies here knows whose word it is.
        if let Some(word) = region.word(outbox_word::PROCESS) {
            word.store(random, Ordering::Relaxed);
        }
        let starved = region.word(outbox_word::STARVED);
        let starved = starved.map_or_else(Sleeper::default, |word| Sleeper::take_over(word, random));
        Self {
            slots: Slots::new(&layout),
            region,
            layout,
            starved,
        }
    }

    /// Its shape.
    pub(crate) const fn layout(&self) -> &OutboxLayout {
        &self.layout
    }

    /// Its slots.
    pub(crate) const fn slots_mut(&mut self) -> &mut Slots {
        &mut self.slots
    }

    /// How many segments of full size fit into it.
    pub(crate) fn full_slots(&self) -> usize {
        self.slots.full_slots()
    }

    /// Where a slot starts, and its memory, to be sealed into.
    pub(crate) fn slot(&self, slot: SlotIndex) -> Option<(usize, SealedSpan<'_>)> {
        let (offset, slot_bytes) = self.slots.place(slot)?;
        Some((offset, self.region.span(offset, slot_bytes)?))
    }

    /// Makes a descriptor visible in one ring. When the segment was published is noted beside it before, by
    /// [`Self::note_published`].
    pub(crate) fn publish(&self, out_ring: &mut OutRing, descriptor: &Descriptor) {
        out_ring.publish(&self.region, descriptor.segment == 0, &descriptor.words());
    }

    /// Says behind a sealed segment when it was published.
    pub(crate) fn note_published(&self, descriptor: &Descriptor, now_ns: u64) {
        if let Some(word) = self.region.word(descriptor.published_at()) {
            word.store(now_ns, Ordering::Relaxed);
        }
    }

    /// Takes the cache lines of the slot that a segment of this size would get next, while nobody waits for
    /// them.
    pub(crate) fn expect_another(&self, len_bytes: usize) {
        if let Some((_, span)) = self.slots.next(len_bytes).and_then(|slot| self.slot(slot)) {
            span.prefetch_for_write(len_bytes + SLOT_TAIL_BYTES);
        }
    }

    /// Takes one ring over from a predecessor; `hold` is told which slot each of its descriptors names. See
    /// [`OutRing::resume`].
    pub(crate) fn resume(
        &mut self,
        out_ring: &mut OutRing,
        epoch: u32,
        mut hold: impl FnMut(u64, SlotIndex),
    ) -> Option<Descriptor> {
        let Self {
            region,
            layout,
            slots,
            ..
        } = self;
        out_ring.resume(
            region,
            epoch,
            |words| Descriptor::from_words(words, layout).ok(),
            |position, descriptor| {
                if let Some(slot) = slots.at(descriptor.offset) {
                    slots.hold(slot);
                    hold(position, slot);
                }
            },
        )
    }

    /// The descriptor at `position` of a ring, if one was published there.
    pub(crate) fn read(&self, out_ring: &OutRing, position: u64) -> Option<Descriptor> {
        let words = out_ring.words_at(&self.region, position)?;
        Descriptor::from_words(&words, &self.layout).ok()
    }

    /// Announces that this producer waits for room; `false` if that cannot be.
    pub(crate) fn announce_starved(&mut self) -> bool {
        let Some(word) = self.region.word(outbox_word::STARVED) else {
            return false;
        };
        self.starved.announce(word);
        true
    }

    /// Says that the wait is over.
    pub(crate) fn fed(&mut self) {
        if let Some(word) = self.region.word(outbox_word::STARVED) {
            self.starved.awake(word);
        }
    }

    /// Says whether this instance serves.
    pub(crate) fn set_serving(&self, serving: bool) {
        if let Some(word) = self.region.word(outbox_word::STATE) {
            word.store(u64::from(serving), Ordering::Relaxed);
        }
    }
}
