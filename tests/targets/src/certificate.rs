//! Certificates, tables of them and revocation lists: any bytes are taken for each, and only a real
//! certificate passes for one.

use crate::report::{REPORT, TIME, VCEK};
use hacher_verifier::{Expectations, Policy, Purpose, certificate_table, verify_report};

/// Examines a report with `bytes` as what certifies its key, and then as a revocation list.
pub fn certificate(bytes: &[u8]) {
    let judge = |certificates: &[&[u8]], revocation_lists: &[&[u8]]| {
        let expectations = Expectations {
            nonce: None,
            purpose: Purpose::Nonce,
            tls_key: None,
            chain: None,
            time: TIME,
            certificates,
            revocation_lists,
            allow_emulated: false,
        };
        verify_report(REPORT, &Policy::default(), &expectations).passed()
    };
    assert!(!judge(&[bytes], &[]) || bytes == VCEK, "a forged certificate");
    assert!(!judge(&[VCEK], &[bytes]), "a forged revocation list");
    if let Ok(certificates) = certificate_table(bytes) {
        assert!(
            certificates
                .iter()
                .all(|certificate| certificate.len() <= bytes.len())
        );
    }
}
