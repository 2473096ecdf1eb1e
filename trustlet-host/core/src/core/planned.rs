//! What a plan says of edges, rings and instances.

use super::definition::Edge;
use crate::ids::{FunctionIndex, InstanceNumber, number};
use alloc::vec::Vec;
use hacher_data_path::region::layout::{MappedLayout, OutboxLayout, PageLayout};

/// An edge with what the graph says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlannedEdge {
    /// What was declared; of a fault edge, what would have been.
    pub(crate) of: Edge,
    pub(crate) group_width: u32,
    /// Position among the declared edges; `u32::MAX` for a fault edge.
    pub(crate) declared: u32,
    /// Its consumer releases a record as it reads it.
    pub(crate) streams: bool,
}

impl PlannedEdge {
    pub(crate) const fn is_fault(&self) -> bool {
        self.declared == u32::MAX
    }
}

/// A ring in the outbox of the instance that has it in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlannedRing {
    pub(crate) port_index: u32,
    pub(crate) consumer: InstanceNumber,
    /// Its number among the rings that the consumer reads.
    pub(crate) consumer_inbound: u32,
    /// Number of its edge among the declared ones; `u32::MAX` for the fault edge.
    pub(crate) edge: u32,
    pub(crate) lane: u32,
    pub(crate) lanes: u32,
    /// The consumer joins its records with others.
    pub(crate) joined: bool,
    /// It lies in a region of its own, which this instance writes and the consumer reads. Its place in the
    /// outbox, which its number names, stays empty.
    pub(crate) mapped: bool,
    /// It carries fault notices.
    pub(crate) fault: bool,
    /// The consumer releases a record as it reads it.
    pub(crate) streams: bool,
}

/// A ring that the instance that has it in its plan reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlannedInbound {
    pub(crate) edge: PlannedEdge,
    /// Whose records it brings.
    pub(crate) producer: InstanceNumber,
    /// Who writes it: the producer, or the carrier that its records have crossed.
    pub(crate) writer: InstanceNumber,
    /// Its number in the writer's outbox.
    pub(crate) ring: u32,
    pub(crate) gapless: bool,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedInstance {
    pub(crate) function: FunctionIndex,
    pub(crate) ordinal: u32,
    /// It relays, and is given no key: its ports are those of whose records it reads, in the order of the
    /// rings that bring them.
    pub(crate) is_carrier: bool,
    pub(crate) rings: Vec<PlannedRing>,
    pub(crate) inbound: Vec<PlannedInbound>,
    pub(crate) port_count: u32,
    pub(crate) ring_capacity: u32,
    pub(crate) outbox_bytes: u64,
    pub(crate) outbox: OutboxLayout,
    pub(crate) page: PageLayout,
    /// The shape of the regions of mapped rings.
    pub(crate) mapped: MappedLayout,
    /// Whom it wakes before it sleeps.
    pub(crate) ahead: Option<InstanceNumber>,
    /// Instances on its core, itself included.
    pub(crate) on_core: usize,
    /// It looks for work though others sit on its core, so it is one of those that wake each other ahead.
    pub(crate) takes_turns: bool,
}

impl PlannedInstance {
    /// Descriptors that a process of this instance is given: its own three, two for each ring and for the
    /// instance that it wakes ahead, and one more for each mapped ring that it writes.
    pub(crate) fn descriptors(&self) -> u32 {
        let mapped = self.rings.iter().filter(|ring| ring.mapped).count();
        number(3 + 2 * (self.rings.len() + self.inbound.len() + usize::from(self.ahead.is_some())) + mapped)
    }

    /// Bytes of the regions that it writes: its outbox, its page, and one for each mapped ring.
    pub(crate) fn regions_bytes(&self) -> u64 {
        let mapped = self.mapped_rings().map(|_| self.mapped.len_bytes());
        let regions = [self.outbox.len_bytes(), self.page.len_bytes()].into_iter();
        let lengths = regions
            .chain(mapped)
            .map(|len_bytes| u64::try_from(len_bytes).unwrap_or(u64::MAX));
        lengths.fold(0, u64::saturating_add)
    }

    /// The numbers of the mapped rings that it writes.
    pub(crate) fn mapped_rings(&self) -> impl Iterator<Item = u32> {
        (0..)
            .zip(&self.rings)
            .filter_map(|(at, ring)| ring.mapped.then_some(at))
    }
}
