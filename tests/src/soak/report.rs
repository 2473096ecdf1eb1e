//! How a run went: a table, and whether it may be called flat.

use super::Soak;
use super::ledger::Ledger;
use super::sample::Sample;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// A run shorter than this has no quarters worth comparing: caches and pools are still being filled.
const JUDGED_FROM: Duration = Duration::from_secs(120);
/// Lines of what the services said that a report quotes.
const TOLD_LINES: usize = 30;

/// A measured quantity, and how far it may grow from the first quarter to the last.
struct Row {
    name: &'static str,
    of: fn(&Sample) -> u64,
    /// Allowed as a share of the first quarter's median, in percent, and besides.
    percent: u64,
    besides: u64,
}

/// Buffers are kept up to bounds that take a while to be met, so memory has some room; the rest breathes with
/// the connections of the moment.
const ROWS: [Row; 7] = [
    Row {
        name: "memory, KiB",
        of: |sample| sample.memory_kib,
        percent: 15,
        besides: 32 << 10,
    },
    Row {
        name: "of it shared, KiB",
        of: |sample| sample.shared_kib,
        percent: 15,
        besides: 32 << 10,
    },
    Row {
        name: "descriptors, monitors",
        of: |sample| sample.descriptors[0],
        percent: 5,
        besides: 8,
    },
    Row {
        name: "descriptors, daemons",
        of: |sample| sample.descriptors[1],
        percent: 5,
        besides: 8,
    },
    Row {
        name: "descriptors, gateways",
        of: |sample| sample.descriptors[2],
        percent: 20,
        besides: 16,
    },
    Row {
        name: "processes",
        of: |sample| sample.processes,
        percent: 0,
        besides: 2,
    },
    Row {
        name: "zombies",
        of: |sample| sample.zombies,
        percent: 0,
        besides: 1,
    },
];

/// How a run went.
pub struct Report {
    soak: Soak,
    ledger: Ledger,
    samples: Vec<Sample>,
    /// The end of what the services said.
    told: String,
    /// Bytes that they said.
    told_bytes: u64,
}

impl fmt::Debug for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Report {
    pub(super) fn new(soak: Soak, ledger: Ledger, samples: Vec<Sample>, told: &Path) -> Self {
        let text = std::fs::read(told).unwrap_or_default();
        let told_bytes = text.len() as u64;
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.contains("said of the input"))
            .collect();
        let from = lines.len().saturating_sub(TOLD_LINES);
        let told = lines.get(from..).unwrap_or(&[]).join("\n");
        Self {
            soak,
            ledger,
            samples,
            told,
            told_bytes,
        }
    }

    /// Whether nothing happened but what was expected or injected, and nothing grew.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.ledger.unexpected_count == 0 && self.answered() > 0 && self.grown().is_empty()
    }

    /// Replies that were compared and right.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.ledger.expected.values().sum()
    }

    /// The names of what grew past its bound.
    fn grown(&self) -> Vec<&'static str> {
        if self.soak.length < JUDGED_FROM {
            return Vec::new();
        }
        let grew = |row: &&Row| {
            let (first, last) = self.quarters(row);
            last > first + first * row.percent / 100 + row.besides
        };
        ROWS.iter().filter(grew).map(|row| row.name).collect()
    }

    /// Medians of the first quarter and of the last, the first tenth left out as a start.
    fn quarters(&self, row: &Row) -> (u64, u64) {
        let values: Vec<u64> = self.samples.iter().map(row.of).collect();
        let values = values.get(values.len() / 10..).unwrap_or(&[]);
        let quarter = values.len() / 4;
        let median = |part: Option<&[u64]>| {
            let mut part = part.unwrap_or(&[]).to_vec();
            part.sort_unstable();
            part.get(part.len() / 2).copied().unwrap_or(0)
        };
        (
            median(values.get(..quarter)),
            median(values.get(values.len() - quarter..)),
        )
    }

    /// The slope of the least-squares line, per hour.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn slope(&self, row: &Row) -> f64 {
        let from = self.samples.len() / 10;
        let points: Vec<(f64, f64)> = self
            .samples
            .iter()
            .skip(from)
            .map(|sample| (sample.at.as_secs_f64() / 3600.0, (row.of)(sample) as f64))
            .collect();
        let count = points.len().max(1) as f64;
        let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
        let above: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let below: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        if below > 0.0 { above / below } else { 0.0 }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ledger = &self.ledger;
        writeln!(formatter, "seed {}, {:?}", self.soak.seed, self.soak.length)?;
        writeln!(formatter, "\nas the model says")?;
        for (chain, count) in &ledger.expected {
            writeln!(formatter, "  {chain:<40} {count:>10}")?;
        }
        writeln!(
            formatter,
            "  {:<40} {:>10}",
            "bytes compared", ledger.compared_bytes
        )?;
        let slowest = format!("{:.1?}", ledger.slowest);
        writeln!(formatter, "  {:<40} {slowest:>10}", "slowest")?;
        for slow in &ledger.slow {
            writeln!(formatter, "    {slow}")?;
        }
        writeln!(formatter, "injected")?;
        for (what, count) in &ledger.injected {
            writeln!(formatter, "  {what:<40} {count:>10}")?;
        }
        writeln!(formatter, "unexpected: {}", ledger.unexpected_count)?;
        for what in &ledger.unexpected {
            writeln!(formatter, "  {what}")?;
        }
        let (first, last, slope) = ("first quarter", "last quarter", "slope, 1/h");
        writeln!(formatter, "\n{:<24} {first:>14} {last:>14} {slope:>14}", "")?;
        for row in &ROWS {
            let (first, last) = self.quarters(row);
            writeln!(
                formatter,
                "{:<24} {first:>14} {last:>14} {:>14.1}",
                row.name,
                self.slope(row)
            )?;
        }
        writeln!(
            formatter,
            "{} samples; the services said {} bytes",
            self.samples.len(),
            self.told_bytes
        )?;
        if self.is_good() {
            return writeln!(formatter, "good");
        }
        let grown = self.grown();
        if !grown.is_empty() {
            writeln!(formatter, "grown past its bound: {}", grown.join(", "))?;
        }
        writeln!(formatter, "the services said at last:\n{}\nBAD", self.told)
    }
}
