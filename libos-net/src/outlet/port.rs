//! An output port: the key that its records are sealed with, the rings of its edges, and which instance
//! behind each edge takes the record that is being sent.

use crate::name::Name;
use crate::outlet::mapped::MappedRing;
use crate::outlet::publish::OutRing;
use crate::outlet::reserve::SlotIndex;
use crate::outlet::seal::{PortSealer, RecordContext};
use crate::region::layout::{EDGES_COUNTED, PageLayout};

/// One output port: its sealing key and the rings of its edges.
pub(crate) struct OutPort {
    pub(crate) name: Name,
    pub(crate) fault: bool,
    pub(crate) sealer: PortSealer,
    pub(crate) rings: Vec<OutRing<SlotIndex>>,
    /// The rings of `mapped` edges.
    pub(crate) mapped: Vec<MappedRing>,
    /// The record of which segments were sent, and not yet its end.
    pub(crate) begun: Option<Begun>,
}

impl OutPort {
    pub(crate) const fn new(
        name: Name,
        fault: bool,
        sealer: PortSealer,
        rings: Vec<OutRing<SlotIndex>>,
        mapped: Vec<MappedRing>,
    ) -> Self {
        Self {
            name,
            fault,
            sealer,
            rings,
            mapped,
            begun: None,
        }
    }

    /// Of each edge, has one instance take the record that begins now, of the request numbered `count`.
    pub(crate) fn choose_instances(&mut self, count: u64) {
        for beside in self.rings.chunk_by_mut(OutRing::is_beside) {
            let best = best(beside.iter(), count);
            for (at, ring) in beside.iter_mut().enumerate() {
                ring.set_takes(at == best);
            }
        }
        for beside in self
            .mapped
            .chunk_by_mut(|one, other| one.ring().is_beside(other.ring()))
        {
            let best = best(beside.iter().map(MappedRing::ring), count);
            for (at, ring) in beside.iter_mut().enumerate() {
                ring.ring_mut().set_takes(at == best);
            }
        }
    }

    /// Counts in the page what is published over each edge from now on, beginning with what predecessors
    /// published: told by the rings, as one of them may have died between publishing and counting. Edges
    /// that have no place are not counted.
    pub(crate) fn begin_counting(&mut self, index: usize, layout: &PageLayout, store: impl Fn(usize, u64)) {
        if self.fault {
            return;
        }
        let mut edges: Vec<u32> = self.rings.iter().map(OutRing::edge).collect();
        edges.extend(self.mapped.iter().map(|ring| ring.ring().edge()));
        edges.sort_unstable();
        edges.dedup();
        for (at, edge) in edges.into_iter().enumerate().take(EDGES_COUNTED) {
            let Some(sent_at) = layout.sent_at(index, at) else {
                return;
            };
            let mut sent = 0_u64;
            for ring in self.rings.iter_mut().filter(|ring| ring.edge() == edge) {
                ring.count_sent_at(sent_at);
                sent = sent.wrapping_add(ring.tail());
            }
            for ring in self.mapped.iter_mut().map(MappedRing::ring_mut) {
                if ring.edge() == edge {
                    ring.count_sent_at(sent_at);
                    sent = sent.wrapping_add(ring.tail());
                }
            }
            store(sent_at, sent);
        }
    }

    /// The mapped ring that a record of the request numbered `count` takes, if it takes no other.
    pub(crate) fn only_mapped(&mut self, count: u64) -> Option<&mut MappedRing> {
        if !self.rings.is_empty() {
            return None;
        }
        let mut edges = self
            .mapped
            .chunk_by_mut(|one, other| one.ring().is_beside(other.ring()));
        let beside = edges.next()?;
        let best = best(beside.iter().map(MappedRing::ring), count);
        edges.next().is_none().then(|| beside.get_mut(best)).flatten()
    }

    /// Room in all mapped rings that take the record: how many there are; `None`, and nothing reserved, if
    /// one has none.
    pub(crate) fn reserve_mapped(&mut self, len_bytes: usize, places: u64) -> Option<usize> {
        let mut count = 0;
        let mut have_room = true;
        for ring in self.mapped.iter_mut().filter(|ring| ring.takes()) {
            have_room = have_room && ring.reserve(len_bytes, places);
            count += 1;
        }
        if !have_room {
            self.give_back_mapped();
        }
        have_room.then_some(count)
    }

    pub(crate) fn give_back_mapped(&mut self) {
        for ring in &mut self.mapped {
            ring.give_back();
        }
    }
}

/// Which of the instances of one function suits the record of the request numbered `count` best.
fn best<'a, R: Copy + 'a>(beside: impl ExactSizeIterator<Item = &'a OutRing<R>>, count: u64) -> usize {
    if beside.len() == 1 {
        return 0;
    }
    let ranked = beside.map(|ring| ring.unfitness(count)).enumerate();
    ranked
        .min_by_key(|(_, unfitness)| *unfitness)
        .map_or(0, |(at, _)| at)
}

/// A record that was sent in part.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    pub(crate) record: RecordContext,
    /// Its consumers are to be told to drop it, as soon as there is room for that.
    pub(crate) aborting: bool,
}

impl Begun {
    /// Whether `record` is another one, which must not become a part of this.
    pub(crate) fn is_other_than(&self, record: &RecordContext) -> bool {
        self.aborting || (self.record.invocation, self.record.attempt) != (record.invocation, record.attempt)
    }
}
