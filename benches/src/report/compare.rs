//! What changed between two reports beyond noise.
//!
//! Two medians differ if their ratio leaves the band of noise around 1; the band of two rows is the wider
//! spread of their repeats ([`noise::between`]). Ratios have no repeats of their own; they are shown side by
//! side, with their targets.

use super::noise;
use super::ratios::Ratio;
use super::row::Row;
use super::table::{payload_cell, percent, times, verdict};
use super::{Report, SCHEMA};
use hacher_fabric::table::{Align, Table, duration};
use serde::Serialize;
use std::fmt::Write as _;

/// Conditions that differ between any two runs, and say nothing about the machine.
const OF_THE_RUN: [&str; 2] = ["date", "load average"];
/// Conditions without whose equality absolute times do not compare.
const OF_THE_MACHINE: [&str; 8] = [
    "cpu",
    "cores",
    "SMT",
    "hypervisor",
    "governor",
    "clock source",
    "kernel",
    "cipher",
];

/// Two reports side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Version of this form, the same as that of reports.
    pub schema: u64,
    /// What a reader must know before the figures.
    pub warnings: Vec<String>,
    /// Conditions that differ.
    pub conditions: Vec<Difference>,
    /// Rows that are in both.
    pub rows: Vec<Change>,
    /// Rows that only the first report has.
    pub missing: Vec<String>,
    /// Rows that only the second report has.
    pub new: Vec<String>,
    /// Ratios that are in both.
    pub ratios: Vec<RatioChange>,
}

/// A condition that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which.
    pub name: String,
    /// In the first report.
    pub before: String,
    /// In the second.
    pub after: String,
}

/// A row in both reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The experiment.
    pub experiment: String,
    /// [`Row::key`].
    pub row: String,
    /// Its payload.
    pub payload_bytes: u64,
    /// Its hops.
    pub hops: u32,
    /// Median in the first report.
    pub before_p50_ns: u64,
    /// Median in the second.
    pub after_p50_ns: u64,
    /// The second over the first: above 1 is slower. In `throughput`, and for the closed-loop peak, time for
    /// a record.
    pub ratio: f64,
    /// By how much it may differ from 1 and still be noise.
    pub noise: f64,
    /// What that means.
    pub verdict: Verdict,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Takes less time than before.
    Faster,
    /// Takes more.
    Slower,
    /// Nothing can be said.
    WithinNoise,
}

/// A ratio in both reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RatioChange {
    /// Its name.
    pub name: String,
    /// Its payload.
    pub payload_bytes: u64,
    /// Its hops.
    pub hops: u32,
    /// Its value in the first report.
    pub before: f64,
    /// Its value in the second.
    pub after: f64,
    /// Whether the first report met its target.
    pub met_before: Option<bool>,
    /// Whether the second does.
    pub met_after: Option<bool>,
}

impl Comparison {
    /// What became of `before` in `after`.
    #[must_use]
    pub fn of(before: &Report, after: &Report) -> Self {
        let conditions = differences(before, after);
        let rows = before.rows.iter().filter_map(|row| {
            let other = after.rows.iter().find(|other| row.is_same_cell(other))?;
            Change::of(row, other)
        });
        let ratios = before.ratios.iter().filter_map(|ratio| {
            let other = after.ratios.iter().find(|other| is_same_ratio(ratio, other))?;
            Some(RatioChange {
                name: ratio.name.clone(),
                payload_bytes: ratio.payload_bytes,
                hops: ratio.hops,
                before: ratio.value,
                after: other.value,
                met_before: ratio.met,
                met_after: other.met,
            })
        });
        Self {
            schema: SCHEMA,
            warnings: warnings(before, after, &conditions),
            rows: rows.collect(),
            missing: only_in(&before.rows, &after.rows),
            new: only_in(&after.rows, &before.rows),
            ratios: ratios.collect(),
            conditions,
        }
    }

    /// The comparison for people.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        if !self.conditions.is_empty() {
            text.push_str("conditions that differ\n");
            text.push_str(&self.condition_table());
            text.push('\n');
        }
        text.push_str(&self.row_tables());
        if !self.ratios.is_empty() {
            text.push_str("\nratios\n");
            text.push_str(&self.ratio_table());
        }
        for (title, names) in [
            ("only in the first report", &self.missing),
            ("only in the second report", &self.new),
        ] {
            if !names.is_empty() {
                let _ = writeln!(text, "\n{title}");
                for name in names {
                    let _ = writeln!(text, "  {name}");
                }
            }
        }
        text
    }

    fn condition_table(&self) -> String {
        let mut table = Table::new(&[
            ("condition", Align::Left),
            ("before", Align::Left),
            ("after", Align::Left),
        ]);
        for difference in &self.conditions {
            table.row([&difference.name, &difference.before, &difference.after].map(String::as_str));
        }
        table.render()
    }

    /// How many changed, then each that did: rows within noise are counted, and not shown.
    fn row_tables(&self) -> String {
        let count = |verdict| self.rows.iter().filter(|row| row.verdict == verdict).count();
        let mut text = format!(
            "{} rows in both: {} faster, {} slower, {} within noise\n",
            self.rows.len(),
            count(Verdict::Faster),
            count(Verdict::Slower),
            count(Verdict::WithinNoise)
        );
        let mut table = Table::new(&[
            ("verdict", Align::Left),
            ("experiment", Align::Left),
            ("row", Align::Left),
            ("payload", Align::Right),
            ("hops", Align::Right),
            ("before", Align::Right),
            ("after", Align::Right),
            ("after/before", Align::Right),
            ("noise", Align::Right),
        ]);
        let changed = |row: &&Change| row.verdict != Verdict::WithinNoise;
        for row in self.rows.iter().filter(changed) {
            table.row([
                row.verdict.as_str().to_owned(),
                row.experiment.clone(),
                row.row.clone(),
                payload_cell(row.payload_bytes),
                row.hops.to_string(),
                duration(row.before_p50_ns),
                duration(row.after_p50_ns),
                times(row.ratio),
                percent(row.noise),
            ]);
        }
        if self.rows.iter().any(|row| changed(&row)) {
            text.push_str(&table.render());
        }
        text
    }

    fn ratio_table(&self) -> String {
        let mut table = Table::new(&[
            ("ratio", Align::Left),
            ("payload", Align::Right),
            ("hops", Align::Right),
            ("before", Align::Right),
            ("after", Align::Right),
            ("target", Align::Left),
        ]);
        for ratio in &self.ratios {
            let target = match (ratio.met_before, ratio.met_after) {
                (Some(before), Some(after)) if before != after => {
                    format!("{} -> {}", verdict(Some(before)), verdict(Some(after)))
                }
                (_, after) => verdict(after).to_owned(),
            };
            table.row([
                ratio.name.clone(),
                payload_cell(ratio.payload_bytes),
                ratio.hops.to_string(),
                times(ratio.before),
                times(ratio.after),
                target,
            ]);
        }
        table.render()
    }
}

impl Change {
    /// Compares by time for a record where a rate was measured, by median otherwise.
    fn of(before: &Row, after: &Row) -> Option<Self> {
        let ratio = cost(after) / cost(before);
        if !ratio.is_finite() || ratio <= 0.0 {
            return None;
        }
        let noise = noise::between(before, after);
        let verdict = if ratio > 1.0 + noise {
            Verdict::Slower
        } else if ratio < 1.0 / (1.0 + noise) {
            Verdict::Faster
        } else {
            Verdict::WithinNoise
        };
        Some(Self {
            experiment: before.experiment.clone(),
            row: before.key(),
            payload_bytes: before.payload_bytes,
            hops: before.hops,
            before_p50_ns: before.p50_ns,
            after_p50_ns: after.p50_ns,
            ratio: (ratio * 1e4).round() / 1e4,
            noise,
            verdict,
        })
    }
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "SLOWER",
            Self::WithinNoise => "within noise",
        }
    }
}

/// What a row is judged by, where less is better.
#[allow(clippy::cast_precision_loss, reason = "durations are far below 2^53 ns")]
fn cost(row: &Row) -> f64 {
    let is_rate = row.experiment == "throughput" || row.phase.as_deref() == Some("closed");
    match row.rate_per_s {
        Some(rate) if is_rate => 1e9 / rate,
        _ => row.p50_ns as f64,
    }
}

fn is_same_ratio(one: &Ratio, other: &Ratio) -> bool {
    let key = |ratio: &Ratio| (ratio.payload_bytes, ratio.hops);
    one.name == other.name && one.numerator == other.numerator && key(one) == key(other)
}

fn differences(before: &Report, after: &Report) -> Vec<Difference> {
    let after = after.conditions.entries();
    let pairs = before.conditions.entries().into_iter().zip(after);
    pairs
        .filter(|((name, before), (_, after))| before != after && !OF_THE_RUN.contains(name))
        .map(|((name, before), (_, after))| Difference {
            name: name.to_owned(),
            before,
            after,
        })
        .collect()
}

fn warnings(before: &Report, after: &Report, conditions: &[Difference]) -> Vec<String> {
    let mut warnings = Vec::new();
    let machine: Vec<&str> = conditions
        .iter()
        .map(|difference| difference.name.as_str())
        .filter(|name| OF_THE_MACHINE.contains(name))
        .collect();
    if !machine.is_empty() {
        warnings.push(format!(
            "the machines differ ({}): absolute times do not compare, ratios do",
            machine.join(", ")
        ));
    }
    if before.conditions.mode != after.conditions.mode {
        warnings.push(format!(
            "a {} run is compared with a {} run: their samples and repeats differ",
            before.conditions.mode, after.conditions.mode
        ));
    }
    if let (Some(one), Some(other)) = (&before.conditions.profile, &after.conditions.profile)
        && one != other
    {
        warnings.push(format!(
            "a build of profile {one} is compared with one of profile {other}"
        ));
    }
    for (which, report) in [("first", before), ("second", after)] {
        if !report.conditions.optimised {
            warnings.push(format!("the {which} report is of a build without optimisations"));
        }
        let noise = noise::notices(&report.conditions, &report.rows);
        warnings.extend(
            noise
                .into_iter()
                .map(|notice| format!("{which} report: {notice}")),
        );
    }
    warnings
}

/// Rows of `rows` that `others` does not have, in words.
fn only_in(rows: &[Row], others: &[Row]) -> Vec<String> {
    rows.iter()
        .filter(|row| !others.iter().any(|other| row.is_same_cell(other)))
        .map(|row| {
            let payload = payload_cell(row.payload_bytes);
            format!("{} {}, {payload}, hops {}", row.experiment, row.key(), row.hops)
        })
        .collect()
}

#[cfg(test)]
mod tests;
