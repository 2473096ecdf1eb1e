//! A report for people: conditions, a table for each experiment, ratios with their targets, notices.

use super::Report;
use super::noise;
use super::ratios::{Ratio, Target};
use super::row::Row;
use hacher_fabric::table::{Align, Table, bytes, duration};
use std::fmt::Write as _;

/// The report as text.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    text.push_str("conditions\n");
    for (name, value) in report.conditions.entries() {
        let _ = writeln!(text, "  {name:<14}{value}");
    }
    for rows in report.rows.chunk_by(|a, b| a.experiment == b.experiment) {
        if let Some(first) = rows.first() {
            let _ = writeln!(text, "\n{}: {}", first.experiment, legend(&first.experiment));
            text.push_str(&experiment(rows));
        }
    }
    if !report.ratios.is_empty() {
        text.push_str("\nratios: medians of this run, one over the other\n");
        text.push_str(&ratios(&report.ratios));
    }
    if !report.notices.is_empty() {
        text.push_str("\nnotices\n");
        for notice in &report.notices {
            let _ = writeln!(text, "  - {notice}");
        }
    }
    text
}

/// How to read the rows of an experiment.
fn legend(experiment: &str) -> &'static str {
    match experiment {
        "hop" => "one payload from one process to the next; floors without a payload hold for all",
        "chain" => "one payload through all functions of a chain, one request at a time",
        "throughput" => "payloads over one edge, as many as it takes; times are per record",
        "load" => {
            "requests through the gateway, timed from when each was due; open-loop rates are what was offered"
        }
        "breakdown" => "where the time of a request went, per hop",
        "session" => "requests over TLS: as they are, sealed, bound to evidence; on connections kept and new",
        "functions" => {
            "handlers in Python, called in three ways, warm; `share` is each call's time less that of its handlers"
        }
        _ => "",
    }
}

/// One experiment's rows, with a blank line between payloads, and between functions.
fn experiment(rows: &[Row]) -> String {
    let any = |has: fn(&Row) -> bool| rows.iter().any(has);
    let with_rate = any(|row| row.rate_per_s.is_some());
    let with_bytes = any(|row| row.bytes_per_s.is_some());
    let with_phase = any(|row| row.phase.is_some());
    let with_function = any(|row| row.function.is_some());
    let with_hops = any(|row| row.hops != 1);

    let mut columns = Vec::new();
    columns.extend(with_function.then_some(("function", Align::Left)));
    columns.extend([
        ("payload", Align::Right),
        ("transport", Align::Left),
        ("protection", Align::Left),
        ("placement", Align::Left),
    ]);
    columns.extend(with_phase.then_some(("phase", Align::Left)));
    columns.extend(with_hops.then_some(("functions", Align::Right)));
    columns.extend(with_rate.then_some(("rate/s", Align::Right)));
    columns.extend(with_bytes.then_some(("GB/s", Align::Right)));
    for name in ["p50", "p90", "p99", "p99.9", "max", "samples", "spread"] {
        columns.push((name, Align::Right));
    }
    columns.push(("", Align::Left));

    let mut table = Table::new(&columns);
    let mut before: Option<&Row> = None;
    for row in rows {
        let belongs = |to: &Row| (&to.function, to.payload_bytes) == (&row.function, row.payload_bytes);
        if before.is_some_and(|before| !belongs(before)) {
            table.row([""]);
        }
        before = Some(row);
        let mut cells = Vec::new();
        cells.extend(with_function.then(|| row.function.clone().unwrap_or_default()));
        cells.extend([
            payload_cell(row.payload_bytes),
            row.transport.clone(),
            row.protection.clone(),
            row.placement.clone(),
        ]);
        cells.extend(with_phase.then(|| row.phase.clone().unwrap_or_default()));
        cells.extend(with_hops.then(|| row.hops.to_string()));
        cells.extend(with_rate.then(|| row.rate_per_s.map(rate).unwrap_or_default()));
        cells.extend(with_bytes.then(|| {
            row.bytes_per_s
                .map(|rate| format!("{:.2}", rate / 1e9))
                .unwrap_or_default()
        }));
        cells.extend([row.p50_ns, row.p90_ns, row.p99_ns, row.p999_ns, row.max_ns].map(duration));
        cells.push(row.samples.to_string());
        cells.push(noise::spread(row).map_or_else(|| "?".to_owned(), percent));
        cells.push(remarks(row));
        table.row(cells);
    }
    table.render()
}

fn remarks(row: &Row) -> String {
    let noisy = noise::is_noisy(row).then_some("noisy");
    let untouched = (!row.touched && row.payload_bytes > 0).then_some("payload not read");
    let all: Vec<&str> = [noisy, untouched].into_iter().flatten().collect();
    all.join(", ")
}

/// Ratios with their targets and whether they are met.
fn ratios(ratios: &[Ratio]) -> String {
    let mut table = Table::new(&[
        ("", Align::Left),
        ("ratio", Align::Left),
        ("payload", Align::Right),
        ("hops", Align::Right),
        ("value", Align::Right),
        ("target", Align::Left),
    ]);
    for ratio in ratios {
        table.row([
            verdict(ratio.met).to_owned(),
            ratio.name.clone(),
            payload_cell(ratio.payload_bytes),
            ratio.hops.to_string(),
            times(ratio.value),
            ratio.target.map(target).unwrap_or_default(),
        ]);
    }
    table.render()
}

/// The word for whether a target is met.
#[must_use]
pub const fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "pass",
        Some(false) => "MISS",
        None => "",
    }
}

fn target(target: Target) -> String {
    match target {
        Target::AtMost(most) => format!("at most {most}"),
        Target::AtLeast(least) => format!("at least {least}"),
        Target::AtMostMore { ns } => format!("at most {} µs more", ns / 1e3),
        Target::AtLeastOr { ratio, or_per_s } => format!("at least {ratio}, or {}/s", rate(or_per_s)),
    }
}

/// A payload's size; a dash where there is none.
#[must_use]
pub fn payload_cell(payload_bytes: u64) -> String {
    match payload_bytes {
        0 => "-".to_owned(),
        some => bytes(some).replace(".0 ", " "),
    }
}

/// A ratio with three significant digits.
#[must_use]
pub fn times(value: f64) -> String {
    match value {
        v if v < 1.0 => format!("{v:.3}"),
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// A share in percent.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A rate with its thousands apart.
fn rate(rate: f64) -> String {
    let digits = format!("{rate:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn every_experiment_every_ratio_and_every_notice_is_told() {
        let mut report = fixture::report();
        report.rows[0].touched = false;
        report.rows[0].payload_bytes = 64;
        report.rows[0].rounds_p50_ns = vec![100, 200, 300];
        let mut call = fixture::hop("fabric", "sealed", "auto", 64, 1_000);
        call.experiment = "functions".to_owned();
        call.function = Some("thumbnailer".to_owned());
        call.phase = Some("share".to_owned());
        report.rows.push(call);
        let text = render(&report);
        for experiment in [
            "\nhop: ",
            "\nchain: ",
            "\nthroughput: ",
            "\nload: ",
            "\nbreakdown: ",
            "\nfunctions: ",
        ] {
            assert!(text.contains(experiment), "{experiment} in {text}");
        }
        for ratio in &report.ratios {
            assert!(text.contains(&ratio.name), "{}", ratio.name);
        }
        assert!(text.contains("noisy, payload not read"));
        assert!(text.contains("\n  thumbnailer "));
        assert!(text.contains("Made-up Processor 9000"));
        assert!(text.contains("nats-server is not installed"));
        assert!(text.contains("pass") && text.contains("MISS"));
    }

    #[test]
    fn an_empty_report_says_its_conditions_and_no_ratio() {
        let text = render(&Report::new(fixture::conditions(), Vec::new(), Vec::new()));
        assert!(text.starts_with("conditions\n") && !text.contains("ratio"));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(rate(1_234_567.4), "1 234 567");
        assert_eq!(rate(999.0), "999");
        assert_eq!(payload_cell(4096), "4 KiB");
        assert_eq!(payload_cell(0), "-");
        assert_eq!(times(0.7017), "0.702");
        assert_eq!(times(90.04), "90.0");
    }
}
