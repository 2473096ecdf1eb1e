//! A hop between real attachments: fan-out, cut-through, sizes, wrap-around, full edges, lanes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

mod topology;

use hacher_in_process::{Draft, Monitor, Node};
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::error::{Exhausted, SendError};
use hacher_libos_net::inlet::Step;
use std::sync::mpsc;
use std::time::Duration;
use topology::{Pair, SEGMENT, Taken, record, send};

fn body(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + seed + i / 251) as u8).collect()
}

#[test]
fn records_of_any_size_arrive_whole() {
    let mut pair = Pair::with_outbox(8 << 20);
    let around = [1, 2, 3, 50].map(|n| [n * SEGMENT - 1, n * SEGMENT, n * SEGMENT + 1]);
    let sizes = [0, 1, 15, 16, 17, 543, 544, 545, 4639, 4640, 4641, 65_534, 8 << 20];
    for (number, size) in sizes.into_iter().chain(around.into_iter().flatten()).enumerate() {
        pair.expect_delivery(number as u128, &body(size, number));
    }
}

#[test]
fn rings_and_slots_are_used_again_for_ever() {
    let mut pair = Pair::new();
    for number in 0..2000_usize {
        pair.expect_delivery(number as u128, &body([10, 1000, 70_000][number % 3], number));
    }
}

#[test]
fn a_fan_out_seals_once_and_its_slot_is_reused_after_the_last_release() {
    let mut draft = Draft::new();
    let source = draft.function("source", &["out"]);
    let sinks = ["first", "second", "third"].map(|name| draft.function(name, &["out"]));
    for sink in sinks {
        draft.edge((source, "out"), sink);
    }
    let mut monitor = draft.define();
    let mut producer = monitor.attach(source, 0);
    let mut consumers = sinks.map(|sink| monitor.attach(sink, 0));
    let layout = monitor.outbox_layout(source, 0);
    // Where the descriptor at `position` says that its segment lies.
    let place = |ring: u32, position: usize| {
        let slot = layout.ring_at(ring).unwrap() + position * 64;
        monitor.outbox(source, 0).word(slot + 16) >> 32
    };
    // Large enough for the producer to look at every send what it can use again.
    let (once, another) = ([1; 4096], [2; 4096]);
    send(&mut producer, 0, &record(0), &once).unwrap();
    let words = |ring| {
        let slot = layout.ring_at(ring).unwrap();
        monitor.outbox(source, 0).bytes(slot, 64)
    };
    // One sequence, one nonce, one place: all rings name the same sealed segment.
    assert_eq!(words(0), words(1));
    assert_eq!(words(0), words(2));
    for (released, consumer) in consumers.iter_mut().enumerate() {
        let mut taken = Taken::default();
        taken.take(consumer, true);
        assert_eq!(taken.whole[0].2, once);
        send(&mut producer, 0, &record(1), &another).unwrap();
        let reused = place(0, released + 1) == place(0, 0);
        assert_eq!(reused, released == 2, "after {} releases", released + 1);
    }
}

#[test]
fn a_segment_is_opened_while_later_ones_are_not_sealed_yet() {
    let mut pair = Pair::new();
    let (producer, consumer) = (&mut pair.producer, &mut pair.consumer);
    let context = record(7);
    for segment in 0..5_u8 {
        let plain = vec![segment; SEGMENT];
        producer
            .sender
            .send(&producer.own, 0, &context, &plain, segment == 4)
            .unwrap();
        let mut opened = Vec::new();
        let Step::Opened(step) = consumer.receiver.step(&consumer.own, 0, &mut opened) else {
            panic!("segment {segment} can be opened at once");
        };
        assert_eq!(opened, plain);
        assert_eq!(step.begins, segment == 0);
        assert_eq!(step.descriptor.last, segment == 4);
        opened.clear();
        assert!(matches!(
            consumer.receiver.step(&consumer.own, 0, &mut opened),
            Step::Empty
        ));
    }
}

#[test]
fn a_full_ring_or_outbox_pushes_back_and_recovers() {
    for size in [8, SEGMENT] {
        let mut pair = Pair::new();
        let body = body(size, 3);
        let mut sent = 0;
        let error = loop {
            match send(&mut pair.producer, 0, &record(sent), &body) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error, Exhausted::Full.into());
        assert_eq!(sent, if size == 8 { 256 } else { 16 });
        let mut taken = Taken::default();
        taken.take(&mut pair.consumer, false);
        assert_eq!(taken.whole.len() as u128, sent);
        assert_eq!(
            send(&mut pair.producer, 0, &record(sent), &body),
            Err(Exhausted::Full.into())
        );
        // Only the release of the oldest record makes room.
        for (freed, (place, _, _)) in taken.whole.iter().enumerate().rev() {
            pair.consumer.receiver.release(&pair.consumer.own, *place);
            let again = send(&mut pair.producer, 0, &record(sent), &body);
            assert_eq!(again.is_ok(), freed == 0);
        }
        pair.expect_delivery_of_rest();
    }
}

impl Pair {
    fn expect_delivery_of_rest(&mut self) {
        let mut taken = Taken::default();
        taken.take(&mut self.consumer, true);
        assert_eq!((taken.whole.len(), taken.refused.len()), (1, 0));
    }
}

#[test]
fn a_record_larger_than_the_outbox_is_too_large_and_smaller_ones_follow() {
    let mut pair = Pair::new();
    let context = record(1);
    let full = vec![1; SEGMENT];
    let error = loop {
        let sent = pair
            .producer
            .sender
            .send(&pair.producer.own, 0, &context, &full, false);
        if let Err(error) = sent {
            break error;
        }
    };
    assert_eq!(
        error,
        Exhausted::TooLarge {
            outbox_bytes: 1 << 20
        }
        .into()
    );
    assert!(error.to_string().contains("1048576"));
    pair.producer
        .sender
        .abort(&pair.producer.own, 0, &context)
        .unwrap();
    let mut taken = Taken::default();
    taken.take(&mut pair.consumer, true);
    assert_eq!((taken.whole.len(), taken.abandoned), (0, 1));
    pair.expect_delivery(2, b"small");
}

#[test]
fn a_record_with_as_many_segments_as_its_ring_has_places_is_too_large_or_arrives() {
    // 256 full slots, 256 places in the ring.
    let mut pair = Pair::with_outbox(16 << 20);
    pair.expect_delivery(0, &body(16 << 20, 1));
    let context = record(1);
    let full = vec![1; SEGMENT];
    let mut sent = 0;
    let error = loop {
        let result = pair
            .producer
            .sender
            .send(&pair.producer.own, 0, &context, &full, false);
        match result {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(sent >= 255);
    assert!(
        matches!(error, SendError::Exhausted(Exhausted::TooLarge { .. })),
        "waiting would not help: {error}"
    );
    pair.producer
        .sender
        .abort(&pair.producer.own, 0, &context)
        .expect("there is a place left to say that the record ends");
    let mut taken = Taken::default();
    taken.take(&mut pair.consumer, true);
    assert_eq!(taken.abandoned, 1);
    pair.expect_delivery(2, b"small");
}

#[test]
fn a_producer_that_waits_for_room_is_woken() {
    let mut pair = Pair::new();
    let full = vec![1; SEGMENT];
    while send(&mut pair.producer, 0, &record(0), &full).is_ok() {}
    let mut producer = pair.producer;
    let (said, heard) = mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let context = record(1);
        let mut waits = 0;
        while send(&mut producer, 0, &context, &full) == Err(Exhausted::Full.into()) {
            waits += 1;
            if producer.sender.announce_starved() {
                said.send(()).unwrap();
                producer.own.bell().wait(None);
            }
            producer.sender.fed();
        }
        waits
    });
    heard.recv().unwrap();
    let mut taken = Taken::default();
    taken.take(&mut pair.consumer, true);
    let waits = waiting.join().unwrap();
    assert!((1..=3).contains(&waits), "woken, and not spinning: {waits}");
}

#[test]
fn room_that_other_ports_have_given_back_is_found_without_waiting() {
    let mut draft = Draft::new();
    let source = draft.function("source", &["left", "right"]);
    let left = draft.function("left", &["out"]);
    let right = draft.function("right", &["out"]);
    draft.edge((source, "left"), left);
    draft.edge((source, "right"), right);
    let mut monitor = draft.define();
    let mut producer = monitor.attach(source, 0);
    let (mut left, mut right) = (monitor.attach(left, 0), monitor.attach(right, 0));
    let full = vec![1; SEGMENT];
    while send(&mut producer, 0, &record(0), &full).is_ok() {}
    Taken::default().take(&mut left, true);
    // Everything was released, but not on this port's ring.
    assert_eq!(send(&mut producer, 1, &record(1), &full), Ok(()));
    let mut taken = Taken::default();
    taken.take(&mut right, true);
    assert_eq!(taken.whole.len(), 1);
}

#[test]
fn a_producer_whose_ring_is_full_sleeps_though_other_rings_have_moved() {
    let mut draft = Draft::new();
    let source = draft.function("source", &["left", "right"]);
    let left = draft.function("left", &["out"]);
    let right = draft.function("right", &["out"]);
    draft.edge((source, "left"), left);
    draft.edge((source, "right"), right);
    let mut monitor = draft.define();
    let mut producer = monitor.attach(source, 0);
    let (mut left, _right) = (monitor.attach(left, 0), monitor.attach(right, 0));
    send(&mut producer, 0, &record(0), b"left").unwrap();
    while send(&mut producer, 1, &record(0), b"right").is_ok() {}
    Taken::default().take(&mut left, true);
    assert_eq!(
        send(&mut producer, 1, &record(1), b"right"),
        Err(Exhausted::Full.into())
    );
    assert!(
        producer.sender.announce_starved(),
        "what the left ring released is no news for a full right one"
    );
    producer.sender.fed();
}

#[test]
fn instances_with_equally_much_to_do_take_turns() {
    let mut draft = Draft::new();
    let source = draft.function("source", &["out"]);
    let pool = draft.function("pool", &["out"]);
    let other = draft.function("other", &["out"]);
    draft.limits(source).instances = 2;
    draft.limits(pool).instances = 3;
    draft.edge((source, "out"), pool);
    draft.edge((source, "out"), other);
    let mut monitor = draft.define();
    let mut sources = [monitor.attach(source, 0), monitor.attach(source, 1)];
    let mut lanes = [0, 1, 2].map(|lane| monitor.attach(pool, lane));
    let mut other = monitor.attach(other, 0);
    for number in 0..60_u128 {
        let from = &mut sources[number as usize % 2];
        send(from, 0, &record(number), &number.to_le_bytes()).unwrap();
    }
    for (lane, consumer) in lanes.iter_mut().enumerate() {
        let mut taken = Taken::default();
        taken.take(consumer, true);
        assert_eq!(taken.refused, []);
        let mut ids: Vec<u128> = taken.whole.iter().map(|(_, id, _)| id.as_u128()).collect();
        ids.sort_unstable();
        let expected: Vec<u128> = (0..60).filter(|id| id % 3 == lane as u128).collect();
        assert_eq!(ids, expected);
    }
    let mut taken = Taken::default();
    taken.take(&mut other, true);
    assert_eq!(
        taken.whole.len(),
        60,
        "an edge to one instance carries all of them"
    );
}

#[test]
fn a_record_whose_end_could_not_be_said_does_not_run_into_the_next() {
    let mut draft = Draft::new();
    let source = draft.function("source", &["out", "small", "more", "most"]);
    let sink = draft.function("sink", &["out"]);
    let bin = draft.function("bin", &["out"]);
    draft.edge((source, "out"), sink);
    for port in ["small", "more", "most"] {
        draft.edge((source, port), bin);
    }
    let mut monitor = draft.define();
    let mut producer = monitor.attach(source, 0);
    let (mut sink, mut bin) = (monitor.attach(sink, 0), monitor.attach(bin, 0));
    let half = record(1);
    producer
        .sender
        .send(&producer.own, 0, &half, &[1; SEGMENT], false)
        .unwrap();
    // No slot of any size is left, so that the producer cannot say now that the record ends here.
    for port in 1..4 {
        while send(&mut producer, port, &record(0), b"x").is_ok() {}
    }
    assert_eq!(
        producer.sender.abort(&producer.own, 0, &half),
        Err(Exhausted::Full.into())
    );
    Taken::default().take(&mut bin, true);
    // The next request's record must not become a part of it.
    send(&mut producer, 0, &record(2), b"of another request").unwrap();
    let mut taken = Taken::default();
    taken.take(&mut sink, true);
    assert_eq!(taken.bodies(), [b"of another request"]);
    assert_eq!((taken.abandoned, taken.refused.len()), (1, 0));
}

#[test]
fn a_record_that_was_left_in_the_middle_does_not_run_into_the_next() {
    let mut pair = Pair::new();
    let half = record(1);
    pair.producer
        .sender
        .send(&pair.producer.own, 0, &half, &[1; SEGMENT], false)
        .unwrap();
    send(&mut pair.producer, 0, &record(2), b"of another request").unwrap();
    let mut taken = Taken::default();
    taken.take(&mut pair.consumer, true);
    assert_eq!(taken.bodies(), [b"of another request"]);
    assert_eq!(taken.abandoned, 1);
}

#[test]
fn what_a_consumer_passes_over_is_given_back_to_the_producer() {
    // A consumer gives up on a record after its first segment; the producer does not know, and goes on.
    let mut pair = Pair::new();
    let context = record(1);
    let full = vec![1; SEGMENT];
    let (producer, consumer) = (&mut pair.producer, &mut pair.consumer);
    producer
        .sender
        .send(&producer.own, 0, &context, &full, false)
        .unwrap();
    let mut plain = Vec::new();
    let Step::Opened(opened) = consumer.receiver.step(&consumer.own, 0, &mut plain) else {
        panic!("the first segment")
    };
    consumer.receiver.give_up_arriving(0);
    consumer.receiver.release(&consumer.own, opened.record);
    for segment in 1..1000 {
        let sent = producer
            .sender
            .send(&producer.own, 0, &context, &full, segment == 999);
        if segment % 16 == 15 {
            Taken::default().take(consumer, true);
        }
        assert_eq!(sent, Ok(()), "segment {segment}");
    }
    pair.expect_delivery(2, b"next");
}

#[test]
fn a_parked_consumer_is_woken_and_an_awake_one_is_not_rung() {
    let mut pair = Pair::new();
    let wakes = |pair: &Pair| {
        let bell = pair.monitor.doorbell(pair.b, 0);
        let mut fds = [rustix::event::PollFd::new(&bell, rustix::event::PollFlags::IN)];
        rustix::event::poll(
            &mut fds,
            Some(&rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        )
        .unwrap()
            == 1
    };
    send(&mut pair.producer, 0, &record(0), b"x").unwrap();
    assert!(!wakes(&pair), "an awake consumer is not rung");
    assert!(
        !pair.consumer.receiver.announce(&pair.consumer.own),
        "there is news"
    );
    pair.consumer.receiver.awake(&pair.consumer.own);
    Taken::default().take(&mut pair.consumer, true);
    assert!(pair.consumer.receiver.announce(&pair.consumer.own));
    send(&mut pair.producer, 0, &record(1), b"y").unwrap();
    assert!(wakes(&pair));
    pair.consumer.own.bell().wait(None);
    assert!(!wakes(&pair));
    pair.consumer.receiver.awake(&pair.consumer.own);
    std::thread::sleep(Duration::from_millis(1));
}

#[test]
fn a_consumer_that_lags_behind_and_does_not_work_holds_its_producer_up_for_no_longer_than_is_worth_it() {
    let mut draft = Draft::new();
    let a = draft.function("a", &["out"]);
    let b = draft.function("b", &["out"]);
    draft.edge((a, "out"), b);
    draft.limits(a).outbox_bytes = 8 << 20;
    draft.limits(a).spin = Duration::from_micros(20);
    let mut monitor = draft.define();
    let (mut producer, mut consumer) = (monitor.attach(a, 0), monitor.attach(b, 0));
    // Far more than is let out before the consumer is waited for, and all of it within the outbox.
    let sent: Vec<Vec<u8>> = (0..100).map(|seed| body(SEGMENT, seed)).collect();
    for (invocation, body) in sent.iter().enumerate() {
        send(&mut producer, 0, &record(invocation as u128), body).unwrap();
    }
    let mut taken = Taken::default();
    taken.take(&mut consumer, true);
    assert_eq!(taken.whole.len(), sent.len());
    assert!(
        taken
            .whole
            .iter()
            .zip(&sent)
            .all(|((_, _, got), sent)| got == sent)
    );
}

/// `source -> pool`, the latter of two instances.
fn pool_of_two() -> (Monitor, [Node; 2]) {
    let mut draft = Draft::new();
    let source = draft.function("source", &["out"]);
    let pool = draft.function("pool", &["out"]);
    draft.limits(pool).instances = 2;
    draft.edge((source, "out"), pool);
    (draft.define(), [source, pool])
}

fn ids(taken: &Taken) -> Vec<u128> {
    taken.whole.iter().map(|(_, id, _)| id.as_u128()).collect()
}

#[test]
fn no_record_waits_behind_a_busy_instance_while_another_has_less_to_do() {
    let (mut monitor, [source, pool]) = pool_of_two();
    let mut from = monitor.attach(source, 0);
    let [mut busy, mut free] = [0, 1].map(|lane| monitor.attach(pool, lane));
    // It would be the first one's turn every time.
    send(&mut from, 0, &record(0), b"takes long").unwrap();
    let (mut held, mut taken) = (Taken::default(), Taken::default());
    held.take(&mut busy, false);
    for number in [2, 4, 6, 8] {
        send(&mut from, 0, &record(number), b"x").unwrap();
        taken.take(&mut free, true);
    }
    held.take(&mut busy, false);
    assert_eq!(ids(&held), [0]);
    assert_eq!(ids(&taken), [2, 4, 6, 8]);
    // Once the long one is released, it takes its turn again.
    held.whole
        .iter()
        .for_each(|(place, ..)| busy.receiver.release(&busy.own, *place));
    send(&mut from, 0, &record(10), b"x").unwrap();
    let mut again = Taken::default();
    again.take(&mut busy, true);
    assert_eq!(ids(&again), [10]);
}

#[test]
fn all_that_a_join_joins_goes_to_one_instance_whatever_it_has_to_do() {
    let mut draft = Draft::new();
    let sources = ["left", "right"].map(|name| draft.function(name, &["out"]));
    let join = draft.function("join", &["out"]);
    draft.limits(join).instances = 2;
    draft.join(&sources.map(|source| (source, "out")), join);
    let mut monitor = draft.define();
    let mut from = sources.map(|source| monitor.attach(source, 0));
    let mut lanes = [0, 1].map(|lane| monitor.attach(join, lane));
    for number in [0, 2, 4, 6] {
        for source in &mut from {
            send(source, 0, &record(number), b"x").unwrap();
        }
    }
    let mut taken = [Taken::default(), Taken::default()];
    for (taken, lane) in taken.iter_mut().zip(&mut lanes) {
        taken.take(lane, false);
    }
    assert_eq!((taken[0].whole.len(), taken[1].whole.len()), (8, 0));
}

#[test]
fn all_of_a_record_goes_to_the_instance_that_got_its_beginning_also_from_a_replacement() {
    let (mut monitor, [source, pool]) = pool_of_two();
    let mut from = monitor.attach(source, 0);
    let mut lanes = [0, 1].map(|lane| monitor.attach(pool, lane));
    let begin = |from: &mut Attachment, number| {
        let segment = body(SEGMENT, 1);
        from.sender
            .send(&from.own, 0, &record(number), &segment, false)
            .unwrap();
    };
    let end = |from: &mut Attachment, number| {
        from.sender
            .send(&from.own, 0, &record(number), b"end", true)
            .unwrap();
    };
    begin(&mut from, 0);
    end(&mut from, 0);
    let mut taken = Taken::default();
    taken.take(&mut lanes[0], false);
    assert_eq!(ids(&taken), [0]);
    // The first instance is busy, so this one goes to the second; its producer dies in the middle.
    begin(&mut from, 2);
    drop(from);
    let mut from = monitor.attach(source, 0);
    let mut second = Taken::default();
    second.take(&mut lanes[1], true);
    assert!(second.abandoned > 0, "the one that had got its beginning is told");
    assert_eq!(second.refused, []);
    begin(&mut from, 4);
    end(&mut from, 4);
    second.take(&mut lanes[1], true);
    taken.take(&mut lanes[0], false);
    assert_eq!(ids(&second), [4]);
    assert_eq!(
        (ids(&taken), taken.abandoned),
        (vec![0], 0),
        "and the other is not"
    );
}

#[test]
fn a_replacement_says_to_all_who_miss_nothing_that_its_predecessors_record_will_not_end() {
    let mut draft = Draft::new();
    let source = draft.function("source", &["out"]);
    let sinks = ["early", "late"].map(|name| draft.function(name, &["out"]));
    for sink in sinks {
        draft.edge((source, "out"), sink);
    }
    let mut monitor = draft.define();
    let mut from = monitor.attach(source, 0);
    let [mut early, mut late] = sinks.map(|sink| monitor.attach(sink, 0));
    let segment = body(SEGMENT, 1);
    from.sender
        .send(&from.own, 0, &record(0), &segment, false)
        .unwrap();
    // One consumer has given up on the record and released what there is of it; the other still holds it.
    let ring = early.receiver.ring_with_news().unwrap();
    let mut plain = Vec::new();
    let Step::Opened(opened) = early.receiver.step(&early.own, ring, &mut plain) else {
        panic!("a segment was sent");
    };
    early.receiver.give_up_arriving(ring);
    early.receiver.release(&early.own, opened.record);
    drop(from);
    let mut from = monitor.attach(source, 0);
    for number in [1, 2] {
        send(&mut from, 0, &record(number), b"x").unwrap();
    }
    for sink in [&mut early, &mut late] {
        let mut taken = Taken::default();
        taken.take(sink, true);
        assert_eq!(taken.refused, []);
        assert_eq!(ids(&taken), [1, 2]);
    }
}
