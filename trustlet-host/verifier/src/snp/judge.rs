//! A report of SEV-SNP, examined from end to end.

use super::chain::{Chain, read_certificates};
use super::chip_checks::{check_accepted_chip, check_certified_chip, generation};
use super::generation::Generation;
use super::guest_checks::{check_guest, check_signing_key};
use super::report::{ChipId, Report, SigningKey};
use super::root::Roots;
use super::tcb::Tcb;
use super::tcb_checks::{check_certified_tcb, check_floors, committed, reported};
use crate::check::CheckName::{Processor, ReportForm};
use crate::check::Checks;
use crate::expectations::Expectations;
use crate::policy::{Digest, SnpPolicy};

/// What a report says, for whoever has a verdict that it passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSummary {
    /// The version of the report's layout.
    pub version: u32,
    /// The generation of the processor.
    pub generation: Option<Generation>,
    /// The chip.
    pub chip: ChipId,
    /// The key that signed the report.
    pub signing_key: SigningKey,
    /// The TCB that the signing key is for.
    pub reported_tcb: Option<Tcb>,
    /// The TCB that the host can no longer fall behind.
    pub committed_tcb: Option<Tcb>,
    /// The privilege level that asked for the report.
    pub vmpl: u32,
    /// What the guest was launched with.
    pub launch_measurement: Digest,
}

/// Examines a report: `certificates` are all that there are, those of the caller and those of the evidence.
/// Nothing if the bytes are no report. The report data is not looked at.
pub(crate) fn judge(
    bytes: &[u8],
    certificates: &[&[u8]],
    roots: &Roots,
    policy: &SnpPolicy,
    expectations: &Expectations<'_>,
    has_manifest: bool,
    checks: &mut Checks,
) -> Option<(Report, ReportSummary)> {
    let report = match Report::read(bytes) {
        Ok(report) => report,
        Err(error) => {
            checks.fail(ReportForm, error.to_string());
            return None;
        }
    };
    checks.pass(ReportForm, format!("version {}", report.version()));
    check_signing_key(&report, policy, checks);
    let certificates = read_certificates(certificates, checks);
    let chain = Chain::find(&report, &certificates, roots, policy, expectations, checks);
    match &chain {
        Some(chain) => {
            check_certified_tcb(&report, chain, checks);
            check_certified_chip(&report, chain, policy, checks);
        }
        None => checks.skip(Processor, "there are no certificates to compare it with"),
    }
    let generation = generation(&report, chain.as_ref());
    check_accepted_chip(&report, generation, policy, checks);
    check_floors(&report, generation, policy, checks);
    check_guest(&report, policy, has_manifest, checks);
    let summary = ReportSummary {
        version: report.version(),
        generation,
        chip: report.chip(),
        signing_key: report.signing_key(),
        reported_tcb: generation.and_then(|generation| reported(&report, generation)),
        committed_tcb: generation.and_then(|generation| committed(&report, generation)),
        vmpl: report.vmpl(),
        launch_measurement: Digest(*report.launch_measurement()),
    };
    Some((report, summary))
}
