//! `hacher-fabric bench`: what a hop, a chain and a request cost on this machine, beside the floors that nothing can go
//! below and beside what people use today, all in one run.
//!
//! ```text
//! experiment   what is measured: for each of its cells, which subjects, which payloads, how many samples
//! subject      one way of moving payloads, ready to be measured: the fabric, a floor, a baseline
//! report       rows, ratios and conditions; a table, JSON, CSV, histograms, plots; comparison of two reports
//! ```
//!
//! Every subject does the same work: each hop's receiver reads the payload to its last byte ([`subject::checksum`])
//! unless its row says that it does not.

pub mod baseline;
pub mod driver;
pub mod fabric;
pub mod floor;
pub mod peer;
pub mod place;
pub mod report;
pub mod step;
pub mod subject;

use crate::cli::BenchArgs;
use crate::command::Failed;
use report::Report;

/// Runs the chosen experiments.
///
/// # Errors
/// When something cannot be measured that should be.
pub fn run(arguments: &BenchArgs) -> Result<Report, Failed> {
    let _ = arguments.chosen();
    Err(Failed::new("this build cannot measure yet"))
}
