//! `publish`: a descriptor into the ring towards one consumer instance, and its doorbell if it sleeps. Also the
//! way back: what the consumer has released frees slots of the outbox.

use crate::attach;
use crate::descriptor::Descriptor;
use crate::doorbell::Doorbell;
use crate::layout::{OutboxLayout, PageLayout, cursor_word, page_word};
use crate::memory::{MapError, OwnRegion, PeerRegion};
use crate::park::Waker;
use crate::reserve::{SlotIndex, Slots};
use crate::ring;
use crate::sync::AtomicU64;
use std::os::fd::OwnedFd;

/// Edge descriptions that contradict each other or the layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the monitor's attachment contradicts itself: {0}")]
pub struct BadAttachment(pub(crate) &'static str);

/// The producer's end of the ring towards one consumer instance.
pub(crate) struct OutRing {
    ring_at: usize,
    capacity: usize,
    page: PeerRegion,
    cursor_at: usize,
    doorbell: Doorbell,
    waker: Waker,
    /// Where the next descriptor goes.
    tail: u64,
    /// How far the consumer had come when we last looked.
    released: u64,
    /// The slot of each published descriptor, by ring position.
    slots: Box<[Option<SlotIndex>]>,
    lane: u64,
    lanes: u64,
}

impl OutRing {
    pub(crate) fn new(
        edge: &attach::Edge,
        own: &OutboxLayout,
        page: &OwnedFd,
        doorbell: OwnedFd,
    ) -> Result<Result<Self, MapError>, BadAttachment> {
        let page_layout = PageLayout::new(edge.consumer_inbound_count, edge.consumer_port_count)
            .ok_or(BadAttachment("a consumer's page"))?;
        let inbound = usize::try_from(edge.consumer_inbound).map_err(|_| BadAttachment("a cursor"))?;
        let cursor_at = page_layout.cursor_at(inbound).ok_or(BadAttachment("a cursor"))?;
        let ring_at = own.ring_at(edge.ring).ok_or(BadAttachment("a ring"))?;
        if edge.lane >= edge.lanes {
            return Err(BadAttachment("a lane"));
        }
        let capacity = own.ring_capacity();
        Ok(PeerRegion::map(page, page_layout.len_bytes()).map(|page| Self {
            ring_at,
            capacity,
            page,
            cursor_at,
            doorbell: Doorbell::new(doorbell),
            waker: Waker::default(),
            tail: 0,
            released: 0,
            slots: vec![None; capacity].into_boxed_slice(),
            lane: u64::from(edge.lane),
            lanes: u64::from(edge.lanes),
        }))
    }

    /// Whether this ring leads to the instance that takes the request numbered `count`.
    pub(crate) fn carries(&self, count: u64) -> bool {
        self.lanes == 1 || count % self.lanes == self.lane
    }

    fn cursor(&self) -> Option<&AtomicU64> {
        self.page.word(self.cursor_at + cursor_word::RELEASED)
    }

    /// How far the consumer says it has come: at least as far as before, and never past what was published.
    fn look(&self) -> u64 {
        self.cursor()
            .map_or(self.released, ring::released)
            .clamp(self.released, self.tail)
    }

    /// Takes back the slots of what the consumer has released since the last look.
    pub(crate) fn reclaim(&mut self, slots: &mut Slots) {
        let released = self.look();
        while self.released < released {
            if let Some(slot) = self.slot_mut(self.released).and_then(Option::take) {
                slots.let_go(slot);
            }
            self.released += 1;
        }
    }

    /// Whether the consumer has released something since the last look.
    pub(crate) fn has_news(&self) -> bool {
        self.look() > self.released
    }

    /// Whether `places` more descriptors fit.
    pub(crate) fn has_room(&self, places: u64) -> bool {
        self.tail - self.released + places <= self.capacity as u64
    }

    fn slot_mut(&mut self, position: u64) -> Option<&mut Option<SlotIndex>> {
        let at = usize::try_from(position).ok()? & (self.capacity - 1);
        self.slots.get_mut(at)
    }

    /// Makes the descriptor visible. The caller has seen [`Self::has_room`], and rings afterwards.
    pub(crate) fn publish(&mut self, outbox: &OwnRegion, descriptor: &Descriptor, slot: SlotIndex) {
        let tail = self.tail;
        if let Some(entry) = self.slot_mut(tail) {
            *entry = Some(slot);
        }
        if let Some(ring) = outbox.slots(self.ring_at, self.capacity) {
            ring::publish(ring, tail, &descriptor.words());
        }
        self.tail += 1;
    }

    /// Rings the consumer if it sleeps; [`Waker::fence`] came before.
    pub(crate) fn wake(&mut self) {
        if let Some(word) = self.page.word(page_word::PARKED)
            && self.waker.must_ring(word)
        {
            self.doorbell.ring();
        }
    }

    /// Finds out what a predecessor published that is not released yet, and holds its slots; `Slots::keep_held` is to follow. Returns
    /// the last of those descriptors.
    ///
    /// A predecessor may have been hostile, so what it left is checked like anything else: what does not name a
    /// slot is left to the consumer to refuse.
    pub(crate) fn resume(
        &mut self,
        outbox: &OwnRegion,
        layout: &OutboxLayout,
        slots: &mut Slots,
    ) -> Option<Descriptor> {
        let released = self.cursor().map_or(0, ring::released).min(ring::POSITION_MAX);
        let ring = outbox.slots(self.ring_at, self.capacity)?;
        self.released = released;
        self.tail = ring::resume(ring, released);
        let mut last = None;
        for position in released..self.tail {
            let ring::Found::Words(words) = ring::peek(ring, position) else {
                continue;
            };
            let Ok(descriptor) = Descriptor::from_words(&words, layout) else {
                continue;
            };
            last = Some(descriptor);
            if let Some(slot) = slots.at(descriptor.offset) {
                slots.hold(slot);
                if let Some(entry) = self.slot_mut(position) {
                    *entry = Some(slot);
                }
            }
        }
        last
    }
}
