//! Sends records into the chain, one after the other, and compares what comes back. It speaks no HTTP:
//! nobody could ask.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "a name that the library begins with")]

extern crate alloc;

use alloc::format;
use alloc::vec::Vec;
use hacher_data_path::hop::{Own, Receiver};
use hacher_data_path::inlet::Step;
use hacher_data_path::machine::clock::Monotonic;
use hacher_data_path::place::making::Place;
use hacher_data_path::record::invocation::{GatewayLife, InvocationId};
use hacher_data_path::seal::RecordContext;
use hacher_snp_trustlets::call;
use hacher_snp_trustlets::channel::attach;

/// How long an answer may take.
const PATIENCE_NS: u64 = 10_000_000_000;
/// How long to sleep between two records.
const PAUSE_NS: u64 = 2_000_000;
/// Chains that this gateway is attached to.
const CHAINS: usize = 2;

#[unsafe(no_mangle)]
fn trustlet() {
    let mut places: Vec<Place> = Vec::new();
    for _ in 0..CHAINS {
        match attach() {
            Ok((place, _)) => places.push(place),
            Err(why) => panic!("no attachment: {why}"),
        }
    }
    let mut places = places
        .into_iter()
        .filter(|place| place.begin.chain.as_str() == "text");
    let mut place = places.next().expect("the chain is one of those attached");
    for count in 0_u16.. {
        let asked = format!("  record {count} of the chain  ");
        let answer = ask(&mut place, count, asked.as_bytes());
        let mut expected = asked.trim_ascii().to_ascii_uppercase().into_bytes();
        expected.reverse();
        assert!(answer == expected, "the chain answers something else");
        call::print(&format!("answered {:?} with {:?}", asked, text(&answer)));
        call::wait(call::now_ns() + PAUSE_NS);
    }
}

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or("what is no text")
}

/// Sends one record and waits for what becomes of it.
fn ask(place: &mut Place, count: u16, record: &[u8]) -> Vec<u8> {
    let mut random = [0; 12];
    assert!(call::random(&mut random), "there is randomness");
    let life = GatewayLife::of_epoch(place.begin.instance_epoch);
    let until = Monotonic::from_ns(call::now_ns() + PATIENCE_NS);
    let context = RecordContext {
        invocation: InvocationId::unguessable(random, life, count),
        deadline: until,
        attempt: 1,
    };
    let sent = place.sender.send(&place.own, 0, &context, record, true);
    assert!(sent.is_ok(), "one record at a time has room");
    loop {
        if let Some(answer) = look(&mut place.receiver, &place.own, context.invocation) {
            return answer;
        }
        assert!(call::now_ns() < until.as_ns(), "the chain does not answer");
    }
}

/// The next record that belongs to `invocation`, if there is one now or soon.
fn look(receiver: &mut Receiver, own: &Own, invocation: InvocationId) -> Option<Vec<u8>> {
    let Some(ring) = receiver.ring_with_news() else {
        receiver.wait(own, Some(Monotonic::from_ns(call::now_ns() + PATIENCE_NS)));
        return None;
    };
    let mut answer = Vec::new();
    let Step::Opened(opened) = receiver.step(own, ring, &mut answer) else {
        return None;
    };
    receiver.release(own, opened.record);
    (opened.descriptor.invocation == invocation).then_some(answer)
}
