//! `hacher-fabric bench`: what a hop, a chain and a request cost on this machine, beside the floors that
//! nothing can go below and beside what people use today, all in one run.
//!
//! ```text
//! experiment   what is measured: for each of its cells, which subjects, which payloads, how many samples
//! subject      one way of moving payloads, ready to be measured: the fabric, a floor, a baseline
//! report       rows, ratios and conditions; a table, JSON, CSV, histograms, plots; comparison of two reports
//! ```
//!
//! Every subject does the same work: each hop's receiver reads the payload to its last byte
//! ([`subject::checksum`]) unless its row says that it does not.

pub mod baseline;
pub mod driver;
pub mod experiment;
pub mod fabric;
pub mod floor;
pub mod peer;
pub mod place;
pub mod report;
pub mod step;
pub mod subject;

use crate::cli::{BenchArgs, Experiment};
use crate::command::Failed;
use experiment::{Effort, Guest, Run};
use report::Report;
use report::conditions::Conditions;
use subject::Cores;

/// Runs the chosen experiments, with `guests` measured beside the subjects of this crate.
///
/// # Errors
/// When something cannot be measured that should be.
pub fn run(arguments: &BenchArgs, guests: Vec<Guest>) -> Result<Report, Failed> {
    let seed = arguments
        .seed
        .unwrap_or_else(|| fastrand::u64(..=u64::from(u32::MAX)));
    let cores = Cores::choose();
    let conditions = Conditions::at_start(arguments.mode(), seed, cores);
    let mut run = Run {
        effort: if arguments.quick {
            Effort::QUICK
        } else {
            Effort::FULL
        },
        cores,
        random: fastrand::Rng::with_seed(seed),
        only: arguments.only.clone(),
        rows: Vec::new(),
        notices: Vec::new(),
        guests,
    };
    for chosen in arguments.chosen() {
        match chosen {
            Experiment::Hop => experiment::hop(&mut run)?,
            Experiment::Chain => experiment::chain(&mut run)?,
            Experiment::Throughput => experiment::throughput(&mut run)?,
            Experiment::Load => experiment::load(&mut run)?,
            Experiment::Breakdown => experiment::breakdown(&mut run)?,
        }
    }
    Ok(Report::new(conditions.at_end(), run.rows, run.notices))
}
