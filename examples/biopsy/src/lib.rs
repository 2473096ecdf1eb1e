//! Two classifiers on one table of measurements: the functions of the chain `biopsy`.
//!
//! [`validate`] reads the client's CSV strictly and passes it on, or sends the line numbers of what is broken
//! to `reject`. [`prepare`] drops the columns that identify people and standardises the rest, so that what
//! comes after it never sees who a row is about. [`classify`] runs twice in parallel, as [`Centroids`] and as
//! [`Logistic`], trained on the first [`TRAINING_ROWS`] rows and tested on the others. [`report`] joins both.
//!
//! [`Centroids`]: centroid::Centroids
//! [`Logistic`]: logistic::Logistic

pub mod centroid;
pub mod dataset;
pub mod evaluation;
pub mod identity;
pub mod logistic;
pub mod problem;
pub mod summary;
pub mod table;

pub use table::TRAINING_ROWS;

use dataset::Dataset;
use evaluation::{Classifier, Evaluation};
use hacher::{Failure, Input, Output};
use problem::Problems;
use summary::Summary;
use table::Table;

/// The handler of `validate`: the CSV as it came to `out`, or to `reject` a report that names lines, columns
/// and kinds of problems, and never quotes a value.
///
/// # Errors
/// A transient [`Failure`] when the input does not arrive whole.
pub fn validate(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let csv = input.bytes()?;
    match Table::parse(csv) {
        Ok(_) => {
            let mut out = output.out()?;
            out.set_content_type("text/csv")?;
            out.append(csv)
        }
        Err(problems) => {
            let mut reject = output.port("reject")?;
            reject.set_content_type("application/problem+json")?;
            reject.append(&json(&problems)?)
        }
    }
}

/// The handler of `prepare`: the table without identifying columns, standardised, in the layout of
/// [`dataset`].
///
/// # Errors
/// A permanent [`Failure`] when the table is broken, which [`validate`] lets nothing be.
pub fn prepare(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let table =
        Table::parse(input.bytes()?).map_err(|_: Problems| Failure::permanent("the table is broken"))?;
    let mut out = output.out()?;
    out.set_content_type(dataset::CONTENT_TYPE)?;
    out.append(&Dataset::standardise(&table).to_bytes())
}

/// The handler of `centroid` and `logistic`: trains and tests the classifier `C`, and says how it did.
///
/// # Errors
/// A permanent [`Failure`] when the record is not a dataset.
pub fn classify<C: Classifier>(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let dataset =
        Dataset::from_bytes(input.bytes()?).map_err(|_| Failure::permanent("the record is not a dataset"))?;
    send_json(output, &Evaluation::of::<C>(&dataset))
}

/// The handler of `report`: what all classifiers found, in one report.
///
/// # Errors
/// A permanent [`Failure`] when a record is no evaluation, or the evaluations are not of the same dataset.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a handler")]
pub fn report(input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let evaluations = input
        .parts()
        .iter()
        .map(|part| serde_json::from_slice(part.bytes()))
        .collect::<Result<Vec<Evaluation>, _>>()
        .map_err(|_| Failure::permanent("the record is not an evaluation"))?;
    let summary = Summary::of(&evaluations)
        .map_err(|_| Failure::permanent("the evaluations are not of the same dataset"))?;
    send_json(output, &summary)
}

fn send_json(output: &mut Output<'_>, value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut out = output.out()?;
    out.set_content_type("application/json")?;
    out.append(&json(value)?)
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Failure> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|_| Failure::permanent("the report cannot be written"))?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests;
