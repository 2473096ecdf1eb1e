//! What came of verifying evidence, for people and for programs.

use crate::table::{Align, Table};
use hacher_trustlet_host::evidence::manifest::Trust;
use hacher_verifier::{Check, Digest, Kind, Manifest, Outcome, ReportSummary, Summary, Tcb, Verdict};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Every check with its outcome and reason, and what was proven if none has failed; of `subject`.
#[must_use]
pub fn in_words(subject: &str, verdict: &Verdict) -> String {
    let failures = verdict.failures().count();
    let mut text = match failures {
        0 => format!("{subject}: verified\n\n"),
        _ => format!(
            "{subject}: refused, {failures} of {} checks failed\n\n",
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
        let _ = writeln!(
            text,
            "  report    version {}, VMPL {}, signed by {}",
            report.version,
            report.vmpl,
            report.signing_key.as_str()
        );
        for (which, tcb) in [
            ("reported ", &report.reported_tcb),
            ("committed", &report.committed_tcb),
        ] {
            if let Some(tcb) = tcb {
                let parts: Vec<String> = tcb
                    .parts()
                    .map(|(name, version)| format!("{name} {version}"))
                    .collect();
                let _ = writeln!(text, "  {which} {}", parts.join(", "));
            }
        }
        let _ = writeln!(text, "  launch    {}", report.launch_measurement);
    }
    for chain in manifest.iter().flat_map(|manifest| &manifest.chains) {
        let _ = writeln!(
            text,
            "  chain     {} {}, digest {}",
            chain.name,
            chain.version,
            Digest(chain.digest)
        );
    }
    if let Some(manifest) = manifest {
        let _ = writeln!(
            text,
            "  monitor   {} platform, trust {}",
            manifest.platform.as_str(),
            manifest.trust.word()
        );
        text.push_str(&seen_by(manifest));
    }
    if *platform == Some(Kind::Emulated) {
        text.push_str(
            "\nwarning: the evidence was emulated. It is consistent, but proves nothing: anyone who controls that machine can have made it.\n",
        );
    }
    text
}

/// Who has data in the clear, if the manifest is true.
fn seen_by(manifest: &Manifest) -> String {
    let mut text = "\n  Data that is sealed for it is seen in the clear by\n".to_owned();
    for chain in &manifest.chains {
        let gateway = match chain.gateway.is_own {
            true => "its gateway, which serves this chain alone",
            false => "its gateway, which may serve other chains, too",
        };
        let _ = writeln!(text, "    {gateway}: {}", Digest(chain.gateway.image));
        for function in chain.functions.iter().filter(|function| !function.is_carrier) {
            let _ = writeln!(text, "    function {}: {}", function.name, Digest(function.image));
        }
    }
    text.push_str("    the monitor, which has the keys\n");
    if manifest.trust == Trust::OperatingSystem {
        text.push_str("    the operating system of that machine, and anyone who is root on it\n");
    }
    text.push_str("  and not by the daemon, nor by what ends TLS on the way.\n");
    text
}

/// The same, as data, with what else the reader is told.
pub fn data<'n>(verdict: &Verdict, more: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
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
    let mut data = json!({
        "passed": verdict.passed(), "checks": checks,
        "platform": summary.and_then(|summary| summary.platform).map(|platform| platform.word()),
        "report": summary.and_then(|summary| summary.report.as_ref()).map(report_data),
        "manifest": summary.and_then(|summary| summary.manifest.as_ref()).map(manifest_data),
    });
    if let Some(data) = data.as_object_mut() {
        data.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    data
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
                "digest": Digest(chain.digest).to_string(),
            })
        })
        .collect();
    json!({
        "platform": manifest.platform.as_str(), "trust": manifest.trust.word(), "chains": chains, "lines": lines,
    })
}
