//! `verify`: whether evidence proves what is demanded, offline.

use super::{Failed, complain, print, print_json, stderr_has_colours};
use crate::cli::{Format, VerifyArgs};
use crate::table::{Align, Table};
use crate::{given, policy};
use hacher_verifier::{
    Check, Expectations, Manifest, Outcome, Policy, Purpose, ReportSummary, Summary, Tcb, UnixTime, Verdict,
    tls_key, verify as verify_evidence, verify_report,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Prints every check with its outcome and reason, and what was proven if none has failed.
///
/// # Errors
/// When a file cannot be read, or a check has failed.
pub fn verify(arguments: &VerifyArgs) -> Result<(), Failed> {
    let policy = policy_of(arguments)?;
    let evidence = given::read(&arguments.evidence)?;
    if given::looks_like_report(&evidence) && !arguments.report {
        complain("note: this looks like a bare report of SEV-SNP, which --report is for\n")?;
    }
    let certificates = given::certificates(&arguments.certificates)?;
    let certificates: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
    let lists = given::revocation_lists(&arguments.revocation_list)?;
    let lists: Vec<&[u8]> = lists.iter().map(Vec::as_slice).collect();
    let expectations = Expectations {
        nonce: arguments.nonce,
        purpose: match arguments.session {
            true => Purpose::Session,
            false => Purpose::Nonce,
        },
        tls_key: arguments.tls_certificate.as_deref().map(key_of).transpose()?,
        chain: arguments.chain.as_deref(),
        time: arguments.at.map_or_else(now, Ok)?,
        certificates: &certificates,
        revocation_lists: &lists,
        allow_emulated: arguments.allow_emulated,
    };
    let verdict = match arguments.report {
        true => verify_report(&evidence, &policy, &expectations),
        false => verify_evidence(&evidence, &policy, &expectations),
    };
    match arguments.format.format {
        Format::Human => print(&human(arguments, &verdict))?,
        Format::Json => print_json(&data(arguments, &verdict, expectations.time))?,
    }
    match verdict.passed() {
        true => Ok(()),
        false => Err(Failed::reported()),
    }
}

/// The key of the certificate that was met: the first one of the file, as a server sends its own first.
fn key_of(path: &Path) -> Result<[u8; 32], Failed> {
    let certificates = given::certificates(&[path.to_owned()])?;
    let own = certificates.first().map_or(&[][..], Vec::as_slice);
    tls_key(own).map_err(|error| {
        Failed::new(format!(
            "`{}` has no certificate to compare with: {error}",
            path.display()
        ))
    })
}

fn now() -> Result<UnixTime, Failed> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since
        .map(|since| UnixTime(since.as_secs()))
        .map_err(|_| Failed::new("the clock of this machine is before 1970: give the time with --at"))
}

/// The policy of the file, with the digests of the command line.
fn policy_of(arguments: &VerifyArgs) -> Result<Policy, Failed> {
    let mut policy = match &arguments.policy {
        None => Policy::default(),
        Some(path) => {
            let bytes = given::read(path)?;
            let read = policy::read(&bytes, &path.display().to_string());
            read.map_err(|problems| {
                let said = match arguments.format.format {
                    Format::Human => complain(&problems.render(stderr_has_colours())),
                    Format::Json => print_json(&serde_json::to_value(&problems).unwrap_or(Value::Null)),
                };
                said.err().unwrap_or_else(Failed::reported)
            })?
        }
    };
    let expected: BTreeSet<_> = arguments.expect_digest.iter().copied().collect();
    let accepted = &mut policy.manifest.chains;
    if let Some(stranger) = expected
        .iter()
        .find(|digest| !accepted.is_empty() && !accepted.contains(digest))
    {
        return Err(Failed::new(format!(
            "--expect-digest {stranger} is none of the digests that the policy accepts"
        )));
    }
    if !expected.is_empty() {
        *accepted = expected;
    }
    Ok(policy)
}

fn human(arguments: &VerifyArgs, verdict: &Verdict) -> String {
    let failures = verdict.failures().count();
    let mut text = match failures {
        0 => format!("{}: verified\n\n", arguments.evidence.display()),
        _ => format!(
            "{}: refused, {failures} of {} checks failed\n\n",
            arguments.evidence.display(),
            verdict.checks().len()
        ),
    };
    let mut table = Table::new(&[("", Align::Left), ("check", Align::Left), ("", Align::Left)]);
    for Check {
        name,
        outcome,
        reason,
    } in verdict.checks()
    {
        let outcome = match outcome {
            Outcome::Failed => "FAILED",
            other => other.as_str(),
        };
        table.row([outcome.to_owned(), name.to_string(), reason.clone()]);
    }
    text.push_str(&table.render());
    if let Some(summary) = verdict.summary() {
        text.push_str(&summary_in_words(summary));
    }
    text
}

fn summary_in_words(summary: &Summary) -> String {
    let mut text = "\n".to_owned();
    let Summary {
        platform,
        report,
        manifest,
    } = summary;
    if let Some(platform) = platform {
        let _ = writeln!(text, "  platform  {}", platform.word());
    }
    if let Some(report) = report {
        let generation = report
            .generation
            .map_or("unknown generation", |generation| generation.as_str());
        let _ = writeln!(text, "  chip      {generation}, {}", report.chip);
        let _ = writeln!(text, "  launch    {}", report.launch_measurement);
    }
    for chain in manifest.iter().flat_map(|manifest| &manifest.chains) {
        let _ = writeln!(
            text,
            "  chain     {} {}: {} functions, {} edges, digest {}",
            chain.name,
            chain.version,
            chain.functions.len(),
            chain.edges.len(),
            hacher_verifier::Digest(chain.digest)
        );
    }
    text
}

fn data(arguments: &VerifyArgs, verdict: &Verdict, time: UnixTime) -> Value {
    let checks: Vec<Value> = verdict
        .checks()
        .iter()
        .map(|check| {
            json!({
                "name": check.name.as_str(), "outcome": check.outcome.as_str(), "reason": check.reason,
            })
        })
        .collect();
    let summary = verdict.summary();
    json!({
        "file": arguments.evidence, "passed": verdict.passed(), "time": time.to_string(), "checks": checks,
        "platform": summary.and_then(|summary| summary.platform).map(|platform| platform.word()),
        "report": summary.and_then(|summary| summary.report.as_ref()).map(report_data),
        "manifest": summary.and_then(|summary| summary.manifest.as_ref()).map(manifest_data),
    })
}

fn report_data(report: &ReportSummary) -> Value {
    let tcb = |tcb: &Option<Tcb>| {
        tcb.as_ref().map(|tcb| {
            let parts = tcb
                .parts()
                .map(|(name, version)| (name.to_owned(), json!(version)));
            Value::Object(parts.collect())
        })
    };
    json!({
        "version": report.version, "generation": report.generation.map(|generation| generation.as_str()),
        "chip": report.chip.to_string(), "signing_key": report.signing_key.as_str(),
        "reported_tcb": tcb(&report.reported_tcb), "committed_tcb": tcb(&report.committed_tcb),
        "vmpl": report.vmpl, "launch_measurement": report.launch_measurement.to_string(),
    })
}

/// The manifest's own lines: they are its one encoding, and short.
fn manifest_data(manifest: &Manifest) -> Value {
    let text = manifest.encode();
    let lines: Vec<_> = String::from_utf8_lossy(&text)
        .lines()
        .map(str::to_owned)
        .collect();
    let chains: Vec<Value> = manifest
        .chains
        .iter()
        .map(|chain| {
            json!({
                "name": chain.name.as_str(), "version": chain.version.as_str(),
                "digest": hacher_verifier::Digest(chain.digest).to_string(),
            })
        })
        .collect();
    json!({
        "platform": manifest.platform.as_str(), "trust": manifest.trust.word(), "chains": chains, "lines": lines,
    })
}
