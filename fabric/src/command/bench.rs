//! `bench`: measures, or compares two reports of measurements.

use super::{Failed, print, print_json};
use crate::bench;
use crate::bench::experiment::Guest;
use crate::bench::report::compare::Comparison;
use crate::bench::report::{Report, csv, hgrm, plots, table};
use crate::cli::{BenchArgs, BenchCommand, CompareArgs, Format};
use std::fs;
use std::io;
use std::path::Path;

/// Runs the experiments, also with `guests`, and puts out what they found; or compares two reports.
///
/// # Errors
/// When an experiment fails, or a file cannot be written or read.
pub fn bench(arguments: &BenchArgs, guests: Vec<Guest>) -> Result<(), Failed> {
    if let Some(BenchCommand::Compare(compared)) = &arguments.command {
        return compare(compared);
    }
    make_room(arguments)?;
    let report = bench::run(arguments, guests)?;
    // First the terminal: it still has the figures if a disk is full.
    match arguments.format.format {
        Format::Human => print(&table::render(&report))?,
        Format::Json => print_json(&report.to_json())?,
    }
    write_files(arguments, &report)
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
    tell!(Info: "wrote {}", path.display());
    Ok(())
}

fn cannot_write(path: &Path, why: impl std::fmt::Display) -> Failed {
    Failed::new(format!("cannot write {}: {why}", path.display()))
}
