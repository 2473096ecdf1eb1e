//! Slots: room for one segment each in the outbox. The freshest is reused first, so that the hot set stays in
//! cache. All bookkeeping is private memory; consumers see offsets only.

use crate::region::layout::{OutboxLayout, SLOT_CLASSES, SLOT_TAIL_BYTES};
use alloc::vec;
use alloc::vec::Vec;

/// Number of a slot, counted over all classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotIndex(u32);

/// Slots of one size.
#[derive(Debug)]
struct Class {
    first: u32,
    count: u32,
    slot_bytes: usize,
    at: usize,
    /// Free slots; the one released last is on top.
    free: Vec<SlotIndex>,
}

/// The slots of an outbox.
#[derive(Debug)]
pub(crate) struct Slots {
    classes: Vec<Class>,
    /// For each slot, how many rings still name it.
    holders: Vec<usize>,
}

impl Slots {
    pub(crate) fn new(layout: &OutboxLayout) -> Self {
        let mut classes = Vec::with_capacity(SLOT_CLASSES.len());
        let mut first = 0;
        for (class, (slot_bytes, count)) in SLOT_CLASSES.into_iter().zip(layout.slots()).enumerate() {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            // The lowest slot is used first.
            let free = (first..first + count).rev().map(SlotIndex).collect();
            classes.push(Class {
                first,
                count,
                slot_bytes,
                at: layout.class_at(class),
                free,
            });
            first += count;
        }
        Self {
            classes,
            holders: vec![0; usize::try_from(first).unwrap_or(0)],
        }
    }

    /// The freshest free slot for a segment of `len_bytes`; a larger one if none of the right size is free.
    pub(crate) fn reserve(&mut self, len_bytes: usize) -> Option<SlotIndex> {
        let needed = len_bytes + SLOT_TAIL_BYTES;
        self.classes
            .iter_mut()
            .filter(|class| class.slot_bytes >= needed)
            .find_map(|class| class.free.pop())
    }

    /// The slot that [`Self::reserve`] would give now.
    pub(crate) fn next(&self, len_bytes: usize) -> Option<SlotIndex> {
        let needed = len_bytes + SLOT_TAIL_BYTES;
        self.classes
            .iter()
            .filter(|class| class.slot_bytes >= needed)
            .find_map(|class| class.free.last().copied())
    }

    #[cfg(test)]
    fn full_slots_free(&self) -> usize {
        self.classes.last().map_or(0, |class| class.free.len())
    }

    /// How many segments of full size fit into the whole outbox.
    pub(crate) fn full_slots(&self) -> usize {
        self.classes
            .last()
            .map_or(0, |class| usize::try_from(class.count).unwrap_or(0))
    }

    /// Where the slot starts in the outbox, and how long it is.
    pub(crate) fn place(&self, slot: SlotIndex) -> Option<(usize, usize)> {
        let class = self.class_of(slot)?;
        let number = usize::try_from(slot.0 - class.first).ok()?;
        Some((class.at + number * class.slot_bytes, class.slot_bytes))
    }

    /// The slot that starts at `offset`, if one does.
    pub(crate) fn at(&self, offset: usize) -> Option<SlotIndex> {
        let class = self.classes.iter().rev().find(|class| class.at <= offset)?;
        let from = offset - class.at;
        let number = u32::try_from(from / class.slot_bytes).ok()?;
        (from.is_multiple_of(class.slot_bytes) && number < class.count)
            .then(|| SlotIndex(class.first + number))
    }

    /// Notes that one more ring names the slot.
    pub(crate) fn hold(&mut self, slot: SlotIndex) {
        if let Some(holders) = self.holders_mut(slot) {
            *holders += 1;
        }
    }

    /// Notes that one ring has let go of the slot; the last one frees it.
    pub(crate) fn let_go(&mut self, slot: SlotIndex) {
        let Some(holders) = self.holders_mut(slot) else {
            return;
        };
        *holders = holders.saturating_sub(1);
        if *holders == 0
            && let Some(class) = self.class_of_mut(slot)
        {
            class.free.push(slot);
        }
    }

    /// Takes all slots that are held out of the free ones, for a producer that has found them in use by its
    /// predecessor's records.
    pub(crate) fn keep_held(&mut self) {
        let holders = &self.holders;
        let is_held = |slot: &SlotIndex| {
            let holders = usize::try_from(slot.0).ok().and_then(|at| holders.get(at));
            holders.is_some_and(|holders| *holders > 0)
        };
        for class in &mut self.classes {
            class.free.retain(|slot| !is_held(slot));
        }
    }

    fn holders_mut(&mut self, slot: SlotIndex) -> Option<&mut usize> {
        self.holders.get_mut(usize::try_from(slot.0).ok()?)
    }

    fn class_of(&self, slot: SlotIndex) -> Option<&Class> {
        self.classes
            .iter()
            .find(|class| slot.0 - class.first < class.count)
    }

    fn class_of_mut(&mut self, slot: SlotIndex) -> Option<&mut Class> {
        self.classes
            .iter_mut()
            .find(|class| slot.0.wrapping_sub(class.first) < class.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::layout::SEGMENT_BYTES;

    fn slots() -> Slots {
        Slots::new(&OutboxLayout::new(1, 256, 1 << 20).unwrap())
    }

    #[test]
    fn the_slot_released_last_is_reused_first() {
        let mut slots = slots();
        let first = slots.reserve(100).unwrap();
        let second = slots.reserve(100).unwrap();
        for slot in [first, second] {
            slots.hold(slot);
        }
        slots.let_go(second);
        slots.let_go(first);
        assert_eq!(slots.reserve(100), Some(first));
        assert_eq!(slots.reserve(100), Some(second));
    }

    #[test]
    fn a_slot_is_free_when_its_last_holder_lets_go() {
        let mut slots = slots();
        let slot = slots.reserve(SEGMENT_BYTES).unwrap();
        slots.hold(slot);
        slots.hold(slot);
        let free = slots.full_slots_free();
        slots.let_go(slot);
        assert_eq!(slots.full_slots_free(), free);
        slots.let_go(slot);
        assert_eq!(slots.full_slots_free(), free + 1);
    }

    #[test]
    fn slots_do_not_overlap_and_are_found_by_their_offset() {
        let layout = OutboxLayout::new(1, 256, 1 << 20).unwrap();
        let mut slots = Slots::new(&layout);
        let mut places = Vec::new();
        for len in [1, 1000, SEGMENT_BYTES] {
            while let Some(slot) = slots.reserve(len) {
                let (offset, len_bytes) = slots.place(slot).unwrap();
                assert_eq!(slots.at(offset), Some(slot));
                assert_eq!(
                    slots.at(offset + 64),
                    if len_bytes == 64 {
                        slots.at(offset + 64)
                    } else {
                        None
                    }
                );
                places.push((offset, len_bytes));
            }
        }
        assert_eq!(places.len(), 256 + 256 + 16);
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
        let (offset, len_bytes) = places.last().unwrap();
        assert!(offset + len_bytes <= layout.len_bytes());
    }
}
