//! Calls that a hostile trustlet makes.

use super::super::Served;
use super::machine::Monitor;
use super::trustlet::Trustlet;
use crate::abi::{PRINT_MAX_BYTES, RANDOM_MAX_BYTES, REFUSED, SAY_MAX_BYTES, call};
use crate::frame::Frame;
use hacher_data_path::attach::message::MESSAGE_MAX_BYTES;

const REFUSED_CALL: Served = Served::Answer(REFUSED);

#[test]
fn pointers_that_lead_elsewhere_are_not_followed() {
    let mut monitor = Monitor::with_chain();
    monitor.create(0).unwrap();
    let mut trustlet = Trustlet::born(&mut monitor);
    trustlet.attach(&mut monitor);
    let (heap, stack) = (trustlet.newborn.heap_at, trustlet.newborn.stack);
    let heap_end = heap + trustlet.newborn.heap_bytes;
    let before = shared(&mut monitor);
    for at in [
        0,
        8,
        0x40_1000,        // its code
        0x1000_0000_0000, // its outbox, which it can write: the monitor does not
        heap - 8,
        heap_end,
        heap_end - 7,
        stack,
        1 << 47,
        0xffff_8000_0000_0000,
        u64::MAX,
        u64::MAX - 7,
    ] {
        for (number, arguments) in [
            (call::SAY, [at, 8, 0]),
            (call::PRINT, [at, 8, 0]),
            (call::RANDOM, [at, 8, 0]),
        ] {
            let served = trustlet.call(&mut monitor, number, arguments);
            assert_eq!(served, REFUSED_CALL, "call {number} with {at:#x}");
        }
    }
    for len_bytes in [SAY_MAX_BYTES as u64 + 1, u64::MAX, 1 << 63, 1 << 32] {
        for number in [call::SAY, call::PRINT, call::RANDOM] {
            let served = trustlet.call(&mut monitor, number, [heap, len_bytes, 0]);
            assert_eq!(served, REFUSED_CALL, "call {number} of {len_bytes} bytes");
        }
    }
    let most = trustlet.call(
        &mut monitor,
        call::RANDOM,
        [heap_end - 256, RANDOM_MAX_BYTES as u64, 0],
    );
    assert_eq!(most, Served::Answer(0));
    let most = trustlet.call(&mut monitor, call::PRINT, [heap, PRINT_MAX_BYTES as u64, 0]);
    assert_eq!(most, Served::Answer(0), "of a function whose text is dropped");
    assert_eq!(shared(&mut monitor), before);
}

/// All words of regions.
fn shared(monitor: &mut Monitor) -> Vec<u64> {
    let mut words = Vec::new();
    for number in 1..11_000 {
        let frame = Frame::at(number * 4096).unwrap();
        if let Some(crate::ledger::Purpose::Region { .. } | crate::ledger::Purpose::Code) =
            monitor.platform().memory().1.purpose(frame)
        {
            words.extend(monitor.machine().words(frame));
        }
    }
    words
}

#[test]
fn a_message_that_cannot_be_put_where_it_should_go_stays() {
    let mut monitor = Monitor::with_chain();
    monitor.create(0).unwrap();
    let mut trustlet = Trustlet::born(&mut monitor);
    let (heap, room) = (trustlet.newborn.heap_at, MESSAGE_MAX_BYTES as u64);
    let heap_end = heap + trustlet.newborn.heap_bytes;
    for arguments in [
        [heap, room - 1, heap + 0x1_0000],
        [0, room, heap],
        [heap_end - 8, room, heap],
        [heap, room, 0],
        [heap, room, heap_end - 8],
        [heap, u64::MAX, u64::MAX],
    ] {
        let served = trustlet.call(&mut monitor, call::RECEIVE, arguments);
        assert_eq!(served, REFUSED_CALL, "{arguments:x?}");
    }
    trustlet.attach(&mut monitor);
    while trustlet.receive(&mut monitor).is_some() {}
    let served = trustlet.call(&mut monitor, call::RECEIVE, [heap, room, heap + 0x1_0000]);
    assert_eq!(served, Served::Answer(0), "there is no more");
}

#[test]
fn bells_and_calls_that_are_not_its_own_are_refused() {
    let mut monitor = Monitor::with_chain();
    monitor.create(0).unwrap();
    let mut trustlet = Trustlet::born(&mut monitor);
    trustlet.attach(&mut monitor);
    for bell in [100, u64::from(u32::MAX), u64::MAX] {
        assert_eq!(
            trustlet.call(&mut monitor, call::RING, [bell, 0, 0]),
            REFUSED_CALL
        );
    }
    for number in [8, 100, u64::MAX] {
        assert_eq!(trustlet.call(&mut monitor, number, [0; 3]), REFUSED_CALL);
    }
    assert_eq!(
        trustlet.call(&mut monitor, call::WAIT, [0, 0, 0]),
        Served::Answer(0),
        "in the past"
    );
    assert_eq!(
        trustlet.call(&mut monitor, call::EXIT, [3, 0, 0]),
        Served::Ended(3)
    );
}
