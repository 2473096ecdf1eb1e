//! The words of `bench`, which this executable explains and `hacher-bench` obeys.

use super::format::FormatArgs;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Its lines fit into 80 columns: a terminal that is narrower than they are breaks each of them.
const BENCH_HELP: &str = "\
Experiments (all but `functions` if none is named):
  hop         one payload from one process to the next, 64 B to 16 MiB, and the
              floors: waking a process, passing a cache line, sealing, opening,
              copying
  chain       one payload through 1 to 32 functions
  throughput  payloads and bytes in a second over one edge
  load        requests through the gateway at rates up to what it can take,
              each timed from when it was due, so that waiting counts; then the
              closed-loop peak
  breakdown   where a request's time went: queued, open, run, seal, hand-over
  session     requests over TLS as they are, sealed for their chain, and over
              connections bound to evidence, 64 B to 1 MiB
  functions   handlers in Python, those of the suite SeBS among them: in a
              chain, behind uvicorn over kept-alive HTTPS (TLS 1.3), and in a
              new process for each call. Of each call its time (total), its
              handler's (handler), and what is left (share: what the way
              costs). Takes Python 3.9 or later and packages from PyPI, and so
              is measured only if named: the first time it makes a virtual
              environment, and installs them there with pip. With --venv it
              uses one that is there, and changes nothing in it

How to read the table:
  p50 ... max  quantiles of all samples
  spread       how far the medians of the repeats lie apart. Above 10 % a row
               is marked `noisy`: do not believe it, nor a difference that is
               smaller than the spread
  packed       all processes on one core; spread: neighbours on two cores;
               floating: left to the scheduler; auto: as the fabric chooses
  ratios       rows of this run, one over the other, with what they should be:
               pass or MISS. A ratio whose rows were not measured is not shown

Examples:
  hacher-fabric bench --quick
      all experiments, about a minute
  hacher-fabric bench hop --only fabric --only https
      two transports, and the floors
  hacher-fabric bench --json new.json --plots plots
      full mode, about ten minutes
  hacher-fabric bench functions --function noop
      what a call costs that does nothing
  hacher-fabric bench compare old.json new.json
      what changed beyond noise";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = BENCH_HELP)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub command: Option<BenchCommand>,
    /// What to measure; everything but `functions` if nothing is named
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
    /// Virtual environment of Python for `functions`, made if it is not there; without this, one in the
    /// folder of cargo's results, or of the user's caches
    #[arg(long, value_name = "FOLDER")]
    pub venv: Option<PathBuf>,
    /// Of `functions` measure this one only, such as noop or thumbnailer; may be given several times
    #[arg(long, value_name = "NAME")]
    pub function: Vec<String>,
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
    /// Handlers in Python: in a chain, behind HTTPS, and in a new process
    Functions,
}

impl Experiment {
    /// All, in the order of reports.
    pub const ALL: [Self; 7] = [
        Self::Hop,
        Self::Chain,
        Self::Throughput,
        Self::Load,
        Self::Breakdown,
        Self::Session,
        Self::Functions,
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
            Self::Functions => "functions",
        }
    }

    /// Whether it is run if no experiment is named. Others need more than this executable and the one beside
    /// it.
    const fn is_default(self) -> bool {
        !matches!(self, Self::Functions)
    }
}

impl BenchArgs {
    /// The experiments to run, in the order of reports.
    #[must_use]
    pub fn chosen(&self) -> Vec<Experiment> {
        let is_chosen = |experiment: &Experiment| match self.experiments.as_slice() {
            [] => experiment.is_default(),
            named => named.contains(experiment),
        };
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
    fn no_line_of_the_help_is_wider_than_a_terminal() {
        let wide = BENCH_HELP.lines().filter(|line| line.chars().count() >= 80);
        assert_eq!(wide.collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn bench_runs_everything_in_full_unless_told_otherwise() {
        let arguments = bench(&[]).unwrap();
        let [default @ .., Experiment::Functions] = Experiment::ALL else {
            panic!("the last one is not run unless it is named")
        };
        assert_eq!(arguments.chosen(), default);
        assert_eq!(arguments.mode(), "full");
        let arguments = bench(&["load", "hop", "--quick", "--only", "http", "--only", "fabric"]).unwrap();
        assert_eq!(arguments.chosen(), [Experiment::Hop, Experiment::Load]);
        assert_eq!((arguments.mode(), arguments.only.len()), ("quick", 2));
        assert!(bench(&["--quick", "--full"]).is_err());
        assert!(bench(&["nothing"]).is_err());
    }

    #[test]
    fn functions_are_measured_when_named_with_an_environment_that_may_be_named_too() {
        let arguments = bench(&["functions", "--quick"]).unwrap();
        assert_eq!(
            (arguments.chosen(), arguments.venv),
            (vec![Experiment::Functions], None)
        );
        let arguments = bench(&["functions", "hop", "--venv", "venv"]).unwrap();
        assert_eq!(arguments.chosen(), [Experiment::Hop, Experiment::Functions]);
        assert_eq!(arguments.venv, Some(PathBuf::from("venv")));
        let arguments = bench(&["functions", "--function", "noop", "--function", "thumbnailer"]).unwrap();
        assert_eq!(arguments.function, ["noop", "thumbnailer"]);
        assert!(bench(&["functions", "--venv"]).is_err());
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
