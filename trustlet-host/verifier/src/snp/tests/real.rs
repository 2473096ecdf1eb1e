//! Reports that real chips have signed, under the pinned roots.

use super::{assert_fails, assert_passes};
use crate::check::CheckName as N;
use crate::expectations::Expectations;
use crate::policy::Policy;
use crate::snp::{Generation, Roots, SigningKey, TcbFloor};
use crate::time::UnixTime;
use crate::verify::verify_report;
use hacher_evidence::manifest::Purpose;
use std::collections::BTreeSet;

const GENOA: [&[u8]; 2] = [
    include_bytes!("../../../tests/data/genoa_attestation_report.bin"),
    include_bytes!("../../../tests/data/genoa_vcek.der"),
];
const MILAN: [&[u8]; 2] = [
    include_bytes!("../../../tests/data/milan_attestation_report.bin"),
    include_bytes!("../../../tests/data/milan_vcek.der"),
];
const MILAN_VLEK: [&[u8]; 2] = [
    include_bytes!("../../../tests/data/milan_vlek_vmpl1_report.bin"),
    include_bytes!("../../../tests/data/milan_vlek.der"),
];
const MILAN_DEBUG: [&[u8]; 2] = [
    include_bytes!("../../../tests/data/milan_debug_policy_report.bin"),
    include_bytes!("../../../tests/data/milan_debug_policy_vcek.der"),
];

fn at<'a>(time: &str, certificates: &'a [&'a [u8]]) -> Expectations<'a> {
    Expectations {
        nonce: None,
        purpose: Purpose::Nonce,
        tls_key: None,
        chain: None,
        time: UnixTime::parse(time).unwrap(),
        certificates,
        revocation_lists: &[],
        allow_emulated: false,
    }
}

fn milan() -> Policy {
    let mut policy = Policy::default();
    policy.snp.generations.insert(Generation::Milan);
    policy
}

#[test]
fn the_pinned_roots_are_amds() {
    for root in Roots::amd().0 {
        let name = root.generation.in_certificates();
        assert!(root.ark.is_signed_by(&root.ark), "{name}");
        assert_eq!(root.ark.subject_name(), format!("ARK-{name}"));
        for (certificate, subject) in [
            (&root.ask, format!("SEV-{name}")),
            (&root.asvk, format!("SEV-VLEK-{name}")),
        ] {
            assert!(certificate.is_signed_by(&root.ark), "{subject}");
            assert!(certificate.is_authority(), "{subject}");
            assert_eq!(certificate.subject_name(), subject);
        }
    }
}

#[test]
fn a_report_of_genoa_passes() {
    let [report, vcek] = GENOA;
    let verdict = verify_report(report, &Policy::default(), &at("2026-06-01T00:00:00Z", &[vcek]));
    assert_passes(&verdict);
    let summary = verdict.summary().unwrap().report.clone().unwrap();
    assert_eq!(summary.generation, Some(Generation::Genoa));
    assert_eq!(summary.signing_key, SigningKey::Vcek);
    assert_eq!(
        summary.reported_tcb.unwrap().to_string(),
        "boot_loader 10, tee 0, snp 23, microcode 84"
    );
    assert_eq!(summary.version, 3);
}

#[test]
fn a_report_of_milan_passes_only_if_the_policy_names_milan() {
    let [report, vcek] = MILAN;
    let expectations = [vcek];
    let expectations = at("2026-06-01T00:00:00Z", &expectations);
    assert_passes(&verify_report(report, &milan(), &expectations));
    assert_fails(
        &verify_report(report, &Policy::default(), &expectations),
        &[N::Generation],
        "milan proves little",
    );
}

#[test]
fn a_report_of_a_vlek_at_level_1_passes_only_if_both_are_accepted() {
    let [report, vlek] = MILAN_VLEK;
    let certificates = [vlek];
    let expectations = at("2025-06-01T00:00:00Z", &certificates);
    assert_fails(
        &verify_report(report, &milan(), &expectations),
        &[N::SigningKey, N::Vmpl],
        "signed with a VLEK",
    );
    let mut accepts = milan();
    accepts.snp.signing_keys.insert(SigningKey::Vlek);
    accepts.snp.vmpls = BTreeSet::from([1]);
    assert_passes(&verify_report(report, &accepts, &expectations));
    assert_fails(
        &verify_report(report, &accepts, &at("2026-06-01T00:00:00Z", &certificates)),
        &[N::CertificateDates],
        "SEV-VLEK has expired",
    );
}

#[test]
fn a_report_of_version_2_with_debugging_passes_only_if_that_is_allowed() {
    let [report, vcek] = MILAN_DEBUG;
    let certificates = [vcek];
    let expectations = at("2026-06-01T00:00:00Z", &certificates);
    let verdict = verify_report(report, &milan(), &expectations);
    assert_fails(&verdict, &[N::DebugPolicy], "may debug the guest");
    let mut allows = milan();
    allows.snp.allows_debug = true;
    assert_passes(&verify_report(report, &allows, &expectations));
}

#[test]
fn a_flip_of_any_byte_of_a_real_report_is_refused() {
    let [report, vcek] = GENOA;
    let certificates = [vcek];
    let expectations = at("2026-06-01T00:00:00Z", &certificates);
    for at in 0..0x330 {
        for bit in [0x01, 0x80] {
            let mut altered = report.to_vec();
            altered[at] ^= bit;
            let verdict = verify_report(&altered, &Policy::default(), &expectations);
            assert!(!verdict.passed(), "byte {at:#x}");
        }
    }
}

#[test]
fn another_chips_certificate_is_refused() {
    let certificates = [MILAN_DEBUG[1]];
    let verdict = verify_report(MILAN[0], &milan(), &at("2026-06-01T00:00:00Z", &certificates));
    assert_fails(
        &verdict,
        &[N::CertificateTcb, N::CertificateChip, N::ReportSignature],
        "the certificate is for chip 3ac3",
    );
}

#[test]
fn a_floor_above_the_report_is_not_met() {
    let [report, vcek] = GENOA;
    let mut policy = Policy::default();
    let floor = TcbFloor {
        microcode: 85,
        ..TcbFloor::default()
    };
    policy.snp.floors.insert(Generation::Genoa, floor);
    let verdict = verify_report(report, &policy, &at("2026-06-01T00:00:00Z", &[vcek]));
    assert_fails(
        &verdict,
        &[N::ReportedTcb, N::CommittedTcb, N::CurrentTcb, N::LaunchTcb],
        "microcode is 84, not 85 or later",
    );
}
