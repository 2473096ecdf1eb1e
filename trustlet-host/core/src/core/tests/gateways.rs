//! The table of gateways: who serves which chain, and that one's life is nothing to another.

use super::driver::{Driver, gateway, text, tls_file_count, told};
use crate::calls::{
    Call, ChainEntry, GATEWAY_PROCESS, GatewayDefinition, GatewayEntry, InstanceState, MonitorEntry,
    ResultCode, tls,
};
use crate::core::{Event, Owner};
use crate::ids::{GatewayId, ProcessId};
use crate::simulated::SimulatedFile;
use core::time::Duration;
use hacher_data_path::attach::message::{Drain, Listen, MessageHeader, Readiness, kind};
use zerocopy::{FromBytes, IntoBytes};

/// Chains `a` and `b` at the shared gateway 0, `c` at gateway 1 of its own, `d` at gateway 2 of its own.
fn tenants() -> Driver {
    let mut driver = Driver::with_gateway();
    let (third, fourth) = (driver.own_gateway(tls::SERVER), driver.own_gateway(tls::MUTUAL));
    assert_eq!((third, fourth), (1, 2));
    for (gateway, name) in [(0, "a"), (0, "b"), (third, "c"), (fourth, "d")] {
        driver.thumbnails_at(gateway, name);
    }
    for gateway in 0..3 {
        driver.listen(gateway).ok();
    }
    driver.core.finish_loading().unwrap();
    driver
}

fn start(driver: &mut Driver, gateway: u64) -> ProcessId {
    driver.create(GATEWAY_PROCESS, gateway).ok();
    driver.latest()
}

fn chains_of(driver: &Driver, process: ProcessId) -> Vec<String> {
    let (attachments, listens) = told(driver.process(process));
    assert!(listens);
    let names = attachments.iter().map(|told| told.begin.chain.to_string());
    names.collect()
}

fn entry(driver: &mut Driver, gateway: u64) -> GatewayEntry {
    let answer = driver.daemon(Call::QueryGateway, [gateway, 0, 0, 0, 0, 0]).ok();
    GatewayEntry::read_from_prefix(&answer.operand).unwrap().0
}

#[test]
fn a_gateway_is_given_its_own_chains_and_nothing_of_others() {
    let mut driver = tenants();
    let processes: Vec<_> = (0..3).map(|gateway| start(&mut driver, gateway)).collect();
    let served: Vec<_> = processes.iter().map(|&p| chains_of(&driver, p)).collect();
    assert_eq!(served, [vec!["a", "b"], vec!["c"], vec!["d"]]);
    for (at, &one) in processes.iter().enumerate() {
        let own = driver.process(one);
        for &other in &processes[at + 1..] {
            let other = driver.process(other);
            assert!(own.writable.is_disjoint(&other.writable));
            assert!(own.readable.is_disjoint(&other.readable));
            // The daemon's bell is everybody's; it wakes and says nothing.
            assert_eq!(own.doorbells.intersection(&other.doorbells).count(), 1);
        }
    }
    let names: Vec<_> = processes
        .iter()
        .map(|&p| driver.process(p).chain.as_str())
        .collect();
    assert_eq!(
        names,
        ["", "c", "d"],
        "an own gateway is started in its chain's name"
    );
}

#[test]
fn a_gateway_gets_the_files_of_its_own_tls_with_its_socket() {
    let mut driver = tenants();
    for (gateway, tls) in [(0, tls::NONE), (1, tls::SERVER), (2, tls::MUTUAL)] {
        let process = start(&mut driver, gateway);
        let process = driver.process(process);
        assert_eq!(process.files, 1 + tls_file_count(tls));
        let listen = process.messages.last().unwrap();
        let (header, rest) = MessageHeader::read_from_prefix(listen).unwrap();
        assert_eq!(header.kind, kind::LISTEN);
        assert_eq!(Listen::read_from_bytes(rest).unwrap().tls, tls);
    }
}

#[test]
fn the_death_of_one_gateway_is_nothing_to_the_others() {
    let mut driver = tenants();
    let processes: Vec<_> = (0..3).map(|gateway| start(&mut driver, gateway)).collect();
    for (&process, chains) in processes.iter().zip([2, 1, 1]) {
        for _ in 0..chains {
            assert!(driver.core.ready(process));
        }
    }
    while driver.core.next_event().is_some() {}
    driver.die(processes[1]);
    let owner = Owner::Gateway(GatewayId(1));
    assert!(
        matches!(driver.core.next_event(), Some(Event::InstanceDied { owner: died, epoch: 1, .. }) if died == owner)
    );
    assert_eq!(driver.core.next_event(), None);
    let states: Vec<_> = (0..3).map(|gateway| entry(&mut driver, gateway).state).collect();
    let [ready, absent] = [InstanceState::Ready, InstanceState::Absent].map(InstanceState::number);
    assert_eq!(states, [ready, absent, ready]);
    assert_eq!(driver.create(GATEWAY_PROCESS, 0).code, ResultCode::SlotLive);
    assert_eq!(driver.create(GATEWAY_PROCESS, 1).ok().values[0], 2, "a new epoch");
    assert_eq!(chains_of(&driver, driver.latest()), ["c"]);
    let counts: Vec<_> = (0..3)
        .map(|gateway| entry(&mut driver, gateway))
        .map(|entry| (entry.epoch, entry.deaths))
        .collect();
    assert_eq!(counts, [(1, 0), (2, 1), (1, 0)]);
}

#[test]
fn readiness_that_could_not_be_told_is_told_when_it_is_said_again() {
    let mut driver = tenants();
    let process = start(&mut driver, 1);
    assert!(driver.core.ready(process));
    let said = |driver: &mut Driver, ready: u64| driver.daemon(Call::SetReadiness, [2, ready, 0, 0, 0, 0]);
    let heard = |driver: &Driver| {
        let messages = driver.process(process).messages.iter();
        let heard = messages.filter_map(|message| {
            let (header, rest) = MessageHeader::read_from_prefix(message).ok()?;
            (header.kind == kind::READINESS).then(|| Readiness::read_from_bytes(rest).unwrap())
        });
        heard
            .map(|entry| (entry.chain.to_string(), entry.ready))
            .collect::<Vec<_>>()
    };
    driver.core.platform_mut().refuse_sends = true;
    for _ in 0..2 {
        assert_ne!(said(&mut driver, 0).code, ResultCode::Success);
        assert!(heard(&driver).is_empty());
    }
    driver.core.platform_mut().refuse_sends = false;
    said(&mut driver, 0).ok();
    assert_eq!(heard(&driver), [("c".to_owned(), 0)]);
    said(&mut driver, 0).ok();
    assert_eq!(heard(&driver).len(), 1, "it is no news");
    said(&mut driver, 1).ok();
    assert_eq!(heard(&driver)[1..], [("c".to_owned(), 1)]);
}

#[test]
fn all_gateways_are_drained_and_waited_for() {
    let mut driver = tenants();
    let (delay, timeout) = (Duration::from_secs(2), Duration::from_secs(10));
    let mut idle = tenants();
    assert!(
        idle.core.drain_gateways(delay, timeout).is_empty(),
        "there is none to ask"
    );
    let processes: Vec<_> = (0..3).map(|gateway| start(&mut driver, gateway)).collect();
    driver.die(processes[0]);
    let asked = driver.core.drain_gateways(delay, timeout);
    assert_eq!(asked, [processes[1], processes[2]]);
    for process in asked {
        let message = driver.process(process).messages.last().unwrap();
        let (header, rest) = MessageHeader::read_from_prefix(message).unwrap();
        assert_eq!((header.kind, header.count), (kind::DRAIN, 1));
        let drain = Drain::read_from_bytes(rest).unwrap();
        assert_eq!(
            (drain.delay_ms, drain.timeout_ms, drain.keeps_queue),
            (2_000, 10_000, 0)
        );
        assert!(driver.core.is_gateway(process));
        assert!(driver.core.has_live_gateway());
        driver.die(process);
        let again = driver.create(GATEWAY_PROCESS, 1);
        assert_eq!(
            again.code,
            ResultCode::InvalidRequest,
            "it would know of no drain"
        );
    }
    assert!(!driver.core.has_live_gateway());
}

#[test]
fn a_gateway_of_a_chains_own_takes_no_second_chain() {
    let mut driver = Driver::with_gateway();
    let own = driver.own_gateway(tls::NONE);
    driver.begin_at(own, "a").ok();
    assert_eq!(driver.begin_at(own, "b").code, ResultCode::InvalidRequest);
    driver.begin_at(0, "b").ok();
    driver.begin_at(0, "c").ok();
    assert_eq!(driver.begin_at(2, "d").code, ResultCode::InvalidParameter);
    assert_eq!(
        driver.create(GATEWAY_PROCESS, 2).code,
        ResultCode::InvalidParameter
    );
}

#[test]
fn there_is_one_shared_gateway_at_most_and_none_is_needed() {
    let mut driver = Driver::new();
    let own = driver.own_gateway(tls::NONE);
    driver.thumbnails_at(own, "a");
    driver.core.finish_loading().unwrap();
    driver.create(GATEWAY_PROCESS, own).ok();
    let mut driver = Driver::with_gateway();
    let second = driver.load(Call::SetGateway, [0; 6], gateway().as_bytes(), vec![text("g")]);
    assert_eq!(second.code, ResultCode::InvalidRequest);
}

#[test]
fn gateways_are_bounded_and_their_values_checked() {
    let mut driver = Driver::new();
    let refused = |driver: &mut Driver, change: fn(&mut GatewayDefinition)| {
        let mut definition = gateway();
        change(&mut definition);
        let operand = definition.as_bytes();
        driver
            .load(Call::SetGateway, [0; 6], operand, vec![text("g")])
            .code
    };
    assert_eq!(refused(&mut driver, |g| g.own = 2), ResultCode::InvalidParameter);
    assert_eq!(refused(&mut driver, |g| g.tls = 3), ResultCode::InvalidParameter);
    for _ in 0..65 {
        driver.own_gateway(tls::NONE);
    }
    assert_eq!(refused(&mut driver, |_| {}), ResultCode::LimitReached);
}

#[test]
fn a_gateway_with_tls_does_not_listen_before_it_has_its_files() {
    let mut driver = Driver::new();
    let definition = GatewayDefinition {
        own: 1,
        tls: tls::SERVER,
        ..gateway()
    };
    driver
        .load(Call::SetGateway, [0; 6], definition.as_bytes(), vec![text("g")])
        .ok();
    assert_eq!(driver.listen(0).code, ResultCode::InvalidRequest);
    let set = |driver: &mut Driver, which, path: &str, files: Vec<SimulatedFile>| {
        let arguments = [0, which, 0, 0, 0, 0];
        driver
            .load(Call::SetTlsFile, arguments, path.as_bytes(), files)
            .code
    };
    let file = || vec![text("content")];
    assert_eq!(
        set(&mut driver, 1, "/key", file()),
        ResultCode::InvalidParameter,
        "in order"
    );
    assert_eq!(
        set(&mut driver, 0, "relative", file()),
        ResultCode::InvalidParameter
    );
    assert_eq!(set(&mut driver, 0, "/c", vec![]), ResultCode::InvalidAddress);
    assert_eq!(set(&mut driver, 0, "/c", file()), ResultCode::Success);
    assert_eq!(driver.listen(0).code, ResultCode::InvalidRequest);
    assert_eq!(set(&mut driver, 1, "/k", file()), ResultCode::Success);
    assert_eq!(set(&mut driver, 2, "/ca", file()), ResultCode::InvalidParameter);
    driver.listen(0).ok();
}

#[test]
fn the_tables_say_which_gateway_serves_a_chain() {
    let mut driver = tenants();
    let monitor = driver.daemon(Call::QueryMonitor, [0; 6]).ok();
    let monitor = MonitorEntry::read_from_bytes(&monitor.operand).unwrap();
    assert_eq!((monitor.gateway_count, monitor.chain_count), (3, 4));
    let gateways: Vec<_> = (0..4)
        .map(|chain| {
            let answer = driver.daemon(Call::QueryChain, [chain, 0, 0, 0, 0, 0]).ok();
            ChainEntry::read_from_bytes(&answer.operand).unwrap().gateway
        })
        .collect();
    assert_eq!(gateways, [0, 0, 1, 2]);
    let own: Vec<_> = (0..3)
        .map(|gateway| entry(&mut driver, gateway))
        .map(|entry| (entry.definition.own, entry.definition.tls, entry.listening))
        .collect();
    assert_eq!(own, [(0, 0, 1), (1, tls::SERVER, 1), (1, tls::MUTUAL, 1)]);
}

/// Starts gateway 1, which shows a certificate, and has it serve.
fn serving(driver: &mut Driver) -> ProcessId {
    let process = start(driver, 1);
    assert!(driver.core.ready(process));
    process
}

fn offer(driver: &mut Driver, contents: [&str; 2]) -> bool {
    let contents = contents.map(text).to_vec();
    driver.core.offer_tls(GatewayId(1), contents)
}

fn in_use(driver: &Driver) -> Vec<SimulatedFile> {
    let files = driver.core.tls_files(GatewayId(1));
    files.map(|(_, content)| content.clone()).collect()
}

#[test]
fn new_tls_files_are_in_use_once_the_gateway_has_taken_them_and_its_successor_begins_with_them() {
    let mut driver = tenants();
    assert_eq!(driver.core.gateways_with_tls(), [GatewayId(1), GatewayId(2)]);
    let before = [text("certificate"), text("key")];
    assert!(!offer(&mut driver, ["c2", "k2"]), "nobody is there to take them");
    let process = serving(&mut driver);
    let other = start(&mut driver, 0);
    let others_messages = driver.process(other).messages.len();
    assert!(offer(&mut driver, ["c2", "k2"]));
    assert!(!offer(&mut driver, ["c3", "k3"]), "one after the other");
    assert_eq!(in_use(&driver), before);
    assert_eq!(driver.core.tls_answered(process, true), Some(GatewayId(1)));
    assert_eq!(in_use(&driver), [text("c2"), text("k2")]);
    assert_eq!(
        driver.core.tls_answered(process, true),
        None,
        "nothing is offered"
    );
    assert_eq!(driver.core.tls_answered(other, true), None);
    assert_eq!(driver.process(other).messages.len(), others_messages);
    driver.die(process);
    let successor = start(&mut driver, 1);
    assert_eq!(driver.process(successor).files, 3);
    assert_eq!(in_use(&driver), [text("c2"), text("k2")]);
}

#[test]
fn tls_files_that_are_refused_or_kill_their_gateway_change_nothing() {
    let mut driver = tenants();
    let process = serving(&mut driver);
    let before = in_use(&driver);
    assert!(offer(&mut driver, ["c2", "k2"]));
    assert_eq!(driver.core.tls_answered(process, false), Some(GatewayId(1)));
    assert_eq!(in_use(&driver), before);
    assert!(offer(&mut driver, ["c3", "k3"]));
    assert!(driver.core.tls_is_offered(GatewayId(1)));
    driver.die(process);
    assert!(!driver.core.tls_is_offered(GatewayId(1)));
    assert_eq!(in_use(&driver), before);
    let wrong_count = driver.core.offer_tls(GatewayId(1), vec![text("c")]);
    assert!(!wrong_count);
}
