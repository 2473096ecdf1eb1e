//! A report as plots (SVG): latency against payload and against chain length, percentile curves, latency
//! under load. Each exists only if its rows were measured.

mod axis;
mod figure;
mod style;

use super::Report;
use super::row::Row;
use super::table::payload_cell;
use axis::{Axis, Scale};
use figure::{Figure, Series};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use style::Dash;

/// The payload of percentile curves, if it was measured.
const CURVE_BYTES: u64 = 4096;
/// Floors, which the plot against payload shows as sums.
const FLOORS: [&str; 5] = ["eventfd-wake", "spin", "aead-seal", "aead-open", "memcpy"];

/// Writes the plots into a folder that exists. Returns how many.
///
/// # Errors
/// When a file cannot be written.
pub fn write(report: &Report, folder: &Path) -> io::Result<usize> {
    let mut written = 0;
    for (name, figure) in figures(report) {
        if let Some(svg) = figure.svg() {
            fs::write(folder.join(format!("{name}.svg")), svg)?;
            written += 1;
        }
    }
    Ok(written)
}

/// All plots that this report's rows allow, with their names.
fn figures(report: &Report) -> Vec<(String, Figure)> {
    let mut figures = vec![("latency-payload".to_owned(), against_payload(report))];
    let chains: BTreeSet<u64> = of(report, "chain").map(|row| row.payload_bytes).collect();
    for payload in chains {
        let name = format!("latency-chain-{payload}B");
        figures.push((name, against_length(report, payload)));
    }
    figures.push(("percentiles-hop".to_owned(), hop_curves(report)));
    figures.push(("percentiles-load".to_owned(), load_curves(report)));
    figures.push(("load".to_owned(), under_load(report)));
    figures.retain(|(_, figure)| figure.series.iter().any(|series| !series.points.is_empty()));
    figures
}

fn of<'a>(report: &'a Report, experiment: &str) -> impl Iterator<Item = &'a Row> {
    report.rows.iter().filter(move |row| row.experiment == experiment)
}

/// A figure of these series, its axes as long as they need.
fn figure(
    report: &Report,
    (title, subtitle): (&str, String),
    (x, x_label): (Scale, &'static str),
    y_label: &'static str,
    series: Vec<Series>,
) -> Figure {
    let points = || series.iter().flat_map(|series| &series.points);
    Figure {
        title: title.to_owned(),
        subtitle,
        x: Axis::over(x, x_label, points().map(|point| point.0)),
        y: Axis::over(Scale::Time, y_label, points().map(|point| point.1)),
        foot: report.conditions.line(),
        series,
    }
}

/// Groups rows into series: one for each transport, protection and placement, in the rows' order.
fn grouped<'a>(rows: impl Iterator<Item = &'a Row>, point: impl Fn(&Row) -> (f64, f64)) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::new();
    for row in rows {
        let label = label(row);
        match series.iter_mut().find(|series| series.label == label) {
            Some(series) => series.points.push(point(row)),
            None => series.push(Series {
                label,
                style: style::of(row),
                points: vec![point(row)],
            }),
        }
    }
    for series in &mut series {
        series.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    series
}

fn label(row: &Row) -> String {
    let protection = match (row.transport.as_str(), row.protection.as_str()) {
        ("fabric", protection) => format!(" {protection}"),
        _ => String::new(),
    };
    let untouched = if row.touched { "" } else { ", not read" };
    format!("{}{protection}, {}{untouched}", row.transport, row.placement)
}

fn against_payload(report: &Report) -> Figure {
    let rows = of(report, "hop").filter(|row| !FLOORS.contains(&row.transport.as_str()) && is_shown(row));
    let mut series = grouped(rows, |row| (float(row.payload_bytes), float(row.p50_ns)));
    series.extend(floors(report));
    figure(
        report,
        (
            "One hop: median latency against payload",
            "Grey: floors, sums of parts measured alone. Others than the fabric: on one core".to_owned(),
        ),
        (Scale::Bytes, "payload"),
        "median latency of a hop",
        series,
    )
}

/// Whether a row is among the lines of a plot: of the fabric all, of others the packed ones, or those that
/// are never packed.
fn is_shown(row: &Row) -> bool {
    let elsewhere = row.transport.starts_with("iceoryx2");
    row.touched && (row.transport == "fabric" || row.placement == "packed" || elsewhere)
}

/// A part of a floor: its transport, and its placement if it has several.
type Part = (&'static str, Option<&'static str>);

/// Lines that nothing can go below.
fn floors(report: &Report) -> Vec<Series> {
    let sums: [(&str, &[Part], Dash); 4] = [
        (
            "floor: wake + seal + open",
            &[
                ("eventfd-wake", Some("packed")),
                ("aead-seal", None),
                ("aead-open", None),
            ],
            Dash::Solid,
        ),
        (
            "floor: spin + seal + open",
            &[("spin", None), ("aead-seal", None), ("aead-open", None)],
            Dash::Long,
        ),
        ("floor: seal alone", &[("aead-seal", None)], Dash::Short),
        ("floor: memcpy", &[("memcpy", None)], Dash::Dots),
    ];
    let payloads: BTreeSet<u64> = of(report, "hop")
        .map(|row| row.payload_bytes)
        .filter(|payload| *payload > 0)
        .collect();
    let part = |(transport, placement): &Part, payload: u64| {
        of(report, "hop")
            .filter(|row| {
                row.transport == *transport && (row.payload_bytes == payload || row.payload_bytes == 0)
            })
            .find(|row| placement.is_none_or(|placement| row.placement == placement))
            .map(|row| float(row.p50_ns))
    };
    let point = |parts: &[Part], payload: u64| {
        let parts: Option<Vec<f64>> = parts.iter().map(|of| part(of, payload)).collect();
        Some((float(payload), parts?.into_iter().sum()))
    };
    sums.into_iter()
        .map(|(label, parts, dash)| Series {
            label: label.to_owned(),
            style: style::floor(dash),
            points: payloads
                .iter()
                .filter_map(|payload| point(parts, *payload))
                .collect(),
        })
        .filter(|series| !series.points.is_empty())
        .collect()
}

fn against_length(report: &Report, payload: u64) -> Figure {
    let rows = of(report, "chain")
        .filter(|row| row.payload_bytes == payload)
        .filter(|row| is_shown(row) || row.transport == "https" || row.transport == "https-new");
    figure(
        report,
        (
            "A chain: median latency against its length",
            format!(
                "One payload of {} at a time, read by every function",
                payload_cell(payload)
            ),
        ),
        (Scale::Count, "functions"),
        "median latency of the whole chain",
        grouped(rows, |row| (f64::from(row.hops), float(row.p50_ns))),
    )
}

fn hop_curves(report: &Report) -> Figure {
    let payloads: BTreeSet<u64> = of(report, "hop").map(|row| row.payload_bytes).collect();
    let payload = payloads
        .get(&CURVE_BYTES)
        .or_else(|| payloads.iter().find(|payload| **payload > 0))
        .copied()
        .unwrap_or(0);
    let rows = of(report, "hop").filter(|row| {
        row.payload_bytes == payload && !FLOORS.contains(&row.transport.as_str()) && is_shown(row)
    });
    curves(
        report,
        (
            "One hop: latency by percentile",
            format!("{} of payload, read by the receiver", payload_cell(payload)),
        ),
        rows,
    )
}

fn load_curves(report: &Report) -> Figure {
    let rows = of(report, "load").filter(|row| row.phase.as_deref() == Some("half-knee"));
    curves(
        report,
        (
            "Requests at half the rate that the service keeps up with: latency by percentile",
            "From when each request was due".to_owned(),
        ),
        rows,
    )
}

/// Percentile curves of rows that have their samples.
fn curves<'a>(report: &Report, titles: (&str, String), rows: impl Iterator<Item = &'a Row>) -> Figure {
    let series = rows.filter_map(|row| {
        let histogram = row.histogram.as_ref()?;
        let mut points: Vec<(f64, f64)> = histogram
            .iter_quantiles(4)
            .map(|step| (step.quantile_iterated_to(), float(step.value_iterated_to())))
            .filter(|(quantile, _)| *quantile < 1.0)
            .collect();
        // A quantile that fewer than one sample lies beyond says nothing.
        let reach = 1.0 - 1.0 / float(histogram.len().max(1));
        points.retain(|(quantile, _)| *quantile <= reach);
        Some(Series {
            label: label(row),
            style: style::of(row),
            points,
        })
    });
    let series = series.collect();
    figure(report, titles, (Scale::Quantile, "percentile"), "latency", series)
}

fn under_load(report: &Report) -> Figure {
    let rows = || of(report, "load").filter(|row| row.phase.as_deref() == Some("open"));
    let mut series = grouped(rows(), |row| (row.rate_per_s.unwrap_or(0.0), float(row.p99_ns)));
    let mut medians = grouped(rows(), |row| (row.rate_per_s.unwrap_or(0.0), float(row.p50_ns)));
    for (p99, p50) in series.iter_mut().zip(&mut medians) {
        p99.style.dash = Dash::Solid;
        p50.style.dash = Dash::Dots;
        p50.style.width = 2;
        p99.label.push_str(": p99");
        p50.label.push_str(": median");
    }
    series.extend(medians);
    figure(
        report,
        (
            "Requests through the gateway: latency against offered rate",
            "Open loop: each request counts from when it was due, however long it had to wait".to_owned(),
        ),
        (Scale::Rate, "offered requests in a second"),
        "latency",
        series,
    )
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
