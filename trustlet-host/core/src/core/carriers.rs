//! What has to hold of a chain's carriers, besides that they are given no key: an edge that crosses one has a
//! port, and so a key, of its own, and a carrier has room for what all its producers hold.

use super::definition::Definition;
use super::planned::PlannedInstance;
use super::refusal::{Refusal, refuse};
use crate::calls::ResultCode;
use crate::ids::{FunctionIndex, number};
use crate::platform::Platform;
use alloc::format;

/// Refuses edges over carriers whose port has another edge: another consumer could open, and so make records
/// up together with the carrier. And carriers that nothing crosses.
pub(super) fn check_edges<P: Platform>(definition: &Definition<P>) -> Result<(), Refusal> {
    for edge in definition.edges.iter().filter(|edge| edge.carrier.is_some()) {
        let of_port = definition.edges.iter().filter(|other| other.port == edge.port);
        if of_port.count() != 1 {
            return refuse(
                ResultCode::BadGraph,
                "a port whose records cross a carrier has another edge",
            );
        }
    }
    for function in (0..definition.function_count()).map(FunctionIndex) {
        let mut edges = definition.edges.iter();
        if definition.is_carrier(function) && !edges.any(|edge| edge.carrier == Some(function)) {
            return refuse(ResultCode::BadGraph, "nothing crosses one of the carriers");
        }
    }
    Ok(())
}

/// Refuses a carrier that holds less than its producers together: a record that is on its way in part could
/// wait for room that another one's parts have taken.
pub(super) fn check_room(instances: &[PlannedInstance]) -> Result<(), Refusal> {
    for carrier in instances.iter().filter(|instance| instance.is_carrier) {
        let writers = carrier.inbound.iter().map(|inbound| inbound.writer.at());
        let producers = writers.filter_map(|writer| instances.get(writer));
        let (mut full_slots, mut capacity) = (0_usize, 0);
        for producer in producers {
            full_slots = full_slots.saturating_add(producer.outbox.full_slots());
            capacity = capacity.max(producer.outbox.ring_capacity());
        }
        if full_slots > carrier.outbox.full_slots() || capacity > carrier.outbox.ring_capacity() {
            let text = format!(
                "the outbox of a carrier has {} slots of full size, those of its producers have {} together",
                number(carrier.outbox.full_slots()),
                number(full_slots)
            );
            return Err(Refusal::new(ResultCode::LimitReached, text));
        }
    }
    Ok(())
}
