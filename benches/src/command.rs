//! The command: measures, compares two reports of measurements, or counts the trusted base.

use super::experiment::{self, Effort, Guest, Run};
use super::python::function;
use super::report::compare::Comparison;
use super::report::conditions::Conditions;
use super::report::{Report, csv, hgrm, plots, table};
use super::subject::Cores;
use super::tcb::tcb;
use clap::{Args, FromArgMatches};
use hacher_fabric::cli::{BenchArgs, BenchCommand, CompareArgs, Experiment, Format, TcbArgs};
use hacher_fabric::command::{finish, print, print_json};
use hacher_fabric::companion::Companion;
use hacher_fabric::explain_usage;
use hacher_fabric::failed::Failed;
use hacher_trustlet_host::VERSION;
use hacher_trustlet_host::lines::{About, Level, say};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the command starts.
#[must_use]
pub fn main() -> ExitCode {
    match Asked::understood(std::env::args_os()) {
        Ok(Asked::Bench(arguments)) => finish(bench(&arguments)),
        Ok(Asked::Tcb(arguments)) => finish(tcb(&arguments)),
        Err(error) => explain_usage(&error),
    }
}

/// What `hacher-bench` is asked for.
enum Asked {
    Bench(Box<BenchArgs>),
    Tcb(TcbArgs),
}

impl Asked {
    /// Understands `hacher-bench ARGUMENTS`, and `hacher-bench bench ARGUMENTS` and `hacher-bench tcb
    /// ARGUMENTS` as `hacher-fabric` says it.
    fn understood(words: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut words = words.peekable();
        let name = words.next();
        if words.next_if(|word| word == "tcb").is_some() {
            let command = clap::Command::new("hacher-bench tcb")
                .bin_name("hacher-bench tcb")
                .about("Counts the source lines compiled into the trusted executables, by crate")
                .max_term_width(100);
            let command = TcbArgs::augment_args(command);
            let matches = command.try_get_matches_from(name.into_iter().chain(words))?;
            return TcbArgs::from_arg_matches(&matches).map(Self::Tcb);
        }
        words.next_if(|word| word == "bench");
        bench_arguments(name.into_iter().chain(words)).map(|arguments| Self::Bench(Box::new(arguments)))
    }
}

fn bench_arguments(words: impl Iterator<Item = OsString>) -> Result<BenchArgs, clap::Error> {
    let command = clap::Command::new("hacher-bench")
        .version(VERSION)
        .about("Measures hops, chains and requests beside what nothing can beat and what people use today; `tcb` counts the trusted base")
        .max_term_width(100);
    let matches = BenchArgs::augment_args(command).try_get_matches_from(words)?;
    BenchArgs::from_arg_matches(&matches)
}

/// Runs the experiments and puts out what they found; or compares two reports.
fn bench(arguments: &BenchArgs) -> Result<(), Failed> {
    if let Some(BenchCommand::Compare(compared)) = &arguments.command {
        return compare(compared);
    }
    check_functions(arguments)?;
    make_room(arguments)?;
    let report = measure(arguments, fabric()?)?;
    // First the terminal: it still has the figures if a disk is full.
    match arguments.format.format {
        Format::Human => print(&table::render(&report))?,
        Format::Json => print_json(&report.to_json())?,
    }
    write_files(arguments, &report)
}

/// Refuses what is said of functions if they are not measured, or are not there.
fn check_functions(arguments: &BenchArgs) -> Result<(), Failed> {
    let says = arguments.venv.is_some() || !arguments.function.is_empty();
    if says && !arguments.chosen().contains(&Experiment::Functions) {
        return Err(Failed::usage(
            "--venv and --function are for functions in Python, and they are not measured: `bench functions --venv FOLDER`",
        ));
    }
    let names: Vec<&str> = function::ALL.iter().map(|function| function.name).collect();
    match arguments
        .function
        .iter()
        .find(|named| !names.contains(&named.as_str()))
    {
        Some(named) => Err(Failed::usage(format!(
            "there is no function `{named}` to measure; there are {}",
            names.join(", ")
        ))),
        None => Ok(()),
    }
}

/// The command that serves chains: it lies beside this one.
fn fabric() -> Result<PathBuf, Failed> {
    match Companion::Fabric.built_beside(Companion::Bench) {
        Ok(Some(found)) => Ok(found.path),
        Ok(None) => Err(Failed::new(format!(
            "the chains are served by {}, which is not installed beside this executable. In the source tree it is \
             built by\n  {}",
            Companion::Fabric.name(),
            Companion::Fabric.build_command()
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Runs the chosen experiments, with `fabric` to serve the chains.
fn measure(arguments: &BenchArgs, fabric: PathBuf) -> Result<Report, Failed> {
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
        fabric,
        cores,
        random: fastrand::Rng::with_seed(seed),
        only: arguments.only.clone(),
        venv: arguments.venv.clone(),
        functions: arguments.function.clone(),
        rows: Vec::new(),
        notices: Vec::new(),
        guests: guests(),
    };
    for chosen in arguments.chosen() {
        match chosen {
            Experiment::Hop => experiment::hop(&mut run)?,
            Experiment::Chain => experiment::chain(&mut run)?,
            Experiment::Throughput => experiment::throughput(&mut run)?,
            Experiment::Load => experiment::load(&mut run)?,
            Experiment::Breakdown => experiment::breakdown(&mut run)?,
            Experiment::Session => experiment::session(&mut run)?,
            Experiment::Functions => experiment::functions(&mut run)?,
        }
    }
    Ok(Report::new(conditions.at_end(), run.rows, run.notices))
}

/// Subjects that not every build has.
fn guests() -> Vec<Guest> {
    #[cfg(feature = "peers")]
    return super::peers::guests();
    #[cfg(not(feature = "peers"))]
    Vec::new()
}

fn compare(arguments: &CompareArgs) -> Result<(), Failed> {
    let before = Report::read(&arguments.before)?;
    let after = Report::read(&arguments.after)?;
    let comparison = Comparison::of(&before, &after);
    match arguments.format.format {
        Format::Human => print(&comparison.render()),
        Format::Json => print_json(&serde_json::to_value(&comparison)?),
    }
}

/// Makes the folders of all output before the first measurement: nobody should learn after a quarter of an
/// hour that a path was mistyped.
fn make_room(arguments: &BenchArgs) -> Result<(), Failed> {
    for file in [&arguments.json, &arguments.csv].into_iter().flatten() {
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        if !folder.is_dir() || file.is_dir() {
            return Err(cannot_write(file, "no file can be there"));
        }
    }
    for folder in [&arguments.hgrm, &arguments.plots].into_iter().flatten() {
        fs::create_dir_all(folder).map_err(|error| cannot_write(folder, error))?;
    }
    Ok(())
}

fn write_files(arguments: &BenchArgs, report: &Report) -> Result<(), Failed> {
    if let Some(path) = &arguments.json {
        written(path, fs::write(path, format!("{:#}\n", report.to_json())))?;
    }
    if let Some(path) = &arguments.csv {
        written(path, fs::write(path, csv::render(report)))?;
    }
    if let Some(path) = &arguments.hgrm {
        written(path, hgrm::write(report, path))?;
    }
    if let Some(path) = &arguments.plots {
        written(path, plots::write(report, path))?;
    }
    Ok(())
}

fn written<T>(path: &Path, result: io::Result<T>) -> Result<(), Failed> {
    result.map_err(|error| cannot_write(path, error))?;
    say(
        Level::Info,
        &About::default(),
        format_args!("wrote {}", path.display()),
    );
    Ok(())
}

fn cannot_write(path: &Path, why: impl std::fmt::Display) -> Failed {
    Failed::new(format!("cannot write {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_other_command_are_understood() {
        let asked = |words: &[&str]| Asked::understood(words.iter().map(OsString::from));
        let understood = |words: &[&str]| {
            asked(words).map(|asked| match asked {
                Asked::Bench(arguments) => *arguments,
                Asked::Tcb(_) => panic!("{words:?} is taken for `tcb`"),
            })
        };
        for words in [
            &["hacher-bench", "hop", "--quick"][..],
            &["hacher-bench", "bench", "hop", "--quick"],
        ] {
            let arguments = understood(words).unwrap();
            assert_eq!(
                (arguments.chosen(), arguments.mode()),
                (vec![Experiment::Hop], "quick")
            );
        }
        assert!(understood(&["hacher-bench", "bench", "bench"]).is_err());
        let compared = understood(&["hacher-bench", "compare", "a.json", "b.json"]).unwrap();
        assert!(matches!(compared.command, Some(BenchCommand::Compare(_))));
        let help = understood(&["hacher-bench", "--help"]).unwrap_err().to_string();
        assert!(help.contains("How to read the table"), "{help}");
        let Ok(Asked::Tcb(counted)) = asked(&["hacher-bench", "tcb", "--all", "f"]) else {
            panic!("`tcb` is not understood")
        };
        assert_eq!((counted.all, counted.files), (true, vec!["f".into()]));
    }
}
