//! The inputs of runs: one record, or for a join one from each upstream function, collected until none is
//! missing.

use crate::clock::Monotonic;
use crate::sdk::part::Part;
use hacher_data_path::inlet::{RecordPlace, Upstream};
use hacher_data_path::page::counter::Counter;
use hacher_data_path::record::invocation::InvocationId;
use hacher_data_path::share::{HELD_MAX_BYTES, POOL_MAX_BYTES, pending_max};

/// The parts of one run's input, and where the records that they came in are held.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    pub(crate) parts: Vec<Part>,
    pub(crate) places: Vec<RecordPlace>,
    /// Of a join: in which record each part has come, if it has.
    records: Vec<Option<RecordPlace>>,
}

impl Bundle {
    /// Bytes of memory that the parts hold.
    fn kept_bytes(&mut self) -> usize {
        self.parts.iter_mut().map(Part::kept_bytes).sum()
    }

    /// The inbound ring that the first part of a join came over.
    pub(super) fn first_ring(&self) -> Option<usize> {
        self.records.first().copied().flatten().map(|record| record.ring)
    }

    /// Gives up the opened bytes of all parts whose records can be opened again.
    pub(crate) fn shed(&mut self) {
        self.parts.iter_mut().for_each(Part::shed);
    }

    /// The first part that was given up, and where its record is held.
    pub(crate) fn first_shed(&mut self) -> Option<(&mut Part, RecordPlace)> {
        let single = self.places.first().copied();
        let records = self.records.iter().copied().chain(core::iter::repeat(None));
        self.parts
            .iter_mut()
            .zip(records)
            .find(|(part, _)| part.is_shed())
            .and_then(|(part, record)| Some((part, record.or(single)?)))
    }

    /// The first part, if it was given up, and where its record is held.
    pub(crate) fn first_part_shed(&mut self) -> Option<(&mut Part, RecordPlace)> {
        let record = self.records.first().copied().flatten()?;
        let part = self.parts.first_mut().filter(|part| part.is_shed())?;
        Some((part, record))
    }
}

/// Bundles that wait for another use, so that the steady state allocates nothing (I8).
#[derive(Debug, Default)]
pub(crate) struct Pool {
    bundles: Vec<Bundle>,
    kept_bytes: usize,
}

/// Bundles kept; more are given back to the allocator.
const POOL_MAX: usize = 64;
/// A part's buffer that has grown past this is not kept, so that one large record does not stay in memory.
const KEPT_PART_BYTES: usize = 8 * 1024 * 1024;

impl Pool {
    /// A bundle with `width` empty parts and no places.
    pub(crate) fn take(&mut self, width: usize, upstream: &Upstream) -> Bundle {
        // One of the same width keeps the room of all its parts.
        let fits = self
            .bundles
            .iter()
            .rposition(|bundle| bundle.parts.len() == width);
        let mut bundle = match fits {
            Some(index) => self.bundles.swap_remove(index),
            None => self.bundles.pop().unwrap_or_default(),
        };
        self.kept_bytes = self.kept_bytes.saturating_sub(bundle.kept_bytes());
        bundle.places.clear();
        bundle.records.clear();
        bundle.records.resize(width, None);
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
        let kept_bytes = self.kept_bytes + bundle.kept_bytes();
        if self.bundles.len() < POOL_MAX && kept_bytes <= POOL_MAX_BYTES {
            self.kept_bytes = kept_bytes;
            self.bundles.push(bundle);
        }
    }
}

/// A join that misses something.
#[derive(Debug)]
pub(crate) struct Pending {
    group: u32,
    pub(crate) invocation: InvocationId,
    /// When its first part came.
    pub(crate) since: Monotonic,
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
    /// More joins wait than there can be requests in flight: an upstream function makes requests up.
    TooMany(Bundle),
}

/// All joins that miss something.
#[derive(Debug)]
pub(crate) struct Joins {
    pending: Vec<Pending>,
    pending_max: usize,
    /// Bytes of memory that their parts hold.
    held_bytes: usize,
}

impl Joins {
    /// None yet, in a chain with `in_flight` requests at most.
    pub(crate) fn new(in_flight: u32) -> Self {
        Self {
            pending: Vec::new(),
            pending_max: usize::try_from(pending_max(in_flight)).unwrap_or(usize::MAX),
            held_bytes: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Bytes that parts may hold besides those that wait here.
    pub(crate) fn room(&self) -> usize {
        HELD_MAX_BYTES.saturating_sub(self.held_bytes)
    }

    /// Adds the single part of `single`, which has come from `upstream` now. `elsewhere`: bytes that other
    /// parts hold.
    pub(crate) fn add(
        &mut self,
        mut single: Bundle,
        upstream: &Upstream,
        invocation: InvocationId,
        (now, deadline): (Monotonic, Monotonic),
        (pool, elsewhere): (&mut Pool, usize),
    ) -> Joined {
        let width = usize::try_from(upstream.group_width).unwrap_or(1);
        let member = usize::try_from(upstream.member).unwrap_or(0);
        let found = self
            .pending
            .iter()
            .position(|join| (join.group, join.invocation) == (upstream.group, invocation));
        if found.is_none() && self.pending.len() >= self.pending_max {
            return Joined::TooMany(single);
        }
        let index = found.unwrap_or_else(|| {
            let mut bundle = pool.take(width, upstream);
            self.held_bytes += bundle.kept_bytes();
            self.pending.push(Pending {
                group: upstream.group,
                invocation,
                since: now,
                deadline,
                bundle,
            });
            self.pending.len() - 1
        });
        let Some(join) = self.pending.get_mut(index) else {
            return Joined::Duplicate(single);
        };
        let (Some(record), Some(slot), Some(part)) = (
            join.bundle.records.get_mut(member),
            join.bundle.parts.get_mut(member),
            single.parts.first_mut(),
        ) else {
            return Joined::Duplicate(single);
        };
        if record.is_some() {
            return Joined::Duplicate(single);
        }
        *record = single.places.first().copied();
        // What the slot kept from its last use goes on to the pool, and what came in is held from here on.
        self.held_bytes = self.held_bytes.saturating_sub(slot.kept_bytes());
        core::mem::swap(slot, part);
        let complete = join.bundle.records.iter().all(Option::is_some);
        let held_bytes = self.held_bytes.saturating_add(elsewhere);
        if !complete && held_bytes + slot.kept_bytes() > HELD_MAX_BYTES {
            slot.shed();
        }
        self.held_bytes += slot.kept_bytes();
        join.bundle.places.append(&mut single.places);
        join.deadline = join.deadline.min(deadline);
        pool.give(single);
        if complete {
            Joined::Complete(self.remove(index))
        } else {
            Joined::Waiting
        }
    }

    fn remove(&mut self, index: usize) -> Bundle {
        let mut bundle = self.pending.swap_remove(index).bundle;
        self.held_bytes = self.held_bytes.saturating_sub(bundle.kept_bytes());
        bundle
    }

    /// When the first of them is worth nothing any more.
    pub(crate) fn first_deadline(&self) -> Option<Monotonic> {
        self.pending.iter().map(|join| join.deadline).min()
    }

    /// Takes out the next one, from the place `from` on, that is to be dropped, and how that is counted.
    pub(crate) fn take_dropped(
        &mut self,
        from: &mut usize,
        counted: impl Fn(&Pending) -> Option<Counter>,
    ) -> Option<(Bundle, Counter)> {
        let dropped = |(place, join)| Some((place, counted(join)?));
        let (place, counter) = self.pending.iter().enumerate().skip(*from).find_map(dropped)?;
        // The one that takes its place is looked at next.
        *from = place;
        Some((self.remove(place), counter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_data_path::name::Name;

    fn upstream(member: u32) -> Upstream {
        Upstream {
            function: Name::new(["left", "right"][member as usize]).unwrap(),
            port: Name::new("out").unwrap(),
            function_index: member + 1,
            group: 0,
            group_width: 2,
            member,
            fault: false,
            streams: false,
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
        let (mut pool, mut joins) = (Pool::default(), Joins::new(8));
        let (one, two) = (InvocationId::new(1), InvocationId::new(2));
        let deadline = Monotonic::from_ns(100);
        let times = (Monotonic::from_ns(0), deadline);
        let right = single(&mut pool, 1, 5);
        assert!(matches!(
            joins.add(right, &upstream(1), one, times, (&mut pool, 0)),
            Joined::Waiting
        ));
        let other = single(&mut pool, 0, 6);
        assert!(matches!(
            joins.add(other, &upstream(0), two, times, (&mut pool, 0)),
            Joined::Waiting
        ));
        let again = single(&mut pool, 1, 7);
        assert!(matches!(
            joins.add(again, &upstream(1), one, times, (&mut pool, 0)),
            Joined::Duplicate(_)
        ));
        let left = single(&mut pool, 0, 8);
        let Joined::Complete(bundle) = joins.add(left, &upstream(0), one, times, (&mut pool, 0)) else {
            panic!()
        };
        assert_eq!(bundle.parts[0].upstream(), "left");
        assert_eq!(bundle.parts[1].upstream(), "right");
        assert_eq!(bundle.places.len(), 2);
        assert_eq!(joins.first_deadline(), Some(deadline));
        let three = InvocationId::new(3);
        for (member, id) in [(0, one), (1, three)] {
            let part = single(&mut pool, member, 9);
            joins.add(part, &upstream(member), id, times, (&mut pool, 0));
        }
        let mut from = 0;
        let mut dropped = |id: InvocationId| {
            let is_meant = |join: &Pending| (join.invocation != id).then_some(Counter::Cancelled);
            let dropped = joins.take_dropped(&mut from, is_meant);
            dropped.map(|(bundle, _)| bundle.places[0].first)
        };
        // Each is looked at once, whichever goes.
        assert_eq!(
            [dropped(one), dropped(one), dropped(one)],
            [Some(6), Some(9), None]
        );
        assert_eq!(joins.first_deadline(), Some(deadline));
        assert!(!joins.is_empty());
    }

    /// A record whose part holds `len_bytes`, or a little more.
    fn large(pool: &mut Pool, member: u32, position: u64, len_bytes: usize) -> Bundle {
        let mut bundle = single(pool, member, position);
        let plain = bundle.parts[0].plain_mut();
        plain.reserve_exact(len_bytes);
        plain.resize(len_bytes, 1);
        bundle
    }

    #[test]
    fn parts_that_wait_hold_no_more_than_their_share_of_memory() {
        const PART_BYTES: usize = 1 << 20;
        let (mut pool, mut joins) = (Pool::default(), Joins::new(128));
        let deadline = Monotonic::from_ns(100);
        let times = (Monotonic::from_ns(0), deadline);
        for request in 0..128_u64 {
            let left = large(&mut pool, 0, request, PART_BYTES);
            let id = InvocationId::new(u128::from(request) + 1);
            let joined = joins.add(left, &upstream(0), id, times, (&mut pool, 0));
            assert!(matches!(joined, Joined::Waiting));
            assert!(joins.held_bytes <= HELD_MAX_BYTES, "{}", joins.held_bytes);
        }
        assert!(joins.held_bytes >= HELD_MAX_BYTES - 2 * PART_BYTES);
        let mut shed = 0;
        for request in 0..128_u64 {
            let right = large(&mut pool, 1, request, PART_BYTES);
            let id = InvocationId::new(u128::from(request) + 1);
            let joined = joins.add(right, &upstream(1), id, times, (&mut pool, 0));
            let Joined::Complete(mut bundle) = joined else {
                panic!("every part came")
            };
            // What was given up is known by the record that it can be opened from again.
            if let Some((part, record)) = bundle.first_shed() {
                assert_eq!((part.upstream(), record.ring, record.first), ("left", 0, request));
                shed += 1;
            }
            pool.give(bundle);
        }
        assert!((90..128).contains(&shed), "{shed}");
        assert_eq!(joins.held_bytes, 0);
        assert!(pool.kept_bytes <= POOL_MAX_BYTES);
    }

    #[test]
    fn requests_that_are_made_up_do_not_fill_memory() {
        let (mut pool, mut joins) = (Pool::default(), Joins::new(1));
        let deadline = Monotonic::from_ns(100);
        let times = (Monotonic::from_ns(0), deadline);
        let mut refused = 0;
        for request in 0..1000_u64 {
            let left = single(&mut pool, 0, request);
            let id = InvocationId::new(u128::from(request) + 1);
            let joined = joins.add(left, &upstream(0), id, times, (&mut pool, 0));
            refused += u64::from(matches!(joined, Joined::TooMany(_)));
        }
        assert_eq!(refused, 1000 - pending_max(1));
    }
}
