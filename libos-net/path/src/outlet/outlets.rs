//! The outlets of one port: of each of its edges one to every consumer instance, and which of these takes the
//! record that is being sent.

use super::mapped::MappedRoom;
use super::outbox::Outbox;
use super::publish::OutRing;
use super::{Outlet, Segment};
use crate::page::own::Own;
use crate::region::layout::{EDGES_COUNTED, PageLayout};
use alloc::vec::Vec;

/// In the order of the edges; those of one edge stand together.
pub(crate) struct Outlets(Vec<Outlet>);

/// What was reserved for one segment.
#[derive(Clone, Copy)]
pub(crate) struct Takers {
    /// Outlets that take the record, sealed and mapped ones.
    pub(crate) sealed: usize,
    pub(crate) mapped: usize,
    /// Whether all of them have room.
    pub(crate) has_room: bool,
}

impl Outlets {
    pub(crate) fn new(mut outlets: Vec<Outlet>) -> Self {
        outlets.sort_by_key(|outlet| outlet.out_ring.edge());
        Self(outlets)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Outlet> {
        self.0.iter()
    }

    /// As [`Self::iter`].
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Outlet> {
        self.0.iter_mut()
    }

    /// Which one takes the record that is being sent, of the outlets of one edge.
    pub(crate) fn taking_lane(&self) -> Option<usize> {
        self.0.iter().position(|outlet| outlet.out_ring.takes())
    }

    /// Has that one take the record that is being sent, and no other.
    pub(crate) fn choose(&mut self, lane: usize) {
        for (at, outlet) in self.0.iter_mut().enumerate() {
            outlet.out_ring.set_takes(at == lane);
        }
    }

    /// How far the consumer behind outlet `lane` had come when it was last looked for.
    pub(crate) fn released(&self, lane: usize) -> u64 {
        self.0.get(lane).map_or(0, |outlet| outlet.out_ring.released())
    }

    /// Where the next descriptor of outlet `lane` goes.
    pub(crate) fn tail(&self, lane: usize) -> u64 {
        self.0.get(lane).map_or(0, |outlet| outlet.out_ring.tail())
    }

    /// Those that take the record that is being sent.
    pub(crate) fn taking(&mut self) -> impl Iterator<Item = &mut Outlet> {
        self.0.iter_mut().filter(|outlet| outlet.out_ring.takes())
    }

    /// Whether there is a sealed one.
    pub(crate) fn any_sealed(&self) -> bool {
        self.0.iter().any(Outlet::is_sealed)
    }

    /// Whether there are some, and all of them are mapped.
    pub(crate) fn all_mapped(&self) -> bool {
        !self.0.is_empty() && !self.any_sealed()
    }

    /// Whether there are some, and all their consumers release a record as they read it.
    pub(crate) fn all_stream(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|outlet| outlet.out_ring.streams())
    }

    /// Whether of each edge there is an instance that takes no record that goes on later.
    pub(crate) fn have_free_instances(&self) -> bool {
        self.0
            .chunk_by(Outlet::is_beside)
            .all(|beside| beside.iter().any(|outlet| !outlet.out_ring.is_busy()))
    }

    /// Those that take the record that is being sent are busy with it until it goes on: which they are.
    pub(crate) fn set_aside(&mut self) -> Vec<usize> {
        let taking = self.0.iter_mut().enumerate();
        let taking = taking.filter(|(_, outlet)| outlet.out_ring.takes());
        taking
            .map(|(at, outlet)| {
                outlet.out_ring.set_busy(true);
                at
            })
            .collect()
    }

    /// Has these take the record that goes on, and no others.
    pub(crate) fn go_on(&mut self, with: &[usize]) {
        for (at, outlet) in self.0.iter_mut().enumerate() {
            let takes = with.contains(&at);
            outlet.out_ring.set_takes(takes);
            if takes {
                outlet.out_ring.set_busy(false);
            }
        }
    }

    /// Of each edge, has one instance take the record that begins now, of the request numbered `count`.
    pub(crate) fn choose_instances(&mut self, count: u64) {
        for beside in self.0.chunk_by_mut(Outlet::is_beside) {
            let least = least_loaded(beside, count);
            for (at, outlet) in beside.iter_mut().enumerate() {
                outlet.out_ring.set_takes(at == least);
            }
        }
    }

    /// The mapped outlet that a record of the request numbered `count` takes, if it takes no other.
    pub(crate) fn only_mapped(&mut self, count: u64) -> Option<(&mut MappedRoom, &mut OutRing)> {
        if self.any_sealed() {
            return None;
        }
        let mut edges = self.0.chunk_by_mut(Outlet::is_beside);
        let beside = edges.next()?;
        if edges.next().is_some() {
            return None;
        }
        let least = least_loaded(beside, count);
        beside.get_mut(least).and_then(Outlet::mapped_mut)
    }

    /// The mapped outlet in whose region a handler is writing a record.
    pub(crate) fn placed(&mut self) -> Option<(&mut MappedRoom, &mut OutRing)> {
        self.0
            .iter_mut()
            .filter_map(Outlet::mapped_mut)
            .find(|(room, _)| room.placed_bytes().is_some())
    }

    /// Reserves for one segment in all outlets that take it. If one has no room, what others have reserved
    /// stays so until [`Self::give_back`].
    pub(crate) fn reserve(&mut self, outbox: &mut Outbox, len_bytes: usize, places: u64) -> Takers {
        let mut taking = Takers {
            sealed: 0,
            mapped: 0,
            has_room: true,
        };
        for outlet in self.taking() {
            taking.has_room = taking.has_room && outlet.reserve(outbox, len_bytes, places);
            if outlet.is_sealed() {
                taking.sealed += 1;
            } else {
                taking.mapped += 1;
            }
        }
        taking
    }

    /// Gives up what was reserved.
    pub(crate) fn give_back(&mut self) {
        self.0.iter_mut().for_each(Outlet::give_back);
    }

    /// Publishes a segment to all that take it.
    #[inline(always)]
    pub(crate) fn publish(&mut self, own: &Own, outbox: &Outbox, segment: Segment<'_>) {
        for outlet in self.taking() {
            outlet.publish(outbox, segment);
            own.count_sent(outlet.out_ring.sent_at());
        }
    }

    /// Rings those who sleep of the consumers that have been sent to; [`crate::wait::park::Waker::fence`]
    /// came before.
    pub(crate) fn wake(&mut self) {
        for outlet in self.taking() {
            outlet.out_ring.wake();
        }
    }

    /// Takes back the room of all that was released.
    pub(crate) fn reclaim(&mut self, outbox: &mut Outbox) {
        for outlet in &mut self.0 {
            outlet.reclaim(outbox);
        }
    }

    /// Whether a consumer has released something since the last look.
    pub(crate) fn have_news(&self) -> bool {
        self.0.iter().any(|outlet| outlet.out_ring.has_news())
    }

    /// Counts in the page what is published over each edge from now on, beginning with what predecessors
    /// published: told by the rings, as one of them may have died between publishing and counting. Edges
    /// that have no place are not counted.
    pub(crate) fn begin_counting(&mut self, port: usize, layout: &PageLayout, store: impl Fn(usize, u64)) {
        let edges = self.0.chunk_by_mut(Outlet::is_beside).take(EDGES_COUNTED);
        for (at, beside) in edges.enumerate() {
            let Some(sent_at) = layout.sent_at(port, at) else {
                return;
            };
            let mut sent = 0_u64;
            for outlet in beside {
                outlet.out_ring.count_sent_at(sent_at);
                sent = sent.wrapping_add(outlet.out_ring.tail());
            }
            store(sent_at, sent);
        }
    }
}

impl Outlet {
    /// Whether it belongs to the same edge as another, and leads to another instance of the same function.
    fn is_beside(&self, other: &Self) -> bool {
        self.out_ring.is_beside(&other.out_ring)
    }
}

/// Which of the instances of one function takes the record of the request numbered `count`.
fn least_loaded(beside: &[Outlet], count: u64) -> usize {
    if beside.len() == 1 {
        return 0;
    }
    let ranked = beside.iter().map(|outlet| outlet.out_ring.load_rank(count));
    ranked
        .enumerate()
        .min_by_key(|(_, rank)| *rank)
        .map_or(0, |(at, _)| at)
}
