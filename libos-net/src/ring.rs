//! `publish`, `peek` and `release` on one descriptor ring, without unsafe: what makes a record visible, and
//! what makes its space reusable.
//!
//! A ring lies in its producer's outbox; the consumer maps it read-only. Positions count up for ever; position
//! `p` lives in slot `p % capacity`. A slot is one cache line: a *stamp* that says which position the slot
//! holds, and seven words. There is no shared tail: the consumer looks at the stamp of the next slot, so an
//! empty poll touches one line and a hand-over moves one line. How far the consumer has come is one word in its
//! own instance page.
//!
//! ```text
//! producer                              consumer
//! released = acquire(cursor)            stamp = acquire(slot.stamp)
//! if tail - released == capacity: full  if stamp == of(next): words are whole
//! slot.words = ...                      ... open the segment ...
//! release(slot.stamp = of(tail))        release(cursor = next)
//! ```
//!
//! A stamp holds the low half of its position and that half's complement, so that a peer's stray write is told
//! apart from an empty slot: `Corrupt` is not `Empty`.

use crate::sync::{AtomicU64, Ordering, fence};

/// Words of a slot that carry a descriptor.
pub const WORDS: usize = 7;

/// The highest position that a peer's word is believed to mean. No ring gets there; it keeps sums from overflowing.
pub const POSITION_MAX: u64 = u64::MAX / 2;

/// How far [`is_passed`] looks.
const LOOK_AHEAD: u64 = 64;

/// One cache line of a ring.
#[repr(C, align(64))]
pub struct Slot {
    stamp: AtomicU64,
    words: [AtomicU64; WORDS],
}

#[cfg(test)]
impl Slot {
    /// An empty slot, as a fresh region holds it.
    pub(crate) fn empty() -> Self {
        Self {
            stamp: AtomicU64::new(0),
            words: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

/// What a consumer finds at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing has been published there yet.
    Empty,
    /// These words, copied to private memory, unchecked.
    Words([u64; WORDS]),
    /// The stamp is neither of this position nor of the one before it in the same slot: the peer misbehaved.
    Corrupt,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a stamp holds the low half of the position"
)]
const fn stamp_of(position: u64) -> u64 {
    let low = (position.wrapping_add(1)) as u32;
    ((!low as u64) << 32) | low as u64
}

fn slot_of(slots: &[Slot], position: u64) -> Option<&Slot> {
    // A ring's capacity is a power of two that the layout has checked, so the mask picks a slot.
    let mask = slots.len().checked_sub(1)?;
    slots.get(usize::try_from(position).ok()? & mask)
}

/// Publishes `words` at `position`. The caller has made sure, by [`released`], that the slot is free.
pub fn publish(slots: &[Slot], position: u64, words: &[u64; WORDS]) {
    let Some(slot) = slot_of(slots, position) else {
        return;
    };
    for (shared, word) in slot.words.iter().zip(words) {
        shared.store(*word, Ordering::Relaxed);
    }
    // SYNC publish: pairs with the fence in `peek`; words and segment are visible before the stamp.
    slot.stamp.store(stamp_of(position), Ordering::Release);
}

/// Looks for a descriptor at `position`.
#[must_use]
pub fn peek(slots: &[Slot], position: u64) -> Found {
    let Some(slot) = slot_of(slots, position) else {
        return Found::Corrupt;
    };
    let stamp = slot.stamp.load(Ordering::Relaxed);
    if stamp != stamp_of(position) {
        return if is_vacant(slots.len(), position, stamp) {
            Found::Empty
        } else {
            Found::Corrupt
        };
    }
    // SYNC peek: pairs with the store in `publish`. A fence and not an acquire load, because the ring is mapped
    // read-only and the language promises only relaxed loads on such memory.
    fence(Ordering::Acquire);
    Found::Words(core::array::from_fn(|i| {
        slot.words.get(i).map_or(0, |word| word.load(Ordering::Relaxed))
    }))
}

/// Whether nothing is published at `position` yet: [`peek`] would find it empty. One load of one word, for whoever asks
/// again and again.
#[must_use]
pub fn is_empty(slots: &[Slot], position: u64) -> bool {
    slot_of(slots, position)
        .is_some_and(|slot| is_vacant(slots.len(), position, slot.stamp.load(Ordering::Relaxed)))
}

/// Whether something is published at `position`: [`peek`] would find its words. One load, like [`is_empty`].
#[must_use]
pub fn is_published(slots: &[Slot], position: u64) -> bool {
    slot_of(slots, position).is_some_and(|slot| slot.stamp.load(Ordering::Relaxed) == stamp_of(position))
}

fn is_vacant(capacity: usize, position: u64, stamp: u64) -> bool {
    match position.checked_sub(capacity as u64) {
        Some(previous) => stamp == stamp_of(previous),
        None => stamp == 0,
    }
}

/// Says that every position before `position` is done with: the producer may reuse slots and segments.
pub fn release(cursor: &AtomicU64, position: u64) {
    // SYNC release: pairs with the fence in `released`; the reads of slot and segment come before it.
    cursor.store(position, Ordering::Release);
}

/// How far the consumer has come.
#[must_use]
pub fn released(cursor: &AtomicU64) -> u64 {
    let position = cursor.load(Ordering::Relaxed);
    // SYNC released: pairs with the store in `release`; reuse of a slot comes after it.
    fence(Ordering::Acquire);
    position
}

/// Whether something was published after `position`, where the slot is corrupt: the producer has gone past it. If not,
/// the slot may yet be published, and get a good stamp by that.
#[must_use]
pub fn is_passed(slots: &[Slot], position: u64) -> bool {
    (1..=LOOK_AHEAD).any(|ahead| matches!(peek(slots, position.wrapping_add(ahead)), Found::Words(_)))
}

/// The first free position, for a producer that replaces another: it counts the descriptors that its predecessor
/// published after what the consumer has released.
#[must_use]
pub fn resume(slots: &[Slot], released: u64) -> u64 {
    let mut tail = released;
    while tail.wrapping_sub(released) < slots.len() as u64 {
        match peek(slots, tail) {
            Found::Words(_) => {}
            Found::Corrupt if is_passed(slots, tail) => {}
            Found::Corrupt | Found::Empty => break,
        }
        tail = tail.wrapping_add(1);
    }
    tail
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn ring(capacity: usize) -> Vec<Slot> {
        (0..capacity).map(|_| Slot::empty()).collect()
    }

    #[test]
    fn what_is_published_is_found_once_and_in_order() {
        let slots = ring(4);
        for position in 0..10 {
            assert_eq!(peek(&slots, position), Found::Empty);
            assert!(is_empty(&slots, position));
            assert!(!is_published(&slots, position));
            publish(&slots, position, &[position; WORDS]);
            assert!(!is_empty(&slots, position));
            assert!(is_published(&slots, position));
            assert_eq!(peek(&slots, position), Found::Words([position; WORDS]));
        }
    }

    #[test]
    fn any_change_of_one_byte_of_a_stamp_is_corrupt_and_not_empty() {
        let slots = ring(256);
        for position in [0, 255, 256, 300, 1 << 20, (1 << 32) - 1, (1 << 32) + 7] {
            publish(&slots, position, &[1; WORDS]);
            let slot = slot_of(&slots, position).unwrap();
            let stamp = slot.stamp.load(Ordering::Relaxed);
            for byte in 0..8 {
                for change in 1..=255_u64 {
                    slot.stamp
                        .store(stamp ^ (change << (8 * byte)), Ordering::Relaxed);
                    assert_eq!(peek(&slots, position), Found::Corrupt);
                    assert!(!is_empty(&slots, position));
                }
            }
        }
    }

    #[test]
    fn a_replaced_producer_goes_on_where_the_last_one_stopped() {
        let slots = ring(8);
        for position in 0..13 {
            publish(&slots, position, &[0; WORDS]);
        }
        assert_eq!(resume(&slots, 6), 13);
        assert_eq!(resume(&slots, 13), 13);
        assert_eq!(resume(&slots, 5), 13);
    }
}
