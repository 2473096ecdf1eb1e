//! Whatever is changed, replayed, swapped, cut off or sent elsewhere is refused and counted, never delivered,
//! and honest records go on being delivered.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

mod topology;

use hacher_in_process::Draft;
use hacher_libos_net::refusal::Refusal;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use topology::{Pair, SEGMENT, Taken, record, send};

const TAG: usize = 16;

/// One published descriptor.
#[derive(Debug, Clone, Copy)]
struct Published {
    record: usize,
    position: u64,
    len_bytes: usize,
}

fn publish(pair: &mut Pair, sizes: &[usize]) -> (Vec<Vec<u8>>, Vec<Published>) {
    let mut bodies = Vec::new();
    let mut published = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        let body: Vec<u8> = (0..*size).map(|i| (i * 7 + number * 13) as u8).collect();
        send(&mut pair.producer, 0, &record(number as u128), &body).unwrap();
        for segment in 0..size.div_ceil(SEGMENT).max(1) {
            published.push(Published {
                record: number,
                position: published.len() as u64,
                len_bytes: (size - segment * SEGMENT).min(SEGMENT),
            });
        }
        bodies.push(body);
    }
    (bodies, published)
}

fn words_at(pair: &Pair, position: u64) -> [u64; 7] {
    let outbox = pair.monitor.outbox(pair.a, 0);
    core::array::from_fn(|i| outbox.word(pair.slot_at(position) + 8 + 8 * i))
}

fn set_words_at(pair: &Pair, position: u64, words: [u64; 7]) {
    let outbox = pair.monitor.outbox(pair.a, 0);
    for (i, word) in words.into_iter().enumerate() {
        outbox.set_word(pair.slot_at(position) + 8 + 8 * i, word);
    }
}

fn segment_at(words: &[u64; 7]) -> usize {
    (words[1] >> 32) as usize * 64
}

/// Takes everything, and checks what must hold after any tampering: what was delivered is what was sent, in
/// order and once; every refusal was counted; and the honest records of more than a whole round of the ring
/// are delivered.
fn check(
    pair: &mut Pair,
    bodies: &[Vec<u8>],
    lost: &[usize],
    expected: &[Refusal],
) -> Result<Vec<Refusal>, TestCaseError> {
    let mut taken = Taken::default();
    taken.take(&mut pair.consumer, true);
    let delivered: Vec<usize> = taken
        .whole
        .iter()
        .map(|(_, id, _)| id.as_u128() as usize)
        .collect();
    prop_assert!(
        delivered.is_sorted_by(|a, b| a < b),
        "once and in order: {delivered:?}"
    );
    for (_, invocation, body) in &taken.whole {
        prop_assert_eq!(body, &bodies[invocation.as_u128() as usize]);
    }
    for number in 0..bodies.len() {
        prop_assert_eq!(
            delivered.contains(&number),
            !lost.contains(&number),
            "record {}",
            number
        );
    }
    prop_assert!(!taken.refused.is_empty());
    prop_assert!(
        expected.contains(&taken.refused[0]),
        "{:?} for {:?}",
        taken.refused,
        expected
    );
    for refusal in Refusal::ALL {
        let seen = taken.refused.iter().filter(|seen| **seen == refusal).count() as u64;
        prop_assert_eq!(pair.refusals(refusal), seen, "{:?} is counted", refusal);
    }
    for number in 0..300 {
        pair.expect_delivery(1000 + number, &[number as u8; 100]);
    }
    Ok(taken.refused)
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![
        4 => 0..300_usize,
        1 => Just(SEGMENT),
        1 => (SEGMENT + 1)..(3 * SEGMENT),
    ];
    vec(size, 2..5)
}

fn expected_for_byte(byte: usize) -> &'static [Refusal] {
    use Refusal::{Forged, Malformed, OutOfOrder, Replayed, WrongPort};
    match byte {
        0..8 => &[OutOfOrder, Replayed],
        8..16 => &[Malformed, Forged],
        16..18 => &[Malformed, Forged],
        18..20 => &[Forged],
        20..24 => &[OutOfOrder],
        24..48 => &[Forged],
        48..50 => &[Forged],
        50..52 => &[WrongPort],
        _ => &[OutOfOrder, Replayed, Forged],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_descriptor_with_any_changed_byte_is_refused(
        sizes in sizes(), which: Index, byte in 0..56_usize, change in 1..=255_u8,
    ) {
        let mut pair = Pair::new();
        let (bodies, published) = publish(&mut pair, &sizes);
        let target = published[which.index(published.len())];
        pair.monitor.outbox(pair.a, 0).flip(pair.slot_at(target.position) + 8 + byte, change);
        check(&mut pair, &bodies, &[target.record], expected_for_byte(byte))?;
    }

    #[test]
    fn a_stamp_with_any_changed_byte_is_refused(
        sizes in sizes(), which: Index, byte in 0..8_usize, change in 1..=255_u8,
    ) {
        let mut pair = Pair::new();
        let (bodies, published) = publish(&mut pair, &sizes);
        // The last one too: what comes after it shows that it was published.
        let target = published[which.index(published.len())];
        pair.monitor.outbox(pair.a, 0).flip(pair.slot_at(target.position) + byte, change);
        let refused = check(&mut pair, &bodies, &[target.record], &[Refusal::CorruptSlot])?;
        prop_assert_eq!(refused.iter().filter(|refusal| **refusal == Refusal::CorruptSlot).count(), 1);
    }

    #[test]
    fn a_segment_or_tag_with_any_changed_byte_is_refused(
        sizes in sizes(), which: Index, byte: Index, change in 1..=255_u8,
    ) {
        let mut pair = Pair::new();
        let (bodies, published) = publish(&mut pair, &sizes);
        let target = published[which.index(published.len())];
        let at = segment_at(&words_at(&pair, target.position)) + byte.index(target.len_bytes + TAG);
        pair.monitor.outbox(pair.a, 0).flip(at, change);
        check(&mut pair, &bodies, &[target.record], &[Refusal::Forged])?;
    }

    #[test]
    fn a_replayed_descriptor_is_refused(sizes in sizes(), old: Index, new: Index) {
        let mut pair = Pair::new();
        let (bodies, published) = publish(&mut pair, &sizes);
        let starts: Vec<Published> = (0..bodies.len())
            .map(|number| *published.iter().find(|published| published.record == number).unwrap())
            .collect();
        let new = 1 + new.index(starts.len() - 1);
        let replayed = words_at(&pair, starts[old.index(new)].position);
        set_words_at(&pair, starts[new].position, replayed);
        check(&mut pair, &bodies, &[new], &[Refusal::Replayed])?;
    }

    #[test]
    fn two_swapped_descriptors_are_not_taken_for_each_other(sizes in sizes(), one: Index, other: Index) {
        let mut pair = Pair::new();
        let (bodies, published) = publish(&mut pair, &sizes);
        let (one, other) = (one.index(published.len()), other.index(published.len()));
        prop_assume!(one != other);
        let (first, second) = (published[one.min(other)], published[one.max(other)]);
        let (a, b) = (words_at(&pair, first.position), words_at(&pair, second.position));
        set_words_at(&pair, first.position, b);
        set_words_at(&pair, second.position, a);
        let mut taken = Taken::default();
        taken.take(&mut pair.consumer, true);
        prop_assert!(taken.refused.iter().all(|refusal| {
            matches!(refusal, Refusal::OutOfOrder | Refusal::Replayed)
        }), "{:?}", taken.refused);
        prop_assert!(!taken.refused.is_empty());
        for (_, invocation, body) in &taken.whole {
            prop_assert_eq!(body, &bodies[invocation.as_u128() as usize]);
        }
        let delivered: Vec<u128> = taken.whole.iter().map(|(_, id, _)| id.as_u128()).collect();
        prop_assert!(delivered.is_sorted_by(|a, b| a < b), "{delivered:?}");
        prop_assert!(delivered.len() < bodies.len(), "one of the two is lost whatever happens");
        pair.expect_delivery(1000, b"honest");
    }

    #[test]
    fn a_truncated_record_is_refused(segments in 2..5_usize, short in 0..SEGMENT, how in 0..4_u8, cut: Index) {
        let mut pair = Pair::new();
        let size = (segments - 1) * SEGMENT + short.max(1);
        let (bodies, published) = publish(&mut pair, &[10, size, 20]);
        let cut = 1 + cut.index(segments - 1);
        let position = published[cut].position;
        let mut words = words_at(&pair, position);
        let expected: &[Refusal] = match how {
            // An earlier segment says that it is the last.
            0 => {
                words[2] |= 1;
                &[Refusal::Forged]
            }
            // It says so, and is shorter.
            1 => {
                words[2] |= 1;
                words[1] -= 1;
                &[Refusal::Forged]
            }
            // It says that the producer gave up.
            2 => {
                words[2] |= 3;
                words[1] &= !0xffff_ffff;
                &[Refusal::Forged]
            }
            // The last descriptor is missing: the next record is in its place.
            _ => {
                set_words_at(&pair, published[segments].position, words_at(&pair, published[segments + 1].position));
                &[Refusal::OutOfOrder]
            }
        };
        set_words_at(&pair, position, words);
        check(&mut pair, &bodies, &[1], expected)?;
    }

    #[test]
    fn a_record_sent_into_another_edge_is_refused(
        size in 0..SEGMENT, same_producer: bool, relabelled: bool, earlier in 0..3_u64,
    ) {
        let mut draft = Draft::new();
        let one = draft.function("one", &["x", "y"]);
        let two = draft.function("two", &["z"]);
        let sink = draft.function("sink", &["out"]);
        draft.edge((one, "x"), sink);
        draft.edge((one, "y"), sink);
        draft.edge((two, "z"), sink);
        let mut monitor = draft.define();
        let (mut first, mut second) = (monitor.attach(one, 0), monitor.attach(two, 0));
        let mut consumer = monitor.attach(sink, 0);
        let body = vec![7; size];
        send(&mut first, 0, &record(1), &body).unwrap();
        let (victim, port, ring) = if same_producer { (one, 1, 1) } else { (two, 0, 0) };
        let to = if same_producer { &mut first } else { &mut second };
        for number in 0..earlier {
            send(to, port, &record(u128::from(number)), b"before").unwrap();
        }
        send(to, port, &record(99), &body).unwrap();
        let source = monitor.outbox(one, 0);
        let target = monitor.outbox(victim, 0);
        let from = monitor.outbox_layout(one, 0).ring_at(0).unwrap();
        let into = monitor.outbox_layout(victim, 0).ring_at(ring).unwrap() + earlier as usize * 64;
        let at = (source.word(from + 16) >> 32) as usize * 64;
        let place = (target.word(into + 16) >> 32) as usize * 64;
        target.set_bytes(place, &source.bytes(at, size + TAG));
        let port_word = target.word(into + 56);
        for word in (8..64).step_by(8).filter(|word| *word != 16) {
            target.set_word(into + word, source.word(from + word));
        }
        // The sequence must be the expected one, or the record is refused for that alone.
        target.set_word(into + 8, earlier);
        if relabelled {
            target.set_word(into + 56, port_word);
        }
        let mut taken = Taken::default();
        taken.take(&mut consumer, true);
        let expected = if relabelled { Refusal::Forged } else { Refusal::WrongPort };
        prop_assert_eq!(&taken.refused, &[expected]);
        prop_assert_eq!(taken.whole.len() as u64, 1 + earlier);
        let to = if same_producer { &mut first } else { &mut second };
        send(to, port, &record(100), b"after").unwrap();
        taken.take(&mut consumer, true);
        prop_assert_eq!(taken.whole.last().unwrap().2.as_slice(), b"after");
    }
}
