//! Reports of SEV-SNP: any bytes are examined, and only those that a real chip has signed pass.

use hacher_verifier::{Expectations, Policy, Purpose, UnixTime, verify_report};

/// A report of a real chip.
pub(crate) const REPORT: &[u8] =
    include_bytes!("../../../trustlet-host/verifier/tests/data/genoa_attestation_report.bin");
/// The certificate of its key.
pub(crate) const VCEK: &[u8] = include_bytes!("../../../trustlet-host/verifier/tests/data/genoa_vcek.der");
/// The first of June 2026, when that is valid.
pub(crate) const TIME: UnixTime = UnixTime(1_780_272_000);

/// Examines `bytes` as a report.
pub fn report(bytes: &[u8]) {
    let expectations = Expectations {
        nonce: None,
        purpose: Purpose::Nonce,
        tls_key: None,
        chain: None,
        time: TIME,
        certificates: &[VCEK],
        revocation_lists: &[],
        allow_emulated: false,
    };
    let verdict = verify_report(bytes, &Policy::default(), &expectations);
    assert_eq!(verdict.passed(), verdict.failures().count() == 0);
    assert!(
        !verdict.passed() || bytes == REPORT,
        "a report that no chip has signed"
    );
}
