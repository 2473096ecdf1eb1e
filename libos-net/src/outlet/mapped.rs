//! The producer's end of a `mapped` edge: a region of one ring, that this instance writes, one consumer
//! instance reads, and nobody else has mapped. A record is written there as it is; there is no cipher between
//! the two ends.
//!
//! ```text
//! reserve   an extent, as long as the segment, and a place in the ring
//! write     private bytes into the extent (a handler may do that itself, or leave it as it is)
//! publish   the descriptor
//! ```

use crate::outlet::extents::{Extent, Extents};
use crate::outlet::publish::OutRing;
use crate::record::descriptor::Descriptor;
use crate::region::layout::{EXTENT_MAX_BYTES, MappedLayout, outbox_word};
use crate::region::memory::OwnRegion;
use crate::sync::Ordering;
use crate::wait::park::Sleeper;

/// Room for a segment that is not published.
#[derive(Debug, Clone, Copy)]
struct Reserved {
    /// Nothing for a segment without bytes.
    extent: Option<Extent>,
    len_bytes: usize,
}

/// The ring and the room of a mapped region.
pub(crate) struct MappedRing {
    ring: OutRing<Extent>,
    region: OwnRegion,
    layout: MappedLayout,
    extents: Extents,
    starved: Sleeper,
    /// For the segment that is being sent.
    reserved: Option<Reserved>,
    /// For the record that a handler writes here itself.
    placed: Option<Reserved>,
    /// Leaves of the record that is sent in part.
    begun: u32,
}

impl MappedRing {
    /// `random`: this process's own number.
    pub(crate) fn new(ring: OutRing<Extent>, region: OwnRegion, layout: MappedLayout, random: u64) -> Self {
        let starved = region.word(outbox_word::STARVED);
        let starved = starved.map_or_else(Sleeper::default, |word| Sleeper::take_over(word, random));
        if let Some(word) = region.word(outbox_word::PROCESS) {
            word.store(random, Ordering::Relaxed);
        }
        Self {
            ring,
            region,
            extents: Extents::new(&layout),
            layout,
            starved,
            reserved: None,
            placed: None,
            begun: 0,
        }
    }

    /// Whether this ring leads to the instance that takes the request numbered `count`.
    pub(crate) const fn takes(&self) -> bool {
        self.ring.takes()
    }

    /// The ring, to be compared with those beside it.
    pub(crate) const fn ring_mut(&mut self) -> &mut OutRing<Extent> {
        &mut self.ring
    }

    /// As [`Self::ring_mut`].
    pub(crate) const fn ring(&self) -> &OutRing<Extent> {
        &self.ring
    }

    /// Takes back the room of what the consumer has released.
    pub(crate) fn reclaim(&mut self) {
        let extents = &mut self.extents;
        self.ring.reclaim(|extent| extents.release(extent));
    }

    fn take(&mut self, len_bytes: usize, places: u64) -> Option<Reserved> {
        if !self.ring.is_worth_a_look(len_bytes)
            && let Some(reserved) = self.take_free(len_bytes, places)
        {
            return Some(reserved);
        }
        self.reclaim();
        self.take_free(len_bytes, places)
    }

    fn take_free(&mut self, len_bytes: usize, places: u64) -> Option<Reserved> {
        if !self.ring.has_room(places) || len_bytes > EXTENT_MAX_BYTES {
            return None;
        }
        let extent = match self.layout.leaves_for(len_bytes) {
            0 => None,
            count => Some(self.extents.reserve(count)?),
        };
        Some(Reserved { extent, len_bytes })
    }

    /// Room for the next segment, and `places` in the ring; `false` if there is none now.
    pub(crate) fn reserve(&mut self, len_bytes: usize, places: u64) -> bool {
        self.give_back();
        self.reserved = self.take(len_bytes, places);
        self.reserved.is_some()
    }

    /// Gives up what was reserved, if something was.
    pub(crate) fn give_back(&mut self) {
        if let Some(extent) = self.reserved.take().and_then(|reserved| reserved.extent) {
            self.extents.release(extent);
        }
    }

    /// Room for a record that is written in place; `false` if there is none now.
    pub(crate) fn place(&mut self, len_bytes: usize) -> bool {
        self.drop_placed();
        self.placed = self.take(len_bytes, 1);
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

    /// Whether `places` more descriptors fit.
    pub(crate) fn has_room(&mut self, places: u64) -> bool {
        if !self.ring.has_room(places) {
            self.reclaim();
        }
        self.ring.has_room(places)
    }

    /// Writes to the record that is being written in place; `false`, and nothing written, past its end.
    pub(crate) fn write_placed(&mut self, at: usize, bytes: &[u8]) -> bool {
        self.placed.is_some_and(|placed| self.write(&placed, at, bytes))
    }

    fn write(&self, reserved: &Reserved, at: usize, bytes: &[u8]) -> bool {
        let fits = at
            .checked_add(bytes.len())
            .is_some_and(|end| end <= reserved.len_bytes);
        fits && self
            .region
            .span(self.offset(reserved) + at, bytes.len())
            .is_some_and(|mut span| span.copy_from(bytes))
    }

    fn offset(&self, reserved: &Reserved) -> usize {
        self.layout
            .leaf_at(reserved.extent.map_or(0, |extent| extent.first))
    }

    /// Publishes `plain`, for which room was reserved.
    pub(crate) fn publish(&mut self, numbered: &Descriptor, plain: &[u8], now_ns: u64) {
        if let Some(reserved) = self.reserved.take() {
            self.write(&reserved, 0, plain);
            self.publish_reserved(numbered, &reserved, now_ns);
        }
    }

    /// Publishes the record that was written in place, as it is.
    pub(crate) fn publish_placed(&mut self, numbered: &Descriptor, now_ns: u64) {
        if let Some(placed) = self.placed.take() {
            self.publish_reserved(numbered, &placed, now_ns);
        }
    }

    fn publish_reserved(&mut self, numbered: &Descriptor, reserved: &Reserved, now_ns: u64) {
        let descriptor = Descriptor {
            offset: self.offset(reserved),
            len_bytes: reserved.len_bytes,
            generation: 0,
            ..*numbered
        };
        let published_at = self.layout.published_at(self.ring.tail());
        if let Some(word) = self.region.word(published_at) {
            word.store(now_ns, Ordering::Relaxed);
        }
        self.ring.publish(&self.region, &descriptor, reserved.extent);
        let leaves = reserved.extent.map_or(0, |extent| extent.count);
        self.begun = if numbered.last { 0 } else { self.begun + leaves };
    }

    /// Rings the consumer if it sleeps; a fence came before.
    pub(crate) fn wake(&mut self) {
        self.ring.wake();
    }

    /// Whether `len_bytes` more bytes of the present record do not fit even when all others are released.
    pub(crate) fn is_too_small_for(&self, len_bytes: usize) -> bool {
        let needed = self.layout.leaves_for(len_bytes).saturating_add(self.begun);
        needed > self.layout.leaves() || len_bytes > EXTENT_MAX_BYTES
    }

    /// Whether the consumer has released something since the last look.
    pub(crate) fn has_news(&self) -> bool {
        self.ring.has_news()
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

    pub(crate) fn set_serving(&self, serving: bool) {
        if let Some(word) = self.region.word(outbox_word::STATE) {
            word.store(u64::from(serving), Ordering::Relaxed);
        }
    }

    /// Takes over from a predecessor: keeps what the consumer has not released. Returns the last descriptor
    /// of that.
    pub(crate) fn resume(&mut self, epoch: u32) -> Option<Descriptor> {
        let layout = self.layout;
        let mut held: Vec<Extent> = Vec::new();
        let last = self.ring.resume(
            &self.region,
            epoch,
            |words| Descriptor::from_mapped_words(words, &layout).ok(),
            |descriptor| {
                let extent = Extent {
                    first: layout.leaf_of(descriptor.offset)?,
                    count: layout.leaves_for(descriptor.len_bytes),
                };
                // What a hostile predecessor let overlap, the consumer has refused, or will.
                let overlaps = |other: &Extent| {
                    extent.first < other.first + other.count && other.first < extent.first + extent.count
                };
                if extent.count == 0 || held.iter().any(overlaps) {
                    return None;
                }
                held.push(extent);
                Some(extent)
            },
        );
        self.extents = Extents::without(&layout, &mut held);
        last
    }
}
