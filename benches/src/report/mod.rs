//! What a run of the benchmark found: rows, ratios of them, and the conditions under which they hold.
//!
//! ```text
//! row          one measured cell, and the builder that makes it of samples
//! conditions   the machine, the build, the mode
//! ratios       which rows are compared with which, and what must come out
//! noise        how far repeats of a cell lie apart, and when not to believe them
//! table        for people                    csv, hgrm, plots   for other programs and browsers
//! compare      what changed between two reports beyond noise
//! ```
//!
//! The JSON form is this module's types as they stand, with [`SCHEMA`] as its version.

pub mod compare;
pub mod conditions;
pub mod csv;
pub mod hgrm;
pub mod noise;
pub mod plots;
pub mod ratios;
pub mod row;
pub mod table;

#[cfg(test)]
mod fixture;

use conditions::Conditions;
use hacher_fabric::failed::Failed;
use ratios::Ratio;
use row::Row;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// Version of the JSON form. A report of another version is refused, not guessed at.
pub const SCHEMA: u64 = 1;

/// One run's findings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u64,
    /// Under which conditions the rows hold.
    pub conditions: Conditions,
    /// What was measured, sorted.
    pub rows: Vec<Row>,
    /// What follows of rows of this report, and of nothing else.
    pub ratios: Vec<Ratio>,
    /// What a reader must know: what was skipped and why, and whether the machine was too noisy.
    pub notices: Vec<String>,
}

impl Report {
    /// A report of these rows. Sorts them, derives the ratios, and adds notices about noise to `notices`.
    #[must_use]
    pub fn new(conditions: Conditions, mut rows: Vec<Row>, mut notices: Vec<String>) -> Self {
        rows.sort_by(Row::order);
        let ratios = ratios::of(&rows);
        notices.extend(noise::notices(&conditions, &rows));
        Self {
            schema: SCHEMA,
            conditions,
            rows,
            ratios,
            notices,
        }
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// Reads a report from the file that `--json` wrote.
    ///
    /// # Errors
    /// When the file cannot be read, is no report, or is one of another [`SCHEMA`]; with the file's name.
    pub fn read(path: &Path) -> Result<Self, Failed> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failed::new(format!("cannot read the report {name}: {error}")))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| Failed::new(format!("{name} is not JSON: {error}")))?;
        match value.get("schema").and_then(Value::as_u64) {
            Some(SCHEMA) => {}
            Some(other) => {
                return Err(Failed::new(format!(
                    "{name} is a report of schema {other}; this hacher-bench reads schema {SCHEMA}. \
                     Compare with the version that wrote it, or measure again"
                )));
            }
            None => {
                return Err(Failed::new(format!(
                    "{name} is no report of `hacher-fabric bench --json`: it names no schema"
                )));
            }
        }
        serde_json::from_value(value)
            .map_err(|error| Failed::new(format!("{name} is no report of schema {SCHEMA}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_its_json_form() {
        let report = fixture::report();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        std::fs::write(&path, report.to_json().to_string()).unwrap();
        let mut read = Report::read(&path).unwrap();
        // The histograms stay behind; nothing else does.
        for (row, original) in read.rows.iter_mut().zip(&report.rows) {
            row.histogram.clone_from(&original.histogram);
        }
        assert_eq!(read.ratios, report.ratios);
        assert!(read == report, "rows, conditions or notices differ");
    }

    #[test]
    fn a_report_of_another_schema_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.json");
        for (text, complaint) in [
            (r#"{"schema": 99}"#, "schema 99"),
            (r#"{"rows": []}"#, "names no schema"),
            ("row", "not JSON"),
            (r#"{"schema": 1}"#, "no report of schema 1"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = format!("{:?}", Report::read(&path).unwrap_err());
            assert!(
                message.contains(complaint) && message.contains("old.json"),
                "{message}"
            );
        }
        let message = format!("{:?}", Report::read(&folder.path().join("none")).unwrap_err());
        assert!(message.contains("cannot read"), "{message}");
    }
}
