//! Which rows are compared with which, and what should come out.
//!
//! Absolute times belong to one machine; ratios of rows that were measured in one run, in turn, on the same
//! cores, travel further. A ratio exists only if all its rows were measured in the same report.

mod definition;
mod definitions;

pub use definition::Target;

use super::row::Row;
use definition::{Definition, Figure, Quantile, Select};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One row, or a figure made of several, over another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// What it says, in words.
    pub name: String,
    /// What stands above the line: the [`Row::key`] of a row, or how it is made of rows.
    pub numerator: String,
    /// What stands below it.
    pub denominator: String,
    /// Payload of the rows.
    pub payload_bytes: u64,
    /// Hops or functions of the rows.
    pub hops: u32,
    /// The ratio, to four decimals.
    pub value: f64,
    /// What it should be, if anything was asked of it.
    pub target: Option<Target>,
    /// Whether it is so.
    pub met: Option<bool>,
}

/// All ratios that these rows allow.
#[must_use]
pub fn of(rows: &[Row]) -> Vec<Ratio> {
    let payloads: BTreeSet<u64> = rows.iter().map(|row| row.payload_bytes).collect();
    definitions::ALL
        .iter()
        .flat_map(|definition| {
            payloads
                .iter()
                .filter(|payload| definition.payloads.contains(payload))
                .filter_map(|&payload| definition.ratio(rows, payload))
        })
        .collect()
}

impl Definition {
    fn ratio(&self, rows: &[Row], payload_bytes: u64) -> Option<Ratio> {
        let numerator = self.numerator.of(rows, payload_bytes)?;
        let denominator = self.denominator.of(rows, payload_bytes)?;
        let value = numerator.value / denominator.value;
        value.is_finite().then(|| Ratio {
            name: match self.numerator.function() {
                Some(function) => format!("{function}: {}", self.name),
                None => self.name.to_owned(),
            },
            numerator: numerator.name,
            denominator: denominator.name,
            payload_bytes,
            hops: self.hops,
            value: (value * 1e4).round() / 1e4,
            target: self.target,
            met: self.target.map(|target| target.is_met(value, numerator.value)),
        })
    }
}

/// A figure's name and value.
struct Named {
    name: String,
    value: f64,
}

impl Figure {
    /// Whose calls it is of, if it is of calls.
    const fn function(&self) -> Option<&'static str> {
        match self {
            Self::Time(_, select) => select.function,
            _ => None,
        }
    }

    /// The figure at this payload; nothing if a row is missing.
    fn of(&self, rows: &[Row], payload_bytes: u64) -> Option<Named> {
        let row = |select: &Select| select.find(rows, payload_bytes);
        let all = |selects: &[Select]| selects.iter().map(row).collect::<Option<Vec<_>>>();
        let named = |name: String, value: f64| Some(Named { name, value });
        match self {
            Self::Time(quantile, select) => {
                let row = row(select)?;
                named(row.key(), quantile.of(row))
            }
            Self::Sum(selects) => {
                let rows = all(selects)?;
                named(join(&rows, " + "), rows.iter().map(|row| p50(row)).sum())
            }
            Self::PerFunction {
                chain,
                from,
                to,
                besides,
            } => {
                let at = |hops| {
                    row(&Select {
                        hops: Some(hops),
                        ..*chain
                    })
                };
                let (short, long) = (at(*from)?, at(*to)?);
                let besides = all(besides)?;
                let per_function = format!("{} per function, from {from} to {to}", long.key());
                let name = besides
                    .iter()
                    .fold(per_function, |name, row| format!("{name} + {}", row.key()));
                let besides_ns: f64 = besides.iter().map(|row| p50(row)).sum();
                named(name, (p50(long) - p50(short)) / f64::from(to - from) + besides_ns)
            }
            Self::Fixed(name, ns) => named((*name).to_owned(), *ns),
            Self::RecordsPerS(select) => {
                let row = row(select)?;
                named(format!("records/s of {}", row.key()), row.rate_per_s?)
            }
            Self::BytesPerS(select) => {
                let row = row(select)?;
                named(format!("bytes/s of {}", row.key()), row.bytes_per_s?)
            }
            Self::BytesPerSOf(select) => {
                let row = row(select)?;
                named(
                    format!("bytes/s of {}", row.key()),
                    float(row.payload_bytes) * 1e9 / p50(row),
                )
            }
            Self::RecordsPerSOfSlowest(selects) => {
                let rows = all(selects)?;
                let slowest = rows.iter().map(|row| p50(row)).fold(0.0, f64::max);
                named(
                    format!("records/s of the slower of {}", join(&rows, " and ")),
                    1e9 / slowest,
                )
            }
        }
    }
}

fn join(rows: &[&Row], between: &str) -> String {
    let keys: Vec<String> = rows.iter().map(|row| row.key()).collect();
    keys.join(between)
}

impl Quantile {
    fn of(self, row: &Row) -> f64 {
        match self {
            Self::P50 => p50(row),
            Self::P99 => float(row.p99_ns),
        }
    }
}

impl Select {
    /// The row at this payload, or the one that moves no payload and so holds for all.
    fn find<'a>(&self, rows: &'a [Row], payload_bytes: u64) -> Option<&'a Row> {
        let at = |payload: u64| {
            let candidates: Vec<&Row> = rows
                .iter()
                .filter(|row| row.payload_bytes == payload && self.fits(row))
                .collect();
            let fastest = |placement: Option<&str>| {
                candidates
                    .iter()
                    .filter(|row| placement.is_none_or(|placement| row.placement == placement))
                    .min_by_key(|row| row.p50_ns)
                    .copied()
            };
            if self.placements.is_empty() {
                return fastest(None);
            }
            self.placements
                .iter()
                .find_map(|placement| fastest(Some(placement)))
        };
        at(payload_bytes).or_else(|| at(0))
    }

    /// Everything but payload and placement.
    fn fits(&self, row: &Row) -> bool {
        row.experiment == self.experiment
            && row.function.as_deref() == self.function
            && row.transport == self.transport
            && self.protection.is_none_or(|wanted| row.protection == wanted)
            && self.touched.is_none_or(|wanted| row.touched == wanted)
            && self.hops.is_none_or(|wanted| row.hops == wanted)
            && row.phase.as_deref() == self.phase
    }
}

fn p50(row: &Row) -> f64 {
    float(row.p50_ns)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "sizes and durations are far below 2^53"
)]
const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
