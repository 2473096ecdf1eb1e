//! Records that cross a carrier: it relays what it cannot open, releases when its consumer has, goes on after
//! a death, and whatever it does to what it carries is refused behind it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

mod topology;

use hacher_in_process::{Draft, Monitor, Node, Runner, after};
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::carrier::Carrier;
use hacher_libos_net::error::Exhausted;
use hacher_libos_net::headers;
use hacher_libos_net::refusal::Refusal;
use hacher_libos_net::telemetry::Counter;
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use topology::{SEGMENT, Taken, answers, record, send, with_headers};

/// `a -> (carrier) -> b`.
struct Line {
    monitor: Monitor,
    nodes: [Node; 3],
    producer: Attachment,
    carrier: Carrier,
    consumer: Attachment,
}

impl Line {
    fn new() -> Self {
        let mut draft = Draft::new();
        let a = draft.function("a", &["out"]);
        let carrier = draft.carrier("spool");
        let b = draft.function("b", &["out"]);
        draft.carried_edge((a, "out"), carrier, b);
        let mut monitor = draft.define();
        Self {
            producer: monitor.attach(a, 0),
            carrier: monitor.attach_carrier(carrier),
            consumer: monitor.attach(b, 0),
            nodes: [a, carrier, b],
            monitor,
        }
    }

    fn carry(&mut self) {
        while self.carrier.turn() {}
    }

    fn replace_carrier(&mut self) {
        self.carrier = self.monitor.attach_carrier(self.nodes[1]);
    }

    /// Descriptors that the carrier has released to the producer, and the consumer to the carrier.
    fn released(&self) -> (u64, u64) {
        let [_, carrier, b] = self.nodes;
        let of = |node| self.monitor.reader(node, 0).released(0);
        (of(carrier), of(b))
    }

    fn refusals(&self) -> u64 {
        let reader = self.monitor.reader(self.nodes[2], 0);
        Refusal::ALL
            .iter()
            .map(|refusal| reader.counter(Counter::Refused(*refusal)))
            .sum()
    }

    /// Where the descriptor at `position` of the carrier's ring lies in its outbox.
    fn slot_at(&self, position: usize) -> usize {
        let layout = self.monitor.outbox_layout(self.nodes[1], 0);
        layout.ring_at(0).unwrap() + position % layout.ring_capacity() * 64
    }

    /// An honest record still arrives, and all that is held is released.
    fn expect_delivery(&mut self, invocation: u128) {
        send(&mut self.producer, 0, &record(invocation), b"an honest record").unwrap();
        self.carry();
        let mut taken = Taken::default();
        taken.take(&mut self.consumer, true);
        assert_eq!(taken.bodies(), [b"an honest record"], "{taken:?}");
        self.carry();
        let (to_producer, to_carrier) = self.released();
        assert_eq!(
            (to_producer, to_carrier),
            (to_carrier.max(to_producer), to_carrier)
        );
    }
}

fn body(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + seed * 7 + at / 251) as u8).collect()
}

#[test]
fn records_of_any_size_cross_a_carrier_whole_and_in_order() {
    let mut line = Line::new();
    let sizes = [
        0,
        1,
        100,
        4096,
        SEGMENT - 1,
        SEGMENT,
        SEGMENT + 1,
        5 * SEGMENT + 77,
    ];
    let mut taken = Taken::default();
    for (at, size) in sizes.into_iter().enumerate() {
        send(&mut line.producer, 0, &record(at as u128), &body(size, at)).unwrap();
        line.carry();
        taken.take(&mut line.consumer, true);
    }
    let expected: Vec<_> = sizes
        .into_iter()
        .enumerate()
        .map(|(at, size)| body(size, at))
        .collect();
    assert_eq!(taken.bodies(), expected);
    assert_eq!((taken.refused.len(), taken.abandoned), (0, 0));
}

#[test]
fn a_record_is_released_to_its_producer_when_the_consumer_behind_the_carrier_has_released_it() {
    let mut line = Line::new();
    for invocation in 0..3 {
        send(&mut line.producer, 0, &record(invocation), &body(2 * SEGMENT, 1)).unwrap();
    }
    line.carry();
    let mut taken = Taken::default();
    taken.take(&mut line.consumer, false);
    line.carry();
    assert_eq!(line.released(), (0, 0));
    let places: Vec<_> = taken.whole.iter().map(|(place, _, _)| *place).collect();
    line.consumer.receiver.release(&line.consumer.own, places[1]);
    line.carry();
    assert_eq!(line.released(), (0, 0), "an older one is not released");
    line.consumer.receiver.release(&line.consumer.own, places[0]);
    line.carry();
    assert_eq!(line.released(), (4, 4));
    line.consumer.receiver.release(&line.consumer.own, places[2]);
    line.carry();
    assert_eq!(line.released(), (6, 6));
}

#[test]
fn nothing_of_a_record_can_be_read_in_what_a_carrier_holds() {
    let mut line = Line::new();
    let secret = b"a diagnosis that only the consumer may read";
    send(&mut line.producer, 0, &record(1), secret).unwrap();
    line.carry();
    let layout = line.monitor.outbox_layout(line.nodes[1], 0);
    let outbox = line.monitor.outbox(line.nodes[1], 0);
    let held = outbox.bytes(0, layout.len_bytes());
    assert!(held.windows(secret.len()).all(|window| window != secret));
    let producers = line.monitor.outbox(line.nodes[0], 0);
    let sealed = producers.bytes(
        line.monitor.outbox_layout(line.nodes[0], 0).segments_at(),
        secret.len(),
    );
    assert!(
        held.windows(sealed.len()).any(|window| window == sealed),
        "it holds what the producer sealed, byte by byte"
    );
}

#[test]
fn a_consumer_that_does_not_release_holds_up_its_producer_through_the_carrier() {
    let mut line = Line::new();
    let large = body(4 * SEGMENT, 3);
    let mut sent = 0_u32;
    let full = loop {
        match send(&mut line.producer, 0, &record(u128::from(sent)), &large) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        line.carry();
    };
    assert_eq!(full, Exhausted::Full.into());
    assert!((2..=4).contains(&sent), "{sent} of an outbox of 1 MiB");
    line.producer
        .sender
        .abort(&line.producer.own, 0, &record(u128::from(sent)))
        .unwrap();
    let mut taken = Taken::default();
    for _ in 0..4 {
        taken.take(&mut line.consumer, true);
        line.carry();
    }
    assert_eq!(taken.whole.len(), sent as usize);
    line.expect_delivery(100);
}

#[test]
fn a_carrier_that_dies_anywhere_loses_nothing_and_sends_nothing_twice() {
    let sizes = [10, 3 * SEGMENT + 5, 0, SEGMENT, 70];
    let segments: usize = sizes.iter().map(|size| size.div_ceil(SEGMENT).max(1)).sum();
    for dies_after in 0..=segments {
        for is_taken in [false, true] {
            let mut line = Line::new();
            for (at, size) in sizes.into_iter().enumerate() {
                send(&mut line.producer, 0, &record(at as u128), &body(size, at)).unwrap();
            }
            let mut taken = Taken::default();
            for _ in 0..dies_after {
                line.carrier.turn();
            }
            if is_taken {
                taken.take(&mut line.consumer, true);
            }
            line.replace_carrier();
            line.carry();
            taken.take(&mut line.consumer, true);
            line.carry();
            let expected: Vec<_> = sizes
                .into_iter()
                .enumerate()
                .map(|(at, size)| body(size, at))
                .collect();
            assert_eq!(taken.bodies(), expected, "died after {dies_after}, {is_taken}");
            assert_eq!((taken.refused.len(), taken.abandoned), (0, 0), "{taken:?}");
            assert_eq!(line.released(), (segments as u64, segments as u64));
            line.expect_delivery(100);
        }
    }
}

#[test]
fn a_producer_that_dies_in_a_record_has_it_dropped_behind_the_carrier() {
    for carried in [false, true] {
        let mut line = Line::new();
        let half = body(SEGMENT, 1);
        let begun = record(1);
        let Attachment { own, sender, .. } = &mut line.producer;
        sender.send(own, 0, &begun, &half, false).unwrap();
        if carried {
            line.carry();
        }
        line.producer = line.monitor.attach(line.nodes[0], 0);
        line.carry();
        let mut taken = Taken::default();
        taken.take(&mut line.consumer, true);
        assert_eq!((taken.whole.len(), taken.refused.len()), (0, 0), "{taken:?}");
        assert!(taken.abandoned >= 1);
        line.carry();
        line.expect_delivery(2);
    }
}

#[test]
fn a_consumer_that_is_replaced_gets_again_what_it_had_not_released() {
    let mut line = Line::new();
    for invocation in 0..4 {
        send(
            &mut line.producer,
            0,
            &record(invocation),
            &body(100, invocation as usize),
        )
        .unwrap();
    }
    line.carry();
    let mut taken = Taken::default();
    taken.take(&mut line.consumer, false);
    line.consumer
        .receiver
        .release(&line.consumer.own, taken.whole[0].0);
    line.consumer = line.monitor.attach(line.nodes[2], 0);
    line.carry();
    let mut again = Taken::default();
    again.take(&mut line.consumer, true);
    assert_eq!(again.bodies(), [body(100, 1), body(100, 2), body(100, 3)]);
    line.carry();
    line.expect_delivery(100);
}

/// Puts two records of two segments into the carrier's outbox, lets it misbehave there, and looks what the
/// consumer makes of it: of what it takes, all is as it was sealed, and nothing twice.
fn misbehave(line: &mut Line, tamper: impl Fn(&Line)) -> Taken {
    let sent = [body(SEGMENT + 9, 1), body(SEGMENT + 9, 2)];
    for (at, body) in sent.iter().enumerate() {
        send(&mut line.producer, 0, &record(at as u128), body).unwrap();
    }
    line.carry();
    tamper(line);
    let mut taken = Taken::default();
    taken.take(&mut line.consumer, true);
    for body in &taken.bodies() {
        assert!(
            sent.iter().any(|sent| sent == body),
            "nothing altered is delivered"
        );
    }
    for body in &sent {
        assert!(taken.bodies().iter().filter(|taken| *taken == body).count() <= 1);
    }
    taken
}

#[test]
fn whatever_a_carrier_flips_is_refused() {
    let bits = (0..64)
        .map(|byte| (true, byte))
        .chain((0..40).map(|byte| (false, byte * 211)));
    for (in_descriptor, byte) in bits {
        let mut line = Line::new();
        let taken = misbehave(&mut line, |line| {
            let outbox = line.monitor.outbox(line.nodes[1], 0);
            let slot = line.slot_at(0);
            let lines = outbox.word(slot + 16) >> 32;
            let at = if in_descriptor {
                slot + byte
            } else {
                lines as usize * 64 + byte
            };
            outbox.flip(at, 0x10);
        });
        assert!(
            taken.whole.len() < 2,
            "byte {byte} of the descriptor: {in_descriptor}"
        );
        assert_eq!(taken.refused.len() as u64, line.refusals(), "and counted");
        // A stamp that is none is waited for until the producer has gone past it, a slot elsewhere is
        // refused.
        assert!(
            line.refusals() > 0,
            "byte {byte} of the descriptor: {in_descriptor}"
        );
    }
}

#[test]
fn whatever_a_carrier_swaps_plays_again_or_drops_is_refused() {
    let words = |line: &Line, position| {
        let outbox = line.monitor.outbox(line.nodes[1], 0);
        (1..8)
            .map(|word| outbox.word(line.slot_at(position) + word * 8))
            .collect::<Vec<_>>()
    };
    let put = |line: &Line, position, words: &[u64]| {
        let outbox = line.monitor.outbox(line.nodes[1], 0);
        for (at, word) in words.iter().enumerate() {
            outbox.set_word(line.slot_at(position) + (at + 1) * 8, *word);
        }
    };
    // Two segments of one record, two records, one twice, one segment missing.
    for order in [
        [1, 0, 2, 3],
        [2, 3, 0, 1],
        [0, 1, 0, 1],
        [0, 1, 3, 3],
        [0, 2, 2, 3],
        [0, 3, 1, 2],
    ] {
        let mut line = Line::new();
        let taken = misbehave(&mut line, |line| {
            let before: Vec<_> = (0..4).map(|position| words(line, position)).collect();
            for (position, from) in order.into_iter().enumerate() {
                put(line, position, &before[from]);
            }
        });
        assert!(taken.whole.len() < 2, "{order:?}");
        assert_eq!(taken.refused.len() as u64, line.refusals());
        assert!(line.refusals() > 0, "{order:?}: {taken:?}");
    }
    // Ciphertext of one segment where another's is.
    let mut line = Line::new();
    let taken = misbehave(&mut line, |line| {
        let outbox = line.monitor.outbox(line.nodes[1], 0);
        let place = |position| (outbox.word(line.slot_at(position) + 16) >> 32) as usize * 64;
        let other = outbox.bytes(place(2), 4096);
        outbox.set_bytes(place(0), &other);
    });
    assert!(taken.whole.len() < 2 && line.refusals() > 0);
}

#[test]
fn what_a_sibling_of_the_consumer_can_open_cannot_be_passed_off_as_carried() {
    let mut draft = Draft::new();
    let a = draft.function("a", &["out", "carried"]);
    let carrier = draft.carrier("spool");
    let (b, sibling) = (draft.function("b", &["out"]), draft.function("sibling", &["out"]));
    draft.edge((a, "out"), sibling);
    draft.carried_edge((a, "carried"), carrier, b);
    let mut monitor = draft.define();
    let (mut producer, mut carry) = (monitor.attach(a, 0), monitor.attach_carrier(carrier));
    let mut consumer = monitor.attach(b, 0);
    // One record for each; the carrier has got hold of what was sealed for the sibling.
    send(&mut producer, 0, &record(1), b"for the sibling").unwrap();
    send(&mut producer, 1, &record(1), b"for the carrier").unwrap();
    while carry.turn() {}
    let (from, to) = (monitor.outbox(a, 0), monitor.outbox(carrier, 0));
    let ring_at = |node, ring| monitor.outbox_layout(node, 0).ring_at(ring).unwrap();
    let place =
        |outbox: &hacher_in_process::Exposed<'_>, slot: usize| (outbox.word(slot + 16) >> 32) as usize * 64;
    let (source, target) = (ring_at(a, 0), ring_at(carrier, 0));
    let sealed = from.bytes(place(&from, source), 15 + 16);
    to.set_bytes(place(&to, target), &sealed);
    for word in [1, 3, 4, 5, 6] {
        to.set_word(target + word * 8, from.word(source + word * 8));
    }
    // With the port that the consumer expects, as it would refuse any other at once.
    let mut taken = Taken::default();
    taken.take(&mut consumer, true);
    assert_eq!(
        (taken.whole.len(), taken.refused.as_slice()),
        (0, [Refusal::Forged].as_slice())
    );
}

#[test]
fn each_record_goes_to_one_of_several_consumers_and_a_replaced_carrier_keeps_to_it() {
    let mut draft = Draft::new();
    let a = draft.function("a", &["out"]);
    let carrier = draft.carrier("spool");
    let b = draft.function("b", &["out"]);
    draft.limits(a).instances = 2;
    draft.limits(b).instances = 2;
    draft.carried_edge((a, "out"), carrier, b);
    let mut monitor = draft.define();
    let mut producers = [monitor.attach(a, 0), monitor.attach(a, 1)];
    let mut carry = monitor.attach_carrier(carrier);
    let mut consumers = [monitor.attach(b, 0), monitor.attach(b, 1)];
    let mut taken = [Taken::default(), Taken::default()];
    for round in 0..12_u128 {
        for (at, producer) in producers.iter_mut().enumerate() {
            let invocation = round * 2 + at as u128;
            send(
                producer,
                0,
                &record(invocation),
                &body(SEGMENT * 2, invocation as usize),
            )
            .unwrap();
        }
        for _ in 0..=round % 3 {
            carry.turn();
        }
        if round % 2 == 0 {
            carry = monitor.attach_carrier(carrier);
        }
        while carry.turn() {}
        for (taken, consumer) in taken.iter_mut().zip(&mut consumers) {
            taken.take(consumer, true);
        }
        while carry.turn() {}
    }
    let mut all: Vec<_> = taken
        .iter()
        .flat_map(|taken| &taken.whole)
        .map(|(_, invocation, body)| (invocation.as_u128(), body.clone()))
        .collect();
    all.sort();
    let expected: Vec<_> = (0..24).map(|at| (at, body(SEGMENT * 2, at as usize))).collect();
    assert_eq!(all, expected);
    assert!(
        taken
            .iter()
            .all(|taken| !taken.whole.is_empty() && taken.refused.is_empty())
    );
}

#[test]
fn a_chain_of_functions_answers_over_a_carrier() {
    let mut draft = Draft::new();
    let gateway = draft.gateway(&["out"]);
    let upper = draft.function("upper", &["out"]);
    let carrier = draft.carrier("spool");
    let reverse = draft.function("reverse", &["out"]);
    draft.edge((gateway, "out"), upper);
    draft.carried_edge((upper, "out"), carrier, reverse);
    draft.edge((reverse, "out"), gateway);
    let mut monitor = draft.define();
    let mut first = Runner::new(
        |mut input, output| output.send(&input.bytes()?.to_ascii_uppercase()),
        monitor.attach(upper, 0),
    );
    let mut carry = monitor.attach_carrier(carrier);
    let mut second = Runner::new(
        |mut input, output| {
            assert_eq!(input.upstream(), Some("upper"), "it is known who sealed it");
            let mut bytes = input.bytes()?.to_vec();
            bytes.reverse();
            output.send(&bytes)
        },
        monitor.attach(reverse, 0),
    );
    let mut gateway = monitor.attach(gateway, 0);
    for request in 0..10 {
        send(&mut gateway, 0, &record(request), &with_headers(b"hello")).unwrap();
        first.settle();
        while carry.turn() {}
        second.settle();
        while carry.turn() {}
    }
    let answered = answers(&mut gateway);
    assert_eq!(answered.bodies.len(), 10);
    assert!(answered.bodies.iter().all(|(_, body)| body == b"OLLEH"));
    assert!(headers::split(&with_headers(b"")).is_ok());
}

#[test]
fn requests_and_answers_may_cross_one_carrier() {
    let mut draft = Draft::new();
    let gateway = draft.gateway(&["out"]);
    let upper = draft.function("upper", &["out"]);
    let carrier = draft.carrier("spool");
    draft.carried_edge((gateway, "out"), carrier, upper);
    draft.carried_edge((upper, "out"), carrier, gateway);
    let mut monitor = draft.define();
    let mut gateway = monitor.attach(gateway, 0);
    let mut carry = monitor.attach_carrier(carrier);
    let mut function = Runner::new(
        |mut input, output| output.send(&input.bytes()?.to_ascii_uppercase()),
        monitor.attach(upper, 0),
    );
    for request in 0..10 {
        send(&mut gateway, 0, &record(request), &with_headers(b"hello")).unwrap();
        while carry.turn() {}
        function.settle();
        while carry.turn() {}
        let answered = answers(&mut gateway);
        assert_eq!(answered.bodies, [(request, b"HELLO".to_vec())]);
        assert_eq!(answered.notices, []);
    }
}

#[test]
fn the_monitor_lets_no_other_consumer_have_the_key_of_a_carried_edge() {
    let mut draft = Draft::new();
    let a = draft.function("a", &["out"]);
    let carrier = draft.carrier("spool");
    let (b, sibling) = (draft.function("b", &["out"]), draft.function("sibling", &["out"]));
    draft.carried_edge((a, "out"), carrier, b);
    draft.edge((a, "out"), sibling);
    let refused = draft
        .try_define()
        .err()
        .expect("a sibling could forge with the carrier");
    assert!(refused.contains("has another edge"), "{refused}");
}

#[test]
fn a_carrier_that_sleeps_is_woken_by_both_sides() {
    const RECORDS: u32 = 2_000;
    let Line {
        mut producer,
        mut carrier,
        mut consumer,
        monitor,
        nodes,
    } = Line::new();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if !carrier.turn() {
                    carrier.rest(Some(after(Duration::from_secs(20))));
                }
            }
        });
        scope.spawn(|| {
            for invocation in 0..RECORDS {
                let record = record(u128::from(invocation));
                let body = body(30_000, invocation as usize);
                while let Err(error) = send(&mut producer, 0, &record, &body) {
                    assert_eq!(error, Exhausted::Full.into());
                    producer
                        .sender
                        .wait_for_room(&producer.own, after(Duration::from_secs(20)));
                }
            }
        });
        let mut taken = Taken::default();
        let until = after(Duration::from_secs(60));
        while taken.whole.len() < RECORDS as usize {
            consumer.receiver.wait(&consumer.own, Some(until));
            taken.take(&mut consumer, true);
            assert!(hacher_libos_net::clock::now() < until, "nothing hangs");
        }
        stop.store(true, Ordering::Relaxed);
        monitor.ring(nodes[1], 0);
        assert_eq!(taken.refused, []);
        let in_order = taken.whole.iter().enumerate();
        assert!(
            in_order
                .map(|(at, record)| (at, &record.2))
                .all(|(at, sent)| *sent == body(30_000, at))
        );
    });
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Send(usize),
    Turn(u8),
    Take,
    Replace,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (0..4 * SEGMENT).prop_map(Move::Send),
        (0..200_usize).prop_map(Move::Send),
        (1..9_u8).prop_map(Move::Turn),
        Just(Move::Take),
        Just(Move::Replace),
    ];
    proptest::collection::vec(one, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn however_sends_turns_deaths_and_releases_fall_each_record_arrives_once(moves in moves()) {
        let mut line = Line::new();
        let mut taken = Taken::default();
        let mut sent = Vec::new();
        for step in moves {
            match step {
                Move::Send(len) => {
                    let body = body(len, sent.len());
                    let record = record(sent.len() as u128);
                    match send(&mut line.producer, 0, &record, &body) {
                        Ok(()) => sent.push(body),
                        // Part of it may have left: it is aborted.
                        Err(_) => {
                            let _ = line.producer.sender.abort(&line.producer.own, 0, &record);
                        }
                    }
                }
                Move::Turn(count) => (0..count).for_each(|_| {
                    line.carrier.turn();
                }),
                Move::Take => taken.take(&mut line.consumer, true),
                Move::Replace => line.replace_carrier(),
            }
        }
        for _ in 0..8 {
            line.producer.sender.say_aborts(&line.producer.own);
            line.carry();
            taken.take(&mut line.consumer, true);
        }
        line.carry();
        prop_assert_eq!(taken.bodies(), sent.iter().map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert_eq!(taken.refused.len(), 0);
        let (to_producer, to_carrier) = line.released();
        prop_assert_eq!(to_producer, to_carrier);
    }
}

/// Whoever was taken over has left `noise` everywhere.
fn overwrite(exposed: &hacher_in_process::Exposed<'_>, len_bytes: usize, noise: impl Fn(usize) -> u64) {
    for at in (0..len_bytes.min(1 << 16)).step_by(8) {
        exposed.set_word(at, noise(at / 8));
    }
}

#[test]
fn a_carrier_goes_on_after_one_that_left_anything_and_beside_a_producer_that_writes_anything() {
    type Noise = fn(usize) -> u64;
    let noises: [Noise; 6] = [
        |_| 0,
        |_| u64::MAX,
        |word| word as u64,
        |word| (word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        // Good stamps of many positions.
        |word| {
            let low = (word / 8 + 1) as u32;
            if word % 8 == 0 {
                (u64::from(!low) << 32) | u64::from(low)
            } else {
                0x4040
            }
        },
        |word| {
            if word % 8 == 0 {
                0xffff_fffe_0000_0001
            } else {
                1 << 32
            }
        },
    ];
    for noise in noises {
        for whose in 0..3 {
            let mut line = Line::new();
            let mut taken = Taken::default();
            for invocation in 0..3 {
                send(&mut line.producer, 0, &record(invocation), &body(300, 1)).unwrap();
            }
            line.carry();
            taken.take(&mut line.consumer, false);
            let [a, carrier, _] = line.nodes;
            match whose {
                0 => overwrite(&line.monitor.outbox(a, 0), 1 << 16, noise),
                1 => overwrite(&line.monitor.outbox(carrier, 0), 1 << 16, noise),
                _ => {
                    let len_bytes = line.monitor.page_layout(carrier, 0).len_bytes();
                    overwrite(&line.monitor.page(carrier, 0), len_bytes, noise);
                }
            }
            line.replace_carrier();
            for _ in 0..5_000 {
                line.carrier.turn();
            }
            assert!(!line.carrier.turn(), "there is an end of what it makes of noise");
            taken.take(&mut line.consumer, true);
            assert!(
                taken.bodies().iter().all(|taken| *taken == body(300, 1)),
                "nothing made up is delivered"
            );
            for (place, _, _) in core::mem::take(&mut taken.whole) {
                line.consumer.receiver.release(&line.consumer.own, place);
            }
            // All three begin anew, as after a change of each: what is sent then arrives.
            line.producer = line.monitor.attach(a, 0);
            line.replace_carrier();
            line.carry();
            taken.take(&mut line.consumer, true);
            let mut arrived = false;
            for invocation in 10..20 {
                let _ = send(&mut line.producer, 0, &record(invocation), b"at last");
                line.carry();
                let mut taken = Taken::default();
                taken.take(&mut line.consumer, true);
                line.carry();
                arrived |= taken.bodies().contains(&b"at last".as_slice());
            }
            assert!(arrived, "honest records go on, whatever was left by {whose}");
        }
    }
}

#[test]
fn a_producer_that_names_the_same_memory_again_and_again_takes_no_room_of_another() {
    let mut draft = Draft::new();
    let (hostile, honest) = (
        draft.function("hostile", &["out"]),
        draft.function("honest", &["out"]),
    );
    let carrier = draft.carrier("spool");
    let (b, c) = (draft.function("b", &["out"]), draft.function("c", &["out"]));
    draft.carried_edge((hostile, "out"), carrier, b);
    draft.carried_edge((honest, "out"), carrier, c);
    let mut monitor = draft.define();
    let (mut sender, mut producer) = (monitor.attach(hostile, 0), monitor.attach(honest, 0));
    let mut carry = monitor.attach_carrier(carrier);
    let mut consumer = monitor.attach(c, 0);
    let Attachment { own, sender, .. } = &mut sender;
    sender.send(own, 0, &record(1), &body(SEGMENT, 1), false).unwrap();
    // One segment of its outbox, as the first 200 of a record that never ends.
    let outbox = monitor.outbox(hostile, 0);
    let ring_at = monitor.outbox_layout(hostile, 0).ring_at(0).unwrap();
    let first: Vec<u64> = (1..8).map(|word| outbox.word(ring_at + word * 8)).collect();
    for position in 1..200_u32 {
        let slot = ring_at + position as usize * 64;
        for (at, word) in first.iter().enumerate() {
            outbox.set_word(slot + (at + 1) * 8, *word);
        }
        outbox.set_word(slot + 24, (u64::from(position) << 32) | (first[2] & 0xffff_ffff));
        let low = position + 1;
        outbox.set_word(slot, (u64::from(!low) << 32) | u64::from(low));
    }
    for _ in 0..1_000 {
        carry.turn();
    }
    // As much as ever fits into the outbox of the other.
    let large = body(15 * SEGMENT, 2);
    for round in 0..3 {
        send(&mut producer, 0, &record(round), &large).unwrap();
        while carry.turn() {}
        let mut taken = Taken::default();
        taken.take(&mut consumer, true);
        assert_eq!(taken.bodies(), [large.as_slice()], "round {round}");
        while carry.turn() {}
    }
    let refused = monitor
        .reader(carrier, 0)
        .counter(Counter::Refused(Refusal::Malformed));
    assert!(refused > 0, "and it is counted");
}
