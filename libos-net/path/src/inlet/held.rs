//! The records of one ring that were accepted and are not released, oldest first.

use alloc::collections::VecDeque;

/// Records that are usually held at once; more room is made when it is needed, up to the ring's capacity.
const HELD_EXPECTED: usize = 32;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    /// Where it begins; it is known by that.
    pub(super) first: u64,
    /// Where what of it is not released begins.
    pub(super) from: u64,
    pub(super) end: u64,
    /// Epoch and sequence; 0 of what was refused, which says nothing about them: releasing it leaves those
    /// of the cursor as they are.
    pub(super) epoch: u32,
    pub(super) sequence: u64,
    pub(super) done: bool,
}

/// All of them.
pub(super) struct HeldRecords(VecDeque<Held>);

impl Default for HeldRecords {
    fn default() -> Self {
        Self(VecDeque::with_capacity(HELD_EXPECTED))
    }
}

impl HeldRecords {
    /// Where what is not released of the oldest begins.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.0.front().map(|held| held.from)
    }

    /// The oldest, if it begins at `first`.
    pub(super) fn oldest_at(&mut self, first: u64) -> Option<&mut Held> {
        self.0.front_mut().filter(|held| held.first == first)
    }

    /// Where the newest begins.
    pub(super) fn newest(&self) -> Option<u64> {
        self.0.back().map(|held| held.first)
    }

    /// Whether the oldest is done.
    pub(super) fn oldest_is_done(&self) -> bool {
        self.0.front().is_some_and(|held| held.done)
    }

    /// The one that begins at `first`.
    pub(super) fn at(&self, first: u64) -> Option<&Held> {
        self.0.iter().find(|held| held.first == first)
    }

    /// Notes that the one that begins at `first` is done; whether there is such a one.
    pub(super) fn set_done(&mut self, first: u64) -> bool {
        let Some(held) = self.0.iter_mut().find(|held| held.first == first) else {
            return false;
        };
        held.done = true;
        true
    }

    /// Adds one.
    pub(super) fn push(&mut self, held: Held) {
        self.0.push_back(held);
    }

    /// Has the newest end at `end`. Where it begins; `None` if there is none.
    pub(super) fn extend_newest(&mut self, end: u64) -> Option<u64> {
        let held = self.0.back_mut()?;
        held.end = end;
        Some(held.first)
    }

    /// Takes the oldest out, if it is done and not the one that begins at `arriving`.
    pub(super) fn pop_done(&mut self, arriving: Option<u64>) -> Option<Held> {
        self.0
            .pop_front_if(|held| held.done && Some(held.first) != arriving)
    }
}
