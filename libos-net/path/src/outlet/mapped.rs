//! The room of a mapped outlet: a region of one ring, that this instance writes, one consumer instance reads,
//! and nobody else has mapped. A record is written there as it is; there is no cipher between the two ends.
//!
//! ```text
//! reserve   an extent, as long as the segment, and a place in the ring
//! write     private bytes into the extent (a handler may do that itself, or leave it as it is)
//! publish   the descriptor
//! ```

use super::extents::{Extent, Extents};
use super::publish::OutRing;
use super::rooms::Rooms;
use crate::machine::clock::Monotonic;
use crate::record::descriptor::Descriptor;
use crate::region::layout::{EXTENT_MAX_BYTES, MappedLayout, outbox_word};
use crate::region::memory::PlainRegion;
use crate::sync::Ordering;
use crate::wait::park::Sleeper;
use alloc::vec::Vec;

/// Room for a segment that is not published.
#[derive(Debug, Clone, Copy)]
struct Reserved {
    /// Nothing for a segment without bytes.
    extent: Option<Extent>,
    len_bytes: usize,
}

impl Reserved {
    /// The leaf that it starts at: the first of all for a segment without bytes.
    fn first_leaf(&self) -> u32 {
        self.extent.map_or(0, |extent| extent.first)
    }
}

/// The region of one mapped outlet, and which of its leaves are free.
pub(crate) struct MappedRoom {
    region: PlainRegion,
    layout: MappedLayout,
    extents: Extents,
    rooms: Rooms<Extent>,
    starved: Sleeper,
    /// For the segment that is being sent.
    reserved: Option<Reserved>,
    /// For the record that a handler writes here itself.
    placed: Option<Reserved>,
    /// Leaves of the record that is sent in part.
    begun: u32,
}

impl MappedRoom {
    /// `random`: this process's own number.
    pub(crate) fn new(region: PlainRegion, layout: MappedLayout, random: u64) -> Self {
        let starved = region.word(outbox_word::STARVED);
        let starved = starved.map_or_else(Sleeper::default, |word| Sleeper::take_over(word, random));
        if let Some(word) = region.word(outbox_word::PROCESS) {
            word.store(random, Ordering::Relaxed);
        }
        Self {
            region,
            extents: Extents::new(&layout),
            rooms: Rooms::new(layout.ring_capacity()),
            layout,
            starved,
            reserved: None,
            placed: None,
            begun: 0,
        }
    }

    /// Takes back the room of the descriptor at `position`: the consumer has released it.
    pub(crate) fn give_back_at(&mut self, position: u64) {
        if let Some(extent) = self.rooms.take(position) {
            self.extents.release(extent);
        }
    }

    fn reclaim(&mut self, out_ring: &mut OutRing) {
        out_ring.reclaim(|position| self.give_back_at(position));
    }

    fn take(&mut self, out_ring: &mut OutRing, len_bytes: usize, places: u64) -> Option<Reserved> {
        if !out_ring.is_worth_a_look(len_bytes)
            && let Some(reserved) = self.take_free(out_ring, len_bytes, places)
        {
            return Some(reserved);
        }
        self.reclaim(out_ring);
        self.take_free(out_ring, len_bytes, places)
    }

    fn take_free(&mut self, out_ring: &OutRing, len_bytes: usize, places: u64) -> Option<Reserved> {
        if !out_ring.has_room(places) || len_bytes > EXTENT_MAX_BYTES {
            return None;
        }
        let extent = match self.layout.leaves_for(len_bytes) {
            0 => None,
            count => Some(self.extents.reserve(count)?),
        };
        Some(Reserved { extent, len_bytes })
    }

    /// Room for the next segment, and `places` in the ring; `false` if there is none now.
    pub(crate) fn reserve(&mut self, out_ring: &mut OutRing, len_bytes: usize, places: u64) -> bool {
        self.give_back();
        self.reserved = self.take(out_ring, len_bytes, places);
        self.reserved.is_some()
    }

    /// Gives up what was reserved, if something was.
    pub(crate) fn give_back(&mut self) {
        if let Some(extent) = self.reserved.take().and_then(|reserved| reserved.extent) {
            self.extents.release(extent);
        }
    }

    /// Room for a record that is written in place; `false` if there is none now.
    pub(crate) fn place(&mut self, out_ring: &mut OutRing, len_bytes: usize) -> bool {
        self.drop_placed();
        self.placed = self.take(out_ring, len_bytes, 1);
        self.placed.is_some()
    }

    /// Gives up the record that was being written in place, if there was one.
    pub(crate) fn drop_placed(&mut self) {
        if let Some(extent) = self.placed.take().and_then(|placed| placed.extent) {
            self.extents.release(extent);
        }
    }

    /// Bytes of the record that is being written in place.
    pub(crate) fn placed_bytes(&self) -> Option<usize> {
        self.placed.map(|placed| placed.len_bytes)
    }

    /// Writes to the record that is being written in place; `false`, and nothing written, past its end.
    pub(crate) fn write_placed(&mut self, at: usize, bytes: &[u8]) -> bool {
        self.placed.is_some_and(|placed| self.write(&placed, at, bytes))
    }

    fn write(&self, reserved: &Reserved, at: usize, bytes: &[u8]) -> bool {
        let fits = at
            .checked_add(bytes.len())
            .is_some_and(|end| end <= reserved.len_bytes);
        fits && self.region.write(self.offset(reserved) + at, bytes)
    }

    fn offset(&self, reserved: &Reserved) -> usize {
        self.layout.leaf_at(reserved.first_leaf())
    }

    /// Publishes `plain`, for which room was reserved.
    pub(crate) fn publish(
        &mut self,
        out_ring: &mut OutRing,
        numbered: &Descriptor,
        plain: &[u8],
        now_ns: u64,
    ) {
        if let Some(reserved) = self.reserved.take() {
            self.write(&reserved, 0, plain);
            self.publish_reserved(out_ring, numbered, &reserved, now_ns);
        }
    }

    /// Publishes the record that was written in place, as it is.
    pub(crate) fn publish_placed(&mut self, out_ring: &mut OutRing, numbered: &Descriptor, now_ns: u64) {
        if let Some(placed) = self.placed.take() {
            self.publish_reserved(out_ring, numbered, &placed, now_ns);
        }
    }

    fn publish_reserved(
        &mut self,
        out_ring: &mut OutRing,
        numbered: &Descriptor,
        reserved: &Reserved,
        now_ns: u64,
    ) {
        let descriptor = Descriptor {
            len_bytes: reserved.len_bytes,
            ..*numbered
        };
        let words = descriptor.mapped_words(reserved.first_leaf(), Monotonic::from_ns(now_ns));
        self.rooms.put(out_ring.tail(), reserved.extent);
        out_ring.publish(&self.region, numbered.segment == 0, &words);
        let leaves = reserved.extent.map_or(0, |extent| extent.count);
        self.begun = if numbered.last {
            0
        } else {
            self.begun.saturating_add(leaves)
        };
    }

    /// Whether `len_bytes` more bytes of the present record do not fit even when all others are released; and
    /// what was sent of it, if it `streams`.
    pub(crate) fn is_too_small_for(&self, len_bytes: usize, streams: bool) -> bool {
        let begun = if streams { 0 } else { self.begun };
        let needed = self.layout.leaves_for(len_bytes).saturating_add(begun);
        needed > self.layout.leaves() || len_bytes > EXTENT_MAX_BYTES
    }

    /// Announces that this producer waits for room.
    pub(crate) fn announce_starved(&mut self) {
        if let Some(word) = self.region.word(outbox_word::STARVED) {
            self.starved.announce(word);
        }
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

    /// Takes over from a predecessor: keeps what the consumer has not released. Returns the last descriptor
    /// of that.
    pub(crate) fn resume(&mut self, out_ring: &mut OutRing, epoch: u32) -> Option<Descriptor> {
        let Self {
            region,
            layout,
            rooms,
            ..
        } = self;
        let mut held: Vec<Extent> = Vec::new();
        let last = out_ring.resume(
            region,
            epoch,
            // Of which port it is counts for nothing here.
            |words| Descriptor::from_mapped_words(words, layout, 0).ok(),
            |position, descriptor| {
                let count = layout.leaves_for(descriptor.len_bytes);
                let Some(first) = layout.leaf_of(descriptor.offset) else {
                    return;
                };
                let extent = Extent { first, count };
                // What a hostile predecessor let overlap, the consumer has refused, or will.
                let overlaps = |other: &Extent| {
                    extent.first < other.first + other.count && other.first < extent.first + extent.count
                };
                if extent.count > 0 && !held.iter().any(overlaps) {
                    held.push(extent);
                    rooms.put(position, Some(extent));
                }
            },
        );
        self.extents = Extents::without(&self.layout, &mut held);
        last
    }
}
