//! `publish`, `peek` and `release` on one descriptor ring, without unsafe: what makes a record visible, and
//! what makes its space reusable.
//!
//! A ring lies in its producer's outbox; the consumer maps it read-only. Positions count up for ever;
//! position `p` lives in slot `p % capacity`. A slot is one cache line: a *stamp* that says which position
//! the slot holds, and seven words. There is no shared tail: the consumer looks at the stamp of the next
//! slot, so an empty poll touches one line and a hand-over moves one line. How far the consumer has come is
//! one word in its own instance page.
//!
//! ```text
//! producer                              consumer
//! released = acquire(cursor)            stamp = acquire(slot.stamp)
//! if tail - released == capacity: full  if stamp == of(next): words are whole
//! slot.words = ...                      ... open the segment ...
//! release(slot.stamp = of(tail))        release(cursor = next)
//! ```
//!
//! A stamp holds the low half of its position and that half's complement, so that a peer's stray write is
//! told apart from an empty slot: `Corrupt` is not `Empty`. Of the words of a cursor only the low half counts
//! as well ([`ahead_of`]): so no word means a position that a ring cannot get to.

use crate::sync::{AtomicU64, Ordering, fence};

/// Words of a slot that carry a descriptor.
pub const WORDS: usize = 7;

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
    // SYNC peek: pairs with the store in `publish`. A fence and not an acquire load, because the ring is
    // mapped read-only and the language promises only relaxed loads on such memory.
    fence(Ordering::Acquire);
    Found::Words(core::array::from_fn(|i| {
        slot.words.get(i).map_or(0, |word| word.load(Ordering::Relaxed))
    }))
}

/// What [`peek`] would find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nothing has been published there yet.
    Nothing,
    /// Words.
    Words,
    /// A stamp that the peer should not have written.
    Corrupt,
}

/// What [`peek`] would find at `position`: one load of one word, for whoever asks again and again.
#[must_use]
pub fn news(slots: &[Slot], position: u64) -> News {
    match slot_of(slots, position).map(|slot| slot.stamp.load(Ordering::Relaxed)) {
        Some(stamp) if stamp == stamp_of(position) => News::Words,
        Some(stamp) if is_vacant(slots.len(), position, stamp) => News::Nothing,
        _ => News::Corrupt,
    }
}

/// Whether something is published at `position`: [`peek`] would find its words. One load, like [`news`].
#[must_use]
pub fn is_published(slots: &[Slot], position: u64) -> bool {
    slot_of(slots, position).is_some_and(|slot| slot.stamp.load(Ordering::Relaxed) == stamp_of(position))
}

fn is_vacant(capacity: usize, position: u64, stamp: u64) -> bool {
    stamp == stamp_of(position.wrapping_sub(capacity as u64)) || (stamp == 0 && position < capacity as u64)
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

/// How far the position that a peer's `word` means lies ahead of `base`: as much as their low halves differ.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "compares the low halves")]
pub const fn ahead_of(base: u64, word: u64) -> u64 {
    (word as u32).wrapping_sub(base as u32) as u64
}

/// Where a consumer goes on that replaces another, by what that one's cursor says: there, if the ring can
/// have been released so far. If it cannot, then at the first free position, so that what was on its way is
/// lost; and there after all if the ring is in no order either. A producer that replaces another believes the
/// cursor in any case, and puts its ring in order ([`restore`]): of the two, whoever comes later finds what
/// the other has decided.
#[must_use]
pub fn recover(slots: &[Slot], word: u64) -> u64 {
    let said = word & u64::from(u32::MAX);
    if can_be_released(slots, said) {
        return said;
    }
    match first_free(slots) {
        Some(free) if ahead_of(said, free) > slots.len() as u64 => free,
        _ => said,
    }
}

/// Whether everything before `position`, and perhaps more, has been published, as far as the slots beside it
/// say.
#[must_use]
pub fn can_be_released(slots: &[Slot], position: u64) -> bool {
    match peek(slots, position) {
        Found::Words(_) => true,
        Found::Corrupt => false,
        Found::Empty => is_published(slots, position.wrapping_sub(1)) || (position == 0 && is_unused(slots)),
    }
}

/// Whether nothing has ever been published.
fn is_unused(slots: &[Slot]) -> bool {
    slots
        .first()
        .is_some_and(|slot| slot.stamp.load(Ordering::Relaxed) == 0)
}

/// The first free position of a ring whose slots all are in order.
fn first_free(slots: &[Slot]) -> Option<u64> {
    let capacity = slots.len() as u64;
    let mut newest: Option<u64> = None;
    for position in published(slots).flatten() {
        if newest.is_none_or(|newest| ahead_of(newest, position) < 1 << 31) {
            newest = Some(position);
        }
    }
    let free = newest.map_or(0, |newest| (newest + 1) & u64::from(u32::MAX));
    let mut in_order = slots
        .iter()
        .zip(published(slots))
        .map(|(slot, position)| match position {
            // Its producer may be publishing meanwhile.
            Some(position) => ahead_of(position, free) <= capacity || ahead_of(free, position) < capacity,
            None => free < capacity && slot.stamp.load(Ordering::Relaxed) == 0,
        });
    in_order.all(|in_order| in_order).then_some(free)
}

/// For each slot the position, as far as its low half goes, that it says is published there.
fn published(slots: &[Slot]) -> impl Iterator<Item = Option<u64>> + '_ {
    let mask = (slots.len() as u64).wrapping_sub(1);
    slots.iter().enumerate().map(move |(at, slot)| {
        let stamp = slot.stamp.load(Ordering::Relaxed);
        // The low half of a stamp is that of the position after it.
        let position = stamp.wrapping_sub(1) & u64::from(u32::MAX);
        (stamp == stamp_of(position) && position & mask == at as u64).then_some(position)
    })
}

/// Puts a ring in order whose first free position is `tail`, for a producer that found it otherwise: every
/// place before that says `words`, which are none that a consumer takes.
pub fn restore(slots: &[Slot], tail: u64, words: &[u64; WORDS]) {
    for before in 1..=slots.len() as u64 {
        publish(slots, tail.wrapping_sub(before), words);
    }
}

/// Whether something was published after `position`, where the slot is corrupt: the producer has gone past
/// it. If not, the slot may yet be published, and get a good stamp by that.
#[must_use]
pub fn is_passed(slots: &[Slot], position: u64) -> bool {
    (1..=LOOK_AHEAD).any(|ahead| matches!(peek(slots, position.wrapping_add(ahead)), Found::Words(_)))
}

/// The first free position, for a producer that replaces another: it counts what the consumer has taken, up
/// to `taken`, and the descriptors that its predecessor published after that; a ring holds no more than its
/// capacity after `released`.
#[must_use]
pub fn resume(slots: &[Slot], released: u64, taken: u64) -> u64 {
    let mut tail = taken;
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
            assert_eq!(news(&slots, position), News::Nothing);
            assert!(!is_published(&slots, position));
            publish(&slots, position, &[position; WORDS]);
            assert_eq!(news(&slots, position), News::Words);
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
                    assert_eq!(news(&slots, position), News::Corrupt);
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
        assert_eq!(resume(&slots, 6, 6), 13);
        assert_eq!(resume(&slots, 13, 13), 13);
        assert_eq!(resume(&slots, 5, 5), 13);
        assert_eq!(resume(&slots, 6, 14), 14, "what was wiped, and taken before");
    }

    #[test]
    fn an_honest_cursor_is_believed_and_an_impossible_one_is_not() {
        let low = |position: u64| position & u64::from(u32::MAX);
        let round = 1 << 32;
        for tail in [0, 1, 5, 8, 9, 100, round - 3, round, round + 1, round << 8] {
            let slots = ring(8);
            let oldest = u64::saturating_sub(tail, 8);
            for position in oldest..tail {
                publish(&slots, position, &[0; WORDS]);
            }
            for position in oldest..=tail {
                assert_eq!(recover(&slots, position), low(position), "{position} of {tail}");
            }
            let words = [
                u64::MAX,
                1 << 63,
                0xdead_beef,
                tail + 1,
                tail + 8,
                tail + 9,
                tail.wrapping_sub(9),
            ];
            for word in words.into_iter().filter(|word| ahead_of(*word, tail) > 8) {
                assert_eq!(recover(&slots, word), low(tail), "{word} of {tail}");
            }
        }
    }

    #[test]
    fn a_ring_that_is_in_no_order_is_put_in_order_and_then_tells_how_far_it_is() {
        for tail in [0, 3, 8, 100, u64::from(u32::MAX) - 2] {
            for noise in [0, u64::MAX, stamp_of(77), stamp_of(tail + 3), 5] {
                let slots = ring(8);
                for slot in &slots {
                    slot.stamp.store(noise, Ordering::Relaxed);
                }
                restore(&slots, tail, &[0; WORDS]);
                assert_eq!(first_free(&slots), Some(tail), "{tail} {noise}");
                assert_eq!(recover(&slots, 1 << 31), tail);
                assert_eq!(peek(&slots, tail), Found::Empty);
            }
        }
    }

    #[test]
    fn one_good_stamp_among_noise_is_nothing_to_go_by() {
        let slots = ring(8);
        for slot in &slots {
            slot.stamp.store(stamp_of(0xaaaa_aaa9), Ordering::Relaxed);
        }
        assert_eq!(first_free(&slots), None);
        assert_eq!(recover(&slots, 20), 20);
    }

    #[test]
    fn a_ring_of_noise_gives_both_ends_the_same_position() {
        let slots = ring(8);
        for slot in &slots {
            slot.stamp.store(u64::MAX, Ordering::Relaxed);
        }
        for word in [0, u64::MAX, 1 << 40, 77] {
            assert_eq!(recover(&slots, word), word & u64::from(u32::MAX));
        }
    }

    #[test]
    fn a_consumer_in_another_round_of_positions_finds_what_is_published() {
        let slots = ring(4);
        let round = 1 << 32;
        for position in round - 6..round - 2 {
            publish(&slots, position, &[0; WORDS]);
        }
        for position in round - 2..round + 9 {
            let low = position & (round - 1);
            assert_ne!(peek(&slots, low), Found::Corrupt, "{position}");
            publish(&slots, position, &[position; WORDS]);
            assert_eq!(peek(&slots, low), Found::Words([position; WORDS]));
        }
        assert_eq!(peek(&slots, 9), Found::Empty);
    }
}
