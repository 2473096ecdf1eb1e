//! The rings of a plan, numbered as they are laid: each has a number among those that its writer writes, and
//! one among those that its reader reads.

use super::limits;
use super::planned::{PlannedEdge, PlannedInbound, PlannedRing};
use super::refusal::{Refusal, refuse};
use crate::calls::ResultCode;
use crate::ids::{InstanceNumber, number};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// The rings of all instances, by number of the instance.
pub(crate) struct Rings {
    outgoing: Vec<Vec<PlannedRing>>,
    inbound: Vec<Vec<PlannedInbound>>,
    total: usize,
    mapped_total: usize,
}

/// Where an edge's records come from on a part of their way.
#[derive(Clone, Copy)]
struct Leg {
    /// Whose records they are.
    producer: usize,
    /// Who writes the ring.
    writer: usize,
    /// Which of the writer's ports it belongs to.
    port_index: u32,
}

impl Rings {
    /// None yet, between so many instances.
    pub(crate) fn new(instances: usize) -> Self {
        Self {
            outgoing: vec![Vec::new(); instances],
            inbound: vec![Vec::new(); instances],
            total: 0,
            mapped_total: 0,
        }
    }

    /// Lays those of an edge: from each of its producers to each of its consumers, or to its carrier and from
    /// there to each of its consumers.
    pub(crate) fn lay(
        &mut self,
        edge: PlannedEdge,
        producers: Range<usize>,
        carrier: Option<usize>,
        consumers: &Range<usize>,
    ) -> Result<(), Refusal> {
        for producer in producers {
            let mut leg = Leg {
                producer,
                writer: producer,
                port_index: edge.of.port_index,
            };
            if let Some(carrier) = carrier {
                // A carrier has a port for each ring that it reads.
                let ports = self.inbound.get(carrier).map_or(0, Vec::len);
                self.lay_leg(edge, leg, &(carrier..carrier + 1))?;
                leg.writer = carrier;
                leg.port_index = number(ports);
            }
            self.lay_leg(edge, leg, consumers)?;
        }
        Ok(())
    }

    fn lay_leg(&mut self, edge: PlannedEdge, leg: Leg, readers: &Range<usize>) -> Result<(), Refusal> {
        self.total += readers.len();
        if self.total > limits::RINGS_TOTAL_MAX {
            return refuse(ResultCode::LimitReached, "a chain has at most 65,536 rings");
        }
        let mapped = edge.of.is_mapped();
        if mapped {
            self.mapped_total += readers.len();
        }
        if self.mapped_total > limits::MAPPED_RINGS_MAX {
            return refuse(ResultCode::LimitReached, "a chain has at most 4,096 mapped rings");
        }
        let lanes = number(readers.len());
        for (lane, reader) in readers.clone().enumerate() {
            let (Some(outgoing), Some(incoming)) =
                (self.outgoing.get_mut(leg.writer), self.inbound.get_mut(reader))
            else {
                return refuse(ResultCode::BadGraph, "an edge joins two functions of the chain");
            };
            let ring = number(outgoing.len());
            outgoing.push(PlannedRing {
                port_index: leg.port_index,
                consumer: InstanceNumber(number(reader)),
                consumer_inbound: number(incoming.len()),
                edge: edge.declared,
                lane: number(lane),
                lanes,
                joined: edge.group_width > 1,
                mapped,
                fault: edge.is_fault(),
                streams: edge.streams,
            });
            incoming.push(PlannedInbound {
                edge,
                producer: InstanceNumber(number(leg.producer)),
                writer: InstanceNumber(number(leg.writer)),
                ring,
                gapless: lanes == 1,
            });
        }
        Ok(())
    }

    /// What each instance writes and reads.
    pub(crate) fn by_instance(self) -> impl Iterator<Item = (Vec<PlannedRing>, Vec<PlannedInbound>)> {
        self.outgoing.into_iter().zip(self.inbound)
    }
}
