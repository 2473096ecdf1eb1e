//! Who wakes whom ahead: an instance wakes the next one on the way of its records that sits on its own core,
//! where others on other cores come before. While those work, this core changes over.
//!
//! Follows from placements and edges alone. Placements are hints, so this is no part of the chain digest:
//! whoever is woken ahead, or not, gets the same records under the same keys. What it adds to an instance's
//! rights is the sight of the page of one further instance of its chain, and its bell.

use super::definition::{Definition, Placement};
use super::planned::PlannedInstance;
use crate::ids::InstanceNumber;
use crate::platform::Platform;
use alloc::vec::Vec;
use hacher_data_path::waiting::Waiting;

/// Notes in each instance whom it wakes ahead, and how many sit on its core.
pub(super) fn note<P: Platform>(definition: &Definition<P>, instances: &mut [PlannedInstance]) {
    let placements: Vec<Placement> = instances
        .iter()
        .map(|instance| definition.placement(instance.function, instance.ordinal))
        .collect();
    let noted: Vec<_> = (0..instances.len())
        .map(|at| (next_here(at, instances, &placements), on_core_of(at, &placements)))
        .collect();
    for ((instance, (ahead, on_core)), placement) in instances.iter_mut().zip(noted).zip(&placements) {
        instance.ahead = ahead;
        instance.on_core = on_core;
        instance.takes_turns = placement.waiting == Waiting::TakeTurns;
    }
}

/// How many instances of the chain are pinned to the core of this one, itself included; 1 for one that is not
/// pinned.
fn on_core_of(at: usize, placements: &[Placement]) -> usize {
    let cpu = placements.get(at).and_then(|placement| placement.cpu);
    let on_core = placements.iter().filter(|other| other.cpu == cpu).count();
    if cpu.is_some() { on_core } else { 1 }
}

fn next_here(at: usize, instances: &[PlannedInstance], placements: &[Placement]) -> Option<InstanceNumber> {
    let placement = |at: usize| placements.get(at).copied().unwrap_or_default();
    let here = placement(at).cpu?;
    let mut next = only_consumer(instances.get(at)?)?;
    if placement(next.at()).cpu? == here {
        return None; // handed over by a wake-up on this core
    }
    for _ in instances {
        next = only_consumer(instances.get(next.at())?)?;
        let Placement { cpu, waiting, .. } = placement(next.at());
        if cpu? == here {
            // Who does not look for work would only find that there is none yet.
            return (waiting.looks() && next.at() != at).then_some(next);
        }
    }
    None
}

/// Where the records of an instance go, failures aside: to one function of one instance, or if there is none
/// to the gateway. Where they may go elsewhere too it is not known who will need a core.
fn only_consumer(instance: &PlannedInstance) -> Option<InstanceNumber> {
    let consumers = || {
        let rings = instance.rings.iter().filter(|ring| !ring.fault);
        rings.map(|ring| ring.consumer)
    };
    let mut functions = consumers().filter(|consumer| *consumer != InstanceNumber::GATEWAY);
    let first = functions.next();
    if functions.any(|other| Some(other) != first) {
        return None;
    }
    first.or_else(|| consumers().next())
}
