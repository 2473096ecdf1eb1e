#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use super::{Refused, aws_lc, staged};
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

fn both(secret: [u8; 32]) -> (aws_lc::Key, staged::Key) {
    let secret = SecretBytes::new(secret);
    (
        aws_lc::Key::new(&secret).unwrap(),
        staged::Key::new(&secret).unwrap(),
    )
}

proptest! {
    #[test]
    fn each_implementation_opens_what_the_other_sealed(
        secret: [u8; 32], nonce: [u8; 12], additional in proptest::collection::vec(any::<u8>(), 0..64),
        plain in proptest::collection::vec(any::<u8>(), 0..3000),
    ) {
        let (own, peer, _) = regions();
        let (aws_lc, staged) = both(secret);
        let sealed_len = plain.len() + TAG_BYTES;
        aws_lc.seal(&nonce, &additional, &plain, &mut own.span(0, sealed_len).unwrap()).unwrap();
        staged.seal(&nonce, &additional, &plain, &mut own.span(8192, sealed_len).unwrap()).unwrap();
        let (mut left, mut right) = (vec![0; sealed_len], vec![0; sealed_len]);
        assert!(peer.span(0, sealed_len).unwrap().copy_to(&mut left));
        assert!(peer.span(8192, sealed_len).unwrap().copy_to(&mut right));
        prop_assert_eq!(&left, &right, "the same bytes");
        let mut opened = b"before".to_vec();
        staged.open(&nonce, &additional, peer.span(0, sealed_len).unwrap(), &mut opened).unwrap();
        prop_assert_eq!(&opened[6..], &plain[..]);
        opened.truncate(6);
        aws_lc.open(&nonce, &additional, peer.span(8192, sealed_len).unwrap(), &mut opened).unwrap();
        prop_assert_eq!(&opened[6..], &plain[..]);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused_by_both(
        plain in proptest::collection::vec(any::<u8>(), 0..200), place: prop::sample::Index, bit in 0..8_u8,
    ) {
        let (own, peer, tampered) = regions();
        let (aws_lc, staged) = both([3; 32]);
        let sealed_len = plain.len() + TAG_BYTES;
        aws_lc.seal(&[1; 12], b"context", &plain, &mut own.span(0, sealed_len).unwrap()).unwrap();
        let at = place.index(sealed_len);
        let mut byte = [0];
        assert!(peer.span(at, 1).unwrap().copy_to(&mut byte));
        assert!(tampered.write(at, &[byte[0] ^ (1 << bit)]));
        let mut opened = b"before".to_vec();
        let sealed = peer.span(0, sealed_len).unwrap();
        prop_assert_eq!(aws_lc.open(&[1; 12], b"context", sealed, &mut opened), Err(Refused));
        prop_assert_eq!(staged.open(&[1; 12], b"context", sealed, &mut opened), Err(Refused));
        prop_assert_eq!(&opened, b"before");
    }
}

#[test]
fn another_context_nonce_or_key_is_refused_and_short_buffers_too() {
    let (own, peer, _) = regions();
    let (key, _) = both([3; 32]);
    let (other, _) = both([4; 32]);
    let sealed_len = 5 + TAG_BYTES;
    key.seal(
        &[1; 12],
        b"context",
        b"hello",
        &mut own.span(0, sealed_len).unwrap(),
    )
    .unwrap();
    let sealed = peer.span(0, sealed_len).unwrap();
    let mut out = Vec::new();
    assert_eq!(key.open(&[1; 12], b"contexT", sealed, &mut out), Err(Refused));
    assert_eq!(key.open(&[2; 12], b"context", sealed, &mut out), Err(Refused));
    assert_eq!(other.open(&[1; 12], b"context", sealed, &mut out), Err(Refused));
    assert_eq!(
        key.open(&[1; 12], b"context", peer.span(0, 15).unwrap(), &mut out),
        Err(Refused)
    );
    assert!(out.is_empty());
    assert_eq!(key.open(&[1; 12], b"context", sealed, &mut out), Ok(()));
    assert_eq!(
        key.seal(&[1; 12], b"", b"hello", &mut own.span(0, 20).unwrap()),
        Err(Refused)
    );
}
