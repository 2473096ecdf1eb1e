//! Evidence with a manifest: made here with the emulated root, or under a forged chain of SEV-SNP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use crate::check::CheckName as N;
use crate::expectations::Expectations;
use crate::policy::{Digest, Launch, Policy};
use crate::snp::forged::{Forgery, expectations};
use crate::verdict::Verdict;
use crate::verify::{verify, verify_against};
use hacher_evidence::emulated::EmulatedRoot;
use hacher_evidence::manifest::{Logs, Protection, Purpose, Trust};
use hacher_evidence::{Evidence, Kind, Manifest};
use std::collections::BTreeSet;

const NONCE: [u8; 64] = [0x4E; 64];
const MANIFEST: &[u8] = include_bytes!("../../evidence/tests/data/manifest.txt");

/// Asserts that these checks have failed and no others, and that a reason holds these words.
#[track_caller]
fn assert_fails(verdict: &Verdict, names: &[N], words: &str) {
    let failed: Vec<N> = verdict.failures().map(|check| check.name).collect();
    let reasons: Vec<String> = verdict
        .failures()
        .map(|check| format!("{}: {}", check.name, check.reason))
        .collect();
    let reasons = reasons.join("\n");
    assert_eq!(failed, names, "{reasons}");
    assert!(reasons.contains(words), "no reason says `{words}`:\n{reasons}");
}

fn manifest() -> Manifest {
    Manifest::decode(MANIFEST).unwrap()
}

/// Evidence of the emulated platform for a manifest.
fn emulated(manifest: &Manifest) -> Evidence {
    let manifest = manifest.encode();
    let root = EmulatedRoot::new(&[7; 32]);
    let data = hacher_evidence::report_data(&NONCE, &manifest);
    Evidence {
        kind: Kind::Emulated,
        report: root.report(&data),
        certificates: Vec::new(),
        service: Vec::new(),
        manifest,
    }
}

fn allowing() -> Expectations<'static> {
    Expectations {
        nonce: Some(NONCE),
        allow_emulated: true,
        ..expectations(&[], &[])
    }
}

fn judge(evidence: &Evidence, policy: &Policy) -> Verdict {
    verify(&evidence.encode(), policy, &allowing())
}

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

#[test]
fn emulated_evidence_passes_only_if_that_is_allowed_and_is_never_called_snp() {
    let evidence = emulated(&manifest());
    let verdict = judge(&evidence, &Policy::default());
    assert!(verdict.passed(), "{verdict:?}");
    let summary = verdict.summary().unwrap();
    assert_eq!(summary.platform, Some(Kind::Emulated));
    assert_eq!(summary.report, None);
    assert_eq!(summary.manifest, Some(manifest()));
    let refused = Expectations {
        allow_emulated: false,
        ..allowing()
    };
    let verdict = verify(&evidence.encode(), &Policy::default(), &refused);
    assert_fails(&verdict, &[N::Platform], "no hardware vouches for anything");
    // Not even a policy that accepts it is enough.
    let accepts = policy(|policy| policy.platforms = vec![Kind::Emulated]);
    assert!(!verify(&evidence.encode(), &accepts, &refused).passed());
    let snp_alone = policy(|policy| policy.platforms = vec![Kind::Snp]);
    assert_fails(
        &judge(&evidence, &snp_alone),
        &[N::Platform],
        "emulated: the policy accepts snp",
    );
    // An emulated report under the name of hardware is no report.
    let disguised = Evidence {
        kind: Kind::Snp,
        ..evidence
    };
    assert_fails(
        &judge(&disguised, &Policy::default()),
        &[N::ReportForm],
        "1184 bytes",
    );
}

#[test]
fn a_stale_nonce_and_another_manifest_are_refused() {
    let evidence = emulated(&manifest());
    let stale = Expectations {
        nonce: Some([0; 64]),
        ..allowing()
    };
    let verdict = verify(&evidence.encode(), &Policy::default(), &stale);
    assert_fails(&verdict, &[N::ReportData], "for another nonce");
    let none = Expectations {
        nonce: None,
        ..allowing()
    };
    let verdict = verify(&evidence.encode(), &Policy::default(), &none);
    assert_fails(&verdict, &[N::ReportData], "there is no nonce to compare with");
    let mut other = manifest();
    other.chains[0].digest[0] ^= 1;
    let exchanged = Evidence {
        manifest: other.encode(),
        ..evidence
    };
    assert_fails(
        &judge(&exchanged, &Policy::default()),
        &[N::ReportData],
        "for another manifest",
    );
}

#[test]
fn evidence_for_a_nonce_that_was_sent_does_not_pass_for_that_of_a_session() {
    let for_session = emulated(&Manifest {
        purpose: Purpose::Session,
        ..manifest()
    });
    let session = Expectations {
        purpose: Purpose::Session,
        ..allowing()
    };
    let verdict = verify(&for_session.encode(), &Policy::default(), &session);
    assert!(verdict.passed(), "{verdict:?}");
    // A client behind somebody who passes its nonce on is given this one.
    let relayed = emulated(&manifest());
    let verdict = verify(&relayed.encode(), &Policy::default(), &session);
    assert_fails(&verdict, &[N::Purpose], "it can have been relayed");
    assert_fails(
        &judge(&for_session, &Policy::default()),
        &[N::Purpose],
        "for a connection of the gateway's",
    );
}

#[test]
fn every_gateway_has_to_have_the_key_that_was_met() {
    let met = |key: [u8; 32]| Expectations {
        tls_key: Some(key),
        ..allowing()
    };
    let mut one = manifest();
    one.chains.truncate(1);
    let judge = |manifest: &Manifest, key| {
        let evidence = emulated(manifest).encode();
        verify(&evidence, &Policy::default(), &met(key))
    };
    let verdict = judge(&one, [0xb4; 32]);
    assert!(verdict.passed(), "{verdict:?}");
    assert_fails(
        &judge(&one, [0xb5; 32]),
        &[N::TlsKey],
        "the gateway of chain `thumbnails` has sha256 b4b4",
    );
    assert_fails(
        &judge(&manifest(), [0xb4; 32]),
        &[N::TlsKey],
        "the gateway of chain `echo` has no TLS key",
    );
    one.chains.clear();
    assert_fails(
        &judge(&one, [0xb4; 32]),
        &[N::TlsKey],
        "the manifest has no gateway",
    );
}

#[test]
fn evidence_is_about_the_chain_that_is_meant_and_no_other() {
    let meant = |name| Expectations {
        chain: Some(name),
        ..allowing()
    };
    let mut one = manifest();
    one.chains.truncate(1);
    let judge = |manifest: &Manifest, name| {
        let evidence = emulated(manifest).encode();
        verify(&evidence, &Policy::default(), &meant(name))
    };
    let verdict = judge(&one, "thumbnails");
    assert!(verdict.passed(), "{verdict:?}");
    assert_fails(
        &judge(&one, "echo"),
        &[N::Chain],
        "`echo` alone is meant, and the manifest is about `thumbnails`",
    );
    assert_fails(
        &judge(&manifest(), "echo"),
        &[N::Chain],
        "is about `thumbnails`, `echo`",
    );
    one.chains.clear();
    assert_fails(&judge(&one, "echo"), &[N::Chain], "is about none");
}

#[test]
fn a_flip_of_any_byte_of_evidence_is_refused() {
    let evidence = emulated(&manifest()).encode();
    for at in 0..evidence.len() {
        let mut altered = evidence.clone();
        altered[at] ^= 0x01;
        let verdict = verify(&altered, &Policy::default(), &allowing());
        assert!(!verdict.passed(), "byte {at}");
    }
    for len in 0..evidence.len() {
        assert!(
            !verify(&evidence[..len], &Policy::default(), &allowing()).passed(),
            "{len}"
        );
    }
}

#[test]
fn a_forged_signature_of_the_emulated_root_is_refused() {
    let mut evidence = emulated(&manifest());
    let last = evidence.report.len() - 1;
    evidence.report[last] ^= 1;
    assert_fails(
        &judge(&evidence, &Policy::default()),
        &[N::EmulatedSignature],
        "signature of the emulated report is wrong",
    );
}

#[test]
fn chains_functions_gateways_and_the_monitor_have_to_be_those_that_are_named() {
    let evidence = emulated(&manifest());
    let all = manifest();
    let digests: BTreeSet<Digest> = all.chains.iter().map(|chain| Digest(chain.digest)).collect();
    let functions: BTreeSet<Digest> = all
        .chains
        .iter()
        .flat_map(|chain| &chain.functions)
        .map(|function| Digest(function.image))
        .collect();
    let gateways: BTreeSet<Digest> = all
        .chains
        .iter()
        .map(|chain| Digest(chain.gateway.image))
        .collect();
    let good = policy(|policy| {
        policy.manifest.chains = digests.clone();
        policy.manifest.functions = functions.clone();
        policy.manifest.gateways = gateways.clone();
        policy.manifest.monitors = BTreeSet::from([Digest(all.monitor)]);
    });
    let verdict = judge(&evidence, &good);
    assert!(verdict.passed(), "{verdict:?}");
    let only_first = |set: &BTreeSet<Digest>| set.iter().take(1).copied().collect::<BTreeSet<_>>();
    let bad = policy(|policy| policy.manifest.chains = only_first(&digests));
    assert_fails(&judge(&evidence, &bad), &[N::ChainDigest], "chain `echo` is c1c1");
    let bad = policy(|policy| {
        policy.manifest.functions = only_first(&functions);
        policy.manifest.gateways = gateways.clone();
    });
    assert_fails(
        &judge(&evidence, &bad),
        &[N::Functions],
        "`pack` of chain `thumbnails` is b6b6",
    );
    let bad = policy(|policy| policy.manifest.gateways = only_first(&gateways));
    assert_fails(&judge(&evidence, &bad), &[N::Gateway], "that of chain `echo`");
    let bad = policy(|policy| policy.manifest.monitors = only_first(&digests));
    assert_fails(&judge(&evidence, &bad), &[N::Monitor], "the monitor is a1a1");
    let own = policy(|policy| policy.manifest.demands_own_gateway = true);
    assert_fails(&judge(&evidence, &own), &[N::Gateway], "shared is that of `echo`");
}

#[test]
fn functions_behind_whatever_gateway_are_refused() {
    let evidence = emulated(&manifest());
    let all = manifest();
    let images = |chain: &hacher_evidence::manifest::Chain| {
        let functions = chain.functions.iter().map(|function| Digest(function.image));
        functions.collect::<Vec<_>>()
    };
    let functions: BTreeSet<Digest> = all.chains.iter().flat_map(images).collect();
    let open = policy(|policy| policy.manifest.functions = functions.clone());
    assert!(!open.manifest.names_chains());
    assert_fails(&judge(&evidence, &open), &[N::Gateway], "any gateway");
    // A digest says which one.
    let digests: BTreeSet<Digest> = all.chains.iter().map(|chain| Digest(chain.digest)).collect();
    let named = policy(|policy| {
        policy.manifest.functions = functions;
        policy.manifest.chains = digests;
    });
    assert!(named.manifest.names_chains() && judge(&evidence, &named).passed());
    assert!(
        !policy(|policy| policy.snp.launch = Launch::Any)
            .manifest
            .names_chains()
    );
}

#[test]
fn a_manifest_without_chains_has_no_digest_that_is_demanded() {
    let mut empty = manifest();
    empty.chains.clear();
    let demands = policy(|policy| policy.manifest.chains = BTreeSet::from([Digest([1; 48])]));
    assert_fails(
        &judge(&emulated(&empty), &demands),
        &[N::ChainDigest],
        "the manifest has none",
    );
}

#[test]
fn layers_logs_protections_and_trust_have_to_be_as_demanded() {
    let evidence = emulated(&manifest());
    let layers = policy(|policy| {
        policy.manifest.layers = ["user-namespace", "landlock", "moat"].map(str::to_owned).into();
    });
    assert_fails(
        &judge(&evidence, &layers),
        &[N::Layers],
        "demanded and not in force: landlock, moat",
    );
    let logs = policy(|policy| policy.manifest.demands_dropped_logs = true);
    assert_fails(
        &judge(&evidence, &logs),
        &[N::Logs],
        "`pack` of chain `thumbnails`",
    );
    let sealed = policy(|policy| policy.manifest.demands_sealed_edges = true);
    assert_fails(
        &judge(&evidence, &sealed),
        &[N::Protections],
        "decode -> pack of chain `thumbnails`",
    );
    let hardware = policy(|policy| policy.manifest.demands_hardware_trust = true);
    assert_fails(
        &judge(&evidence, &hardware),
        &[N::ManifestPlatform],
        "the operating system",
    );
    let mut good = manifest();
    for chain in &mut good.chains {
        chain
            .functions
            .iter_mut()
            .for_each(|function| function.logs = Logs::Dropped);
        chain
            .edges
            .iter_mut()
            .for_each(|edge| edge.protection = Protection::Sealed);
    }
    let both = policy(|policy| {
        policy.manifest.demands_dropped_logs = true;
        policy.manifest.demands_sealed_edges = true;
        policy.manifest.layers = ["user-namespace".to_owned()].into();
    });
    let verdict = judge(&emulated(&good), &both);
    assert!(verdict.passed(), "{verdict:?}");
}

#[test]
fn emulated_evidence_cannot_speak_of_hardware() {
    let mut claims = manifest();
    claims.trust = Trust::Hardware;
    assert_fails(
        &judge(&emulated(&claims), &Policy::default()),
        &[N::ManifestPlatform],
        "no hardware vouches for it",
    );
}

#[test]
fn what_is_no_evidence_or_no_manifest_is_refused() {
    let verdict = verify(b"nonsense", &Policy::default(), &allowing());
    assert_fails(&verdict, &[N::EvidenceForm], "this is not evidence");
    let mut evidence = emulated(&manifest());
    evidence.manifest = [MANIFEST, b"\n"].concat();
    let data = hacher_evidence::report_data(&NONCE, &evidence.manifest);
    evidence.report = EmulatedRoot::new(&[7; 32]).report(&data);
    let verdict = judge(&evidence, &Policy::default());
    assert_eq!(verdict.failures().next().unwrap().name, N::ManifestForm);
}

/// Evidence of SEV-SNP under a forged chain, with the certificates in it.
fn snp(kind: Kind, forgery: Forgery) -> (Evidence, crate::snp::Roots) {
    let mut evidence = Evidence {
        kind,
        report: Vec::new(),
        certificates: Vec::new(),
        service: match kind {
            Kind::SnpSvsm => b"what the SVSM says of its services".to_vec(),
            Kind::Snp | Kind::Emulated => Vec::new(),
        },
        manifest: MANIFEST.to_vec(),
    };
    let forged = Forgery {
        report_data: evidence.expected_report_data(&NONCE),
        ..forgery
    }
    .make();
    evidence.report.clone_from(&forged.report);
    evidence.certificates = forged.table();
    (evidence, forged.roots())
}

fn launched() -> Policy {
    policy(|policy| policy.snp.launch = Launch::OneOf(BTreeSet::from([Digest([0x3E; 48])])))
}

#[test]
fn evidence_of_hardware_passes_with_the_certificates_in_it() {
    for kind in [Kind::Snp, Kind::SnpSvsm] {
        let (evidence, roots) = snp(kind, Forgery::default());
        let expected = Expectations {
            allow_emulated: false,
            ..allowing()
        };
        let verdict = verify_against(&roots, &evidence.encode(), &launched(), &expected);
        assert!(verdict.passed(), "{verdict:?}");
        let summary = verdict.summary().unwrap();
        assert_eq!(summary.platform, Some(kind));
        assert_eq!(
            summary.report.as_ref().unwrap().launch_measurement,
            Digest([0x3E; 48])
        );
        let stale = Expectations {
            nonce: Some([1; 64]),
            ..expected
        };
        let verdict = verify_against(&roots, &evidence.encode(), &launched(), &stale);
        assert_fails(&verdict, &[N::ReportData], "for another nonce");
        let verdict = verify(&evidence.encode(), &launched(), &expected);
        assert_fails(&verdict, &[N::CertificateRoot], "the chain is forged");
    }
}

#[test]
fn a_manifest_is_worth_nothing_if_anything_may_have_been_launched() {
    let (evidence, roots) = snp(Kind::Snp, Forgery::default());
    let verdict = verify_against(&roots, &evidence.encode(), &Policy::default(), &allowing());
    assert_fails(
        &verdict,
        &[N::LaunchMeasurement],
        "could have made the same manifest",
    );
    let any = policy(|policy| policy.snp.launch = Launch::Any);
    assert!(verify_against(&roots, &evidence.encode(), &any, &allowing()).passed());
}

#[test]
fn the_manifest_of_the_svsm_is_bound_too() {
    let (mut evidence, roots) = snp(Kind::SnpSvsm, Forgery::default());
    evidence.service[0] ^= 1;
    let verdict = verify_against(&roots, &evidence.encode(), &launched(), &allowing());
    assert_fails(&verdict, &[N::ReportData], "for another nonce");
}

#[test]
fn a_table_of_certificates_that_points_past_its_end_is_refused() {
    let (mut evidence, roots) = snp(Kind::Snp, Forgery::default());
    evidence.certificates[20] = 0xFF;
    evidence.certificates[23] = 0xFF;
    let verdict = verify_against(&roots, &evidence.encode(), &launched(), &allowing());
    assert!(
        verdict
            .failures()
            .any(|check| check.name == N::Certificates && check.reason.contains("the table of certificates"))
    );
}

#[test]
fn a_table_of_certificates_that_overlap_or_are_out_of_order_is_refused() {
    let (evidence, roots) = snp(Kind::Snp, Forgery::default());
    let good = evidence.certificates.clone();
    let number = |table: &[u8], at: usize| u32::from_le_bytes(table[at..at + 4].try_into().unwrap());
    let judge = |table: Vec<u8>| {
        let evidence = Evidence {
            certificates: table,
            ..evidence.clone()
        };
        verify_against(&roots, &evidence.encode(), &launched(), &allowing())
    };
    assert!(judge(good.clone()).passed());
    // Two entries change places; one begins in the one before it, by a byte; the first begins in the entries.
    let mut swapped = good.clone();
    swapped[..48].rotate_left(24);
    let mut overlapping = good.clone();
    let earlier = number(&good, 40) - 1;
    overlapping[40..44].copy_from_slice(&earlier.to_le_bytes());
    let mut within = good;
    within[16..20].copy_from_slice(&23_u32.to_le_bytes());
    for table in [swapped, overlapping, within] {
        let verdict = judge(table);
        assert!(
            verdict
                .failures()
                .any(|check| check.name == N::Certificates
                    && check.reason.contains("within what comes before")),
            "{verdict:?}"
        );
    }
    let endless = vec![1; 24 * 300];
    assert!(
        judge(endless)
            .failures()
            .any(|check| check.name == N::Certificates && check.reason.contains("has no end"))
    );
}

#[test]
fn the_level_of_a_report_through_an_svsm_is_the_one_that_the_policy_demands() {
    let at = |vmpl, vmpls: &[u8]| {
        let forgery = Forgery {
            vmpl,
            ..Forgery::default()
        };
        let (evidence, roots) = snp(Kind::SnpSvsm, forgery);
        let mut policy = launched();
        policy.snp.vmpls = vmpls.iter().copied().collect();
        verify_against(&roots, &evidence.encode(), &policy, &allowing())
    };
    let default: Vec<u8> = Policy::default().snp.vmpls.into_iter().collect();
    assert!(at(0, &default).passed());
    assert_fails(
        &at(2, &default),
        &[N::Vmpl],
        "asked for at level 2, and the policy demands 0",
    );
    assert!(at(2, &[2]).passed());
    assert_fails(
        &at(0, &[2]),
        &[N::Vmpl],
        "asked for at level 0, and the policy demands 2",
    );
}

#[test]
fn names_of_checks_are_distinct_and_in_the_order_of_a_verdict() {
    let names: BTreeSet<&str> = N::ALL.iter().map(|name| name.as_str()).collect();
    assert_eq!(names.len(), N::ALL.len());
    assert!(N::ALL.is_sorted());
}
