//! What a sealed request and its reply hold, and what of changed ones is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_sealed_request::replay::{ENTRY_BYTES, Replays};
use hacher_sealed_request::request::{self, Claim, Encapsulated, Opened, PrivateKey};
use hacher_sealed_request::segments::{OVERHEAD_BYTES, Opener, SEGMENT_BYTES, SEGMENT_MAX_BYTES};
use hacher_sealed_request::{DIGEST_BYTES, KEY_BYTES, Refused, head, reply};
use proptest::prelude::*;
use zeroize::Zeroizing;

const DIGEST: [u8; DIGEST_BYTES] = [0xd1; DIGEST_BYTES];
const NOW_MS: u64 = 1_800_000_000_000;

fn key(byte: u8) -> PrivateKey {
    PrivateKey::new(&Zeroizing::new([byte; KEY_BYTES]))
}

/// A request of these pieces, the last of them as the end.
fn sealed(pieces: &[&[u8]]) -> (Vec<u8>, reply::Expected) {
    let (mut bytes, mut sealer, expected) = request::seal(&key(7).public_key(), &DIGEST, NOW_MS).unwrap();
    let (last, before) = pieces.split_last().unwrap();
    for piece in before {
        sealer.seal(piece, &mut bytes).unwrap();
    }
    sealer.end(last, &mut bytes).unwrap();
    (bytes, expected)
}

fn begun(bytes: &[u8]) -> Result<Opened, Refused> {
    request::open(bytes.first_chunk().ok_or(Refused::Truncated)?, &key(7), &DIGEST)
}

fn claim(bytes: &[u8]) -> Claim {
    begun(bytes).unwrap().claim
}

/// All that a stream holds, given `step` bytes at a time; nothing that is refused leaves anything of its
/// segment.
fn read(mut segments: Opener, bytes: &[u8], step: usize) -> Result<Vec<u8>, Refused> {
    let mut plaintext = Vec::new();
    for piece in bytes.chunks(step) {
        segments.open(piece, &mut plaintext)?;
    }
    segments.end().map(|()| plaintext)
}

fn opened(bytes: &[u8]) -> Result<Vec<u8>, Refused> {
    read(begun(bytes)?.segments, &bytes[request::PREFIX_BYTES..], 1 << 20)
}

/// Where each segment begins, and where the last ends.
fn bounds(bytes: &[u8]) -> Vec<usize> {
    let mut at = request::PREFIX_BYTES;
    let mut bounds = vec![at];
    while at < bytes.len() {
        let word = u32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
        at += usize::try_from(word & (u32::MAX >> 1)).unwrap() + OVERHEAD_BYTES;
        bounds.push(at);
    }
    bounds
}

#[test]
fn a_request_opens_for_its_key_and_chain_alone() {
    let (bytes, _) = sealed(&[b"one", b"two"]);
    assert_eq!(opened(&bytes), Ok(b"onetwo".to_vec()));
    let prefix = bytes.first_chunk().unwrap();
    let rest = &bytes[request::PREFIX_BYTES..];
    let elsewhere = request::open(prefix, &key(8), &DIGEST).unwrap();
    assert_eq!(read(elsewhere.segments, rest, 64), Err(Refused::Segment));
    let other_chain = request::open(prefix, &key(7), &[0xd2; DIGEST_BYTES]).unwrap();
    assert_eq!(read(other_chain.segments, rest, 64), Err(Refused::Segment));
}

#[test]
fn a_reply_opens_for_who_asked_alone() {
    let (bytes, expected) = sealed(&[b"question"]);
    let owed = begun(&bytes).unwrap().reply;
    let (mut answer, mut sealer) = owed.seal(&[3; reply::SALT_BYTES]);
    sealer.end(b"answer", &mut answer).unwrap();
    let rest = &answer[reply::PREFIX_BYTES..];
    let mine = expected.open(answer.first_chunk().unwrap()).unwrap();
    assert_eq!(read(mine, rest, 5), Ok(b"answer".to_vec()));

    let (_, of_another_request) = sealed(&[b"question"]);
    let other = of_another_request.open(answer.first_chunk().unwrap()).unwrap();
    assert_eq!(read(other, rest, 5), Err(Refused::Segment));
    // A request is no reply.
    let (_, expected) = sealed(&[b"question"]);
    assert_eq!(
        expected.open(bytes.first_chunk().unwrap()).err(),
        Some(Refused::Form)
    );
}

#[test]
fn a_reply_with_another_salt_has_another_key() {
    let (bytes, expected) = sealed(&[b"question"]);
    let (mut answer, mut sealer) = begun(&bytes).unwrap().reply.seal(&[3; reply::SALT_BYTES]);
    sealer.end(b"answer", &mut answer).unwrap();
    answer[reply::PREFIX_BYTES - 1] ^= 1;
    let segments = expected.open(answer.first_chunk().unwrap()).unwrap();
    assert_eq!(
        read(segments, &answer[reply::PREFIX_BYTES..], 64),
        Err(Refused::Segment)
    );
}

#[test]
fn every_flipped_bit_is_refused() {
    let (bytes, _) = sealed(&[b"head", b"", b"body of it"]);
    for at in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[at / 8] ^= 1 << (at % 8);
        assert!(opened(&changed).is_err(), "bit {at}");
    }
}

#[test]
fn every_cut_is_refused_as_truncated() {
    let (bytes, _) = sealed(&[b"head", b"body of it", b""]);
    for len in 0..bytes.len() {
        assert_eq!(opened(&bytes[..len]), Err(Refused::Truncated), "{len} bytes");
    }
}

#[test]
fn whatever_follows_the_end_is_refused() {
    let (bytes, _) = sealed(&[b"a", b"b"]);
    let (again, _) = sealed(&[b"a", b"b"]);
    let last = bounds(&bytes)[1];
    for more in [&b"x"[..], &bytes[last..], &again[..]] {
        let longer = [&bytes[..], more].concat();
        assert_eq!(opened(&longer), Err(Refused::Trailing));
    }
}

#[test]
fn segments_that_are_swapped_repeated_dropped_or_of_another_request_are_refused() {
    let (bytes, _) = sealed(&[b"one", b"two", b"six", b"end"]);
    let (other, _) = sealed(&[b"one", b"two", b"six", b"end"]);
    let at = bounds(&bytes);
    let part = |bytes: &[u8], index: usize| bytes[at[index]..at[index + 1]].to_vec();
    let prefix = bytes[..at[0]].to_vec();
    let streams = [
        [0, 2, 1, 3].map(|index| part(&bytes, index)).concat(),
        [0, 0, 1, 2, 3].map(|index| part(&bytes, index)).concat(),
        [0, 2, 3].map(|index| part(&bytes, index)).concat(),
        [1, 2, 3].map(|index| part(&bytes, index)).concat(),
        part(&bytes, 3),
        [part(&other, 0), part(&bytes, 1), part(&bytes, 2), part(&bytes, 3)].concat(),
    ];
    for (number, stream) in streams.iter().enumerate() {
        let changed = [&prefix[..], stream].concat();
        assert_eq!(opened(&changed), Err(Refused::Segment), "stream {number}");
    }
}

#[test]
fn an_end_that_is_moved_is_refused() {
    let (bytes, _) = sealed(&[b"one", b"end"]);
    let at = bounds(&bytes);
    // The first segment is said to be the last, and what follows is cut off.
    let mut early = bytes[..at[1]].to_vec();
    early[at[0] + 3] ^= 0x80;
    assert_eq!(opened(&early), Err(Refused::Segment));
    // The last is said not to be.
    let mut late = bytes;
    late[at[1] + 3] ^= 0x80;
    assert_eq!(opened(&late), Err(Refused::Segment));
}

#[test]
fn lengths_that_no_segment_has_are_refused_before_anything_is_held() {
    let (bytes, _) = sealed(&[b"x"]);
    let too_long = u32::try_from(SEGMENT_MAX_BYTES + 1).unwrap();
    for word in [too_long, too_long | 1 << 31, u32::MAX, u32::MAX >> 1, 0] {
        let mut segments = begun(&bytes).unwrap().segments;
        let mut plaintext = Vec::new();
        assert_eq!(
            segments.open(&word.to_le_bytes(), &mut plaintext),
            Err(Refused::Length)
        );
        assert_eq!(
            segments.open(b"x", &mut plaintext),
            Err(Refused::Length),
            "for ever"
        );
        assert_eq!(segments.end(), Err(Refused::Length));
    }
}

#[test]
fn nothing_comes_out_of_a_segment_that_is_refused() {
    let (mut bytes, _) = sealed(&[b"first", b"second"]);
    let end = bytes.len();
    bytes[end - 1] ^= 1;
    let mut segments = begun(&bytes).unwrap().segments;
    let mut plaintext = Vec::new();
    let refused = segments.open(&bytes[request::PREFIX_BYTES..], &mut plaintext);
    assert_eq!(refused, Err(Refused::Segment));
    assert_eq!(plaintext, b"first");
}

#[test]
fn a_body_is_cut_into_full_segments_and_an_end() {
    for len in [
        0,
        1,
        SEGMENT_BYTES - 1,
        SEGMENT_BYTES,
        SEGMENT_BYTES + 1,
        2 * SEGMENT_BYTES,
    ] {
        let body = vec![5; len];
        let (bytes, _) = sealed(&[&body]);
        let segments = len.div_ceil(SEGMENT_BYTES).max(1);
        assert_eq!(
            bytes.len(),
            request::PREFIX_BYTES + len + segments * OVERHEAD_BYTES
        );
        assert_eq!(opened(&bytes), Ok(body));
    }
}

#[test]
fn keys_that_give_no_secret_are_refused() {
    // The points of small order that RFC 7748, section 6.1, and RFC 9180, section 7.1.4, want refused.
    let mut one = [0; KEY_BYTES];
    one[0] = 1;
    for point in [[0; KEY_BYTES], one] {
        assert_eq!(request::seal(&point, &DIGEST, NOW_MS).err(), Some(Refused::Key));
        let (mut bytes, _) = sealed(&[b"x"]);
        bytes[8..8 + KEY_BYTES].copy_from_slice(&point);
        assert_eq!(opened(&bytes), Err(Refused::Key));
    }
}

#[test]
fn a_request_is_admitted_once() {
    let mut replays = Replays::new(10_000);
    let (bytes, _) = sealed(&[b"x"]);
    let admit = |replays: &mut Replays, bytes: &[u8], now_ms| replays.admit(&claim(bytes), now_ms);
    assert_eq!(admit(&mut replays, &bytes, NOW_MS), Ok(()));
    assert_eq!(admit(&mut replays, &bytes, NOW_MS), Err(Refused::Replayed));
    let (another, _) = sealed(&[b"x"]);
    assert_eq!(admit(&mut replays, &another, NOW_MS + 1), Ok(()));
    assert_eq!(
        admit(&mut replays, &bytes, NOW_MS + 10_000),
        Err(Refused::Replayed),
        "for as long as its time is taken"
    );
    assert_eq!(
        admit(&mut replays, &bytes, NOW_MS + 10_001),
        Err(Refused::Time { off_ms: 10_001 })
    );
}

#[test]
fn a_request_from_the_future_is_remembered_until_its_time_has_passed() {
    let mut replays = Replays::new(10_000);
    let (bytes, _) = sealed(&[b"x"]);
    let (other, _) = sealed(&[b"x"]);
    assert_eq!(replays.admit(&claim(&bytes), NOW_MS - 10_000), Ok(()));
    assert_eq!(replays.admit(&claim(&other), NOW_MS + 10_000), Ok(()));
    assert_eq!(
        replays.admit(&claim(&bytes), NOW_MS + 10_000),
        Err(Refused::Replayed)
    );
}

#[test]
fn a_clock_that_is_turned_back_admits_nothing_again() {
    let mut replays = Replays::new(10_000);
    let (bytes, _) = sealed(&[b"x"]);
    assert_eq!(replays.admit(&claim(&bytes), NOW_MS), Ok(()));
    // All is forgotten by then.
    let late = NOW_MS + 60_000;
    let (prefix, ..) = request::seal(&key(7).public_key(), &DIGEST, late).unwrap();
    assert_eq!(replays.admit(&claim(&prefix), late), Ok(()));
    assert_eq!(replays.admit(&claim(&bytes), NOW_MS), Err(Refused::Replayed));
}

/// A claim of this time, which nothing else has.
fn made_at(time_ms: u64) -> Claim {
    let (prefix, ..) = request::seal(&key(7).public_key(), &DIGEST, time_ms).unwrap();
    claim(&prefix)
}

#[test]
fn a_clock_that_was_ahead_for_a_while_refuses_nothing_new_later() {
    const DAY_MS: u64 = 86_400_000;
    let mut replays = Replays::new(10_000);
    let old = made_at(NOW_MS);
    assert_eq!(replays.admit(&old, NOW_MS), Ok(()));
    // A client's clock is right: refused, and nothing more.
    let refused = replays.admit(&made_at(NOW_MS + 1), NOW_MS + DAY_MS);
    assert_eq!(refused, Err(Refused::Time { off_ms: DAY_MS - 1 }));
    // Or somebody's is ahead, too.
    assert_eq!(replays.admit(&made_at(NOW_MS + DAY_MS), NOW_MS + DAY_MS), Ok(()));
    for later_ms in [100, 20_000, 40_000] {
        let now_ms = NOW_MS + later_ms;
        assert_eq!(replays.admit(&made_at(now_ms), now_ms), Ok(()), "{later_ms}");
    }
    assert_eq!(replays.admit(&old, NOW_MS), Err(Refused::Replayed));
}

#[test]
fn a_request_is_forgotten_once_its_time_is_taken_no_more() {
    let mut replays = Replays::remembering(1_000, 3);
    for _ in 0..3 {
        assert_eq!(replays.admit(&made_at(NOW_MS), NOW_MS), Ok(()));
    }
    let now_ms = NOW_MS + 1_000;
    assert_eq!(replays.admit(&made_at(now_ms), now_ms), Err(Refused::Full));
    let held = replays.held_bytes();
    assert_eq!(replays.admit(&made_at(now_ms + 1), now_ms + 1), Ok(()));
    assert!(replays.held_bytes() < held);
}

#[test]
fn no_more_are_remembered_than_may_be() {
    let mut replays = Replays::remembering(1_000, 3);
    let requests: Vec<_> = (0..4).map(|_| sealed(&[b"x"]).0).collect();
    let admit = |replays: &mut Replays, index: usize, now_ms| replays.admit(&claim(&requests[index]), now_ms);
    for index in 0..3 {
        assert_eq!(admit(&mut replays, index, NOW_MS - 1_000), Ok(()));
    }
    assert_eq!(admit(&mut replays, 3, NOW_MS), Err(Refused::Full));
    // Forgotten: the first three would be refused for their time now.
    assert_eq!(admit(&mut replays, 3, NOW_MS + 1_000), Err(Refused::Full));
    let late = request::seal(&key(7).public_key(), &DIGEST, NOW_MS + 1_001)
        .unwrap()
        .0;
    assert_eq!(replays.admit(&claim(&late), NOW_MS + 1_001), Ok(()));
}

#[test]
fn what_remembering_takes_is_said_before_and_given_back_after() {
    let mut replays = Replays::new(1_000);
    let claim = |number: u32, made_at_ms| {
        let mut encapsulated = [0; KEY_BYTES];
        encapsulated[..4].copy_from_slice(&number.to_le_bytes());
        Claim {
            encapsulated,
            made_at_ms,
        }
    };
    let mut held = replays.held_bytes();
    for number in 0..10_000 {
        assert_eq!(replays.admit(&claim(number, NOW_MS), NOW_MS), Ok(()));
        assert!(replays.held_bytes() <= held + ENTRY_BYTES, "{number}");
        held = replays.held_bytes();
    }
    assert!(held < 10_000 * 150, "{held} bytes");
    // By and by: each that comes makes room for itself, and for some more.
    let late = NOW_MS + 10_000;
    for number in 10_000..10_100 {
        assert_eq!(replays.admit(&claim(number, late), late), Ok(()));
    }
    assert!(replays.held_bytes() < held / 8);
}

#[test]
fn heads_hold_fields_and_nothing_else() {
    let fields = [("content-type", "image/jpeg"), ("ce-subject", "grün"), ("x", "")];
    let mut bytes = head::encode(fields).unwrap();
    let len = bytes.len();
    for body in [&b""[..], b"body"] {
        bytes.extend_from_slice(body);
        let head = head::decode(&bytes).unwrap().unwrap();
        assert_eq!((head.fields, head.len_bytes), (fields.to_vec(), len));
    }
    for cut in 0..len {
        assert_eq!(head::decode(&bytes[..cut]), Ok(None), "{cut}");
    }
    for (name, value) in [
        ("X", "v"),
        ("", "v"),
        ("a b", "v"),
        ("a", "v\n"),
        ("a", "\r"),
        ("a", "\u{85}"),
    ] {
        assert_eq!(
            head::encode([(name, value)]),
            Err(Refused::Head),
            "{name:?} {value:?}"
        );
    }
    let raw = |text: &[u8]| {
        let len = u32::try_from(text.len()).unwrap();
        head::decode(&[&len.to_le_bytes(), text].concat()).map(|head| head.is_some())
    };
    for text in [
        &b"a: b"[..],
        b"a b\n",
        b"\n",
        b"A: b\n",
        b"a: \x7f\n",
        b"a: \xff\n",
    ] {
        assert_eq!(raw(text), Err(Refused::Head), "{text:?}");
    }
    assert_eq!(head::decode(&u32::MAX.to_le_bytes()), Err(Refused::Head));
}

proptest! {
    #[test]
    fn any_pieces_come_out_as_they_went_in(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8),
        step in 1_usize..300,
    ) {
        let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let (bytes, _) = sealed(&slices);
        let read = read(begun(&bytes).unwrap().segments, &bytes[request::PREFIX_BYTES..], step);
        prop_assert_eq!(read, Ok(pieces.concat()));
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), step in 1_usize..100) {
        let _ = head::decode(&bytes);
        let (known, _) = sealed(&[b"x"]);
        let segments = begun(&known).unwrap().segments;
        prop_assert!(read(segments, &bytes, step).is_err());
        let mut with_tag = request::TYPE_TAG.to_vec();
        with_tag.extend_from_slice(&bytes);
        prop_assert!(opened(&with_tag).is_err());
    }
}

#[test]
fn a_key_that_was_made_beforehand_seals_as_one_that_was_not() {
    let to = key(7).public_key();
    let made = Encapsulated::new(&to, &DIGEST).unwrap();
    assert!(made.is_for(&to, &DIGEST));
    assert!(!made.is_for(&key(8).public_key(), &DIGEST) && !made.is_for(&to, &[0xd2; DIGEST_BYTES]));
    let (mut bytes, mut sealer, expected) = made.seal(NOW_MS);
    sealer.end(b"asked", &mut bytes).unwrap();
    let opened = begun(&bytes).unwrap();
    assert_eq!(opened.claim.made_at_ms, NOW_MS);
    assert_eq!(
        read(opened.segments, &bytes[request::PREFIX_BYTES..], 7).unwrap(),
        b"asked"
    );
    let (mut answer, mut sealer) = opened.reply.seal(&[5; reply::SALT_BYTES]);
    sealer.end(b"said", &mut answer).unwrap();
    let segments = expected.open(answer.first_chunk().unwrap()).unwrap();
    assert_eq!(
        read(segments, &answer[reply::PREFIX_BYTES..], 7).unwrap(),
        b"said"
    );
    assert_eq!(
        Encapsulated::new(&[0; KEY_BYTES], &DIGEST).err(),
        Some(Refused::Key)
    );
}
