//! Carriers: planned and attached like functions, but for every key; and what is refused of them.

use super::driver::{Driver, Told, function, name, text, told};
use crate::calls::{
    Call, EdgeDefinition, EdgeEntry, FunctionDefinition, FunctionEntry, ResultCode, protection, reading,
};
use crate::core::Caller;
use crate::evidence::{Evidence, Manifest, NONCE_BYTES};
use crate::simulated::SimulatedProcess;
use hacher_data_path::attach::message::role;
use zerocopy::{FromBytes, IntoBytes};

fn carrier_definition(outbox_bytes: u64) -> FunctionDefinition {
    let mut definition = function("spool", 1);
    definition.limits.outbox_bytes = outbox_bytes;
    definition
}

fn carrier(driver: &mut Driver, chain: u64, outbox_bytes: u64) -> u64 {
    add_carrier(driver, chain, carrier_definition(outbox_bytes))
        .ok()
        .values[0]
}

fn add_carrier(driver: &mut Driver, chain: u64, definition: FunctionDefinition) -> super::driver::Answer {
    let program = vec![text("program spool")];
    driver.load(
        Call::AddCarrier,
        [chain, 0, 0, 0, 0, 0],
        definition.as_bytes(),
        program,
    )
}

fn over(driver: &mut Driver, edge: [u64; 6], carrier: u64, protection: u32) -> super::driver::Answer {
    let carrier = u32::try_from(carrier).unwrap();
    let definition = EdgeDefinition {
        protection,
        carrier,
        reading: reading::AS_FUNCTION,
    };
    driver.load(Call::AddEdge, edge, definition.as_bytes(), Vec::new())
}

/// `ingress -> a -> (spool) -> b -> egress`; `a` and `b` have two instances. Instances: 0 gateway, 1 and 2 a,
/// 3 and 4 b, 5 spool. The functions' numbers: 1 a, 2 b, 3 spool.
fn defined(driver: &mut Driver, text: &str, spool_bytes: u64) -> u64 {
    let chain = driver.begin(text);
    let a = driver.function(chain, "a", 2, &["out"]);
    let b = driver.function(chain, "b", 2, &["out"]);
    let spool = carrier(driver, chain, spool_bytes);
    driver.edge([chain, 0, 0, a, 0, 0]);
    over(driver, [chain, a, 0, b, 0, 0], spool, protection::SEALED).ok();
    driver.edge([chain, b, 0, 0, 0, 0]);
    chain
}

fn started() -> (Driver, u64) {
    let mut driver = Driver::with_gateway();
    let chain = defined(&mut driver, "carried", 4 << 20);
    driver.seal(chain).ok();
    driver.core.finish_loading().unwrap();
    driver.create_gateway().ok();
    for instance in 1..=5 {
        driver.create(chain, instance).ok();
    }
    (driver, chain)
}

fn process(driver: &Driver, instance: usize) -> &SimulatedProcess {
    driver.process(driver.processes()[instance])
}

fn attachment(driver: &Driver, instance: usize) -> Told {
    told(process(driver, instance)).0.remove(0)
}

#[test]
fn a_carrier_is_told_of_those_whose_records_it_relays_and_given_no_key() {
    let (driver, _) = started();
    let spool = attachment(&driver, 5);
    assert_eq!(spool.begin.role, role::CARRIER);
    assert_eq!(spool.begin.error_port, u32::MAX);
    assert_eq!((spool.begin.inbound_count, spool.begin.port_count), (2, 2));
    let from: Vec<_> = spool
        .inbound
        .iter()
        .map(|inbound| inbound.producer_instance)
        .collect();
    assert_eq!(from, [1, 2]);
    let relayed: Vec<_> = spool.inbound.iter().map(|inbound| inbound.port).collect();
    let ports: Vec<_> = spool.ports.iter().map(|port| port.port).collect();
    assert_eq!(relayed, ports);
    assert!(spool.inbound.iter().all(|inbound| inbound.port_secret == [0; 32]));
    assert!(spool.inbound.iter().all(|inbound| inbound.carried == 0));
    assert!(spool.ports.iter().all(|port| port.epoch_secret == [0; 32]));
    assert!(spool.secrets.is_empty());
    // One ring for each instance behind it and each of those before it.
    assert_eq!(spool.edges.len(), 4);
    let of_port: Vec<_> = spool
        .edges
        .iter()
        .map(|edge| (edge.port_index, edge.lane, edge.lanes))
        .collect();
    assert_eq!(of_port, [(0, 0, 2), (0, 1, 2), (1, 0, 2), (1, 1, 2)]);
}

#[test]
fn no_byte_of_a_carriers_messages_is_of_a_key_that_others_have() {
    let (driver, _) = started();
    let (a, b) = (attachment(&driver, 1), attachment(&driver, 3));
    let keys = [a.ports[0].epoch_secret, b.inbound[0].port_secret];
    let messages = &process(&driver, 5).messages;
    for key in keys {
        assert_ne!(key, [0; 32]);
        let is_there = |message: &Vec<u8>| message.windows(key.len()).any(|bytes| bytes == key);
        assert!(!messages.iter().any(is_there));
    }
}

#[test]
fn behind_a_carrier_records_are_opened_as_those_of_their_producer() {
    let (driver, _) = started();
    for instance in [3, 4] {
        let b = attachment(&driver, instance);
        let from: Vec<_> = b
            .inbound
            .iter()
            .map(|inbound| inbound.producer_instance)
            .collect();
        assert_eq!(from, [1, 2], "whose epochs keys are derived for");
        assert_eq!(b.inbound[0].upstream, name("a"));
        assert_ne!(b.inbound[0].port_secret, [0; 32]);
        assert_eq!(b.inbound[0].carried, 1, "it is copied before it is opened");
        assert_eq!(
            b.inbound[0].producer_outbox_bytes,
            4 << 20,
            "the carrier's, which it reads"
        );
    }
    let a = attachment(&driver, 1);
    let carried = &a.edges[0];
    assert_eq!(
        (carried.lanes, carried.to_gateway),
        (1, 0),
        "one ring, to the carrier"
    );
}

#[test]
fn producer_and_consumer_see_nothing_of_each_other_but_through_the_carrier() {
    let (driver, chain) = started();
    let sealed = driver.core.chains[usize::try_from(chain).unwrap()]
        .sealed
        .as_ref()
        .unwrap();
    let regions = |instance: usize| {
        let slot = &sealed.slots[instance];
        [slot.outbox.number, slot.page.number]
    };
    for (one, other) in [(1, 3), (3, 1)] {
        let seen = &process(&driver, one).readable;
        assert!(regions(other).iter().all(|region| !seen.contains(region)));
    }
    let spool = process(&driver, 5);
    assert_eq!(Vec::from_iter(spool.writable.iter().copied()), regions(5));
    assert!(process(&driver, 3).readable.contains(&regions(5)[0]));
    assert!(spool.readable.contains(&regions(1)[0]));
}

#[test]
fn tables_and_evidence_say_what_a_carrier_is_and_what_crosses_it() {
    let (mut driver, chain) = started();
    let at = |which| [chain, which, 0, 0, 0, 0];
    let spool = driver.daemon(Call::QueryFunction, at(3)).ok();
    assert_eq!(FunctionEntry::read_from_bytes(&spool.operand).unwrap().carrier, 1);
    let a = driver.daemon(Call::QueryFunction, at(1)).ok();
    assert_eq!(FunctionEntry::read_from_bytes(&a.operand).unwrap().carrier, 0);
    let carriers = [0, 1, 2].map(|edge| {
        let edge = driver.daemon(Call::QueryEdge, at(edge)).ok();
        EdgeEntry::read_from_bytes(&edge.operand).unwrap().carrier
    });
    assert_eq!(carriers, [0, 3, 0]);
    let nonce = [1; NONCE_BYTES];
    let evidence = driver
        .call(Caller::Daemon, Call::Evidence, at(0), &nonce, Vec::new())
        .ok();
    let evidence = Evidence::decode(&evidence.operand).unwrap();
    let manifest = Manifest::decode(&evidence.manifest).unwrap();
    let said = &manifest.chains[0];
    let is_carrier = |name: &str| {
        said.functions
            .iter()
            .find(|function| function.name == *name)
            .unwrap()
            .is_carrier
    };
    assert!(is_carrier("spool") && !is_carrier("a"));
    let across: Vec<_> = said
        .edges
        .iter()
        .map(|edge| edge.across.as_ref().map(ToString::to_string))
        .collect();
    assert_eq!(across, [None, Some("spool".to_owned()), None]);
}

#[test]
fn what_a_carrier_cannot_have_is_refused() {
    let mut driver = Driver::with_gateway();
    let chain = defined(&mut driver, "carried", 4 << 20);
    let (a, b, spool) = (1, 2, 3);
    let at = [chain, spool, 0, 0, 0, 0];
    let port = driver.load(Call::AddPort, at, name("out").as_bytes(), Vec::new());
    assert_eq!(port.code, ResultCode::InvalidParameter);
    let secret = driver.load(Call::AddSecret, at, name("KEY").as_bytes(), vec![text("x")]);
    assert_eq!(secret.code, ResultCode::InvalidParameter);
    let two = FunctionDefinition {
        name: name("two"),
        ..function("two", 2)
    };
    assert_eq!(
        add_carrier(&mut driver, chain, two).code,
        ResultCode::InvalidParameter
    );
    for edge in [[chain, spool, 0, b, 1, 0], [chain, a, 0, spool, 0, 0]] {
        let ended = driver.protected_edge(edge, protection::SEALED);
        assert_eq!(
            ended.code,
            ResultCode::InvalidParameter,
            "it is no end of an edge"
        );
    }
    let edge = [chain, b, 0, a, 1, 0];
    for (carrier, protection) in [
        (spool, protection::MAPPED),
        (a, protection::SEALED),
        (9, protection::SEALED),
    ] {
        let refused = over(&mut driver, edge, carrier, protection);
        assert_eq!(refused.code, ResultCode::InvalidParameter, "carrier {carrier}");
    }
}

#[test]
fn a_port_whose_records_cross_a_carrier_leads_nowhere_else() {
    for carried in [true, false] {
        let mut driver = Driver::with_gateway();
        let chain = defined(&mut driver, "carried", 4 << 20);
        let c = driver.function(chain, "c", 1, &["out"]);
        let spool = if carried { 3 } else { 0 };
        // The port of `a` that leads to `b` over the carrier.
        over(&mut driver, [chain, 1, 0, c, 0, 0], spool, protection::SEALED).ok();
        driver.edge([chain, c, 0, 0, 1, 0]);
        let sealed = driver.seal(chain);
        assert_eq!(
            sealed.code,
            ResultCode::BadGraph,
            "the other one carried: {carried}"
        );
    }
}

#[test]
fn a_carrier_that_nothing_crosses_is_refused() {
    let mut driver = Driver::with_gateway();
    let chain = driver.begin("idle");
    let a = driver.function(chain, "a", 1, &["out"]);
    carrier(&mut driver, chain, 4 << 20);
    driver.edge([chain, 0, 0, a, 0, 0]);
    driver.edge([chain, a, 0, 0, 0, 0]);
    assert_eq!(driver.seal(chain).code, ResultCode::BadGraph);
}

#[test]
fn a_carrier_that_holds_less_than_its_producers_together_is_refused() {
    for (bytes, code) in [
        (1 << 20, ResultCode::LimitReached),
        (2 << 20, ResultCode::Success),
    ] {
        let mut driver = Driver::with_gateway();
        let chain = defined(&mut driver, "carried", bytes);
        assert_eq!(driver.seal(chain).code, code, "{bytes} bytes");
    }
}

#[test]
fn which_functions_are_carriers_and_what_crosses_them_is_part_of_the_digest() {
    // Two edges, two carriers: which of the edges crosses which.
    let digest = |crossings: [u64; 2], as_function: bool| {
        let mut driver = Driver::with_gateway();
        let chain = driver.begin("digested");
        let a = driver.function(chain, "a", 1, &["out"]);
        let b = driver.function(chain, "b", 1, &["out"]);
        let call = if as_function {
            Call::AddFunction
        } else {
            Call::AddCarrier
        };
        for spool in ["one", "two"] {
            let mut definition = carrier_definition(4 << 20);
            definition.name = name(spool);
            driver
                .load(
                    call,
                    [chain, 0, 0, 0, 0, 0],
                    definition.as_bytes(),
                    vec![text("spool")],
                )
                .ok();
        }
        driver.edge([chain, 0, 0, a, 0, 0]);
        for (edge, carrier) in [[chain, a, 0, b, 0, 0], [chain, b, 0, 0, 0, 0]]
            .into_iter()
            .zip(crossings)
        {
            over(&mut driver, edge, carrier, protection::SEALED).ok();
        }
        let id = crate::ids::index(u32::try_from(chain).unwrap());
        let definition = &driver.core.chains[id].definition;
        crate::core::digest::chain_digest("simulated", &driver.core.gateways[0], definition)
    };
    let digests = [
        digest([3, 4], false),
        digest([4, 3], false),
        digest([3, 3], false),
        digest([0, 0], false),
        digest([0, 0], true),
    ];
    for (at, one) in digests.iter().enumerate() {
        assert!(!digests[..at].contains(one), "chain {at}");
    }
}
