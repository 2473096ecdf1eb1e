//! Hops over `mapped` edges: what is sent arrives, with one descriptor for a record of any size; what is
//! forged is refused; whoever is replaced goes on.
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
use hacher_libos_net::inlet::{Opened, Step};
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::layout::{MappedLayout, cursor_word};
use hacher_libos_net::refusal::Refusal;
use hacher_libos_net::telemetry::Counter;
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use topology::{SEGMENT, Taken, record, send};

/// `a -> b`, mapped.
struct Pair {
    monitor: Monitor,
    a: Node,
    b: Node,
    producer: Attachment,
    consumer: Attachment,
}

impl Pair {
    fn new(outbox_bytes: u64) -> Self {
        let mut draft = Draft::new();
        let a = draft.function("a", &["out"]);
        let b = draft.function("b", &["out"]);
        draft.mapped_edge((a, "out"), b);
        draft.limits(a).outbox_bytes = outbox_bytes;
        let mut monitor = draft.define();
        let producer = monitor.attach(a, 0);
        let consumer = monitor.attach(b, 0);
        Self {
            monitor,
            a,
            b,
            producer,
            consumer,
        }
    }

    fn layout(&self) -> MappedLayout {
        self.monitor.mapped_layout(self.a, 0)
    }

    fn send(&mut self, invocation: u128, body: &[u8]) -> Result<(), SendError> {
        let producer = &mut self.producer;
        producer
            .sender
            .send(&producer.own, 0, &record(invocation), body, true)
    }

    fn take(&mut self, release: bool) -> Taken {
        let mut taken = Taken::default();
        taken.take(&mut self.consumer, release);
        taken
    }

    fn expect_delivery(&mut self, invocation: u128, body: &[u8]) {
        self.send(invocation, body).unwrap();
        let taken = self.take(true);
        assert_eq!(taken.bodies(), [body], "{taken:?}");
    }

    /// How many descriptors the consumer has released.
    fn released(&self) -> u64 {
        let at = self.monitor.page_layout(self.b, 0).cursor_at(0).unwrap();
        self.monitor.page(self.b, 0).word(at + cursor_word::RELEASED)
    }

    /// Where word `word` of the descriptor at `position` lies.
    fn word_at(&self, position: u64, word: usize) -> usize {
        let layout = self.layout();
        layout.ring_at() + position as usize % layout.ring_capacity() * 64 + 8 + word * 8
    }

    fn leaves(&self) -> u64 {
        u64::from(self.layout().leaves())
    }

    fn step_in_place(&mut self) -> Opened {
        let consumer = &mut self.consumer;
        let ring = consumer.receiver.ring_with_news().unwrap();
        let mut into = Vec::new();
        let Step::Opened(opened) = consumer.receiver.step_in_place(&consumer.own, ring, &mut into) else {
            panic!("the record that was sent")
        };
        assert!(into.is_empty() && opened.in_place, "nothing was copied");
        opened
    }

    fn producer_is_rung(&self) -> bool {
        let bell = self.monitor.doorbell(self.a, 0);
        let mut polled = [PollFd::new(&bell, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec::default())).unwrap() == 1
    }

    fn read(&self, opened: &Opened) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.consumer
            .receiver
            .in_place(opened)
            .unwrap()
            .append_to(&mut bytes);
        bytes
    }
}

fn pattern(len_bytes: usize, seed: u8) -> Vec<u8> {
    (0..len_bytes)
        .map(|at| (at as u8).wrapping_mul(31) ^ seed)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn records_of_any_size_arrive_as_they_were_sent_with_one_descriptor_each(
        sizes in proptest::collection::vec(prop_oneof![0..300_usize, 0..200_000_usize, 0..4_000_000_usize], 1..12)
    ) {
        let mut pair = Pair::new(4 << 20);
        for (number, size) in sizes.iter().enumerate() {
            let body = pattern(*size, number as u8);
            pair.expect_delivery(number as u128, &body);
            prop_assert_eq!(pair.released(), number as u64 + 1);
        }
    }

    #[test]
    fn records_that_wait_together_do_not_touch_each_other(
        sizes in proptest::collection::vec(0..100_000_usize, 1..20), rounds in 1..4_usize
    ) {
        let mut pair = Pair::new(4 << 20);
        for round in 0..rounds {
            let bodies: Vec<_> = sizes.iter().map(|size| pattern(*size, (size + round) as u8)).collect();
            for (number, body) in bodies.iter().enumerate() {
                pair.send((round * 100 + number) as u128, body).unwrap();
            }
            let taken = pair.take(true);
            prop_assert_eq!(taken.bodies(), bodies);
        }
    }

    #[test]
    fn whatever_a_producer_writes_into_its_region_no_consumer_crashes(
        changes in proptest::collection::vec((0..6 * 64_usize, 1..=255_u8), 1..12),
        sizes in proptest::collection::vec(0..50_000_usize, 1..6),
    ) {
        let mut pair = Pair::new(1 << 20);
        let mut sent = 0;
        for (number, size) in sizes.iter().enumerate() {
            sent += size;
            pair.send(number as u128, &pattern(*size, 1)).unwrap();
        }
        for (at, change) in changes {
            pair.monitor.mapped(pair.a, 0, 0).flip(pair.layout().ring_at() + at, change);
        }
        let room = pair.layout().len_bytes();
        let taken = pair.take(false);
        let copied: usize = taken.whole.iter().map(|(_, _, body)| body.len()).sum();
        prop_assert!(copied <= room, "{} bytes of {}, of {} sent", copied, room, sent);
    }
}

#[test]
fn a_record_as_large_as_the_outbox_fits_and_a_larger_one_is_refused() {
    let mut pair = Pair::new(3 << 20);
    pair.expect_delivery(1, &pattern(3 << 20, 5));
    let too_large = pattern((3 << 20) + 1, 5);
    assert!(matches!(
        pair.send(2, &too_large),
        Err(SendError::Exhausted(Exhausted::TooLarge { .. }))
    ));
    assert!(matches!(
        pair.producer
            .sender
            .place(0, InvocationId::new(2), too_large.len()),
        Err(SendError::Exhausted(Exhausted::TooLarge { .. }))
    ));
    pair.expect_delivery(3, b"still well");
}

#[test]
fn a_full_region_pushes_back_until_something_is_released() {
    let mut pair = Pair::new(1 << 20);
    pair.send(1, &pattern(700_000, 1)).unwrap();
    let other = pattern(400_000, 2);
    assert_eq!(pair.send(2, &other), Err(Exhausted::Full.into()));
    assert!(pair.producer.sender.announce_starved(), "nothing is released yet");
    assert!(!pair.producer_is_rung());
    let _ = pair.take(true);
    assert!(pair.producer_is_rung(), "by the release");
    pair.producer.sender.fed();
    pair.expect_delivery(2, &other);
}

#[test]
fn the_plaintext_lies_in_the_mapped_region_and_nowhere_else() {
    let mut draft = Draft::new();
    let a = draft.function("a", &["out"]);
    let [b, c, d] = ["b", "c", "d"].map(|name| draft.function(name, &["out"]));
    draft.mapped_edge((a, "out"), b);
    draft.edge((a, "out"), c);
    draft.mapped_edge((a, "out"), d);
    let mut monitor = draft.define();
    let mut producer = monitor.attach(a, 0);
    let mut consumers = [b, c, d].map(|node| monitor.attach(node, 0));
    let marker = b"MARKER: nobody else may read this";
    let body: Vec<u8> = marker.iter().copied().cycle().take(3 * SEGMENT + 5).collect();
    send(&mut producer, 0, &record(1), &body).unwrap();
    let holds_marker = |region: &[u8]| region.windows(marker.len()).any(|window| window == marker);
    for (ring, is_there) in [(0, true), (2, true)] {
        let layout = monitor.mapped_layout(a, 0);
        let bytes = monitor.mapped(a, 0, ring).bytes(0, layout.len_bytes());
        assert_eq!(holds_marker(&bytes), is_there);
    }
    let sealed = monitor
        .outbox(a, 0)
        .bytes(0, monitor.outbox_layout(a, 0).len_bytes());
    assert!(!holds_marker(&sealed), "the outbox holds ciphertext only");
    for consumer in &mut consumers {
        let mut taken = Taken::default();
        taken.take(consumer, true);
        assert_eq!(taken.bodies(), [&body]);
    }
}

#[test]
fn a_record_can_be_handed_over_without_anybody_touching_it() {
    let mut pair = Pair::new(4 << 20);
    for (number, size) in [64, 1 << 20, 0, 64].into_iter().enumerate() {
        let record = record(number as u128);
        let producer = &mut pair.producer;
        assert_eq!(producer.sender.place(0, record.invocation, size), Ok(true));
        if size == 1 << 20 {
            assert!(producer.sender.write_placed(0, 1000, b"somewhere"));
            assert!(!producer.sender.write_placed(0, size - 1, b"xx"), "past its end");
        }
        producer.sender.send_placed(&producer.own, 0, &record).unwrap();
        let opened = pair.step_in_place();
        assert_eq!(opened.descriptor.len_bytes, size);
        if size == 1 << 20 {
            assert_eq!(&pair.read(&opened)[1000..1009], b"somewhere");
        }
        pair.consumer.receiver.release(&pair.consumer.own, opened.record);
    }
    assert_eq!(pair.released(), 4, "one descriptor each");
}

#[test]
fn what_was_placed_and_given_up_leaves_its_room() {
    let mut pair = Pair::new(1 << 20);
    for _ in 0..3 {
        assert_eq!(
            pair.producer.sender.place(0, InvocationId::new(1), 1 << 20),
            Ok(true)
        );
        pair.producer.sender.drop_placed(0);
    }
    pair.expect_delivery(1, &pattern(1 << 20, 1));
}

#[test]
fn a_port_with_a_sealed_edge_has_nothing_to_place_in() {
    let mut draft = Draft::new();
    let a = draft.function("a", &["out"]);
    let (b, c) = (draft.function("b", &["out"]), draft.function("c", &["out"]));
    draft.mapped_edge((a, "out"), b);
    draft.edge((a, "out"), c);
    let mut monitor = draft.define();
    let mut producer = monitor.attach(a, 0);
    assert_eq!(producer.sender.place(0, InvocationId::new(1), 100), Ok(false));
    assert_eq!(producer.sender.segment_bytes(0), SEGMENT);
}

#[test]
fn bytes_that_change_under_a_reader_are_read_as_they_are() {
    let mut pair = Pair::new(1 << 20);
    pair.send(1, &[1; 1000]).unwrap();
    let opened = pair.step_in_place();
    let before = pair.read(&opened);
    let region = pair.monitor.mapped(pair.a, 0, 0);
    region.set_bytes(opened.descriptor.offset, &[2; 1000]);
    assert_eq!((before, pair.read(&opened)), (vec![1; 1000], vec![2; 1000]));
}

/// Word 1 of a descriptor, published at a time whose bits 32 to 47 are all set: they are not of its place.
fn place_word(leaf: u64, len_bytes: u64) -> u64 {
    (leaf << 48) | (0xffff << 32) | len_bytes
}

#[test]
fn forged_descriptors_are_refused_each_for_its_reason() {
    let room = 1 << 20;
    type Forge = fn(&Pair, u64) -> u64;
    let cases: [(&str, usize, Forge, Refusal); 8] = [
        (
            "past the end",
            1,
            |pair, _| place_word(pair.leaves() - 1, 1025),
            Refusal::Malformed,
        ),
        (
            "the leaf after the last",
            1,
            |pair, _| place_word(pair.leaves(), 0),
            Refusal::Malformed,
        ),
        (
            "the last leaf that can be named",
            1,
            |_, _| place_word(0xffff, 10),
            Refusal::Malformed,
        ),
        (
            "overlapping the one before",
            1,
            |_, _| place_word(0, 10),
            Refusal::Malformed,
        ),
        (
            "around the one before",
            1,
            |_, _| place_word(0, 1 << 20),
            Refusal::Malformed,
        ),
        ("a later sequence", 0, |_, _| 3, Refusal::OutOfOrder),
        ("an earlier sequence", 0, |_, _| 0, Refusal::Replayed),
        ("an unknown flag", 2, |_, word| word | 4, Refusal::Malformed),
    ];
    for (what, word, forge, refusal) in cases {
        let mut pair = Pair::new(room);
        pair.send(1, &[1; 5000]).unwrap();
        pair.send(2, &[2; 100]).unwrap();
        let at = pair.word_at(1, word);
        {
            let region = pair.monitor.mapped(pair.a, 0, 0);
            region.set_word(at, forge(&pair, region.word(at)));
        }
        let taken = pair.take(false);
        assert_eq!(taken.refused, [refusal], "{what}");
        assert_eq!(taken.bodies(), [&[1; 5000]], "{what}");
        let reader = pair.monitor.reader(pair.b, 0);
        assert_eq!(reader.counter(Counter::Refused(refusal)), 1, "{what}");
        let (place, ..) = taken.whole[0];
        pair.consumer.receiver.release(&pair.consumer.own, place);
        for number in 0..600 {
            pair.expect_delivery(10 + number, &[7; 3000]);
        }
    }
}

#[test]
fn a_forged_time_of_publishing_changes_no_record() {
    let mut pair = Pair::new(1 << 20);
    let times = [(1, 0xffff << 32), (2, 0xfff0), (6, 0xffff_ffff)];
    let forged = times.into_iter().flat_map(|time| [(time, true), (time, false)]);
    for (number, ((word, time), set)) in (0_u8..).zip(forged) {
        let body = pattern(5000, number);
        pair.send(number.into(), &body).unwrap();
        let at = pair.word_at(number.into(), word);
        let region = pair.monitor.mapped(pair.a, 0, 0);
        let word = region.word(at);
        region.set_word(at, if set { word | time } else { word & !time });
        let taken = pair.take(true);
        assert!(taken.refused.is_empty());
        assert_eq!(taken.bodies(), [body]);
    }
}

#[test]
fn a_record_with_a_missing_segment_is_refused() {
    let mut pair = Pair::new(1 << 20);
    pair.send(1, b"one").unwrap();
    let region = pair.monitor.mapped(pair.a, 0, 0);
    let at = pair.word_at(0, 2);
    region.set_word(at, region.word(at) ^ 1 << 32);
    assert_eq!(pair.take(true).refused, [Refusal::OutOfOrder]);
    pair.expect_delivery(3, b"three");
}

#[test]
fn a_replaced_producer_keeps_what_is_not_released_and_uses_the_rest() {
    let mut pair = Pair::new(1 << 20);
    for number in 1..=3 {
        pair.send(number, &pattern(200_000, number as u8)).unwrap();
    }
    let first = pair.step_in_place();
    pair.producer = pair.monitor.attach(pair.a, 0);
    assert_eq!(pair.send(4, &pattern(500_000, 4)), Err(Exhausted::Full.into()));
    pair.send(4, &pattern(300_000, 4)).unwrap();
    assert_eq!(pair.read(&first), pattern(200_000, 1));
    pair.consumer.receiver.release(&pair.consumer.own, first.record);
    let taken = pair.take(true);
    assert_eq!(
        taken.bodies(),
        [pattern(200_000, 2), pattern(200_000, 3), pattern(300_000, 4)]
    );
    pair.expect_delivery(5, &pattern(1 << 20, 5));
}

#[test]
fn a_record_that_a_dead_producer_left_unfinished_is_abandoned() {
    let mut pair = Pair::new(1 << 20);
    let producer = &mut pair.producer;
    producer
        .sender
        .send(&producer.own, 0, &record(1), &[1; 1000], false)
        .unwrap();
    pair.producer = pair.monitor.attach(pair.a, 0);
    let taken = pair.take(true);
    assert!(taken.abandoned >= 1, "{taken:?}");
    assert_eq!(taken.bodies(), [[]; 0]);
    pair.expect_delivery(2, b"whole");
}

#[test]
fn a_replaced_consumer_gets_what_was_not_released_again() {
    let mut pair = Pair::new(1 << 20);
    for number in 1..=3 {
        pair.send(number, &pattern(1000, number as u8)).unwrap();
    }
    let taken = pair.take(false);
    let (place, ..) = taken.whole[0];
    pair.consumer.receiver.release(&pair.consumer.own, place);
    pair.consumer = pair.monitor.attach(pair.b, 0);
    assert_eq!(pair.take(true).bodies(), [pattern(1000, 2), pattern(1000, 3)]);
    pair.expect_delivery(4, b"on it goes");
}

#[test]
fn lanes_of_mapped_edges_have_regions_of_their_own() {
    let mut draft = Draft::new();
    let a = draft.function("a", &["out"]);
    let b = draft.function("b", &["out"]);
    draft.mapped_edge((a, "out"), b);
    draft.limits(b).instances = 2;
    let mut monitor = draft.define();
    let mut producer = monitor.attach(a, 0);
    for number in 0..4 {
        send(&mut producer, 0, &record(number), &[number as u8; 100]).unwrap();
    }
    for lane in 0..2 {
        let mut consumer = monitor.attach(b, lane);
        let mut taken = Taken::default();
        taken.take(&mut consumer, true);
        let lane = lane as u8;
        assert_eq!(taken.bodies(), [&[lane; 100], &[lane + 2; 100]]);
    }
}
