#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use super::staged::{Staged, portable, ring};
use super::{Refused, aws_lc, expand};
use crate::aead::keys::SecretBytes;
use crate::record::descriptor::TAG_BYTES;
use crate::region::heap::Heap;
use crate::region::memory::{PeerRegion, PlainRegion, SealedRegion};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

const LEN: usize = 256 * 1024;

fn regions() -> (SealedRegion, PeerRegion, PlainRegion) {
    let memory = Heap::new(LEN);
    (
        SealedRegion::new(Box::new(memory.clone())),
        PeerRegion::new(Box::new(memory.clone())),
        // What a test tampers with.
        PlainRegion::new(Box::new(memory)),
    )
}

/// One key of all three implementations.
struct Keys {
    aws_lc: aws_lc::Key,
    ring: Staged<ring::Cipher>,
    portable: Staged<portable::Cipher>,
}

impl Keys {
    fn new(secret: [u8; 32]) -> Self {
        let secret = SecretBytes::new(secret);
        Self {
            aws_lc: aws_lc::Key::new(&secret).unwrap(),
            ring: Staged::new(&secret).unwrap(),
            portable: Staged::new(&secret).unwrap(),
        }
    }

    /// What each makes of `plain`, in this order.
    fn seal(&self, nonce: &[u8; 12], additional: &[u8], plain: &[u8]) -> [Vec<u8>; 3] {
        let (own, peer, _) = regions();
        let len = plain.len() + TAG_BYTES;
        let span = |at| own.span(at, len).unwrap();
        self.aws_lc.seal(nonce, additional, plain, &mut span(0)).unwrap();
        self.ring.seal(nonce, additional, plain, &mut span(8192)).unwrap();
        self.portable
            .seal(nonce, additional, plain, &mut span(16384))
            .unwrap();
        [0, 8192, 16384].map(|at| {
            let mut sealed = vec![0; len];
            assert!(peer.span(at, len).unwrap().copy_to(&mut sealed));
            sealed
        })
    }

    /// What each opens `sealed` as, after what was there before.
    fn open(
        &self,
        nonce: &[u8; 12],
        additional: &[u8],
        sealed: &[u8],
        before: &[u8],
    ) -> [(Result<(), Refused>, Vec<u8>); 3] {
        let (_, peer, plain) = regions();
        assert!(plain.write(0, sealed));
        let span = || peer.span(0, sealed.len()).unwrap();
        let mut into = [before.to_vec(), before.to_vec(), before.to_vec()];
        let [first, second, third] = &mut into;
        let results = [
            self.aws_lc.open(nonce, additional, span(), first),
            self.ring.open(nonce, additional, span(), second),
            self.portable.open(nonce, additional, span(), third),
        ];
        let mut results = results.into_iter();
        into.map(|into| (results.next().unwrap(), into))
    }
}

proptest! {
    #[test]
    fn each_implementation_opens_what_the_others_sealed(
        secret: [u8; 32], nonce: [u8; 12], additional in proptest::collection::vec(any::<u8>(), 0..64),
        plain in proptest::collection::vec(any::<u8>(), 0..3000),
    ) {
        let keys = Keys::new(secret);
        let sealed = keys.seal(&nonce, &additional, &plain);
        prop_assert_eq!(&sealed[0], &sealed[1], "the same bytes");
        prop_assert_eq!(&sealed[0], &sealed[2], "the same bytes");
        for (result, opened) in keys.open(&nonce, &additional, &sealed[0], b"before") {
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(&opened[..6], b"before");
            prop_assert_eq!(&opened[6..], &plain[..]);
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused_by_all(
        plain in proptest::collection::vec(any::<u8>(), 0..200), place: prop::sample::Index, bit in 0..8_u8,
    ) {
        let keys = Keys::new([3; 32]);
        let [mut sealed, _, _] = keys.seal(&[1; 12], b"context", &plain);
        let at = place.index(sealed.len());
        sealed[at] ^= 1 << bit;
        for (result, opened) in keys.open(&[1; 12], b"context", &sealed, b"before") {
            prop_assert_eq!(result, Err(Refused));
            prop_assert_eq!(&opened, b"before", "nothing of what was refused");
        }
    }

    #[test]
    fn keys_are_derived_alike(
        secret: [u8; 32], info in proptest::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index,
    ) {
        let (head, tail) = info.split_at(at.index(info.len() + 1));
        let (mut left, mut right) = ([0; 32], [0; 32]);
        expand::ring::expand_into(&secret, &[head, tail], &mut left);
        expand::portable::expand_into(&secret, &[head, tail], &mut right);
        prop_assert_eq!(left, right);
    }
}

#[test]
fn another_context_nonce_or_key_is_refused_by_all() {
    let keys = Keys::new([3; 32]);
    let [sealed, _, _] = keys.seal(&[1; 12], b"context", b"hello");
    let refused = |keys: &Keys, nonce, context: &[u8], sealed: &[u8]| {
        let all = keys.open(&[nonce; 12], context, sealed, b"");
        all.iter().all(|opened| *opened == (Err(Refused), Vec::new()))
    };
    assert!(refused(&keys, 1, b"contexT", &sealed));
    assert!(refused(&keys, 2, b"context", &sealed));
    assert!(refused(&Keys::new([4; 32]), 1, b"context", &sealed));
    for shorter in 0..sealed.len() {
        assert!(refused(&keys, 1, b"context", &sealed[..shorter]));
    }
    for (result, opened) in keys.open(&[1; 12], b"context", &sealed, b"") {
        assert_eq!((result, &opened[..]), (Ok(()), &b"hello"[..]));
    }
}

#[test]
fn none_seals_into_a_buffer_that_is_too_short() {
    let (own, ..) = regions();
    let keys = Keys::new([3; 32]);
    let short = || own.span(0, 20).unwrap();
    let refused = [
        keys.aws_lc.seal(&[1; 12], b"", b"hello", &mut short()),
        keys.ring.seal(&[1; 12], b"", b"hello", &mut short()),
        keys.portable.seal(&[1; 12], b"", b"hello", &mut short()),
    ];
    assert_eq!(refused, [Err(Refused); 3]);
}
