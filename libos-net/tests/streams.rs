//! Records that are released while they are read: any length passes a small outbox, several flow at a time
//! over rings of their own, and whoever dies in the middle ends them clearly.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod topology;

use hacher_in_process::{Draft, Monitor, Node, Runner, after};
use hacher_libos_net::attach::{Attachment, outbox_flag};
use hacher_libos_net::error::{Exhausted, SendError};
use hacher_libos_net::inlet::{RecordPlace, Step};
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::layout::{cursor_word, page_word};
use hacher_libos_net::seal::RecordContext;
use hacher_libos_net::telemetry::Counter;
use hacher_libos_net::{Failure, Input, Output};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use topology::{SEGMENT, Taken, answers, record, send, with_headers};

/// `a -> b`, of which `b` reads streams.
struct Pair {
    monitor: Monitor,
    a: Node,
    b: Node,
    producer: Attachment,
    consumers: Vec<Attachment>,
}

impl Pair {
    fn new(mapped: bool, instances: u32) -> Self {
        let mut draft = Draft::new();
        let a = draft.function("a", &["out"]);
        let b = draft.function("b", &["out"]);
        if mapped {
            draft.mapped_edge((a, "out"), b);
        } else {
            draft.edge((a, "out"), b);
        }
        draft.limits(b).outbox_flags = outbox_flag::STREAMS;
        draft.limits(b).instances = instances;
        let mut monitor = draft.define();
        Self {
            producer: monitor.attach(a, 0),
            consumers: (0..instances)
                .map(|instance| monitor.attach(b, instance))
                .collect(),
            monitor,
            a,
            b,
        }
    }

    fn send(&mut self, count: u128, plain: &[u8], last: bool) -> Result<(), SendError> {
        let Attachment { own, sender, .. } = &mut self.producer;
        sender.send(own, 0, &record(count), plain, last)
    }
}

/// Takes the next segment, and lets go of it at once.
fn take(by: &mut Attachment, into: &mut Vec<u8>) -> Option<(RecordPlace, bool)> {
    match by.receiver.step(&by.own, 0, into) {
        Step::Opened(opened) => {
            if opened.descriptor.last {
                by.receiver.release(&by.own, opened.record);
            } else {
                by.receiver.release_part(&by.own, opened.record);
            }
            Some((opened.record, opened.descriptor.last))
        }
        Step::Empty => None,
        other => panic!("{other:?}"),
    }
}

fn piece(number: u64) -> Vec<u8> {
    let len = usize::try_from(number * 7919 % SEGMENT as u64).unwrap() + 1;
    (0..len).map(|at| (number + at as u64).to_le_bytes()[0]).collect()
}

#[test]
fn a_record_many_times_as_long_as_the_outbox_passes_within_a_window() {
    for mapped in [false, true] {
        let mut pair = Pair::new(mapped, 1);
        assert!(pair.producer.sender.streams(0));
        let (mut sent, mut read) = (0_u64, 0_u64);
        const PIECES: u64 = 1000;
        while read < PIECES {
            while sent < PIECES && !pair.producer.sender.is_ahead(0) {
                pair.send(1, &piece(sent), sent + 1 == PIECES).unwrap();
                sent += 1;
            }
            assert!(sent - read <= 16, "a window of segments lies unread");
            let mut plain = Vec::new();
            let (place, last) = take(&mut pair.consumers[0], &mut plain).unwrap();
            assert_eq!((place.first, plain), (0, piece(read)));
            read += 1;
            assert_eq!(last, read == PIECES);
        }
        send(&mut pair.producer, 0, &record(2), b"next").unwrap();
        let mut plain = Vec::new();
        take(&mut pair.consumers[0], &mut plain).unwrap();
        assert_eq!(plain, b"next");
    }
}

#[test]
fn a_reader_that_does_not_stream_holds_the_record_and_it_is_too_large() {
    let mut draft = Draft::new();
    let a = draft.function("a", &["out"]);
    let b = draft.function("b", &["out"]);
    let c = draft.function("c", &["out"]);
    draft.edge((a, "out"), b);
    draft.edge((a, "out"), c);
    draft.limits(b).outbox_flags = outbox_flag::STREAMS;
    let mut monitor = draft.define();
    let mut producer = monitor.attach(a, 0);
    let mut streaming = monitor.attach(b, 0);
    let Attachment { own, sender, .. } = &mut producer;
    assert!(!sender.streams(0));
    let mut plain = Vec::new();
    let refused = (0..100).find_map(|_| {
        let sent = sender.send(own, 0, &record(1), &[1; SEGMENT], false);
        while take(&mut streaming, &mut plain).is_some() {}
        sent.err()
    });
    let outbox_bytes = sender.outbox_bytes();
    assert_eq!(refused, Some(Exhausted::TooLarge { outbox_bytes }.into()));
}

#[test]
fn a_reader_that_is_replaced_in_the_middle_passes_over_the_rest_and_says_so_once() {
    for (mapped, published) in [(false, 5), (false, 3), (true, 5), (true, 3)] {
        let mut pair = Pair::new(mapped, 1);
        for number in 0..published {
            pair.send(1, &piece(number), false).unwrap();
        }
        let mut plain = Vec::new();
        for _ in 0..3 {
            take(&mut pair.consumers[0], &mut plain).unwrap();
        }
        pair.consumers.clear();
        let mut consumer = pair.monitor.attach(pair.b, 0);
        for number in published..8 {
            pair.send(1, &piece(number), number == 7).unwrap();
        }
        send(&mut pair.producer, 0, &record(2), b"next").unwrap();
        let mut taken = Taken::default();
        taken.take(&mut consumer, true);
        assert_eq!(taken.interrupted, [InvocationId::new(1)]);
        assert_eq!(
            (taken.bodies(), &taken.refused[..]),
            (vec![&b"next"[..]], &[][..])
        );
        assert_eq!(pair.monitor.reader(pair.b, 0).counter(Counter::Abandoned), 0);
    }
}

#[test]
fn a_stream_that_a_replacement_gives_up_itself_was_interrupted_by_nobody() {
    let mut pair = Pair::new(false, 1);
    pair.send(1, b"whole", true).unwrap();
    take(&mut pair.consumers[0], &mut Vec::new()).unwrap();
    pair.consumers.clear();
    let mut consumer = pair.monitor.attach(pair.b, 0);
    pair.send(2, b"beginning", false).unwrap();
    let (place, _) = take(&mut consumer, &mut Vec::new()).unwrap();
    consumer.receiver.give_up_arriving(0);
    consumer.receiver.release(&consumer.own, place);
    pair.send(2, b"middle", false).unwrap();
    pair.send(2, b"end", true).unwrap();
    pair.send(3, b"next", true).unwrap();
    let mut taken = Taken::default();
    taken.take(&mut consumer, true);
    assert_eq!(taken.interrupted, []);
    assert_eq!(taken.bodies(), [b"next"]);
}

#[test]
fn what_was_not_released_is_delivered_again_whole() {
    let mut pair = Pair::new(false, 1);
    pair.send(1, b"one ", false).unwrap();
    let mut plain = Vec::new();
    let by = &mut pair.consumers[0];
    assert!(matches!(
        by.receiver.step(&by.own, 0, &mut plain),
        Step::Opened(_)
    ));
    pair.consumers.clear();
    let mut consumer = pair.monitor.attach(pair.b, 0);
    pair.send(1, b"two", true).unwrap();
    let mut taken = Taken::default();
    taken.take(&mut consumer, true);
    assert_eq!(taken.bodies(), [b"one two"]);
    assert_eq!(taken.interrupted, []);
}

#[test]
fn a_page_that_lies_about_a_stream_costs_no_more_than_that_stream() {
    // Whatever a process that was taken over leaves in its cursor, its replacement delivers what is new.
    for released in [0, 1, 2, 7, u64::MAX] {
        for sequence in [0, 1, 2, 3, u64::MAX] {
            let mut pair = Pair::new(false, 1);
            for number in 0..4 {
                pair.send(1, &piece(number), false).unwrap();
            }
            let mut plain = Vec::new();
            take(&mut pair.consumers[0], &mut plain).unwrap();
            pair.consumers.clear();
            let at = pair.monitor.page_layout(pair.b, 0).cursor_at(0).unwrap();
            let page = pair.monitor.page(pair.b, 0);
            page.set_word(at + cursor_word::RELEASED, released);
            page.set_word(at + cursor_word::SEQUENCE, sequence);
            page.set_word(at + cursor_word::EPOCH, 1);
            page.set_word(page_word::RUNNING_INBOUND, 1);
            let mut consumer = pair.monitor.attach(pair.b, 0);
            pair.send(1, b"the end", true).unwrap();
            for count in 2..40 {
                send(&mut pair.producer, 0, &record(count), &count.to_le_bytes()).unwrap();
                let mut taken = Taken::default();
                taken.take(&mut consumer, true);
                assert!(taken.interrupted.len() <= 1);
                if count > 3 {
                    assert_eq!(taken.bodies(), [count.to_le_bytes()], "{released} {sequence}");
                }
            }
        }
    }
}

#[test]
fn a_producer_that_dies_with_streams_on_their_way_ends_each_of_them() {
    let mut pair = Pair::new(false, 3);
    for count in 1..=3 {
        pair.send(count, b"beginning", false).unwrap();
        pair.producer.sender.set_aside(0);
    }
    assert!(!pair.producer.sender.may_begin(0), "each instance has one");
    for by in &mut pair.consumers {
        assert!(take(by, &mut Vec::new()).is_some());
    }
    let mut replacement = pair.monitor.attach(pair.a, 0);
    for by in &mut pair.consumers {
        let mut taken = Taken::default();
        taken.take(by, true);
        assert!(taken.abandoned > 0 && taken.refused.is_empty(), "{taken:?}");
    }
    for count in 4..10 {
        send(&mut replacement, 0, &record(count), b"again").unwrap();
    }
    let mut whole = 0;
    for by in &mut pair.consumers {
        let mut taken = Taken::default();
        taken.take(by, true);
        whole += taken.whole.len();
    }
    assert_eq!(whole, 6);
}

#[test]
fn what_was_released_and_is_of_no_use_keeps_nobody_from_sleeping_twice() {
    let mut pair = Pair::new(false, 1);
    pair.send(1, b"beginning", false).unwrap();
    let sender = &mut pair.producer.sender;
    sender.set_aside(0);
    take(&mut pair.consumers[0], &mut Vec::new()).unwrap();
    assert!(
        !sender.may_begin(0),
        "its one instance is in the middle of a record"
    );
    assert!(!sender.announce_starved(), "something was released");
    assert!(!sender.may_begin(0));
    assert!(sender.announce_starved(), "nothing more was");
    sender.fed();
}

#[test]
fn a_stream_that_was_set_aside_is_ended_when_nobody_goes_on_with_it() {
    let mut pair = Pair::new(false, 2);
    for count in 1..=2 {
        pair.send(count, b"beginning", false).unwrap();
        pair.producer.sender.set_aside(0);
    }
    pair.producer.sender.abort_aside(0, InvocationId::new(1));
    assert!(pair.producer.sender.owes_aborts());
    let Attachment { own, sender, .. } = &mut pair.producer;
    sender.say_aborts(own);
    assert!(!sender.owes_aborts() && sender.may_begin(0));
    assert!(!sender.go_on(0, InvocationId::new(1)), "it has ended");
    assert!(sender.go_on(0, InvocationId::new(2)));
    pair.send(2, b" and end", true).unwrap();
    send(&mut pair.producer, 0, &record(3), b"another").unwrap();
    let mut bodies = Vec::new();
    let mut abandoned = 0;
    for by in &mut pair.consumers {
        let mut taken = Taken::default();
        taken.take(by, true);
        assert_eq!(taken.refused, []);
        abandoned += taken.abandoned;
        bodies.extend(taken.bodies().iter().map(|body| body.to_vec()));
    }
    bodies.sort();
    assert_eq!(abandoned, 1);
    assert_eq!(bodies, [b"another".to_vec(), b"beginning and end".to_vec()]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Segments of several records alternate at random over the rings of one port; whole records come
    /// between.
    #[test]
    fn streams_that_alternate_arrive_each_whole(
        instances in 1..5_u32,
        turns in proptest::collection::vec((0..6_u128, any::<bool>(), 1..300_usize), 1..200),
    ) {
        let mut pair = Pair::new(false, instances);
        let mut open: BTreeMap<u128, Vec<u8>> = BTreeMap::new();
        let mut expected: BTreeMap<u128, Vec<u8>> = BTreeMap::new();
        let mut taken: Vec<Taken> = (0..instances).map(|_| Taken::default()).collect();
        let mut next = 100;
        for (which, last, len) in turns {
            let plain = vec![which.to_le_bytes()[0]; len];
            // The record of this request, if it is open; or a new one, if there is an instance for it.
            let known = open.keys().copied().find(|count| count % 6 == which);
            let sender = &mut pair.producer.sender;
            let count = match known {
                Some(count) => {
                    prop_assert!(sender.go_on(0, InvocationId::new(count)));
                    count
                }
                None if sender.may_begin(0) => {
                    next += 6;
                    next + which
                }
                None => {
                    prop_assert_eq!(open.len(), usize::try_from(instances).unwrap());
                    continue;
                }
            };
            pair.send(count, &plain, last).unwrap();
            pair.producer.sender.set_aside(0);
            let mut body = open.remove(&count).unwrap_or_default();
            body.extend(plain);
            if last {
                expected.insert(count, body);
            } else {
                open.insert(count, body);
            }
            for (by, taken) in pair.consumers.iter_mut().zip(&mut taken) {
                taken.take(by, true);
            }
        }
        let mut arrived = BTreeMap::new();
        for taken in taken {
            prop_assert_eq!((taken.refused.len(), taken.abandoned), (0, 0));
            for (_, invocation, body) in taken.whole {
                prop_assert!(arrived.insert(invocation.as_u128(), body).is_none());
            }
        }
        prop_assert_eq!(arrived, expected);
    }
}

/// `ingress -> f -> egress`, of which `f` reads a stream.
struct Chain {
    monitor: Monitor,
    f: Node,
    gateway: Attachment,
}

impl Chain {
    fn new() -> Self {
        Self::trying_again_after(Duration::ZERO)
    }

    fn trying_again_after(backoff: Duration) -> Self {
        let mut draft = Draft::new();
        let gateway = draft.gateway(&["out"]);
        let f = draft.function("f", &["out", "error"]);
        draft.edge((gateway, "out"), f);
        draft.edge((f, "out"), gateway);
        draft.edge((f, "error"), gateway);
        let limits = draft.limits(f);
        limits.outbox_flags = outbox_flag::STREAMS;
        limits.retry_attempts = 3;
        limits.retry_backoff = backoff;
        limits.retry_max = limits.retry_max.max(backoff);
        let mut monitor = draft.define();
        let gateway = monitor.attach(gateway, 0);
        Self { monitor, f, gateway }
    }

    fn run<H>(&mut self, handler: H) -> Runner<H>
    where
        H: Fn(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
    {
        Runner::new(handler, self.monitor.attach(self.f, 0))
    }
}

fn fails_after(segments: usize) -> impl Fn(Input<'_>, &mut Output<'_>) -> Result<(), Failure> {
    move |mut input, _| {
        use std::io::BufRead;
        let mut body = input.reader();
        for _ in 0..segments {
            let len = body.fill_buf()?.len();
            body.consume(len);
        }
        Err(Failure::retry("as the test wants"))
    }
}

#[test]
fn a_stream_is_tried_again_until_its_second_segment_is_asked_for_and_then_never() {
    // What was read when it failed, attempts that the gateway is told of or that the error port explains.
    for (segments, retried) in [(0, 2), (1, 2), (2, 0)] {
        let mut chain = Chain::new();
        let mut runner = chain.run(fails_after(segments));
        let body = with_headers(&[5; 3 * SEGMENT]);
        send(&mut chain.gateway, 0, &record(1), &body).unwrap();
        runner.settle();
        let answers = answers(&mut chain.gateway);
        let count = |counter| chain.monitor.reader(chain.f, 0).counter(counter);
        assert_eq!((count(Counter::Retried), count(Counter::Failed)), (retried, 1));
        if retried > 0 {
            // The whole of it went to the error port.
            assert_eq!(answers.bodies, [(1, vec![5; 3 * SEGMENT])], "{segments}");
            assert_eq!(answers.notices, []);
        } else {
            assert_eq!((answers.bodies.len(), answers.notices.len()), (0, 1));
        }
        // And it goes on.
        send(&mut chain.gateway, 0, &record(2), &with_headers(b"short")).unwrap();
        runner.settle();
        assert_eq!(
            topology::answers(&mut chain.gateway).bodies,
            [(2, b"short".to_vec())]
        );
    }
}

#[test]
fn a_stream_whose_client_has_gone_keeps_nobody_waiting_for_its_next_attempt() {
    let mut chain = Chain::trying_again_after(Duration::from_secs(10));
    let mut runner =
        chain.run(
            |mut input: Input<'_>, output: &mut Output<'_>| match input.invocation().as_u128() {
                1 => Err(Failure::retry("as the test wants")),
                _ => output.send(input.bytes()?),
            },
        );
    send(
        &mut chain.gateway,
        0,
        &record(1),
        &with_headers(&[5; 3 * SEGMENT]),
    )
    .unwrap();
    send(&mut chain.gateway, 0, &record(2), &with_headers(b"next")).unwrap();
    runner.settle();
    assert_eq!(
        answers(&mut chain.gateway).bodies,
        [],
        "the next one waits behind it"
    );
    chain.gateway.own.close(InvocationId::new(1));
    runner.settle();
    assert_eq!(answers(&mut chain.gateway).bodies, [(2, b"next".to_vec())]);
    assert_eq!(chain.monitor.reader(chain.f, 0).counter(Counter::Cancelled), 1);
}

#[test]
fn a_record_that_is_placed_has_the_time_that_its_stream_has() {
    let mut draft = Draft::new();
    let gateway = draft.gateway(&["out"]);
    let f = draft.function("f", &["out"]);
    let g = draft.function("g", &["out"]);
    draft.edge((gateway, "out"), f);
    draft.mapped_edge((f, "out"), g);
    draft.edge((g, "out"), gateway);
    draft.limits(f).outbox_flags = outbox_flag::STREAMS;
    let mut monitor = draft.define();
    let mut gateway = monitor.attach(gateway, 0);
    let place = |_: Input<'_>, output: &mut Output<'_>| output.place(4)?.write_at(0, b"body");
    let mut runner = Runner::new(place, monitor.attach(f, 0));
    let mut consumer = monitor.attach(g, 0);
    // The chain's deadline is 30 s, and this is what is left of it.
    let almost_late = RecordContext {
        deadline: after(Duration::from_secs(10)),
        ..record(1)
    };
    send(&mut gateway, 0, &almost_late, &with_headers(b"x")).unwrap();
    runner.settle();
    let step = consumer.receiver.step(&consumer.own, 0, &mut Vec::new());
    let Step::Opened(opened) = step else {
        panic!("{step:?}");
    };
    assert!(
        opened.descriptor.deadline > almost_late.deadline,
        "each step of a stream renews it"
    );
}

#[test]
fn a_record_of_one_segment_is_held_and_redelivered_as_ever() {
    let mut chain = Chain::new();
    let attempts = std::cell::Cell::new(0);
    let mut runner = chain.run(|mut input: Input<'_>, output: &mut Output<'_>| {
        attempts.set(attempts.get() + 1);
        let body = input.bytes()?.to_vec();
        if attempts.get() < 3 {
            return Err(Failure::retry("as the test wants"));
        }
        output.send(&body)
    });
    send(&mut chain.gateway, 0, &record(1), &with_headers(b"hello")).unwrap();
    runner.settle();
    drop(runner);
    assert_eq!(answers(&mut chain.gateway).bodies, [(1, b"hello".to_vec())]);
    assert_eq!(attempts.get(), 3);
}
