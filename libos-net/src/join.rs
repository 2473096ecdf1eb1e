//! The inputs of runs: one record, or for a join one from each upstream function, collected until none is missing.

use crate::clock::Monotonic;
use crate::invocation::InvocationId;
use crate::peek::{RecordPlace, Upstream};
use crate::sdk::input::Part;

/// The parts of one run's input, and where the records that they came in are held.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    pub(crate) parts: Vec<Part>,
    pub(crate) places: Vec<RecordPlace>,
    /// Of a join: which parts have come.
    filled: Vec<bool>,
}

/// Bundles that wait for another use, so that the steady state allocates nothing (I8).
#[derive(Debug, Default)]
pub(crate) struct Pool(Vec<Bundle>);

/// Bundles kept; more are given back to the allocator.
const POOL_MAX: usize = 64;
/// A part's buffer that has grown past this is not kept, so that one large record does not stay in memory.
const KEPT_PART_BYTES: usize = 8 * 1024 * 1024;

impl Pool {
    /// A bundle with `width` empty parts and no places.
    pub(crate) fn take(&mut self, width: usize, upstream: &Upstream) -> Bundle {
        // One of the same width keeps the room of all its parts.
        let fits = self.0.iter().rposition(|bundle| bundle.parts.len() == width);
        let mut bundle = match fits {
            Some(index) => self.0.swap_remove(index),
            None => self.0.pop().unwrap_or_default(),
        };
        bundle.places.clear();
        bundle.filled.clear();
        bundle.filled.resize(width, false);
        bundle.parts.truncate(width);
        for part in &mut bundle.parts {
            part.clear(upstream.function, upstream.port);
        }
        while bundle.parts.len() < width {
            bundle.parts.push(Part::new(upstream.function, upstream.port));
        }
        bundle
    }

    /// Takes a bundle back.
    pub(crate) fn give(&mut self, mut bundle: Bundle) {
        bundle
            .parts
            .retain_mut(|part| part.kept_bytes() <= KEPT_PART_BYTES);
        if self.0.len() < POOL_MAX {
            self.0.push(bundle);
        }
    }
}

/// A join that misses something.
#[derive(Debug)]
pub(crate) struct Pending {
    group: u32,
    invocation: InvocationId,
    pub(crate) deadline: Monotonic,
    pub(crate) bundle: Bundle,
}

/// What became of a record that was added to a join.
pub(crate) enum Joined {
    /// Others are still missing.
    Waiting,
    /// This one was the last.
    Complete(Bundle),
    /// The join had one of this upstream function already: a redelivery.
    Duplicate(Bundle),
}

/// All joins that miss something. As many as there are requests in flight, at most.
#[derive(Debug, Default)]
pub(crate) struct Joins(Vec<Pending>);

impl Joins {
    /// Adds the single part of `single`, which came from `upstream`.
    pub(crate) fn add(
        &mut self,
        mut single: Bundle,
        upstream: &Upstream,
        invocation: InvocationId,
        deadline: Monotonic,
        pool: &mut Pool,
    ) -> Joined {
        let width = usize::try_from(upstream.group_width).unwrap_or(1);
        let member = usize::try_from(upstream.member).unwrap_or(0);
        let found = self
            .0
            .iter()
            .position(|join| (join.group, join.invocation) == (upstream.group, invocation));
        let index = found.unwrap_or_else(|| {
            self.0.push(Pending {
                group: upstream.group,
                invocation,
                deadline,
                bundle: pool.take(width, upstream),
            });
            self.0.len() - 1
        });
        let Some(join) = self.0.get_mut(index) else {
            return Joined::Duplicate(single);
        };
        let (Some(filled), Some(slot), Some(part)) = (
            join.bundle.filled.get_mut(member),
            join.bundle.parts.get_mut(member),
            single.parts.first_mut(),
        ) else {
            return Joined::Duplicate(single);
        };
        if *filled {
            return Joined::Duplicate(single);
        }
        *filled = true;
        core::mem::swap(slot, part);
        join.bundle.places.append(&mut single.places);
        join.deadline = join.deadline.min(deadline);
        let complete = join.bundle.filled.iter().all(|filled| *filled);
        pool.give(single);
        if complete {
            Joined::Complete(self.0.swap_remove(index).bundle)
        } else {
            Joined::Waiting
        }
    }

    /// When the first of them is worth nothing any more.
    pub(crate) fn first_deadline(&self) -> Option<Monotonic> {
        self.0.iter().map(|join| join.deadline).min()
    }

    /// Takes out one whose deadline has passed, or that nobody waits for.
    pub(crate) fn take_expired(
        &mut self,
        now: Monotonic,
        closed: impl Fn(InvocationId) -> bool,
    ) -> Option<Bundle> {
        let index = self
            .0
            .iter()
            .position(|join| join.deadline <= now || closed(join.invocation))?;
        Some(self.0.swap_remove(index).bundle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    fn upstream(member: u32) -> Upstream {
        Upstream {
            function: Name::new(["left", "right"][member as usize]).unwrap(),
            port: Name::new("out").unwrap(),
            function_index: member + 1,
            group: 0,
            group_width: 2,
            member,
            fault: false,
        }
    }

    fn single(pool: &mut Pool, member: u32, position: u64) -> Bundle {
        let mut bundle = pool.take(1, &upstream(member));
        bundle.places.push(RecordPlace {
            ring: member as usize,
            first: position,
        });
        bundle
    }

    #[test]
    fn a_join_is_complete_when_every_member_has_come_in_any_order() {
        let (mut pool, mut joins) = (Pool::default(), Joins::default());
        let (one, two) = (InvocationId::new(1), InvocationId::new(2));
        let deadline = Monotonic::from_ns(100);
        let right = single(&mut pool, 1, 5);
        assert!(matches!(
            joins.add(right, &upstream(1), one, deadline, &mut pool),
            Joined::Waiting
        ));
        let other = single(&mut pool, 0, 6);
        assert!(matches!(
            joins.add(other, &upstream(0), two, deadline, &mut pool),
            Joined::Waiting
        ));
        let again = single(&mut pool, 1, 7);
        assert!(matches!(
            joins.add(again, &upstream(1), one, deadline, &mut pool),
            Joined::Duplicate(_)
        ));
        let left = single(&mut pool, 0, 8);
        let Joined::Complete(bundle) = joins.add(left, &upstream(0), one, deadline, &mut pool) else {
            panic!()
        };
        assert_eq!(bundle.parts[0].upstream(), "left");
        assert_eq!(bundle.parts[1].upstream(), "right");
        assert_eq!(bundle.places.len(), 2);
        assert_eq!(joins.first_deadline(), Some(deadline));
        assert!(joins.take_expired(Monotonic::from_ns(99), |_| false).is_none());
        assert!(
            joins
                .take_expired(Monotonic::from_ns(99), |id| id == two)
                .is_some()
        );
        assert_eq!(joins.first_deadline(), None);
    }
}
