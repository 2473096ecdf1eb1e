//! A mapped region as its consumer knows it: which leaves hold records that it has accepted and not released.
//! A producer that lets two such records overlap, or one record overlap itself, misbehaves: so no
//! descriptors, however many, can make a consumer copy more than the region holds (I6).

use crate::outlet::extents::Extent;
use crate::record::descriptor::Descriptor;
use crate::record::refusal::Refusal;
use crate::region::layout::MappedLayout;
use alloc::boxed::Box;
use alloc::vec;

/// The leaves that are in use, in private memory.
pub(super) struct HeldLeaves {
    layout: MappedLayout,
    /// One bit for each leaf.
    used: Box<[u64]>,
    /// The leaves of the descriptor at each place of the ring.
    at: Box<[Option<Extent>]>,
}

impl HeldLeaves {
    pub(super) fn new(layout: MappedLayout) -> Self {
        let words = usize::try_from(layout.leaves().div_ceil(u64::BITS)).unwrap_or(0);
        Self {
            layout,
            used: vec![0; words].into_boxed_slice(),
            at: vec![None; layout.ring_capacity()].into_boxed_slice(),
        }
    }

    /// The shape of the region.
    pub(super) const fn layout(&self) -> &MappedLayout {
        &self.layout
    }

    /// Notes that the descriptor at `position` is accepted.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when it overlaps another that is not released; nothing is noted then.
    pub(super) fn hold(&mut self, position: u64, descriptor: &Descriptor) -> Result<(), Refusal> {
        let count = self.layout.leaves_for(descriptor.len_bytes);
        if count == 0 {
            return Ok(());
        }
        let first = self.layout.leaf_of(descriptor.offset).ok_or(Refusal::Malformed)?;
        let extent = Extent { first, count };
        if words(extent).any(|(at, mask)| self.used.get(at).is_none_or(|word| word & mask != 0)) {
            return Err(Refusal::Malformed);
        }
        let Some(place) = place(&mut self.at, position) else {
            return Err(Refusal::Malformed);
        };
        *place = Some(extent);
        self.mark(extent);
        Ok(())
    }

    /// Forgets all that is held: its producer is another process, which may not know of it.
    pub(super) fn forget(&mut self) {
        self.used.fill(0);
        self.at.fill(None);
    }

    /// Notes that the descriptor at `position` is about to be released.
    pub(super) fn let_go(&mut self, position: u64) {
        if let Some(extent) = place(&mut self.at, position).and_then(Option::take) {
            self.mark(extent);
        }
    }

    /// Turns the bits of an extent over: all are known to be equal.
    fn mark(&mut self, extent: Extent) {
        for (at, mask) in words(extent) {
            if let Some(word) = self.used.get_mut(at) {
                *word ^= mask;
            }
        }
    }
}

fn place(at: &mut [Option<Extent>], position: u64) -> Option<&mut Option<Extent>> {
    // The capacity is a power of two that the layout has checked.
    let mask = at.len().checked_sub(1)?;
    at.get_mut(usize::try_from(position).ok()? & mask)
}

/// The words that hold the bits of an extent, each with these bits.
fn words(extent: Extent) -> impl Iterator<Item = (usize, u64)> {
    let end = extent.first.saturating_add(extent.count);
    (extent.first / u64::BITS..end.div_ceil(u64::BITS)).map(move |word| {
        let start = word * u64::BITS;
        let from = extent.first.saturating_sub(start);
        let behind = (start + u64::BITS).saturating_sub(end);
        let mask = (u64::MAX << from) & (u64::MAX >> behind);
        (usize::try_from(word).unwrap_or(usize::MAX), mask)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_cover_each_leaf_of_an_extent_once(first in 0..300_u32, count in 1..300_u32) {
            let mut leaves = Vec::new();
            for (at, mask) in words(Extent { first, count }) {
                leaves.extend((0..64).filter(|bit| mask & (1 << bit) != 0).map(|bit| u32::try_from(at).unwrap() * 64 + bit));
            }
            prop_assert_eq!(leaves, (first..first + count).collect::<Vec<_>>());
        }
    }
}
