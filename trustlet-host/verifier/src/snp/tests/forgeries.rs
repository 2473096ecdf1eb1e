//! Forged chains: refused by the pinned roots, and with roots of the tests refused for one reason each.

use super::{assert_fails, assert_passes};
use crate::check::CheckName as N;
use crate::expectations::Expectations;
use crate::policy::{Digest, Launch, Policy};
use crate::snp::forged::{Forgery, expectations};
use crate::snp::{ChipId, Generation, Roots, SigningKey, TcbFloor};
use crate::verdict::Verdict;
use crate::verify::verify_report_against;
use std::collections::BTreeSet;

fn judge(forgery: &Forgery, policy: &Policy) -> Verdict {
    let forged = forgery.make();
    let chain = forged.chain();
    verify_report_against(
        &forged.roots(),
        &forged.report,
        policy,
        &expectations(&chain, &[]),
    )
}

/// Forges with one thing changed.
fn forge(change: impl FnOnce(&mut Forgery)) -> Forgery {
    let mut forgery = Forgery::default();
    change(&mut forgery);
    forgery
}

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

#[test]
fn a_forged_chain_passes_with_its_own_root_and_never_with_the_pinned_one() {
    for forgery in [Forgery::default(), Forgery::of_turin()] {
        assert_passes(&judge(&forgery, &Policy::default()));
        let forged = forgery.make();
        let chain = forged.chain();
        let whole = verify_report_against(
            &Roots::amd(),
            &forged.report,
            &Policy::default(),
            &expectations(&chain, &[]),
        );
        assert_fails(
            &whole,
            &[N::CertificateRoot],
            "has another key than the pinned one",
        );
        let without_ark = verify_report_against(
            &Roots::amd(),
            &forged.report,
            &Policy::default(),
            &expectations(&chain[..2], &[]),
        );
        assert_fails(
            &without_ark,
            &[N::CertificateRoot],
            "has not signed the certificate of",
        );
        let leaf_alone = verify_report_against(
            &Roots::amd(),
            &forged.report,
            &Policy::default(),
            &expectations(&chain[..1], &[]),
        );
        assert_fails(&leaf_alone, &[N::CertificateIssuer], "no known key of");
    }
}

#[test]
fn the_intermediate_certificate_may_come_from_this_crate() {
    let forged = Forgery::default().make();
    let leaf = [forged.leaf.as_slice()];
    let verdict = verify_report_against(
        &forged.roots(),
        &forged.report,
        &Policy::default(),
        &expectations(&leaf, &[]),
    );
    assert_passes(&verdict);
}

#[test]
fn a_report_without_certificates_is_refused() {
    let forged = Forgery::default().make();
    let verdict = verify_report_against(
        &forged.roots(),
        &forged.report,
        &Policy::default(),
        &expectations(&[], &[]),
    );
    assert_fails(&verdict, &[N::CertificateIssuer], "no certificate of a VCEK");
}

#[test]
fn a_flip_of_any_byte_of_certificate_or_report_is_refused() {
    let forged = Forgery::default().make();
    let roots = forged.roots();
    let refused = |report: &[u8], chain: &[&[u8]]| {
        let verdict = verify_report_against(&roots, report, &Policy::default(), &expectations(chain, &[]));
        !verdict.passed()
    };
    for at in 0..forged.report.len() {
        let mut report = forged.report.clone();
        report[at] ^= 0x10;
        assert!(refused(&report, &forged.chain()), "byte {at:#x} of the report");
    }
    for at in 0..forged.leaf.len() {
        let mut leaf = forged.leaf.clone();
        leaf[at] ^= 0x01;
        assert!(refused(&forged.report, &[&leaf]), "byte {at} of the certificate");
    }
    for len in 0..forged.report.len() {
        assert!(refused(&forged.report[..len], &forged.chain()), "{len} bytes");
    }
}

#[test]
fn the_key_that_signed_has_to_be_the_kind_that_is_demanded() {
    let vlek = |forgery: &mut Forgery| {
        forgery.key = SigningKey::Vlek;
        forgery.chip = [0; 64];
    };
    let verdict = judge(&forge(vlek), &Policy::default());
    assert_fails(&verdict, &[N::SigningKey], "the policy demands a chip's own");
    let accepts = policy(|policy| {
        policy.snp.signing_keys.insert(SigningKey::Vlek);
    });
    assert_passes(&judge(&forge(vlek), &accepts));
    let unsigned = judge(
        &forge(|forgery| forgery.key_info = Some(7 << 2)),
        &Policy::default(),
    );
    assert_fails(&unsigned, &[N::SigningKey, N::ReportSignature], "is not signed");
}

#[test]
fn a_certificate_has_to_be_of_the_chip_the_product_and_the_tcb_of_the_report() {
    let chip = judge(
        &forge(|forgery| forgery.certified_chip = vec![0xC6; 64]),
        &Policy::default(),
    );
    assert_fails(&chip, &[N::CertificateChip], "and the report is of chip c5");
    let product = judge(
        &forge(|forgery| forgery.product = "Turin-B0".to_owned()),
        &Policy::default(),
    );
    assert_fails(&product, &[N::CertificateProduct], "certifies no such product");
    for part in [0, 1, 6, 7] {
        let tcb = judge(&forge(|forgery| forgery.certified[part] += 1), &Policy::default());
        assert_fails(&tcb, &[N::CertificateTcb], "and the report says");
    }
    let mut turin = Forgery::of_turin();
    turin.certified[0] += 1;
    assert_fails(&judge(&turin, &Policy::default()), &[N::CertificateTcb], "fmc 2");
    let mut turin = Forgery::of_turin();
    turin.chip[20] = 1;
    assert_fails(
        &judge(&turin, &Policy::default()),
        &[N::CertificateChip],
        "of chip",
    );
}

#[test]
fn another_chips_certificate_has_not_signed_the_report() {
    let forged = Forgery::default().make();
    let other = forge(|forgery| forgery.certified_chip = vec![0xC6; 64]).make();
    let verdict = verify_report_against(
        &forged.roots(),
        &forged.report,
        &Policy::default(),
        &expectations(&[&other.leaf], &[]),
    );
    assert_fails(
        &verdict,
        &[N::CertificateChip, N::ReportSignature],
        "the certificate is of another key",
    );
    let both = [other.leaf.as_slice(), &forged.leaf];
    let found = verify_report_against(
        &forged.roots(),
        &forged.report,
        &Policy::default(),
        &expectations(&both, &[]),
    );
    assert_passes(&found);
}

#[test]
fn a_chip_that_hides_is_refused_unless_that_is_allowed() {
    let hidden = forge(|forgery| {
        forgery.chip = [0; 64];
        forgery.key_info = Some(1 << 1);
    });
    assert_fails(
        &judge(&hidden, &Policy::default()),
        &[N::CertificateChip],
        "the host hides its chip",
    );
    let allows = policy(|policy| policy.snp.allows_masked_chip = true);
    assert_passes(&judge(&hidden, &allows));
}

#[test]
fn the_processor_has_to_be_of_the_generation_of_the_certificates() {
    let turin = judge(
        &forge(|forgery| forgery.cpuid = [0x1A, 0x02, 0]),
        &Policy::default(),
    );
    assert_fails(
        &turin,
        &[N::Processor],
        "is turin, and the certificates are for genoa",
    );
    let unknown = judge(
        &forge(|forgery| forgery.cpuid = [0x17, 0x31, 0]),
        &Policy::default(),
    );
    assert_fails(&unknown, &[N::Processor], "is no known processor");
    // Version 2 does not say.
    assert_passes(&judge(&forge(|forgery| forgery.version = 2), &Policy::default()));
}

#[test]
fn milan_is_refused_unless_the_policy_names_it_or_the_chip() {
    let milan = Forgery::of_milan();
    assert_fails(
        &judge(&milan, &Policy::default()),
        &[N::Generation],
        "arXiv 2605.12990",
    );
    let named = policy(|policy| {
        policy.snp.generations.insert(Generation::Milan);
    });
    assert_passes(&judge(&milan, &named));
    let chip = policy(|policy| {
        policy.snp.chips.insert(ChipId(milan.chip));
    });
    assert_passes(&judge(&milan, &chip));
}

#[test]
fn generation_and_chip_have_to_be_accepted() {
    let turin = policy(|policy| policy.snp.generations = BTreeSet::from([Generation::Turin]));
    assert_fails(
        &judge(&Forgery::default(), &turin),
        &[N::Generation],
        "the policy accepts turin",
    );
    let chip = policy(|policy| policy.snp.chips = BTreeSet::from([ChipId([1; 64])]));
    assert_fails(
        &judge(&Forgery::default(), &chip),
        &[N::Chip],
        "not among the 1 chips",
    );
}

#[test]
fn each_tcb_of_a_report_is_held_against_the_floor() {
    let floor = |snp: u8| {
        policy(|policy| {
            let floor = TcbFloor {
                snp,
                ..TcbFloor::default()
            };
            policy.snp.floors.insert(Generation::Genoa, floor);
        })
    };
    assert_passes(&judge(&Forgery::default(), &floor(23)));
    let older = [9, 0, 0, 0, 0, 0, 22, 72];
    let reported = forge(|forgery| {
        forgery.reported = older;
        forgery.certified = older;
    });
    assert_fails(
        &judge(&reported, &floor(23)),
        &[N::ReportedTcb],
        "snp is 22, not 23 or later",
    );
    let committed = forge(|forgery| forgery.committed = older);
    assert_fails(&judge(&committed, &floor(23)), &[N::CommittedTcb], "snp is 22");
    let current = forge(|forgery| forgery.current = older);
    assert_fails(&judge(&current, &floor(23)), &[N::CurrentTcb], "snp is 22");
    let launched = forge(|forgery| forgery.launched = older);
    assert_fails(&judge(&launched, &floor(23)), &[N::LaunchTcb], "snp is 22");
    let reserved = forge(|forgery| forgery.committed = [9, 0, 1, 0, 0, 0, 23, 72]);
    assert_fails(
        &judge(&reserved, &Policy::default()),
        &[N::CommittedTcb],
        "reserved",
    );
    let fmc = policy(|policy| {
        let floor = TcbFloor {
            fmc: 2,
            ..TcbFloor::default()
        };
        policy.snp.floors.insert(Generation::Turin, floor);
    });
    let mut turin = Forgery::of_turin();
    turin.committed[0] = 2;
    turin.current[0] = 2;
    turin.launched[0] = 2;
    assert_fails(&judge(&turin, &fmc), &[N::ReportedTcb], "fmc is 1, not 2");
}

#[test]
fn the_level_has_to_be_a_guests_and_one_that_is_demanded() {
    for vmpl in [4, 0xFF, 0x8000_0000, u32::MAX] {
        let verdict = judge(&forge(|forgery| forgery.vmpl = vmpl), &Policy::default());
        assert_fails(&verdict, &[N::Vmpl], "the host has asked for the report");
    }
    let one = forge(|forgery| forgery.vmpl = 1);
    assert_fails(
        &judge(&one, &Policy::default()),
        &[N::Vmpl],
        "at level 1, and the policy demands 0",
    );
    let accepts = policy(|policy| policy.snp.vmpls = BTreeSet::from([1, 2]));
    assert_passes(&judge(&one, &accepts));
}

#[test]
fn a_guest_that_can_be_debugged_or_moved_is_refused_unless_that_is_allowed() {
    let debug = forge(|forgery| forgery.policy |= 1 << 19);
    assert_fails(
        &judge(&debug, &Policy::default()),
        &[N::DebugPolicy],
        "may debug the guest",
    );
    assert_passes(&judge(&debug, &policy(|policy| policy.snp.allows_debug = true)));
    let migration = forge(|forgery| forgery.policy |= 1 << 18);
    assert_fails(
        &judge(&migration, &Policy::default()),
        &[N::MigrationPolicy],
        "to another machine",
    );
    assert_passes(&judge(
        &migration,
        &policy(|policy| policy.snp.allows_migration = true),
    ));
}

#[test]
fn launch_and_author_have_to_be_those_that_are_named() {
    let launch =
        |byte: u8| policy(|policy| policy.snp.launch = Launch::OneOf(BTreeSet::from([Digest([byte; 48])])));
    assert_passes(&judge(&Forgery::default(), &launch(0x3E)));
    assert_fails(
        &judge(&Forgery::default(), &launch(1)),
        &[N::LaunchMeasurement],
        "not among the 1 that the policy names",
    );
    let author = policy(|policy| policy.snp.author_keys = BTreeSet::from([Digest([5; 48])]));
    assert_fails(
        &judge(&Forgery::default(), &author),
        &[N::AuthorKey],
        "no author's key",
    );
    assert_passes(&judge(
        &forge(|forgery| forgery.author_key = Some([5; 48])),
        &author,
    ));
    let other = forge(|forgery| forgery.author_key = Some([6; 48]));
    assert_fails(
        &judge(&other, &author),
        &[N::AuthorKey],
        "not among those that the policy names",
    );
}

#[test]
fn certificates_have_to_be_in_date() {
    let expired = judge(
        &forge(|forgery| forgery.leaf_until = "260101000000Z"),
        &Policy::default(),
    );
    assert_fails(
        &expired,
        &[N::CertificateDates],
        "SEV-VCEK has expired at 2026-01-01",
    );
    let expired = judge(
        &forge(|forgery| forgery.ask_until = "260101000000Z"),
        &Policy::default(),
    );
    assert_fails(&expired, &[N::CertificateDates], "SEV-Genoa has expired");
    let forged = Forgery::default().make();
    let chain = forged.chain();
    let mut early = expectations(&chain, &[]);
    early.time = crate::UnixTime::parse("2020-01-01T00:00:00Z").unwrap();
    let verdict = verify_report_against(&forged.roots(), &forged.report, &Policy::default(), &early);
    assert_fails(&verdict, &[N::CertificateDates], "is valid only from");
}

#[test]
fn an_intermediate_key_has_to_be_an_authority_and_has_to_have_signed() {
    let verdict = judge(
        &forge(|forgery| forgery.ask_is_authority = false),
        &Policy::default(),
    );
    assert_fails(&verdict, &[N::CertificateRoot], "may not sign certificates");
    let verdict = judge(
        &forge(|forgery| forgery.leaf_signed_by_ark = true),
        &Policy::default(),
    );
    assert_fails(&verdict, &[N::CertificateIssuer], "it is forged, or altered");
}

#[test]
fn a_report_with_reserved_bytes_or_of_another_version_is_none() {
    for version in [0, 1, 6, u32::MAX] {
        let verdict = judge(&forge(|forgery| forgery.version = version), &Policy::default());
        assert_fails(
            &verdict,
            &[N::ReportForm],
            "is not known: reports of versions 2 to 5 are",
        );
    }
    for change in [
        |forgery: &mut Forgery| forgery.policy = 0x1_001F,
        |forgery: &mut Forgery| forgery.policy |= 1 << 26,
        |forgery: &mut Forgery| forgery.key_info = Some(2 << 2),
        |forgery: &mut Forgery| forgery.key_info = Some(1 << 5),
    ] {
        let verdict = judge(&forge(change), &Policy::default());
        assert_fails(&verdict, &[N::ReportForm], "reserved bytes are set");
    }
}

#[test]
fn the_report_data_have_to_be_those_that_are_demanded() {
    let forged = Forgery::default().make();
    let chain = forged.chain();
    let judge = |nonce| {
        let expected = Expectations {
            nonce: Some(nonce),
            ..expectations(&chain, &[])
        };
        verify_report_against(&forged.roots(), &forged.report, &Policy::default(), &expected)
    };
    assert_passes(&judge([0xDA; 64]));
    assert_fails(
        &judge([0xDB; 64]),
        &[N::ReportData],
        "not the answer to this challenge",
    );
}

#[test]
fn all_faults_are_shown_and_not_the_first_alone() {
    let bad = forge(|forgery| {
        forgery.vmpl = 3;
        forgery.policy |= 1 << 19;
        forgery.leaf_until = "260101000000Z";
        forgery.certified_chip = vec![1; 64];
    });
    assert_fails(
        &judge(&bad, &Policy::default()),
        &[N::CertificateDates, N::CertificateChip, N::Vmpl, N::DebugPolicy],
        "expired",
    );
}

#[test]
fn what_is_no_certificate_is_named() {
    let forged = Forgery::default().make();
    let chain = [forged.leaf.as_slice(), b"nonsense"];
    let verdict = verify_report_against(
        &forged.roots(),
        &forged.report,
        &Policy::default(),
        &expectations(&chain, &[]),
    );
    assert_fails(&verdict, &[N::Certificates], "certificate 2 of 2: it is no X.509");
}
