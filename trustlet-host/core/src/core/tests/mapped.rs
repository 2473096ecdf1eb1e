//! Mapped edges: each ring has a region of its own, and nobody but its two ends is ever given one.

use super::driver::{Driver, Told, told};
use crate::calls::{Call, EdgeEntry, ResultCode, protection};
use crate::core::Caller;
use crate::ids::ProcessId;
use alloc::collections::BTreeSet;
use hacher_data_path::region::layout::{MappedLayout, ring_capacity};
use zerocopy::FromBytes;

/// `ingress -> decode -> small & large -> pack -> egress`; `small` has two instances; all edges between
/// functions but `large -> pack` are mapped. Instances: 0 gateway, 1 decode, 2 and 3 small, 4 large, 5 pack.
fn chain(driver: &mut Driver) -> u64 {
    let chain = driver.begin("mapped");
    let decode = driver.function(chain, "decode", 1, &["out"]);
    let small = driver.function(chain, "small", 2, &["out"]);
    let large = driver.function(chain, "large", 1, &["out"]);
    let pack = driver.function(chain, "pack", 1, &["out"]);
    driver.edge([chain, 0, 0, decode, 0, 0]);
    driver.mapped_edge([chain, decode, 0, small, 0, 0]);
    driver.mapped_edge([chain, decode, 0, large, 0, 0]);
    driver.mapped_edge([chain, small, 0, pack, 0, 0]);
    driver.edge([chain, large, 0, pack, 0, 1]);
    driver.edge([chain, pack, 0, 0, 0, 0]);
    driver.seal(chain).ok();
    chain
}

fn started() -> (Driver, u64, Vec<ProcessId>) {
    let mut driver = Driver::with_gateway();
    let chain = chain(&mut driver);
    driver.core.finish_loading().unwrap();
    driver.create_gateway().ok();
    for instance in 1..=5 {
        driver.create(chain, instance).ok();
    }
    let processes = driver.processes();
    (driver, chain, processes)
}

/// The regions that an instance may write besides its outbox and its page.
fn mapped(driver: &Driver, chain: u64, instance: usize) -> Vec<u32> {
    let chain = &driver.core.chains[usize::try_from(chain).unwrap()];
    let slot = &chain.sealed.as_ref().unwrap().slots[instance];
    slot.mapped.values().map(|region| region.number).collect()
}

fn attachment(driver: &Driver, process: ProcessId) -> Told {
    told(driver.process(process)).0.remove(0)
}

#[test]
fn an_instance_has_room_for_every_region_that_it_could_be_the_first_to_touch() {
    let (driver, _, processes) = started();
    let lengths = &driver.core.platform().region_lengths;
    for process in processes.into_iter().skip(1) {
        let function = driver.process(process);
        let reached = function.readable.union(&function.writable);
        let reached: usize = reached.map(|region| lengths[region]).sum();
        assert!(
            function.regions_bytes >= u64::try_from(reached).unwrap(),
            "{} of {reached} bytes, {process:?}",
            function.regions_bytes
        );
    }
}

#[test]
fn each_ring_of_a_mapped_edge_is_given_to_its_two_ends_and_to_nobody_else() {
    let (driver, chain, processes) = started();
    // (producer, the consumers of its mapped rings in order)
    let expected: [(usize, &[usize]); 6] = [
        (0, &[]),
        (1, &[2, 3, 4]),
        (2, &[5]),
        (3, &[5]),
        (4, &[]),
        (5, &[]),
    ];
    let mut seen = BTreeSet::new();
    for (producer, consumers) in expected {
        let regions = mapped(&driver, chain, producer);
        assert_eq!(regions.len(), consumers.len(), "instance {producer}");
        for (region, consumer) in regions.into_iter().zip(consumers) {
            assert!(seen.insert(region), "no two rings share a region");
            for (instance, process) in processes.iter().enumerate() {
                let process = driver.process(*process);
                let what = format!("region of {producer} -> {consumer}, instance {instance}");
                assert_eq!(process.writable.contains(&region), instance == producer, "{what}");
                assert_eq!(
                    process.readable.contains(&region),
                    instance == *consumer,
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn a_consumer_of_mapped_rings_alone_gets_neither_its_producers_outbox_nor_a_key() {
    let (driver, chain, processes) = started();
    let sealed = driver.core.chains[usize::try_from(chain).unwrap()]
        .sealed
        .as_ref()
        .unwrap();
    let decodes_outbox = sealed.slots[1].outbox.number;
    for small in [processes[2], processes[3]] {
        let process = driver.process(small);
        assert!(!process.readable.contains(&decodes_outbox));
        let told = attachment(&driver, small);
        assert_eq!(
            (told.inbound[0].mapped, told.inbound[0].port_secret),
            (1, [0; 32])
        );
    }
    let pack = attachment(&driver, processes[5]);
    let from_large = pack.inbound.iter().find(|inbound| inbound.mapped == 0).unwrap();
    assert_ne!(
        from_large.port_secret, [0; 32],
        "what is sealed is opened with a key"
    );
}

#[test]
fn no_query_gives_a_mapped_region_away() {
    let (mut driver, chain, _) = started();
    let regions: BTreeSet<String> = (0..=5)
        .flat_map(|instance| mapped(&driver, chain, instance))
        .map(|region| format!("region {region}"))
        .collect();
    assert_eq!(regions.len(), 5);
    for caller in [Caller::Daemon, Caller::Loader] {
        for call in Call::ALL {
            for argument in 0..8 {
                let arguments = [chain, argument, 0, 0, 0, 0];
                if matches!(call, Call::CreateTrustlet | Call::DeleteTrustlet) {
                    continue;
                }
                let answer = driver.call(caller, *call, arguments, &[], vec![]);
                for given in answer.descriptors {
                    assert!(!regions.contains(&given), "{call:?} {argument} gives {given}");
                }
            }
        }
    }
}

#[test]
fn a_replacement_gets_the_same_mapped_regions() {
    let (mut driver, chain, processes) = started();
    for (instance, number) in [(1, processes[1]), (2, processes[2])] {
        let before = driver.process(number).clone();
        driver.die(number);
        driver.create(chain, instance).ok();
        let after = driver.process(driver.latest());
        assert_eq!(
            (&before.writable, &before.readable),
            (&after.writable, &after.readable)
        );
    }
}

#[test]
fn both_ends_are_told_of_the_same_region() {
    let (driver, _, processes) = started();
    let decode = attachment(&driver, processes[1]);
    let small = attachment(&driver, processes[2]);
    let edge = decode.edges.iter().find(|edge| edge.mapped == 1).unwrap();
    let inbound = &small.inbound[0];
    assert_eq!((inbound.mapped, inbound.ring), (1, edge.ring));
    let layout = |capacity, outbox_bytes| MappedLayout::new(capacity, outbox_bytes).unwrap();
    let (own, peers) = (
        layout(decode.begin.ring_capacity, decode.begin.limits.outbox_bytes),
        layout(inbound.producer_ring_capacity, inbound.producer_outbox_bytes),
    );
    assert_eq!(own, peers);
    assert_eq!(
        own.ring_capacity(),
        usize::try_from(ring_capacity(1 << 20)).unwrap()
    );
}

#[test]
fn a_query_says_how_each_edge_is_protected() {
    let (mut driver, chain, _) = started();
    let found: Vec<u32> = (0..6)
        .map(|edge| {
            let answer = driver.daemon(Call::QueryEdge, [chain, edge, 0, 0, 0, 0]).ok();
            EdgeEntry::read_from_bytes(&answer.operand).unwrap().protection
        })
        .collect();
    let (sealed, mapped) = (protection::SEALED, protection::MAPPED);
    assert_eq!(found, [sealed, mapped, mapped, mapped, sealed, sealed]);
}

#[test]
fn mapped_edges_of_the_gateway_need_every_layer_of_isolation() {
    for (keeps_apart, edges) in [
        (false, [(true, false), (false, true)].as_slice()),
        (true, &[(true, true)]),
    ] {
        for (ingress, egress) in edges {
            let mut driver = Driver::with_gateway();
            driver.core.platform_mut().keeps_apart = keeps_apart;
            let chain = driver.begin("c");
            let f = driver.function(chain, "f", 1, &["out"]);
            let word = |mapped: bool| {
                if mapped {
                    protection::MAPPED
                } else {
                    protection::SEALED
                }
            };
            driver.protected_edge([chain, 0, 0, f, 0, 0], word(*ingress)).ok();
            driver.protected_edge([chain, f, 0, 0, 0, 0], word(*egress)).ok();
            let answer = driver.seal(chain);
            if keeps_apart {
                answer.ok();
            } else {
                assert_eq!(answer.code, ResultCode::Platform);
                let text = String::from_utf8(answer.operand).unwrap();
                assert!(text.contains("mapped") && text.contains("isolation"), "{text}");
            }
        }
    }
}

#[test]
fn an_unknown_protection_is_refused() {
    let mut driver = Driver::with_gateway();
    let chain = driver.begin("c");
    driver.function(chain, "f", 1, &["out"]);
    for unknown in [0, 3, u32::MAX] {
        let answer = driver.protected_edge([chain, 0, 0, 1, 0, 0], unknown);
        assert_eq!(answer.code, ResultCode::InvalidParameter);
    }
    let answer = driver.load(Call::AddEdge, [chain, 0, 0, 1, 0, 0], &[], vec![]);
    assert_eq!(answer.code, ResultCode::InvalidFormat);
}
