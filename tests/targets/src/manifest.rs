//! Evidence and manifests: any bytes are taken apart, and what is accepted has one encoding.

use crate::report::TIME;
use hacher_evidence::{Evidence, Manifest};
use hacher_verifier::{Expectations, Policy, Purpose, verify};

/// Takes `bytes` apart as a manifest, and examines them as evidence.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert_eq!(manifest.encode(), bytes, "a manifest has one encoding");
    }
    if let Ok(evidence) = Evidence::decode(bytes) {
        assert_eq!(evidence.encode(), bytes, "evidence has one encoding");
    }
    let expectations = Expectations {
        nonce: Some([0; 64]),
        purpose: Purpose::Nonce,
        tls_key: None,
        chain: None,
        time: TIME,
        certificates: &[],
        revocation_lists: &[],
        allow_emulated: false,
    };
    let verdict = verify(bytes, &Policy::default(), &expectations);
    assert!(!verdict.passed(), "no chip has signed anything for this nonce");
}
