//! The life of a chain.

use super::super::RunsNowhere;
use super::machine::{FUNCTIONS, Monitor};
use super::trustlet::Trustlet;
use crate::ledger::Purpose;
use crate::rmp::Vmpl;
use crate::simulated::{Fault, Processor, Ring};
use hacher_data_path::attach::message::ZeroizingMessage;
use hacher_data_path::machine::clock::Monotonic;
use hacher_data_path::record::invocation::InvocationId;
use hacher_data_path::seal::RecordContext;
use hacher_monitor_core::core::Exit;
use hacher_monitor_core::platform::Platform;

const KILLED: Exit = Exit {
    signalled: true,
    code: 9,
    lived_ns: 0,
    asked: None,
};

fn record(count: u128) -> RecordContext {
    RecordContext {
        invocation: InvocationId::new(count),
        deadline: Monotonic::from_ns(u64::MAX),
        attempt: 1,
    }
}

/// The gateway and the functions, all attached.
fn trustlets(monitor: &mut Monitor) -> Vec<Trustlet> {
    (0..=FUNCTIONS.len() as u64)
        .map(|instance| started(monitor, instance))
        .collect()
}

fn started(monitor: &mut Monitor, instance: u64) -> Trustlet {
    monitor.create(instance).unwrap();
    let mut trustlet = Trustlet::born(monitor);
    trustlet.attach(monitor);
    trustlet
}

/// A function hands its record on with its name behind it.
fn run(trustlet: &mut Trustlet, name: &str) {
    let (place, record, mut plain) = trustlet.open().expect("a record");
    plain.extend_from_slice(name.as_bytes());
    trustlet.send(&record, &plain);
    trustlet.release(place);
}

#[test]
fn a_record_goes_through_three_functions_and_nobody_else_sees_it() {
    let mut monitor = Monitor::with_chain();
    let mut trustlets = trustlets(&mut monitor);
    let secret = b"a record that nobody else may see: ";
    trustlets[0].send(&record(1), secret);
    for (trustlet, name) in trustlets[1..].iter_mut().zip(FUNCTIONS) {
        run(trustlet, name);
    }
    let (place, record, reply) = trustlets[0].open().expect("a reply");
    assert_eq!(reply, b"a record that nobody else may see: abc");
    assert_eq!(record.invocation, InvocationId::new(1));
    trustlets[0].release(place);
    // What lies in shared memory is sealed, whoever reads it.
    let machine = monitor.machine();
    let words = (1..11_000).flat_map(|number| machine.words(machine.frame(number)));
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    assert!(!bytes.windows(12).any(|bytes| bytes == &secret[..12]));
    // And the operating system reads nothing of it, sealed or not.
    let mut system = Processor::new(Vmpl::OPERATING_SYSTEM, Ring::System);
    let (mut taken, mut systems) = (0, 0);
    for number in 0..12_000 {
        let frame = monitor.machine().frame(number);
        let loaded = system.load(monitor.machine(), frame.address());
        if monitor.platform().memory().1.is_of_system(frame) {
            systems += 1;
            assert!(loaded.is_ok());
        } else {
            assert_eq!(loaded, Err(Fault::ReverseMap));
            let purpose = monitor.platform().memory().1.purpose(frame);
            taken += usize::from(matches!(purpose, Some(Purpose::Region { .. })));
        }
    }
    assert!(taken > 4 * 256 && systems > 50, "{taken} {systems}");
}

#[test]
fn whoever_sleeps_is_woken_by_a_record() {
    let mut monitor = Monitor::with_chain();
    let mut trustlets = trustlets(&mut monitor);
    assert!(trustlets[1].sleep(&mut monitor));
    let process = trustlets[1].process();
    assert!(!monitor.platform().is_awake(process));
    trustlets[0].send(&record(1), b"wake");
    assert_eq!(trustlets[0].ring(&mut monitor), 1);
    assert!(monitor.platform().is_awake(process));
    assert!(!monitor.platform().is_awake(process), "a ring is heard once");
    trustlets[1].awake();
    run(&mut trustlets[1], "a");
    assert!(!trustlets[2].sleep(&mut monitor), "there is news");
    trustlets[2].awake();
}

#[test]
fn a_replacement_gets_the_record_that_its_predecessor_had_not_released() {
    let mut monitor = Monitor::with_chain();
    let mut trustlets = trustlets(&mut monitor);
    let spare = monitor.spare();
    trustlets[0].send(&record(1), b"");
    run(&mut trustlets[1], "a");
    let (_, _, plain) = trustlets[2].open().expect("a record");
    assert_eq!(plain, b"a");
    // It dies with the record in its hands.
    let dead = trustlets[2].process();
    monitor.platform().reap(dead, RunsNowhere::vouched());
    monitor.core.died(dead, KILLED);
    let mut processor = Processor::new(
        Vmpl::TRUSTLETS,
        Ring::User {
            cr3: trustlets[2].newborn.cr3,
        },
    );
    assert!(
        processor
            .load(monitor.machine(), trustlets[2].newborn.heap_at)
            .is_err()
    );
    trustlets[2] = started(&mut monitor, 2);
    assert_eq!(monitor.spare(), spare, "as many pages as before");
    run(&mut trustlets[2], "b");
    run(&mut trustlets[3], "c");
    let (_, _, reply) = trustlets[0].open().expect("a reply");
    assert_eq!(reply, b"abc");
    // Those around it were not told, and go on.
    trustlets[0].send(&record(2), b"again ");
    for (trustlet, name) in trustlets[1..].iter_mut().zip(FUNCTIONS) {
        run(trustlet, name);
    }
    let (_, _, reply) = trustlets[0].open().expect("a reply");
    assert_eq!(reply, b"again abc");
}

#[test]
fn an_outbox_has_one_writer_and_the_next_one_when_that_is_gone() {
    let mut monitor = Monitor::with_chain();
    let mut trustlets = trustlets(&mut monitor);
    let refused = monitor.create(1).unwrap_err();
    assert!(refused.contains("SlotLive"), "{refused}");
    let dead = trustlets.remove(1).process();
    monitor.core.died(dead, KILLED);
    // The platform was not told that it runs no more, so nobody else gets its regions.
    let refused = monitor.create(1).unwrap_err();
    assert!(refused.contains("mapped"), "{refused}");
    let refused = monitor.platform().take_newborn().unwrap().process;
    assert!(monitor.platform().is_killed(refused));
    for process in [dead, refused] {
        monitor.platform().reap(process, RunsNowhere::vouched());
    }
    monitor.core.died(refused, KILLED);
    started(&mut monitor, 1);
}

#[test]
fn a_trustlet_that_is_to_end_gets_no_more_answers() {
    let mut monitor = Monitor::with_chain();
    let trustlets = trustlets(&mut monitor);
    let process = trustlets[1].process();
    assert!(!monitor.platform().is_killed(process));
    monitor.core.end(process);
    assert!(monitor.platform().is_killed(process));
    let answer = trustlets[1].call(&mut monitor, crate::abi::call::NOW, [0; 3]);
    assert_eq!(answer, super::super::Served::Answer(crate::abi::REFUSED));
}

#[test]
fn where_memory_is_short_nothing_is_left_behind_and_it_goes_on_when_there_is_more() {
    let mut monitor = Monitor::with_pages(1200);
    let defined = monitor.define();
    let spare = monitor.spare();
    let refused = match defined {
        Err(refused) => refused,
        Ok(()) => (0..4)
            .map(|instance| monitor.create(instance))
            .find_map(Result::err)
            .expect("there are not that many pages"),
    };
    assert!(refused.contains("deposit"), "{refused}");
    assert!(monitor.spare() <= spare);
    assert!(!monitor.machine().has_stopped());
}

#[test]
fn one_that_does_not_read_is_given_up() {
    let mut monitor = Monitor::with_chain();
    let trustlets = trustlets(&mut monitor);
    let process = trustlets[0].process();
    let told = (0..10_000).find_map(|_| {
        let message = ZeroizingMessage::new(0, &[[0_u8; 8192]]);
        monitor.platform().send(process, message, &[]).err()
    });
    let refused = told.expect("it is not told for ever");
    assert!(refused.to_string().contains("does not read"), "{refused}");
    assert!(monitor.platform().is_killed(process));
}
