//! What a hostile producer can publish, word by word, in the memory that a consumer reads.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use crate::inlet::step::Step;
use crate::machine::clock::Monotonic;
use crate::page::counter::Counter;
use crate::page::reader::PageReader;
use crate::place::making::Place;
use crate::record::context::RecordContext;
use crate::record::invocation::InvocationId;
use crate::record::refusal::Refusal;
use crate::region::layout::OutboxLayout;
use crate::region::memory::OwnRegion;
use crate::region::ring::{self, Found, WORDS};
use crate::simulated::chain::{Chain, Way};
use crate::sync::Ordering;

/// A producer in the hands of a test, and its consumer.
struct Ends {
    chain: Chain,
    producer: Place,
    consumer: Place,
    outbox: OwnRegion,
    layout: OutboxLayout,
    /// Where the next descriptor goes.
    tail: u64,
}

impl Ends {
    fn new() -> Self {
        let mut chain = Chain::new(&[Way::sealed(0, 1)]);
        Self {
            producer: chain.attach(0).unwrap(),
            consumer: chain.attach(1).unwrap(),
            outbox: chain.outbox(0),
            layout: chain.outbox_layout(0),
            chain,
            tail: 0,
        }
    }

    fn slots(&self) -> &[ring::Slot] {
        let at = self.layout.ring_at(0).unwrap();
        self.outbox.slots(at, self.layout.ring_capacity()).unwrap()
    }

    /// Sends a record as an honest producer does; its words.
    fn send(&mut self, count: u128) -> [u64; WORDS] {
        let record = RecordContext {
            invocation: InvocationId::new(count),
            deadline: Monotonic::from_ns(u64::MAX),
            attempt: 1,
        };
        let Place { sender, own, .. } = &mut self.producer;
        sender.send(own, 0, &record, b"payload", true).unwrap();
        self.tail += 1;
        let Found::Words(words) = ring::peek(self.slots(), self.tail - 1) else {
            panic!("what was sent is published");
        };
        words
    }

    /// Publishes these words instead of what the producer published last.
    fn forge_last(&self, words: [u64; WORDS]) {
        ring::publish(self.slots(), self.tail - 1, &words);
    }

    fn look(&mut self) -> Step {
        let Place { receiver, own, .. } = &mut self.consumer;
        receiver.step(own, 0, &mut Vec::new())
    }

    #[track_caller]
    fn assert_refused(&mut self, expected: Refusal) {
        match self.look() {
            Step::Refused { refusal, .. } => assert_eq!(refusal, expected),
            other => panic!("{other:?}"),
        }
        let (page, layout) = self.chain.page(1);
        let counted = PageReader::new(page, layout).counter(Counter::Refused(expected));
        assert!(counted > 0, "a refusal is counted");
    }
}

#[test]
fn a_descriptor_that_points_out_of_the_outbox_is_malformed_wherever_it_points() {
    let mut ends = Ends::new();
    let lines = |bytes: usize| (bytes / 64) as u64;
    let end = lines(ends.layout.len_bytes());
    let start = lines(ends.layout.segments_at());
    for (line, len) in [
        (0, 7),
        (start - 1, 7),
        (end, 0),
        (end - 1, 64),
        (u64::from(u32::MAX), 7),
        (start, u64::from(u32::MAX)),
    ] {
        let mut words = ends.send(1);
        words[1] = line << 32 | len;
        ends.forge_last(words);
        ends.assert_refused(Refusal::Malformed);
    }
    ends.send(2);
    assert!(matches!(ends.look(), Step::Opened(_)), "the edge goes on");
}

#[test]
fn flags_that_mean_nothing_and_ends_that_are_none_are_malformed() {
    let mut ends = Ends::new();
    for flags in [0, 4, 2, 1 << 15 | 1] {
        let mut words = ends.send(1);
        words[2] = (words[2] & !0xffff) | flags;
        if flags == 0 {
            // Whoever is told to wait for more gets something.
            words[1] &= !u64::from(u32::MAX);
        }
        ends.forge_last(words);
        ends.assert_refused(Refusal::Malformed);
    }
}

#[test]
fn a_descriptor_of_another_port_came_over_the_wrong_edge() {
    let mut ends = Ends::new();
    let mut words = ends.send(1);
    words[6] ^= 1 << 16;
    ends.forge_last(words);
    ends.assert_refused(Refusal::WrongPort);
}

#[test]
fn what_was_accepted_before_is_replayed_and_what_comes_too_early_is_out_of_order() {
    let mut ends = Ends::new();
    let first = ends.send(1);
    assert!(matches!(ends.look(), Step::Opened(_)));
    ends.send(2);
    ends.forge_last(first);
    ends.assert_refused(Refusal::Replayed);
    let mut ends = Ends::new();
    ends.send(1);
    assert!(matches!(ends.look(), Step::Opened(_)));
    let mut words = ends.send(2);
    words[0] += 1;
    ends.forge_last(words);
    ends.assert_refused(Refusal::OutOfOrder);
}

#[test]
fn every_other_word_and_every_byte_of_a_segment_is_authenticated() {
    // Attempt, invocation, deadline, epoch and generation.
    for (word, bit) in [(2, 16), (3, 0), (4, 63), (5, 7), (6, 33), (6, 0)] {
        let mut ends = Ends::new();
        let mut words = ends.send(1);
        words[word] ^= 1 << bit;
        ends.forge_last(words);
        ends.assert_refused(Refusal::Forged);
    }
    // The first byte, the last one, and one of the tag.
    for byte in [0, 6, 7 + 15] {
        let mut ends = Ends::new();
        let words = ends.send(1);
        let at = usize::try_from(words[1] >> 32).unwrap() * 64 + byte;
        let word = ends.outbox.word(at / 8 * 8).unwrap();
        word.fetch_xor(1 << (at % 8 * 8), Ordering::Relaxed);
        ends.assert_refused(Refusal::Forged);
    }
}

#[test]
fn a_corrupt_slot_is_refused_once_and_passed_over_when_its_producer_has_gone_on() {
    let mut ends = Ends::new();
    ends.send(1);
    let stamp_at = ends.layout.ring_at(0).unwrap();
    ends.outbox
        .word(stamp_at)
        .unwrap()
        .store(0xdead, Ordering::Relaxed);
    ends.assert_refused(Refusal::CorruptSlot);
    for _ in 0..3 {
        assert!(
            matches!(ends.look(), Step::Empty),
            "its producer may yet publish there"
        );
    }
    ends.send(2);
    // The record in it is lost, and the one after it is not.
    assert!(matches!(ends.look(), Step::Opened(_)));
}

#[test]
fn a_producer_that_waits_for_no_release_is_not_followed_past_a_full_ring() {
    let mut ends = Ends::new();
    let capacity = ends.layout.ring_capacity() as u64;
    let mut words = ends.send(1);
    for position in 0..capacity {
        words[0] = position;
        ring::publish(ends.slots(), position, &words);
        assert!(!matches!(ends.look(), Step::Empty));
    }
    words[0] = capacity;
    ring::publish(ends.slots(), capacity, &words);
    // Refused ones are released at once; the first one is held, so nothing after a full ring is looked at.
    assert!(matches!(ends.look(), Step::Empty));
}
