//! A program without the standard library, and so without anything that needs an operating system: it
//! attaches two instances in memory that it has set aside, hands a record from one to the other, and has a
//! forged one refused. `tests/no_std.rs` builds and runs it; what it links that is of an operating system is
//! how a program starts and ends on the machine that runs the test.
//!
//! It exits with the number of the first thing that was not as it should be, or with 0.
#![no_std]
#![no_main]

extern crate alloc;

mod bare;

use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use hacher_data_path::inlet::Step;
use hacher_data_path::machine::clock::{Clock, Monotonic};
use hacher_data_path::place::making::Place;
use hacher_data_path::record::invocation::InvocationId;
use hacher_data_path::record::refusal::Refusal;
use hacher_data_path::region::ring::{self, Found};
use hacher_data_path::seal::RecordContext;
use hacher_data_path::simulated::chain::{Chain, Way};

#[unsafe(no_mangle)]
extern "C" fn main(_count: i32, _words: *const *const u8) -> i32 {
    match walk() {
        Ok(()) => 0,
        Err(step) => step,
    }
}

fn send(place: &mut Place, count: u128, plain: &[u8]) -> Option<()> {
    let record = RecordContext {
        invocation: InvocationId::new(count),
        deadline: Monotonic::from_ns(u64::MAX),
        attempt: 1,
    };
    place.sender.send(&place.own, 0, &record, plain, true).ok()
}

/// The life of two records.
fn walk() -> Result<(), i32> {
    let mut chain = Chain::new(&[Way::sealed(0, 1)]);
    let mut producer = chain.attach(0).map_err(|_| 1)?;
    let mut consumer = chain.attach(1).map_err(|_| 2)?;
    if !consumer.receiver.announce(&consumer.own) {
        return Err(3);
    }
    send(&mut producer, 1, b"a record").ok_or(4)?;
    if chain.bell(1).rings() != 1 {
        return Err(5);
    }
    consumer.receiver.awake(&consumer.own);
    let mut opened = Vec::new();
    let Step::Opened(step) = consumer.receiver.step(&consumer.own, 0, &mut opened) else {
        return Err(6);
    };
    if opened != b"a record" || step.published > chain.clock().now() {
        return Err(7);
    }
    consumer.receiver.release(&consumer.own, step.record);
    send(&mut producer, 2, b"another").ok_or(8)?;
    let (outbox, layout) = (chain.outbox(0), chain.outbox_layout(0));
    let slots = layout
        .ring_at(0)
        .and_then(|at| outbox.slots(at, layout.ring_capacity()));
    let Found::Words(words) = ring::peek(slots.ok_or(9)?, 1) else {
        return Err(10);
    };
    let segment_at = usize::try_from(words[1] >> 32).map_err(|_| 11)? * 64;
    outbox.word(segment_at).ok_or(12)?.fetch_xor(1, Ordering::Relaxed);
    match consumer.receiver.step(&consumer.own, 0, &mut opened) {
        Step::Refused {
            refusal: Refusal::Forged,
            ..
        } => Ok(()),
        _ => Err(13),
    }
}
