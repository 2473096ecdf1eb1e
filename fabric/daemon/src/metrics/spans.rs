//! What became of spans that were not exported.

use super::figures::{SPANS_DROPPED, SPANS_EXPORTED};

/// Why a span is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// The collector does not take spans as fast as they come.
    QueueFull,
    /// The collector does not want them.
    Refused,
    /// An instance wrote spans faster than they were read.
    Overwritten,
    /// More was told of requests that have not ended than is kept.
    TooMany,
    /// The service stopped before they were sent.
    Stopped,
}

impl Dropped {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::QueueFull,
        Self::Refused,
        Self::Overwritten,
        Self::TooMany,
        Self::Stopped,
    ];

    /// The word for it, as a metric label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Refused => "refused",
            Self::Overwritten => "overwritten",
            Self::TooMany => "too_many",
            Self::Stopped => "stopped",
        }
    }

    /// Adds to the count of spans dropped for this reason.
    pub(crate) fn count(self, spans: u64) {
        metrics::counter!(SPANS_DROPPED.name, "reason" => self.label()).increment(spans);
    }
}

/// Makes sure that both counters are there before there is anything to count.
pub(super) fn begin_counting() {
    metrics::counter!(SPANS_EXPORTED.name).increment(0);
    for reason in Dropped::ALL {
        reason.count(0);
    }
}
