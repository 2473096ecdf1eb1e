//! Evidence, examined from end to end.

use crate::check::CheckName::{Certificates, EmulatedSignature, EvidenceForm, Platform, ReportData};
use crate::check::Checks;
use crate::expectations::Expectations;
use crate::manifest_checks::check_manifest;
use crate::policy::Policy;
use crate::snp::{self, ReportSummary, Roots, certificate_table};
use crate::verdict::{Summary, Verdict};
use hacher_evidence::emulated::{self, EmulatedError};
use hacher_evidence::{Evidence, Kind};

/// Says whether evidence proves what a policy demands.
#[must_use]
pub fn verify(evidence: &[u8], policy: &Policy, expectations: &Expectations<'_>) -> Verdict {
    verify_against(&Roots::amd(), evidence, policy, expectations)
}

/// Says whether a bare report of SEV-SNP, of whatever service, proves what a policy demands: all of it but
/// for the manifest. The nonce of the expectations is the whole REPORT_DATA.
#[must_use]
pub fn verify_report(report: &[u8], policy: &Policy, expectations: &Expectations<'_>) -> Verdict {
    verify_report_against(&Roots::amd(), report, policy, expectations)
}

/// As [`verify_report`], with other roots: tests have their own.
pub(crate) fn verify_report_against(
    roots: &Roots,
    report: &[u8],
    policy: &Policy,
    expectations: &Expectations<'_>,
) -> Verdict {
    let mut checks = Checks::default();
    let certificates = expectations.certificates;
    let judged = snp::judge(
        report,
        certificates,
        roots,
        &policy.snp,
        expectations,
        false,
        &mut checks,
    );
    let summary = judged.map(|(report, summary)| {
        match expectations.nonce {
            None => checks.skip(ReportData, "none is demanded"),
            Some(expected) if expected == *report.report_data() => {
                checks.pass(ReportData, "as demanded");
            }
            Some(_) => checks.fail(
                ReportData,
                "the report was made for other report data: it is not the answer to this challenge",
            ),
        }
        Summary {
            platform: None,
            report: Some(summary),
            manifest: None,
        }
    });
    Verdict::new(checks.finish(), summary)
}

/// As [`verify`], with other roots: tests have their own.
pub(crate) fn verify_against(
    roots: &Roots,
    evidence: &[u8],
    policy: &Policy,
    expectations: &Expectations<'_>,
) -> Verdict {
    let mut checks = Checks::default();
    let evidence = match Evidence::decode(evidence) {
        Ok(evidence) => evidence,
        Err(error) => {
            checks.fail(EvidenceForm, error.to_string());
            return Verdict::new(checks.finish(), None);
        }
    };
    let kind = evidence.kind;
    checks.pass(EvidenceForm, format!("evidence of the kind {}", kind.word()));
    checks.put(Platform, is_platform_accepted(kind, policy, expectations));
    let report = match kind {
        Kind::Emulated => {
            check_emulated(&evidence, expectations, &mut checks);
            None
        }
        Kind::Snp | Kind::SnpSvsm => check_snp(roots, &evidence, policy, expectations, &mut checks),
    };
    let manifest = check_manifest(&evidence, policy, expectations, &mut checks);
    let summary = manifest.map(|manifest| Summary {
        platform: Some(kind),
        report,
        manifest: Some(manifest),
    });
    Verdict::new(checks.finish(), summary)
}

fn is_platform_accepted(
    kind: Kind,
    policy: &Policy,
    expectations: &Expectations<'_>,
) -> Result<String, String> {
    let is_in_policy = policy.platforms.is_empty() || policy.platforms.contains(&kind);
    let mut faults = Vec::new();
    if kind == Kind::Emulated && !expectations.allow_emulated {
        faults.push(
            "no hardware vouches for anything, and this was not explicitly allowed (`--allow-emulated`)"
                .to_owned(),
        );
    }
    if !is_in_policy {
        let accepted: Vec<&str> = policy.platforms.iter().map(|kind| kind.word()).collect();
        faults.push(format!("the policy accepts {}", accepted.join(", ")));
    }
    if !faults.is_empty() {
        return Err(format!("{}: {}", kind.word(), faults.join("; and ")));
    }
    Ok(match kind {
        Kind::Emulated => {
            "emulated: no hardware vouches for anything, and this was explicitly allowed".to_owned()
        }
        Kind::Snp | Kind::SnpSvsm => kind.word().to_owned(),
    })
}

/// Why report data differ from what they have to be.
const FOR_ANOTHER: &str =
    "the report was made for another nonce, which makes this a replay, or for another manifest";

fn check_emulated(evidence: &Evidence, expectations: &Expectations<'_>, checks: &mut Checks) {
    // What nobody has sent cannot be expected; the signature is looked at all the same.
    let nonce = expectations.nonce.unwrap_or([0; 64]);
    let expected = evidence.expected_report_data(&nonce);
    let verified = emulated::verify(&evidence.report, &expected);
    checks.put(
        EmulatedSignature,
        match verified {
            Ok(_) | Err(EmulatedError::ReportData) => {
                Ok("signed by a throw-away root of the service itself".to_owned())
            }
            Err(error) => Err(error.to_string()),
        },
    );
    let is_over = match verified {
        Ok(_) => true,
        Err(EmulatedError::ReportData) => false,
        Err(_) => {
            checks.skip(ReportData, "the report cannot be relied on");
            return;
        }
    };
    check_report_data(is_over, expectations, checks);
}

fn check_report_data(is_expected: bool, expectations: &Expectations<'_>, checks: &mut Checks) {
    match (expectations.nonce, is_expected) {
        (None, _) => checks.fail(
            ReportData,
            "there is no nonce to compare with, so this could be a replay",
        ),
        (Some(_), true) => checks.pass(ReportData, "of this nonce and this manifest"),
        (Some(_), false) => checks.fail(ReportData, FOR_ANOTHER),
    }
}

fn check_snp(
    roots: &Roots,
    evidence: &Evidence,
    policy: &Policy,
    expectations: &Expectations<'_>,
    checks: &mut Checks,
) -> Option<ReportSummary> {
    let mut certificates = match certificate_table(&evidence.certificates) {
        Ok(certificates) => certificates,
        Err(error) => {
            checks.fail(Certificates, error);
            Vec::new()
        }
    };
    certificates.extend_from_slice(expectations.certificates);
    let judged = snp::judge(
        &evidence.report,
        &certificates,
        roots,
        &policy.snp,
        expectations,
        true,
        checks,
    );
    let (report, summary) = judged?;
    let expected = evidence.expected_report_data(&expectations.nonce.unwrap_or([0; 64]));
    check_report_data(expected == *report.report_data(), expectations, checks);
    Some(summary)
}
