//! Why there is no report.

use std::io;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The kernel refused a step.
    #[error("{what}: {error}")]
    Os {
        /// Which.
        what: &'static str,
        /// What it said.
        #[source]
        error: io::Error,
    },
    /// The firmware, or the host, refused.
    #[error("the firmware refused a report, with status {status:#x}")]
    Firmware {
        /// What it said (AMD 56860, status codes); the host's reasons stand in the upper half.
        status: u64,
    },
    /// Of another kind than is known here.
    #[error("reports of this machine are made by `{0}`; only those of `sev_guest` are known")]
    Provider(String),
    /// Somebody else used the same entry meanwhile.
    #[error("somebody else asked through the same entry meanwhile")]
    Disturbed,
    /// The report is over something else than was asked for.
    #[error("the report that came is over other data than was asked for")]
    OtherData,
    /// What was answered is no report.
    #[error("what was answered is not a report: {0}")]
    Malformed(&'static str),
}

impl ReportError {
    pub(super) fn os(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Os { what, error }
    }

    /// Whether trying again can help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Os { error, .. } => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy | io::ErrorKind::Interrupted
            ),
            Self::Disturbed => true,
            Self::Firmware { .. } | Self::Provider(_) | Self::OtherData | Self::Malformed(_) => false,
        }
    }
}
