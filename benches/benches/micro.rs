//! The steps of a hop one by one, for whoever changes one of them: `cargo bench -p hacher-benches --bench
//! micro`.
//!
//! One thread does everything, so nothing is handed over and all memory is warm: these are instructions, not
//! latencies.
#![allow(clippy::unwrap_used, reason = "a benchmark stops at what it did not expect")]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use hacher_libos_net::aead::Key;
use hacher_libos_net::clock::{self, Monotonic};
use hacher_libos_net::descriptor::{AAD_BYTES, Descriptor, NONCE_BYTES, TAG_BYTES};
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::keys::{SecretBytes, generation_key};
use hacher_libos_net::layout::OutboxLayout;
use hacher_libos_net::layout::SEGMENT_BYTES;
use hacher_libos_net::mapping;
use hacher_libos_net::memory::{PeerRegion, SealedRegion};
use hacher_libos_net::ring::{self, Found, WORDS};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

/// Bytes of plaintext; the last is a full segment.
const SIZES: [usize; 5] = [0, 64, 4096, 16 * 1024, SEGMENT_BYTES];
/// Repetitions in a sample, so that neither the clock nor the first and slowest one decides.
const MANY: u32 = 1000;
/// As before, for what takes longer.
const SOME: u32 = 50;
/// Slots of the ring.
const CAPACITY: usize = 256;
const REGION_BYTES: usize = 128 * 1024;
/// Where the cursor is: after the ring.
const CURSOR_AT: usize = CAPACITY * 64;

fn main() {
    divan::main();
}

/// The same memory as its writer and as its reader have it.
fn region() -> (SealedRegion, PeerRegion) {
    let memory = memfd_create("hacher-bench-micro", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&memory, REGION_BYTES as u64).unwrap();
    (
        mapping::sealed(&memory, REGION_BYTES).unwrap(),
        mapping::peer(&memory, REGION_BYTES).unwrap(),
    )
}

fn outbox() -> OutboxLayout {
    OutboxLayout::new(1, 256, 1 << 20).unwrap()
}

fn descriptor() -> Descriptor {
    Descriptor {
        sequence: 42,
        offset: outbox().class_at(0),
        len_bytes: 64,
        segment: 0,
        attempt: 1,
        last: true,
        abort: false,
        invocation: InvocationId::new(7),
        deadline: Monotonic::from_ns(1 << 40),
        epoch: 1,
        port: 2,
        generation: 0,
    }
}

mod in_the_ring {
    use super::*;

    #[divan::bench(sample_size = MANY)]
    fn publish_peek_release(bencher: Bencher<'_, '_>) {
        let (own, peer) = region();
        let (slots, cursor) = (own.slots(0, CAPACITY).unwrap(), own.word(CURSOR_AT).unwrap());
        let seen = peer.slots(0, CAPACITY).unwrap();
        let mut position = 0;
        bencher.bench_local(|| {
            ring::publish(slots, position, black_box(&[position; WORDS]));
            let found = black_box(ring::peek(seen, position));
            assert!(matches!(found, Found::Words(_)));
            ring::release(cursor, position + 1);
            assert_eq!(black_box(ring::released(cursor)), position + 1);
            position += 1;
        });
    }

    #[divan::bench(sample_size = MANY)]
    fn peek_empty(bencher: Bencher<'_, '_>) {
        let (_own, peer) = region();
        let slots = peer.slots(0, CAPACITY).unwrap();
        bencher.bench_local(|| ring::peek(slots, black_box(0)));
    }
}

mod of_a_descriptor {
    use super::*;

    #[divan::bench(sample_size = MANY)]
    fn write(bencher: Bencher<'_, '_>) {
        let descriptor = descriptor();
        bencher.bench_local(|| black_box(&descriptor).words());
    }

    #[divan::bench(sample_size = MANY)]
    fn check(bencher: Bencher<'_, '_>) {
        let (words, layout) = (descriptor().words(), outbox());
        assert_eq!(Descriptor::from_words(&words, &layout), Ok(descriptor()));
        bencher.bench_local(|| Descriptor::from_words(black_box(&words), &layout));
    }

    #[divan::bench(sample_size = MANY)]
    fn refuse(bencher: Bencher<'_, '_>) {
        let (mut words, layout) = (descriptor().words(), outbox());
        words[1] = u64::MAX;
        assert!(Descriptor::from_words(&words, &layout).is_err());
        bencher.bench_local(|| Descriptor::from_words(black_box(&words), &layout));
    }
}

mod by_the_cipher {
    use super::*;

    const NONCE: [u8; NONCE_BYTES] = [1; NONCE_BYTES];
    const ADDITIONAL: [u8; AAD_BYTES] = [1; AAD_BYTES];

    fn key() -> Key {
        Key::new(&SecretBytes::new([7; 32])).unwrap()
    }

    #[divan::bench(args = SIZES, sample_size = SOME)]
    fn seal(bencher: Bencher<'_, '_>, len: usize) {
        let ((own, _), key, plain) = (region(), key(), vec![1; len]);
        bencher.counter(BytesCount::new(len)).bench_local(|| {
            let mut into = own.span(0, len + TAG_BYTES).unwrap();
            key.seal(&NONCE, black_box(&ADDITIONAL), black_box(&plain), &mut into)
                .unwrap();
        });
    }

    #[divan::bench(args = SIZES, sample_size = SOME)]
    fn open(bencher: Bencher<'_, '_>, len: usize) {
        let ((own, peer), key, plain) = (region(), key(), vec![1; len]);
        let mut into = own.span(0, len + TAG_BYTES).unwrap();
        key.seal(&NONCE, &ADDITIONAL, &plain, &mut into).unwrap();
        let mut opened = Vec::with_capacity(len);
        bencher.counter(BytesCount::new(len)).bench_local(|| {
            opened.clear();
            let sealed = peer.span(0, len + TAG_BYTES).unwrap();
            key.open(&NONCE, black_box(&ADDITIONAL), sealed, &mut opened)
                .unwrap();
            black_box(&opened);
        });
        assert_eq!(opened, plain);
    }

    /// What a replaced producer costs its consumers once.
    #[divan::bench(sample_size = MANY)]
    fn derive_and_expand_a_key() -> Key {
        Key::new(&generation_key(black_box(&SecretBytes::new([7; 32])), 1)).unwrap()
    }
}

/// Read several times in a hop.
#[divan::bench(sample_size = MANY)]
fn clock() -> Monotonic {
    clock::now()
}
