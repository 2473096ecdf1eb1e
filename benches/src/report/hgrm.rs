//! Percentile logs, one file for each row, in the text form that HdrHistogram's tools and plotters read.

use super::Report;
use super::row::Row;
use hdrhistogram::Histogram;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

/// Lines for each halving of the distance to 100 %.
const TICKS_PER_HALF: u32 = 5;
/// What three significant digits need; plotters show it.
const SUB_BUCKETS: u32 = 2048;
/// Values are written in microseconds.
const NS_PER_UNIT: f64 = 1_000.0;

/// Writes a file for each row that has its samples, into a folder that exists. Returns how many.
///
/// # Errors
/// When a file cannot be written.
pub fn write(report: &Report, folder: &Path) -> io::Result<usize> {
    let mut written = 0;
    for row in &report.rows {
        if let Some(histogram) = &row.histogram {
            fs::write(folder.join(file_name(row)), render(row, histogram, report))?;
            written += 1;
        }
    }
    Ok(written)
}

/// A name that tells rows apart and is fit for any file system: `hop-fabric-sealed-packed-64B.hgrm`.
#[must_use]
pub fn file_name(row: &Row) -> String {
    let mut name = format!(
        "{}-{}-{}-{}-{}B",
        row.experiment, row.transport, row.protection, row.placement, row.payload_bytes
    );
    if let Some(function) = &row.function {
        let _ = write!(name, "-{function}");
    }
    if row.hops != 1 {
        let _ = write!(name, "-{}hops", row.hops);
    }
    if !row.touched {
        name.push_str("-untouched");
    }
    if let Some(phase) = &row.phase {
        let _ = write!(name, "-{phase}");
    }
    if row.experiment == "load"
        && let Some(rate) = row.rate_per_s
    {
        let _ = write!(name, "-{rate:.0}per-s");
    }
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' || c == '-' {
                c
            } else {
                '-'
            }
        })
        .collect();
    name + ".hgrm"
}

fn render(row: &Row, histogram: &Histogram<u64>, report: &Report) -> String {
    let mut text = format!(
        "#[{}, {} payload bytes, {} hops; microseconds]\n#[{}]\n",
        row.key(),
        row.payload_bytes,
        row.hops,
        report.conditions.line()
    );
    text.push_str("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let total = histogram.len();
    let mut seen = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        let value = micros(step.value_iterated_to());
        let quantile = step.quantile_iterated_to();
        seen += step.count_since_last_iteration();
        let _ = if quantile < 1.0 {
            writeln!(
                text,
                "{value:12.3} {quantile:14.12} {seen:10} {:14.2}",
                1.0 / (1.0 - quantile)
            )
        } else {
            writeln!(text, "{value:12.3} {quantile:14.12} {seen:10}")
        };
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]",
        histogram.mean() / NS_PER_UNIT,
        histogram.stdev() / NS_PER_UNIT
    );
    let _ = writeln!(
        text,
        "#[Max     = {:12.3}, Total count    = {total:12}]",
        micros(histogram.max())
    );
    let _ = writeln!(
        text,
        "#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.buckets(),
        SUB_BUCKETS
    );
    text
}

#[allow(
    clippy::cast_precision_loss,
    reason = "durations of a hundred seconds are far below 2^53 ns"
)]
fn micros(ns: u64) -> f64 {
    ns as f64 / NS_PER_UNIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use std::collections::BTreeSet;

    /// Values and percentiles of a log, as a plotter reads them.
    fn parse(text: &str) -> Vec<(f64, f64, u64)> {
        text.lines()
            .filter(|line| !line.starts_with('#') && !line.trim_start().starts_with("Value"))
            .filter(|line| !line.trim().is_empty())
            .map(|line| {
                let cells: Vec<&str> = line.split_whitespace().collect();
                assert!(cells.len() == 3 || cells.len() == 4, "{line}");
                (
                    cells[0].parse().unwrap(),
                    cells[1].parse().unwrap(),
                    cells[2].parse().unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn a_log_reads_back_as_the_row_it_came_from() {
        let report = fixture::report();
        let row = &report.rows[5];
        let lines = parse(&render(row, row.histogram.as_ref().unwrap(), &report));
        assert!(lines.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1 && a.2 <= b.2));
        let last = lines.last().unwrap();
        assert_eq!((last.1, last.2), (1.0, row.samples));
        let median = lines.iter().find(|line| line.1 >= 0.5).unwrap().0 * 1000.0;
        let expected = micros(row.p50_ns) * 1000.0;
        assert!(
            (median - expected).abs() <= expected * 0.002,
            "{median} is not {expected}"
        );
    }

    #[test]
    fn every_row_has_a_file_of_its_own() {
        let report = fixture::report();
        let names: BTreeSet<String> = report.rows.iter().map(file_name).collect();
        assert_eq!(names.len(), report.rows.len());
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(write(&report, folder.path()).unwrap(), report.rows.len());
        for name in names {
            let text = fs::read_to_string(folder.path().join(&name)).unwrap();
            assert!(!parse(&text).is_empty(), "{name}");
        }
    }

    #[test]
    fn a_name_holds_nothing_that_a_file_system_minds() {
        let mut row = fixture::hop("fabric", "sealed", "packed", 64, 1000);
        assert_eq!(file_name(&row), "hop-fabric-sealed-packed-64B.hgrm");
        row.phase = Some("hop 2: /run".to_owned());
        assert_eq!(file_name(&row), "hop-fabric-sealed-packed-64B-hop-2---run.hgrm");
    }
}
