//! System calls that the machine refused to an instance, counted by number in its page.

use crate::region::layout::{REFUSED_CALLS, page_word};
use crate::region::memory::OwnRegion;
use crate::sync::Ordering;
use alloc::vec::Vec;

/// An entry: the call's number plus one, and how often.
const COUNT_BITS: u32 = 48;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

fn entry_at(entry: usize) -> usize {
    page_word::REFUSED_CALLS + entry * size_of::<u64>()
}

/// Adds one to the entry of `number`, takes a free one for it, or adds to the last entry, which stands for
/// all others.
pub fn count(page: &OwnRegion, number: u64) {
    let key = (number.min(u64::from(u16::MAX) - 2) + 1) << COUNT_BITS;
    for entry in 0..REFUSED_CALLS - 1 {
        let Some(word) = page.word(entry_at(entry)) else {
            return;
        };
        // SYNC relaxed: a count by itself; several threads may be in here.
        let counted = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| {
            let of_this = value == 0 || value & !COUNT_MASK == key;
            of_this.then_some(key | (value + 1) & COUNT_MASK)
        });
        if counted.is_ok() {
            return;
        }
    }
    if let Some(word) = page.word(entry_at(REFUSED_CALLS - 1)) {
        word.fetch_add(1, Ordering::Relaxed);
    }
}

/// A refused call, as an instance page tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedCall {
    /// Its number on this architecture; `None` for all those together that had no entry of their own left.
    pub number: Option<u64>,
    /// How often.
    pub count: u64,
}

/// Reads the entries of a page by its words. Whatever stands in there is hostile, and only told on.
#[must_use]
pub fn read(word: impl Fn(usize) -> u64) -> Vec<RefusedCall> {
    let named = (0..REFUSED_CALLS - 1).filter_map(|entry| {
        let value = word(entry_at(entry));
        let number = (value >> COUNT_BITS).checked_sub(1)?;
        Some(RefusedCall {
            number: Some(number),
            count: value & COUNT_MASK,
        })
    });
    let others = word(entry_at(REFUSED_CALLS - 1));
    let others = (others > 0).then_some(RefusedCall {
        number: None,
        count: others,
    });
    named.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::heap::Heap;
    use crate::region::layout::PAGE_BYTES;

    fn page() -> OwnRegion {
        OwnRegion::new(Box::new(Heap::new(PAGE_BYTES)))
    }

    fn read_page(page: &OwnRegion) -> Vec<RefusedCall> {
        read(|at| page.word(at).map_or(0, |word| word.load(Ordering::Relaxed)))
    }

    #[test]
    fn calls_are_counted_by_number_and_what_has_no_room_together() {
        let page = page();
        assert_eq!(read_page(&page), []);
        for number in 0..20 {
            for _ in 0..=number {
                count(&page, number);
            }
        }
        let calls = read_page(&page);
        assert_eq!(calls.len(), REFUSED_CALLS);
        for (at, call) in calls.iter().take(REFUSED_CALLS - 1).enumerate() {
            let number = at as u64;
            assert_eq!((call.number, call.count), (Some(number), number + 1));
        }
        let others: u64 = (16..=20).sum();
        assert_eq!(
            calls.last(),
            Some(&RefusedCall {
                number: None,
                count: others
            })
        );
    }

    #[test]
    fn any_bytes_in_a_page_can_be_read() {
        assert_eq!(read(|_| u64::MAX).len(), REFUSED_CALLS);
        assert_eq!(
            read(|_| COUNT_MASK),
            [RefusedCall {
                number: None,
                count: COUNT_MASK
            }]
        );
    }
}
