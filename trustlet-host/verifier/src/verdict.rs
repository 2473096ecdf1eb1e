//! What comes out.

use crate::check::{Check, Outcome};
use crate::snp::ReportSummary;
use hacher_evidence::{Kind, Manifest};

/// All checks, and what was proven if none has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    checks: Vec<Check>,
    summary: Option<Summary>,
}

/// What evidence proves that has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// What vouches; nothing for a bare report.
    pub platform: Option<Kind>,
    /// The report, if hardware has made it.
    pub report: Option<ReportSummary>,
    /// What the monitor says; nothing for a bare report.
    pub manifest: Option<Manifest>,
}

impl Verdict {
    /// Keeps the summary only if all is well, so that nobody reads what is not proven.
    pub(crate) fn new((checks, passed): (Vec<Check>, bool), summary: Option<Summary>) -> Self {
        Self {
            checks,
            summary: summary.filter(|_| passed),
        }
    }

    /// Whether no check has failed.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.summary.is_some()
    }

    /// All checks, in the order of [`crate::CheckName`].
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The checks that have failed.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks
            .iter()
            .filter(|check| check.outcome == Outcome::Failed)
    }

    /// What was proven; nothing if a check has failed.
    #[must_use]
    pub const fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }
}
