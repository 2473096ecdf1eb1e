//! Which room the descriptor at each position of a ring names, until its consumer has released it.

use alloc::boxed::Box;
use alloc::vec;

/// One entry for each place of a ring. `R` is a slot of the outbox, or an extent of a mapped region.
pub(crate) struct Rooms<R>(Box<[Option<R>]>);

impl<R: Copy> Rooms<R> {
    /// For a ring of `capacity` descriptors, a power of two.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(vec![None; capacity].into_boxed_slice())
    }

    fn at(&mut self, position: u64) -> Option<&mut Option<R>> {
        let mask = self.0.len().checked_sub(1)?;
        self.0.get_mut(usize::try_from(position).ok()? & mask)
    }

    /// Notes what the descriptor at `position` names.
    pub(crate) fn put(&mut self, position: u64, room: Option<R>) {
        if let Some(at) = self.at(position) {
            *at = room;
        }
    }

    /// What the descriptor at `position` named: its consumer has released it.
    pub(crate) fn take(&mut self, position: u64) -> Option<R> {
        self.at(position)?.take()
    }
}
