//! One measured cell of an experiment, and how samples become one.

use crate::subject::Identity;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Highest duration that a histogram holds: 100 s. Longer ones count as this.
const HIGHEST_NS: u64 = 100_000_000_000;
/// Significant decimal digits of histograms.
const DIGITS: u8 = 3;

/// The experiments, in the order of reports.
const EXPERIMENTS: [&str; 7] = [
    "hop",
    "chain",
    "throughput",
    "load",
    "breakdown",
    "session",
    "functions",
];

/// What a cell measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `hop`, `chain`, `throughput`, `load`, `breakdown`, `session` or `functions`.
    pub experiment: String,
    /// What was called, in `functions`: `thumbnailer`, ...
    #[serde(default)]
    pub function: Option<String>,
    /// How payloads moved: `fabric`, `https`, `eventfd-wake`, ...
    pub transport: String,
    /// `sealed`, `mapped`, `tls1.3`, `mtls`, or `none`; in `session` `tls1.3`, `sealed` besides, or `bound`.
    pub protection: String,
    /// How the ends were laid over the cores: `packed`, `spread`, `floating` or `auto`.
    pub placement: String,
    /// Size of each payload; 0 for a floor that moves none.
    pub payload_bytes: u64,
    /// What each sample passes: in `hop` one hop, in `chain`, `load` and `functions` the chain's functions, 0
    /// for a gateway that answers by itself. In `breakdown` which function of the chain it is, from 1.
    pub hops: u32,
    /// How many samples the quantiles are of.
    pub samples: u64,
    /// Median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile; the greatest sample if there are fewer than 1000.
    pub p999_ns: u64,
    /// The greatest sample.
    pub max_ns: u64,
    /// Mean.
    pub mean_ns: f64,
    /// Whether each receiver read the payload.
    pub touched: bool,
    /// The median of each repeat of the cell, in their order: what noise is judged by.
    pub rounds_p50_ns: Vec<u64>,
    /// Records or requests in a second: achieved, or, in an open-loop row of `load`, offered.
    pub rate_per_s: Option<f64>,
    /// Payload bytes in a second.
    pub bytes_per_s: Option<f64>,
    /// Which part of an experiment this is: in `breakdown` `queued`, `open`, `run`, `seal`, `hand-over`; in
    /// `load` `open` (one step of the sweep), `half-knee`, `closed` (the closed-loop peak); in `functions`
    /// `total`, `handler`, and `share`, which is the one less the other, call by call.
    pub phase: Option<String>,
    /// All samples. Stays out of JSON, so a report that was read has none.
    #[serde(skip)]
    pub histogram: Option<Histogram<u64>>,
}

impl Row {
    /// Transport, protection and placement, and what else tells rows of one payload apart, such as
    /// `fabric/mapped/spread/untouched`.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = format!("{}/{}/{}", self.transport, self.protection, self.placement);
        if !self.touched {
            key.push_str("/untouched");
        }
        if let Some(function) = &self.function {
            key.push('/');
            key.push_str(function);
        }
        if let Some(phase) = &self.phase {
            key.push('/');
            key.push_str(phase);
        }
        key
    }

    /// Whether `other` measured the same cell, in this or another report. Steps of a sweep are the same if
    /// they offered the same rate.
    #[must_use]
    pub fn is_same_cell(&self, other: &Self) -> bool {
        let step = |row: &Self| match (row.experiment.as_str(), row.phase.as_deref()) {
            ("load", Some("open")) => row.rate_per_s.map(f64::round),
            _ => None,
        };
        self.experiment == other.experiment
            && self.function == other.function
            && self.transport == other.transport
            && self.protection == other.protection
            && self.placement == other.placement
            && self.payload_bytes == other.payload_bytes
            && self.hops == other.hops
            && self.touched == other.touched
            && self.phase == other.phase
            && step(self) == step(other)
    }

    /// The order of reports: by experiment, function, payload, hops, then by who. Phases of one of these keep
    /// the order they came in.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let cell = |row: &Self| {
            (
                experiment_rank(&row.experiment),
                row.function.clone(),
                row.payload_bytes,
                row.hops,
            )
        };
        let who = |row: &Self| {
            (
                row.transport.clone(),
                row.protection.clone(),
                row.placement.clone(),
                !row.touched,
            )
        };
        // A sweep by its rates, what follows from it after that.
        let step = |row: &Self| match (row.experiment.as_str(), row.phase.as_deref()) {
            ("load", Some("open")) => row.rate_per_s.unwrap_or(0.0),
            ("load", _) => f64::INFINITY,
            _ => 0.0,
        };
        cell(self)
            .cmp(&cell(other))
            .then_with(|| who(self).cmp(&who(other)))
            .then_with(|| step(self).total_cmp(&step(other)))
    }
}

/// Where an experiment stands in reports; unknown ones last.
fn experiment_rank(experiment: &str) -> usize {
    EXPERIMENTS
        .iter()
        .position(|known| *known == experiment)
        .unwrap_or(EXPERIMENTS.len())
}

/// Samples of one cell, on their way to a [`Row`]. Recording is a push to a list with room for the announced
/// number, so that it does not disturb what is measured.
#[derive(Debug)]
pub struct Measured {
    experiment: &'static str,
    identity: Identity,
    payload_bytes: usize,
    hops: u32,
    rounds: Vec<Vec<u64>>,
    function: Option<&'static str>,
    phase: Option<String>,
    rate_per_s: Option<f64>,
    bytes_per_s: Option<f64>,
}

impl Measured {
    /// An empty cell of `experiment`, one of those that [`Row::experiment`] names.
    #[must_use]
    pub const fn new(experiment: &'static str, identity: Identity, payload_bytes: usize, hops: u32) -> Self {
        Self {
            experiment,
            identity,
            payload_bytes,
            hops,
            rounds: Vec::new(),
            function: None,
            phase: None,
            rate_per_s: None,
            bytes_per_s: None,
        }
    }

    /// Says what was called; see [`Row::function`].
    #[must_use]
    pub const fn with_function(mut self, function: &'static str) -> Self {
        self.function = Some(function);
        self
    }

    /// Says which part of the experiment this is; see [`Row::phase`].
    #[must_use]
    pub fn with_phase(mut self, phase: impl Into<String>) -> Self {
        self.phase = Some(phase.into());
        self
    }

    /// Starts the repeat number `round` (0, 1, ...), and makes room for `samples` samples in it.
    pub fn reserve(&mut self, round: usize, samples: usize) {
        if let Some(list) = self.round(round) {
            list.reserve(samples);
        }
    }

    /// Adds a sample of the repeat number `round`.
    pub fn record(&mut self, round: usize, ns: u64) {
        if let Some(list) = self.round(round) {
            list.push(ns);
        }
    }

    /// Sets the rate; see [`Row::rate_per_s`].
    pub const fn set_rate_per_s(&mut self, rate: f64) {
        self.rate_per_s = Some(rate);
    }

    /// Sets the payload bytes in a second.
    pub const fn set_bytes_per_s(&mut self, rate: f64) {
        self.bytes_per_s = Some(rate);
    }

    /// The row of these samples; nothing if there are none.
    #[must_use]
    pub fn row(self) -> Option<Row> {
        let rounds_p50_ns = self
            .rounds
            .iter()
            .filter(|round| !round.is_empty())
            .map(|round| {
                let mut sorted = round.clone();
                sorted.sort_unstable();
                quantile(&sorted, 500)
            })
            .collect();
        let mut all: Vec<u64> = self.rounds.into_iter().flatten().collect();
        all.sort_unstable();
        let max_ns = *all.last()?;
        let sum: u128 = all.iter().map(|&ns| u128::from(ns)).sum();
        Some(Row {
            experiment: self.experiment.to_owned(),
            function: self.function.map(str::to_owned),
            transport: self.identity.transport.to_owned(),
            protection: self.identity.protection.to_owned(),
            placement: self.identity.placement.as_str().to_owned(),
            payload_bytes: u64::try_from(self.payload_bytes).unwrap_or(u64::MAX),
            hops: self.hops,
            samples: u64::try_from(all.len()).unwrap_or(u64::MAX),
            p50_ns: quantile(&all, 500),
            p90_ns: quantile(&all, 900),
            p99_ns: quantile(&all, 990),
            p999_ns: quantile(&all, 999),
            max_ns,
            mean_ns: mean(sum, all.len()),
            touched: self.identity.touched,
            rounds_p50_ns,
            rate_per_s: self.rate_per_s,
            bytes_per_s: self.bytes_per_s,
            phase: self.phase,
            histogram: histogram(&all),
        })
    }

    fn round(&mut self, round: usize) -> Option<&mut Vec<u64>> {
        if self.rounds.len() <= round {
            self.rounds.resize_with(round + 1, Vec::new);
        }
        self.rounds.get_mut(round)
    }
}

/// The smallest sample that at least `thousandths` / 1000 of all do not exceed (nearest rank). 0 without
/// samples.
fn quantile(sorted: &[u64], thousandths: usize) -> u64 {
    let rank = (sorted.len() * thousandths).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

/// Rounded to tenths of a nanosecond, so that its decimal form is short.
#[allow(
    clippy::cast_precision_loss,
    reason = "below 2^53 tenths, which is 28 years of samples"
)]
fn mean(sum: u128, count: usize) -> f64 {
    let count = count.max(1) as u128;
    (sum * 10 / count) as f64 / 10.0
}

fn histogram(samples: &[u64]) -> Option<Histogram<u64>> {
    let mut histogram = Histogram::new_with_bounds(1, HIGHEST_NS, DIGITS).ok()?;
    for &ns in samples {
        histogram.saturating_record(ns.max(1));
    }
    Some(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Place;

    fn cell() -> Measured {
        let identity = Identity {
            transport: "fabric",
            protection: "sealed",
            placement: Place::Packed,
            touched: true,
        };
        Measured::new("hop", identity, 64, 1)
    }

    #[test]
    fn quantiles_are_samples_by_nearest_rank() {
        let mut measured = cell();
        for ns in (1..=1000).rev() {
            measured.record(0, ns);
        }
        let row = measured.row().unwrap();
        assert_eq!((row.p50_ns, row.p90_ns, row.p99_ns), (500, 900, 990));
        assert_eq!((row.p999_ns, row.max_ns, row.samples), (999, 1000, 1000));
        assert!((row.mean_ns - 500.5).abs() < 1e-9);
        assert_eq!(row.histogram.unwrap().len(), 1000);
    }

    #[test]
    fn each_round_keeps_its_own_median() {
        let mut measured = cell();
        for (round, ns) in [(0, 10), (0, 11), (0, 12), (2, 30)] {
            measured.record(round, ns);
        }
        let row = measured.row().unwrap();
        assert_eq!(row.rounds_p50_ns, [11, 30]);
        assert_eq!(row.samples, 4);
    }

    #[test]
    fn a_cell_without_samples_is_no_row() {
        let mut measured = cell();
        measured.reserve(3, 100);
        assert!(measured.row().is_none());
    }

    #[test]
    fn a_sample_beyond_the_histogram_still_counts() {
        let mut measured = cell();
        measured.record(0, u64::MAX);
        measured.record(0, 0);
        let row = measured.row().unwrap();
        assert_eq!(row.max_ns, u64::MAX);
        assert_eq!(row.histogram.unwrap().len(), 2);
    }
}
