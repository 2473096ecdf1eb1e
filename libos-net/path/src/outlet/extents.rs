//! `reserve` in a mapped region: extents of neighbouring leaves, of any length. What was released last is
//! given out first, so that the hot set stays in cache. All bookkeeping is private memory of the producer;
//! the consumer keeps its own books (`inlet/leaves.rs`).

use crate::region::layout::MappedLayout;
use alloc::boxed::Box;
use alloc::vec;

/// Neighbouring leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extent {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Extent {
    const NONE: Self = Self { first: 0, count: 0 };
}

/// Extents that were released last, and are given out again as they are.
const FRESH: usize = 8;
/// Runs of free leaves are listed by the logarithm of their length.
const CLASSES: usize = 32;
/// Runs of the right class that are looked at before a longer one is cut.
const LOOKS: usize = 16;
/// No leaf.
const NO_LEAF: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Leaf {
    /// Length of the run of free leaves that begins or ends here; 0 anywhere else.
    run: u32,
    /// Of the first leaf of a run: its neighbours in the list of its class.
    previous: u32,
    next: u32,
}

/// Free and used leaves.
#[derive(Debug)]
pub(crate) struct Extents {
    leaves: Box<[Leaf]>,
    heads: [u32; CLASSES],
    /// The newest last. Used as far as the runs are concerned.
    fresh: [Extent; FRESH],
    fresh_count: usize,
}

fn class_of(count: u32) -> usize {
    usize::try_from(count.max(1).ilog2()).unwrap_or(0)
}

impl Extents {
    /// All leaves of the region, free.
    pub(crate) fn new(layout: &MappedLayout) -> Self {
        let mut extents = Self::empty(layout);
        extents.add_run(Extent {
            first: 0,
            count: layout.leaves(),
        });
        extents
    }

    fn empty(layout: &MappedLayout) -> Self {
        let leaf = Leaf {
            run: 0,
            previous: NO_LEAF,
            next: NO_LEAF,
        };
        Self {
            leaves: vec![leaf; usize::try_from(layout.leaves()).unwrap_or(0)].into_boxed_slice(),
            heads: [NO_LEAF; CLASSES],
            fresh: [Extent::NONE; FRESH],
            fresh_count: 0,
        }
    }

    /// All leaves but those of `held`, which do not overlap; for a producer that has found them in use by its
    /// predecessor's records.
    pub(crate) fn without(layout: &MappedLayout, held: &mut [Extent]) -> Self {
        let mut extents = Self::empty(layout);
        held.sort_unstable();
        let mut free_from = 0;
        for extent in held.iter() {
            extents.add_run(Extent {
                first: free_from,
                count: extent.first.saturating_sub(free_from),
            });
            free_from = extent.first + extent.count;
        }
        extents.add_run(Extent {
            first: free_from,
            count: layout.leaves().saturating_sub(free_from),
        });
        extents
    }

    /// `count` neighbouring leaves, at least one.
    pub(crate) fn reserve(&mut self, count: u32) -> Option<Extent> {
        if let Some(extent) = self.take_fresh(count) {
            return Some(extent);
        }
        let run = match self.find_run(count) {
            Some(run) => run,
            None => {
                self.settle_fresh();
                self.find_run(count)?
            }
        };
        self.remove_run(run);
        self.add_run(Extent {
            first: run.first + count,
            count: run.count - count,
        });
        Some(Extent {
            first: run.first,
            count,
        })
    }

    /// Takes an extent back.
    pub(crate) fn release(&mut self, extent: Extent) {
        if extent.count == 0 {
            return;
        }
        if self.fresh_count == FRESH {
            let [oldest, ..] = self.fresh;
            self.fresh.rotate_left(1);
            self.fresh_count -= 1;
            self.merge(oldest);
        }
        if let Some(place) = self.fresh.get_mut(self.fresh_count) {
            *place = extent;
            self.fresh_count += 1;
        }
    }

    fn take_fresh(&mut self, count: u32) -> Option<Extent> {
        let fresh = self.fresh.get_mut(..self.fresh_count)?;
        let at = fresh.iter().rposition(|extent| extent.count == count)?;
        let extent = *fresh.get(at)?;
        fresh.get_mut(at..)?.rotate_left(1);
        self.fresh_count -= 1;
        Some(extent)
    }

    /// Makes what was released last part of the free runs.
    fn settle_fresh(&mut self) {
        for at in 0..core::mem::take(&mut self.fresh_count) {
            if let Some(extent) = self.fresh.get(at).copied() {
                self.merge(extent);
            }
        }
    }

    fn find_run(&self, count: u32) -> Option<Extent> {
        let class = class_of(count);
        let fits = |run: &Extent| run.count >= count;
        if let Some(run) = self.runs(class).take(LOOKS).find(fits) {
            return Some(run);
        }
        // Any run of a larger class is long enough.
        let larger = (class + 1..CLASSES).find_map(|class| self.runs(class).next());
        larger.or_else(|| self.runs(class).skip(LOOKS).find(fits))
    }

    /// The runs of a class, the newest first.
    fn runs(&self, class: usize) -> impl Iterator<Item = Extent> {
        let head = self.heads.get(class).copied().unwrap_or(NO_LEAF);
        core::iter::successors(self.run_at(head), |run| {
            self.leaf(run.first).and_then(|leaf| self.run_at(leaf.next))
        })
    }

    fn run_at(&self, first: u32) -> Option<Extent> {
        let count = self.leaf(first)?.run;
        (count > 0).then_some(Extent { first, count })
    }

    fn leaf(&self, leaf: u32) -> Option<&Leaf> {
        self.leaves.get(usize::try_from(leaf).ok()?)
    }

    fn leaf_mut(&mut self, leaf: u32) -> Option<&mut Leaf> {
        self.leaves.get_mut(usize::try_from(leaf).ok()?)
    }

    fn set_run(&mut self, run: Extent, count: u32) {
        for at in [run.first, run.first + run.count - 1] {
            if let Some(leaf) = self.leaf_mut(at) {
                leaf.run = count;
            }
        }
    }

    fn add_run(&mut self, run: Extent) {
        if run.count == 0 {
            return;
        }
        self.set_run(run, run.count);
        let Some(head) = self.heads.get_mut(class_of(run.count)) else {
            return;
        };
        let next = core::mem::replace(head, run.first);
        if let Some(leaf) = self.leaf_mut(run.first) {
            leaf.previous = NO_LEAF;
            leaf.next = next;
        }
        if let Some(leaf) = self.leaf_mut(next) {
            leaf.previous = run.first;
        }
    }

    fn remove_run(&mut self, run: Extent) {
        let Some(Leaf { previous, next, .. }) = self.leaf(run.first).copied() else {
            return;
        };
        if let Some(leaf) = self.leaf_mut(next) {
            leaf.previous = previous;
        }
        if let Some(leaf) = self.leaf_mut(previous) {
            leaf.next = next;
        } else if let Some(head) = self.heads.get_mut(class_of(run.count)) {
            *head = next;
        }
        self.set_run(run, 0);
    }

    /// Adds an extent to the free runs, joined with those before and after it.
    fn merge(&mut self, extent: Extent) {
        let mut run = extent;
        if let Some(before) = run.first.checked_sub(1)
            && let Some(count) = self.leaf(before).map(|leaf| leaf.run).filter(|count| *count > 0)
        {
            let first = run.first - count;
            self.remove_run(Extent { first, count });
            run = Extent {
                first,
                count: count + run.count,
            };
        }
        if let Some(after) = self.run_at(run.first + run.count) {
            self.remove_run(after);
            run.count += after.count;
        }
        self.add_run(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout() -> MappedLayout {
        MappedLayout::new(256, 1 << 20).unwrap()
    }

    #[test]
    fn the_extent_released_last_is_reused_first() {
        let mut extents = Extents::new(&layout());
        let taken: Vec<_> = (0..3).map(|_| extents.reserve(5).unwrap()).collect();
        let other = extents.reserve(7).unwrap();
        for extent in &taken {
            extents.release(*extent);
        }
        extents.release(other);
        for extent in taken.iter().rev() {
            assert_eq!(extents.reserve(5), Some(*extent));
        }
    }

    #[test]
    fn all_leaves_are_one_extent_again_when_all_is_released() {
        let mut extents = Extents::new(&layout());
        let all = layout().leaves();
        assert_eq!(extents.reserve(all + 1), None);
        let taken: Vec<_> = (0..all).map(|_| extents.reserve(1).unwrap()).collect();
        assert_eq!(extents.reserve(1), None);
        let (even, odd): (Vec<_>, Vec<_>) = taken.into_iter().partition(|extent| extent.first % 2 == 0);
        for extent in even {
            extents.release(extent);
        }
        assert_eq!(extents.reserve(2), None, "no two neighbours are free");
        for extent in odd {
            extents.release(extent);
        }
        assert_eq!(extents.reserve(all).map(|extent| extent.count), Some(all));
    }

    proptest! {
        #[test]
        fn extents_never_overlap_and_nothing_is_lost(
            steps in proptest::collection::vec((any::<bool>(), 1..400_u32, any::<prop::sample::Index>()), 0..300)
        ) {
            let all = layout().leaves();
            let mut extents = Extents::new(&layout());
            let mut held: Vec<Extent> = Vec::new();
            for (reserve, count, which) in steps {
                if reserve {
                    if let Some(extent) = extents.reserve(count) {
                        prop_assert_eq!(extent.count, count);
                        prop_assert!(extent.first + extent.count <= all);
                        for other in &held {
                            prop_assert!(
                                extent.first + extent.count <= other.first || other.first + other.count <= extent.first
                            );
                        }
                        held.push(extent);
                    }
                } else if !held.is_empty() {
                    extents.release(held.swap_remove(which.index(held.len())));
                }
            }
            let mut resumed = Extents::without(&layout(), &mut held);
            let free = all - held.iter().map(|extent| extent.count).sum::<u32>();
            for each in [&mut extents, &mut resumed] {
                let mut found = 0;
                while each.reserve(1).is_some() {
                    found += 1;
                }
                prop_assert_eq!(found, free);
            }
        }
    }
}
