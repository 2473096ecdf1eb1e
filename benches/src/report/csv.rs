//! A report's rows as CSV (RFC 4180), for spreadsheets and scripts.

use super::Report;
use super::noise;
use super::row::Row;

/// The columns, in order.
pub const COLUMNS: [&str; 20] = [
    "experiment",
    "transport",
    "protection",
    "placement",
    "payload_bytes",
    "hops",
    "samples",
    "p50_ns",
    "p90_ns",
    "p99_ns",
    "p999_ns",
    "max_ns",
    "mean_ns",
    "touched",
    "phase",
    "rate_per_s",
    "bytes_per_s",
    "rounds",
    "spread",
    "function",
];

/// The rows of a report, with a line of [`COLUMNS`] first. What a row does not have is empty.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = COLUMNS.join(",");
    text.push_str("\r\n");
    for row in &report.rows {
        let cells: Vec<String> = cells(row).iter().map(|cell| quoted(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

fn cells(row: &Row) -> [String; 20] {
    let maybe = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    [
        row.experiment.clone(),
        row.transport.clone(),
        row.protection.clone(),
        row.placement.clone(),
        row.payload_bytes.to_string(),
        row.hops.to_string(),
        row.samples.to_string(),
        row.p50_ns.to_string(),
        row.p90_ns.to_string(),
        row.p99_ns.to_string(),
        row.p999_ns.to_string(),
        row.max_ns.to_string(),
        row.mean_ns.to_string(),
        row.touched.to_string(),
        row.phase.clone().unwrap_or_default(),
        maybe(row.rate_per_s),
        maybe(row.bytes_per_s),
        row.rounds_p50_ns.len().to_string(),
        noise::spread(row)
            .map(|spread| format!("{spread:.4}"))
            .unwrap_or_default(),
        row.function.clone().unwrap_or_default(),
    ]
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_columns_stand_in_their_order_and_each_row_fills_them() {
        let report = fixture::report();
        let text = render(&report);
        let mut lines = text.lines();
        assert!(lines.next().unwrap().starts_with(
            "experiment,transport,protection,placement,payload_bytes,hops,samples,\
             p50_ns,p90_ns,p99_ns,p999_ns,max_ns,mean_ns,"
        ));
        let mut rows = 0;
        for (line, row) in lines.zip(&report.rows) {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(cells.len(), COLUMNS.len(), "{line}");
            assert_eq!(cells[1], row.transport);
            assert_eq!(cells[7], row.p50_ns.to_string());
            assert_eq!(cells[11], row.max_ns.to_string());
            rows += 1;
        }
        assert_eq!(rows, report.rows.len());
    }

    #[test]
    fn a_comma_or_a_quote_does_not_break_a_cell() {
        assert_eq!(quoted("hop 2, run"), "\"hop 2, run\"");
        assert_eq!(quoted("a \"b\""), "\"a \"\"b\"\"\"");
        assert_eq!(quoted("plain"), "plain");
    }
}
