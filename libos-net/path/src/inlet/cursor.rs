//! What this instance's page says of one ring: how far it is released, and which records were released before
//! older ones, so that a replacement does not run them again.

use crate::region::layout::{DONE_WINDOW, DONE_WORDS, PageLayout};
use crate::region::memory::OwnRegion;
use crate::sync::Ordering;
use alloc::boxed::Box;

/// Where the page tells how far one ring is taken and released.
pub(super) struct Cursor {
    at: usize,
    /// Where it tells how far it is taken.
    taken_at: usize,
    /// Where it says which records are done before older ones.
    done_at: usize,
    /// How many it says so of.
    done_ahead: u32,
    /// What it said when this process began, and from which position on.
    done_before: Option<Box<(u64, [u64; DONE_WORDS])>>,
}

impl Cursor {
    /// That of inbound ring `index`; `None` if there is no such ring.
    pub(super) fn new(layout: &PageLayout, index: usize) -> Option<Self> {
        Some(Self {
            at: layout.cursor_at(index)?,
            taken_at: layout.taken_at(index),
            done_at: layout.done_at(index),
            done_ahead: 0,
            done_before: None,
        })
    }

    /// Where `word` of the cursor lies in the page.
    pub(super) const fn word_at(&self, word: usize) -> usize {
        self.at + word
    }

    /// Where the page says how far the ring is taken.
    pub(super) const fn taken_at(&self) -> usize {
        self.taken_at
    }

    /// Takes over which records a predecessor had released before older ones, from `next` on. What was not
    /// published, from `unpublished` on, cannot have been done.
    pub(super) fn resume_done(&mut self, page: &OwnRegion, next: u64, unpublished: u64) {
        let at = |word: usize| self.done_at + word * 8;
        let load = |word| page.word(at(word)).map_or(0, |word| word.load(Ordering::Relaxed));
        let mut done: [u64; DONE_WORDS] = core::array::from_fn(load);
        if done == [0; DONE_WORDS] {
            return;
        }
        for position in unpublished..next + DONE_WINDOW {
            let (word, bit) = done_place(position);
            if let Some(word) = done.get_mut(word) {
                *word &= !bit;
            }
        }
        for (word, value) in done.iter().enumerate() {
            store_changed(page, at(word), *value);
        }
        self.done_ahead = done.iter().map(|word| word.count_ones()).sum();
        if self.done_ahead > 0 {
            self.done_before = Some(Box::new((next, done)));
        }
    }

    /// Whether it says of a record that it is done before older ones.
    pub(super) const fn has_done_ahead(&self) -> bool {
        self.done_ahead > 0
    }

    /// Whether a predecessor had released the record at `first`, before older ones.
    pub(super) fn was_done(&mut self, first: u64) -> bool {
        let Some(before) = &self.done_before else {
            return false;
        };
        let (from, done) = before.as_ref();
        if first.checked_sub(*from).is_none_or(|ahead| ahead >= DONE_WINDOW) {
            // All that it can speak of has come.
            self.done_before = None;
            return false;
        }
        let (word, bit) = done_place(first);
        done.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Notes in the page that the record at `first` is done, although older ones are not; or, when they are,
    /// that this need not be noted any more. A death before the cursor has moved then makes it run again,
    /// and a death after it has moved leaves nothing that a later record at the same place could be taken
    /// for.
    pub(super) fn note_done(&mut self, first: u64, done: bool, page: &OwnRegion) {
        let (at, bit) = done_place(first);
        let Some(word) = page.word(self.done_at + at * 8) else {
            return;
        };
        let noted = word.load(Ordering::Relaxed);
        if (noted & bit != 0) == done {
            return;
        }
        word.store(noted ^ bit, Ordering::Relaxed);
        self.done_ahead = if done {
            self.done_ahead.saturating_add(1)
        } else {
            self.done_ahead.saturating_sub(1)
        };
    }
}

/// Stores a word that does not hold `value` yet: a cache line that peers read is not dirtied for nothing.
pub(super) fn store_changed(page: &OwnRegion, at: usize, value: u64) {
    if let Some(word) = page.word(at)
        && word.load(Ordering::Relaxed) != value
    {
        word.store(value, Ordering::Relaxed);
    }
}

/// In which of the words, and as which bit, it stands whether the record at `position` is done.
fn done_place(position: u64) -> (usize, u64) {
    let at = position % DONE_WINDOW;
    (usize::try_from(at / 64).unwrap_or(0), 1 << (at % 64))
}
