//! From a chain's definition to its instances and rings: who writes which ring, who reads it, in which order.
//!
//! An edge becomes one ring for each pair of a producing and a consuming instance; one that crosses a
//! carrier, one ring to it for each producing instance, and behind it what would have come from that
//! instance. Beside the declared edges each function has a fault edge to the gateway. The order is the same
//! on every run of the same definition: an instance's rings follow the edges, then the consumer's instances;
//! the rings that it reads follow the edges, then the producer's instances; fault edges come last.

use super::ahead;
use super::carriers;
use super::definition::{Definition, Edge};
use super::planned::{PlannedEdge, PlannedInbound, PlannedInstance, PlannedRing};
use super::refusal::{Refusal, refuse};
use super::rings::Rings;
use crate::calls::ResultCode;
use crate::calls::{protection, reading};
use crate::ids::{FunctionIndex, InstanceNumber, index, number};
use crate::platform::Platform;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use hacher_data_path::attach::message::outbox_flag;
use hacher_data_path::region::layout::{MappedLayout, OutboxLayout, PageLayout, ring_capacity};

/// All instances of a chain; the gateway's is number 0, those of a function stand together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) instances: Vec<PlannedInstance>,
}

impl Plan {
    /// Expands a definition whose fault ports are in place.
    pub(crate) fn new<P: Platform>(definition: &Definition<P>) -> Result<Self, Refusal> {
        let edges = planned_edges(definition)?;
        check_graph(definition, &edges)?;
        carriers::check_edges(definition)?;
        let firsts = first_instances(definition);
        let mut owners = Vec::new();
        for function in 0..definition.function_count() {
            let function = FunctionIndex(function);
            for ordinal in 0..definition.instances_of(function) {
                owners.push((function, ordinal));
            }
        }
        let mut rings = Rings::new(owners.len());
        for edge in edges {
            let producers = instances_from(definition, &firsts, edge.of.producer);
            let consumers = instances_from(definition, &firsts, edge.of.consumer);
            let carrier = edge.of.carrier;
            let carrier = carrier.map(|carrier| instances_from(definition, &firsts, carrier).start);
            rings.lay(edge, producers, carrier, &consumers)?;
        }
        let mut instances = Vec::with_capacity(owners.len());
        for ((function, ordinal), (rings, inbound)) in owners.into_iter().zip(rings.by_instance()) {
            instances.push(planned_instance(definition, function, ordinal, rings, inbound)?);
        }
        carriers::check_room(&instances)?;
        ahead::note(definition, &mut instances);
        Ok(Self { instances })
    }

    /// The instance with this number.
    pub(crate) fn instance(&self, instance: InstanceNumber) -> Option<&PlannedInstance> {
        self.instances.get(instance.at())
    }

    /// Bytes of the regions that an instance has mapped and could be the first to touch: its own, and those
    /// of whoever writes what it reads, and the pages of those that read what it writes or that it wakes.
    /// A page of shared memory that nobody has touched is made by a look at it, and is memory of whoever
    /// looked.
    pub(crate) fn reachable_bytes(&self, planned: &PlannedInstance) -> u64 {
        let writers: BTreeSet<InstanceNumber> = planned.inbound.iter().map(|ring| ring.writer).collect();
        let writers = writers.into_iter().filter_map(|writer| self.instance(writer));
        let written = writers.map(PlannedInstance::regions_bytes);
        let consumers = planned
            .rings
            .iter()
            .map(|ring| ring.consumer)
            .chain(planned.ahead);
        let consumers: BTreeSet<InstanceNumber> = consumers.collect();
        let pages = consumers
            .into_iter()
            .filter_map(|consumer| self.instance(consumer));
        let pages = pages.map(|peer| u64::try_from(peer.page.len_bytes()).unwrap_or(u64::MAX));
        written
            .chain(pages)
            .fold(planned.regions_bytes(), u64::saturating_add)
    }
}

fn planned_instance<P: Platform>(
    definition: &Definition<P>,
    function: FunctionIndex,
    ordinal: u32,
    rings: Vec<PlannedRing>,
    inbound: Vec<PlannedInbound>,
) -> Result<PlannedInstance, Refusal> {
    let outbox_bytes = definition
        .function(function)
        .map_or(definition.chain.gateway_outbox_bytes, |function| {
            function.definition.limits.outbox_bytes
        });
    let is_carrier = definition.is_carrier(function);
    let port_count = match is_carrier {
        true => number(inbound.len()),
        false => number(definition.ports_of(function).len()),
    };
    let ring_capacity = ring_capacity(outbox_bytes);
    let outbox = OutboxLayout::new(number(rings.len()), ring_capacity, outbox_bytes);
    let page = PageLayout::new(number(inbound.len()), port_count);
    let mapped = MappedLayout::new(ring_capacity, outbox_bytes);
    let (Some(outbox), Some(page), Some(mapped)) = (outbox, page, mapped) else {
        return refuse(
            ResultCode::LimitReached,
            "an instance's regions are out of their bounds",
        );
    };
    Ok(PlannedInstance {
        function,
        ordinal,
        is_carrier,
        rings,
        inbound,
        port_count,
        ring_capacity,
        outbox_bytes,
        outbox,
        page,
        mapped,
        ahead: None,
        on_core: 1,
        takes_turns: false,
    })
}

/// Declared edges in order, then a fault edge for each function, but for carriers.
fn planned_edges<P: Platform>(definition: &Definition<P>) -> Result<Vec<PlannedEdge>, Refusal> {
    let mut edges = Vec::with_capacity(definition.edges.len() + definition.functions.len());
    for (at, edge) in definition.edges.iter().enumerate() {
        let width = definition
            .edges
            .iter()
            .filter(|other| other.consumer == edge.consumer && other.group == edge.group)
            .count();
        edges.push(PlannedEdge {
            of: *edge,
            group_width: number(width),
            declared: number(at),
            streams: streams(definition, edge, width)?,
        });
    }
    for (at, function) in definition.functions.iter().enumerate() {
        if function.is_carrier {
            continue;
        }
        let Some((&port, declared)) = function.ports.split_last() else {
            return refuse(ResultCode::BadGraph, "a function has no fault port");
        };
        edges.push(PlannedEdge {
            of: Edge {
                producer: FunctionIndex(number(at + 1)),
                port_index: number(declared.len()),
                port,
                consumer: FunctionIndex::GATEWAY,
                // Faults join nothing; no declared group has this number.
                group: u32::MAX,
                member: 0,
                protection: protection::SEALED,
                carrier: None,
                reading: reading::WHOLE,
            },
            group_width: 1,
            declared: u32::MAX,
            streams: false,
        });
    }
    Ok(edges)
}

/// Whether the consumer of an edge releases a record as it reads it. What is joined, or crosses a carrier, is
/// read whole.
fn streams<P: Platform>(
    definition: &Definition<P>,
    edge: &Edge,
    group_width: usize,
) -> Result<bool, Refusal> {
    let can_stream = group_width == 1 && edge.carrier.is_none();
    match edge.reading {
        reading::STREAM if !can_stream => refuse(
            ResultCode::BadGraph,
            "an edge of a join, or across a carrier, is to be read as a stream",
        ),
        reading::STREAM => Ok(true),
        reading::WHOLE => Ok(false),
        _ => Ok(can_stream && reads_as_stream(definition, edge)),
    }
}

/// Whether the consumer of an edge reads its input as a stream: a function whose limits say so, and of what
/// such a function sends to egress, the gateway.
fn reads_as_stream<P: Platform>(definition: &Definition<P>, edge: &Edge) -> bool {
    let says_so = match edge.consumer {
        FunctionIndex::GATEWAY => edge.producer,
        consumer => consumer,
    };
    definition
        .function(says_so)
        .is_some_and(|function| function.definition.limits.outbox_flags & outbox_flag::STREAMS != 0)
}

/// Refuses a graph that could not carry a request from ingress to egress.
fn check_graph<P: Platform>(definition: &Definition<P>, edges: &[PlannedEdge]) -> Result<(), Refusal> {
    if definition.functions.is_empty() {
        return refuse(ResultCode::BadGraph, "a chain has at least one function");
    }
    let declared = || edges.iter().filter(|edge| !edge.is_fault());
    if !declared().any(|edge| edge.of.producer == FunctionIndex::GATEWAY) {
        return refuse(ResultCode::BadGraph, "nothing leaves ingress");
    }
    if !declared().any(|edge| edge.of.consumer == FunctionIndex::GATEWAY) {
        return refuse(ResultCode::BadGraph, "nothing reaches egress");
    }
    for edge in declared() {
        if edge.of.producer == FunctionIndex::GATEWAY && edge.of.consumer == FunctionIndex::GATEWAY {
            return refuse(ResultCode::BadGraph, "ingress leads to egress without a function");
        }
        // Members are distinct, so a group of `n` is numbered from 0 without a gap if none reaches `n`.
        if edge.of.member >= edge.group_width {
            return refuse(
                ResultCode::BadGraph,
                "the members of a join are not numbered from 0 without a gap",
            );
        }
    }
    let carriers = |function: &u32| definition.is_carrier(FunctionIndex(*function));
    for function in (0..definition.function_count()).filter(|function| !carriers(function)) {
        let mut groups: Vec<u32> = declared()
            .filter(|edge| edge.of.consumer.0 == function)
            .map(|edge| edge.of.group)
            .collect();
        groups.sort_unstable();
        groups.dedup();
        if groups.iter().enumerate().any(|(at, &group)| index(group) != at) {
            return refuse(
                ResultCode::BadGraph,
                "the groups of a function are not numbered from 0 without a gap",
            );
        }
        if groups.is_empty() {
            return refuse(ResultCode::BadGraph, "nothing reaches one of the functions");
        }
    }
    check_acyclic(definition, edges)
}

/// Takes away, over and over, the functions that wait for nobody; what is left is a cycle.
fn check_acyclic<P: Platform>(definition: &Definition<P>, edges: &[PlannedEdge]) -> Result<(), Refusal> {
    let mut waiting = vec![true; index(definition.function_count())];
    loop {
        let mut blocked = vec![false; waiting.len()];
        for edge in edges {
            let joins_functions =
                edge.of.producer != FunctionIndex::GATEWAY && edge.of.consumer != FunctionIndex::GATEWAY;
            let producer_waits = waiting.get(edge.of.producer.at()) == Some(&true);
            if joins_functions
                && producer_waits
                && let Some(blocked) = blocked.get_mut(edge.of.consumer.at())
            {
                *blocked = true;
            }
        }
        if !blocked.contains(&true) {
            return Ok(());
        }
        if blocked == waiting {
            return refuse(ResultCode::BadGraph, "the functions make a cycle");
        }
        waiting = blocked;
    }
}

/// The number of each function's first instance.
fn first_instances<P: Platform>(definition: &Definition<P>) -> Vec<usize> {
    let mut next = 0;
    (0..definition.function_count())
        .map(|function| {
            let first = next;
            next += index(definition.instances_of(FunctionIndex(function)));
            first
        })
        .collect()
}

fn instances_from<P: Platform>(
    definition: &Definition<P>,
    firsts: &[usize],
    function: FunctionIndex,
) -> core::ops::Range<usize> {
    let first = firsts.get(function.at()).copied().unwrap_or(0);
    first..first + index(definition.instances_of(function))
}
