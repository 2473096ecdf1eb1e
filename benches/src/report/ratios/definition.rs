//! What a ratio is made of.

use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// What a ratio should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Not greater than this.
    AtMost(f64),
    /// The numerator, in nanoseconds, not greater than the denominator and this.
    AtMostMore {
        /// Nanoseconds.
        ns: f64,
    },
    /// Not less than this.
    AtLeast(f64),
    /// Not less than `ratio`, or else the numerator by itself not less than `or_per_s` in a second.
    AtLeastOr {
        /// The least ratio.
        ratio: f64,
        /// The least rate.
        or_per_s: f64,
    },
}

impl Target {
    /// Whether a ratio, and what stands above its line, are so.
    pub(super) fn is_met(self, value: f64, numerator: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtMostMore { ns } => numerator - numerator / value <= ns,
            Self::AtLeast(least) => value >= least,
            Self::AtLeastOr { ratio, or_per_s } => value >= ratio || numerator >= or_per_s,
        }
    }
}

/// What to compute, over all payloads of a range that were measured.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: &'static str,
    pub(super) numerator: Figure,
    pub(super) denominator: Figure,
    pub(super) payloads: RangeInclusive<u64>,
    pub(super) hops: u32,
    pub(super) target: Option<Target>,
}

/// A number made of rows.
#[derive(Debug)]
pub(super) enum Figure {
    /// A quantile of one row, in nanoseconds.
    Time(Quantile, Select),
    /// The medians of several rows, one after the other.
    Sum(&'static [Select]),
    /// What one function more adds to a chain's median, between two lengths, and these medians besides.
    PerFunction {
        chain: Select,
        from: u32,
        to: u32,
        besides: &'static [Select],
    },
    /// Records in a second of one row.
    RecordsPerS(Select),
    /// Payload bytes in a second of one row.
    BytesPerS(Select),
    /// Payload bytes in a second that a median stands for.
    BytesPerSOf(Select),
    /// So many nanoseconds.
    Fixed(&'static str, f64),
    /// Records in a second that the slowest of these medians would allow.
    RecordsPerSOfSlowest(&'static [Select]),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Quantile {
    P50,
    P99,
}

/// Which row is meant, apart from its payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Select {
    pub(super) experiment: &'static str,
    pub(super) function: Option<&'static str>,
    pub(super) transport: &'static str,
    /// Any, if nothing is named.
    pub(super) protection: Option<&'static str>,
    /// The first of these that was measured; without any, the fastest row.
    pub(super) placements: &'static [&'static str],
    /// Any, if nothing is said.
    pub(super) touched: Option<bool>,
    pub(super) hops: Option<u32>,
    pub(super) phase: Option<&'static str>,
}
