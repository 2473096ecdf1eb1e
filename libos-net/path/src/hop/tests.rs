//! Two ends in one process, and a clock that is set: nothing here sleeps.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use super::*;
use crate::error::Exhausted;
use crate::machine::clock::{Clock, Monotonic};
use crate::place::making::Place;
use crate::record::invocation::InvocationId;
use crate::region::layout::SEGMENT_BYTES;
use crate::simulated::chain::{Chain, Way};
use core::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn record(count: u128) -> RecordContext {
    RecordContext {
        invocation: InvocationId::new(count),
        deadline: Monotonic::from_ns(u64::MAX),
        attempt: 1,
    }
}

/// A producer, numbered 0, and its consumer, numbered 1.
fn ends(chain: &mut Chain) -> (Place, Place) {
    (chain.attach(0).unwrap(), chain.attach(1).unwrap())
}

fn send(place: &mut Place, count: u128, plain: &[u8]) -> Result<(), SendError> {
    place.sender.send(&place.own, 0, &record(count), plain, true)
}

fn receive(place: &mut Place) -> Option<(RecordPlace, Vec<u8>)> {
    let mut plain = Vec::new();
    match place.receiver.step(&place.own, 0, &mut plain) {
        Step::Opened(opened) => Some((opened.record, plain)),
        Step::Empty => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_arrives_whole_and_was_published_when_the_clock_said() {
    for mapped in [false, true] {
        arrives_whole(Way {
            mapped,
            ..Way::sealed(0, 1)
        });
    }
}

fn arrives_whole(way: Way) {
    let mut chain = Chain::new(&[way]);
    // After three days and a quarter a time needs more than 48 bits.
    chain.clock().pass_ns((1 << 59) + (1 << 47) + 5);
    let (mut producer, mut consumer) = ends(&mut chain);
    let plain: Vec<u8> = (0..SEGMENT_BYTES + 1000).map(|at| at.to_le_bytes()[0]).collect();
    let (first, second) = plain.split_at(SEGMENT_BYTES);
    let mut times = Vec::new();
    for (part, last) in [(first, false), (second, true)] {
        chain.clock().pass_ns(1000);
        times.push(chain.clock().now());
        producer
            .sender
            .send(&producer.own, 0, &record(1), part, last)
            .unwrap();
    }
    let mut opened = Vec::new();
    for (at, published) in times.into_iter().enumerate() {
        chain.clock().pass_ns(1000);
        let Step::Opened(step) = consumer.receiver.step(&consumer.own, 0, &mut opened) else {
            panic!("a segment is there");
        };
        assert_eq!((step.published, step.begins), (published, at == 0));
        assert_eq!(step.descriptor.last, at == 1);
    }
    assert_eq!(opened, plain);
    assert!(receive(&mut consumer).is_none());
}

#[test]
fn a_consumer_that_sleeps_is_rung_once_for_each_sleep_and_one_that_is_awake_never() {
    let mut chain = Chain::new(&[Way::sealed(0, 1)]);
    let (mut producer, mut consumer) = ends(&mut chain);
    send(&mut producer, 0, b"awake").unwrap();
    assert_eq!(chain.bell(1).rings(), 0);
    assert!(!consumer.receiver.announce(&consumer.own), "there is news");
    consumer.receiver.awake(&consumer.own);
    receive(&mut consumer).unwrap();
    for sleeps in 1..4 {
        assert!(consumer.receiver.announce(&consumer.own));
        for count in 0..3 {
            send(&mut producer, count, b"asleep").unwrap();
        }
        assert_eq!(chain.bell(1).rings(), sleeps);
        consumer.receiver.awake(&consumer.own);
        while receive(&mut consumer).is_some() {}
    }
}

#[test]
fn a_wait_for_a_record_ends_with_a_record_or_when_its_time_comes() {
    let mut chain = Chain::new(&[Way::sealed(0, 1)]);
    let (mut producer, mut consumer) = ends(&mut chain);
    let until = chain.clock().now().after(5 * MS);
    consumer.receiver.wait(&consumer.own, Some(until));
    assert_eq!((chain.clock().now(), chain.bell(1).slept()), (until, 1));
    send(&mut producer, 1, b"here").unwrap();
    consumer.receiver.wait(&consumer.own, None);
    assert_eq!((chain.clock().now(), chain.bell(1).slept_for_good()), (until, 0));
    receive(&mut consumer).unwrap();
    consumer.receiver.wait(&consumer.own, None);
    assert_eq!(chain.bell(1).slept_for_good(), 1, "nobody would wake it");
}

#[test]
fn whoever_may_look_does_so_for_its_budget_and_then_sleeps() {
    const SPIN_NS: u64 = 40_000;
    let mut chain = Chain::new(&[Way::sealed(0, 1)]);
    chain.set_spin_ns(SPIN_NS);
    let (mut producer, mut consumer) = ends(&mut chain);
    chain.clock().set_look_ns(100);
    send(&mut producer, 1, b"at once").unwrap();
    consumer.receiver.wait(&consumer.own, None);
    receive(&mut consumer).unwrap();
    assert_eq!(chain.bell(1).slept_for_good(), 0);
    let before = chain.clock().now();
    consumer.receiver.wait(&consumer.own, Some(before));
    let looked_ns = chain.clock().now().ns_since(before);
    assert!((SPIN_NS..SPIN_NS + 5_000).contains(&looked_ns), "{looked_ns} ns");
    assert_eq!(chain.bell(1).slept(), 1);
}

#[test]
fn a_wait_for_room_ends_in_time_and_a_release_brings_room_and_rings() {
    let mut chain = Chain::new(&[Way::sealed(0, 1)]);
    let (mut producer, mut consumer) = ends(&mut chain);
    let plain = vec![1; SEGMENT_BYTES];
    let mut sent = 0;
    while send(&mut producer, sent, &plain).is_ok() {
        sent += 1;
    }
    assert_eq!(send(&mut producer, sent, &plain), Err(Exhausted::Full.into()));
    let until = chain.clock().now().after(5 * MS);
    producer.sender.wait_for_room(&producer.own, until);
    assert_eq!(chain.clock().now(), until);
    assert_eq!(send(&mut producer, sent, &plain), Err(Exhausted::Full.into()));
    assert!(producer.sender.announce_starved());
    let (first, _) = receive(&mut consumer).unwrap();
    assert_eq!(chain.bell(0).rings(), 0, "to open a record makes no room");
    consumer.receiver.release(&consumer.own, first);
    assert_eq!(chain.bell(0).rings(), 1);
    producer.sender.fed();
    send(&mut producer, sent, &plain).unwrap();
    assert_eq!(send(&mut producer, sent, &plain), Err(Exhausted::Full.into()));
    for count in 1..=sent {
        let (record, opened) = receive(&mut consumer).unwrap();
        assert_eq!((record.first, &opened), (u64::try_from(count).unwrap(), &plain));
    }
}

#[test]
fn a_record_larger_than_the_outbox_is_too_large_and_not_full() {
    let mut chain = Chain::new(&[Way::sealed(0, 1)]);
    let (mut producer, _consumer) = ends(&mut chain);
    let plain = vec![1; SEGMENT_BYTES];
    let outbox_bytes = producer.sender.outbox_bytes();
    let fits = outbox_bytes / SEGMENT_BYTES as u64;
    let error = (0..=fits).find_map(|_| {
        let Place { sender, own, .. } = &mut producer;
        sender.send(own, 0, &record(1), &plain, false).err()
    });
    assert_eq!(error, Some(Exhausted::TooLarge { outbox_bytes }.into()));
}

#[test]
fn a_mapped_record_is_read_where_it_was_written() {
    let way = Way {
        streams: false,
        mapped: true,
        ..Way::sealed(0, 1)
    };
    let mut chain = Chain::new(&[way]);
    let (mut producer, mut consumer) = ends(&mut chain);
    assert_eq!(producer.sender.place(0, record(1).invocation, 5), Ok(true));
    assert!(producer.sender.write_placed(0, 0, b"hello"));
    assert!(!producer.sender.write_placed(0, 4, b"oh"), "past its end");
    producer.sender.send_placed(&producer.own, 0, &record(1)).unwrap();
    let Step::Opened(opened) = consumer.receiver.step_in_place(&consumer.own, 0, &mut Vec::new()) else {
        panic!("a record is there");
    };
    let mut bytes = [0; 5];
    assert!(consumer.receiver.in_place(&opened).unwrap().copy_to(&mut bytes));
    assert_eq!(&bytes, b"hello");
    for offset in [0, opened.descriptor.offset + 64, usize::MAX] {
        let mut made_up = opened;
        made_up.descriptor.offset = offset;
        assert!(consumer.receiver.in_place(&made_up).is_none(), "{offset}");
    }
    let mut made_up = opened;
    made_up.descriptor.len_bytes = usize::MAX - opened.descriptor.offset;
    assert!(consumer.receiver.in_place(&made_up).is_none());
}

#[test]
fn what_was_not_released_comes_again_to_a_replacement_and_what_was_does_not() {
    let mut chain = Chain::new(&[Way::sealed(0, 1)]);
    let (mut producer, mut consumer) = ends(&mut chain);
    for count in 0..3 {
        send(&mut producer, count, &[count.to_le_bytes()[0]]).unwrap();
    }
    let (first, _) = receive(&mut consumer).unwrap();
    receive(&mut consumer).unwrap();
    consumer.receiver.release(&consumer.own, first);
    drop(consumer);
    drop(producer);
    // Under the keys of another epoch.
    let mut producer = chain.attach(0).unwrap();
    send(&mut producer, 3, &[3]).unwrap();
    let mut consumer = chain.attach(1).unwrap();
    let again: Vec<u8> = core::iter::from_fn(|| receive(&mut consumer))
        .map(|(_, plain)| plain[0])
        .collect();
    assert_eq!(again, [1, 2, 3]);
}
