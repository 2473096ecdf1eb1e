//! Each check of a report fails for its own reason, with everything else right; and real reports pass.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod forgeries;
mod real;
mod revocation;
mod vectors;

use crate::check::CheckName;
use crate::verdict::Verdict;

/// Asserts that these checks have failed and no others, and that the first reason holds these words.
#[track_caller]
fn assert_fails(verdict: &Verdict, names: &[CheckName], words: &str) {
    let failed: Vec<CheckName> = verdict.failures().map(|check| check.name).collect();
    let reasons: Vec<String> = verdict
        .failures()
        .map(|check| format!("{}: {}", check.name, check.reason))
        .collect();
    assert_eq!(failed, names, "{}", reasons.join("\n"));
    assert!(
        reasons.iter().any(|reason| reason.contains(words)),
        "no reason says `{words}`:\n{}",
        reasons.join("\n")
    );
    assert!(verdict.summary().is_none());
}

/// Asserts that nothing has failed.
#[track_caller]
fn assert_passes(verdict: &Verdict) {
    let reasons: Vec<String> = verdict
        .failures()
        .map(|check| format!("{}: {}", check.name, check.reason))
        .collect();
    assert!(verdict.passed(), "{}", reasons.join("\n"));
}
