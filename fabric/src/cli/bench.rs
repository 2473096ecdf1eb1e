//! The words of `bench`, which this executable explains and `hacher-bench` obeys.

use super::format::FormatArgs;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

const BENCH_HELP: &str = "\
Experiments (all of them if none is named):
  hop         one payload from one process to the next, 64 B to 16 MiB, and the floors: waking a
              process, passing a cache line, sealing, opening, copying
  chain       one payload through 1 to 32 functions
  throughput  payloads and bytes in a second over one edge
  load        requests through the gateway at rates up to what it can take, each timed from when
              it was due, so that waiting counts; then the closed-loop peak
  breakdown   where a request's time went: queued, open, run, seal, hand-over
  session     requests over TLS as they are, sealed for their chain, and over connections bound to
              evidence, 64 B to 1 MiB

How to read the table:
  p50 ... max  quantiles of all samples
  spread       how far the medians of the repeats lie apart. Above 10 % a row is marked `noisy`:
               do not believe it, nor a difference that is smaller than the spread
  packed       all processes on one core; spread: neighbours on two cores; floating: left to the
               scheduler; auto: as the fabric chooses
  ratios       rows of this run, one over the other, with what they should be: pass or MISS.
               A ratio whose rows were not measured is not shown

Examples:
  hacher-fabric bench --quick                         all experiments, about a minute
  hacher-fabric bench hop --only fabric --only https  two transports, and the floors
  hacher-fabric bench --json new.json --plots plots   full mode, about ten minutes
  hacher-fabric bench compare old.json new.json       what changed beyond noise";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = BENCH_HELP)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub command: Option<BenchCommand>,
    /// What to measure; everything if nothing is named
    #[arg(value_enum, value_name = "EXPERIMENT")]
    pub experiments: Vec<Experiment>,
    /// Few repeats and sizes: about a minute in all
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// All sizes, with repeats enough for tails: about ten minutes in all. This is the default
    #[arg(long)]
    pub full: bool,
    /// Write the report as JSON, which `bench compare` reads
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the rows as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write a percentile log of each row, for HdrHistogram's plotters
    #[arg(long, value_name = "DIR")]
    pub hgrm: Option<PathBuf>,
    /// Write plots as SVG
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
    /// Draw the order of measurements with this number; a random one if not given
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Measure this transport only, and the floors; may be given several times
    #[arg(long, value_name = "TRANSPORT")]
    pub only: Vec<String>,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Show what changed between two reports beyond noise
    ///
    /// Rows are matched by what they measured. What counts as noise is how far the repeats of a row lie
    /// apart, on the side where they lie further apart. Between machines only ratios compare, not times.
    Compare(CompareArgs),
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The report to compare with, as `--json` wrote it
    pub before: PathBuf,
    /// The report to compare
    pub after: PathBuf,
    #[command(flatten)]
    pub format: FormatArgs,
}

/// What `bench` can measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Experiment {
    /// One payload from one process to the next
    Hop,
    /// One payload through the functions of a chain
    Chain,
    /// Payloads over one edge, as many as it takes
    Throughput,
    /// Requests through the gateway at given rates
    Load,
    /// Where the time of a request went
    Breakdown,
    /// What sealing a request, or binding its connection to evidence, costs
    Session,
}

impl Experiment {
    /// All, in the order of reports.
    pub const ALL: [Self; 6] = [
        Self::Hop,
        Self::Chain,
        Self::Throughput,
        Self::Load,
        Self::Breakdown,
        Self::Session,
    ];

    /// The word for it in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hop => "hop",
            Self::Chain => "chain",
            Self::Throughput => "throughput",
            Self::Load => "load",
            Self::Breakdown => "breakdown",
            Self::Session => "session",
        }
    }
}

impl BenchArgs {
    /// The experiments to run, in the order of reports.
    #[must_use]
    pub fn chosen(&self) -> Vec<Experiment> {
        let is_chosen =
            |experiment: &Experiment| self.experiments.is_empty() || self.experiments.contains(experiment);
        Experiment::ALL.into_iter().filter(is_chosen).collect()
    }

    /// `quick` or `full`.
    #[must_use]
    pub const fn mode(&self) -> &'static str {
        if self.quick { "quick" } else { "full" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn bench(words: &[&str]) -> Result<BenchArgs, clap::Error> {
        let words = ["hacher-fabric", "bench"].iter().chain(words);
        match Cli::try_parse_from(words)?.command {
            Command::Bench(arguments) => Ok(arguments),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bench_runs_everything_in_full_unless_told_otherwise() {
        let arguments = bench(&[]).unwrap();
        assert_eq!(arguments.chosen(), Experiment::ALL);
        assert_eq!(arguments.mode(), "full");
        let arguments = bench(&["load", "hop", "--quick", "--only", "http", "--only", "fabric"]).unwrap();
        assert_eq!(arguments.chosen(), [Experiment::Hop, Experiment::Load]);
        assert_eq!((arguments.mode(), arguments.only.len()), ("quick", 2));
        assert!(bench(&["--quick", "--full"]).is_err());
        assert!(bench(&["nothing"]).is_err());
    }

    #[test]
    fn compare_takes_two_reports_and_runs_nothing() {
        let arguments = bench(&["compare", "a.json", "b.json", "--format", "json"]).unwrap();
        let Some(BenchCommand::Compare(compare)) = arguments.command else {
            panic!("not understood as `compare`")
        };
        assert_eq!(compare.after, PathBuf::from("b.json"));
        assert!(bench(&["compare", "a.json"]).is_err());
        assert!(bench(&["--quick", "compare", "a.json", "b.json"]).is_err());
    }
}
