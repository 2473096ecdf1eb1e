//! `check`: all that is wrong with chain files.

use super::{Failed, complain, print, print_json, stderr_has_colours};
use crate::adaptor_program::with_adaptor;
use crate::cli::{CheckArgs, Format};
use hacher_chain_dsl::{Chain, Diagnostic, Diagnostics, explain_code};
use hacher_loader::beneath::Folders;
use hacher_loader::file::{ChainFile, ChainFileError};
use hacher_loader::gateway_memory::check_fit;
use hacher_loader::machine_memory::past_machine;
use hacher_loader::named::chain_files;
use hacher_loader::need;
use hacher_loader::own_gateway::{self, Elsewhere};
use hacher_loader::progress;
use hacher_loader::protection::{GIVEN_UP, in_words, mapped_edges};
use hacher_loader::routes::overlaps;
use hacher_loader::together::{check_files, check_programs, check_sums, find_room_for_files, first_conflict};
use hacher_trustlet_host::chosen::headroom::{raise_soft_limits, shortfall};
use serde_json::{Value, json};
use std::path::Path;

/// Checks every file, and whether all can be served together; reports on all of them, and fails if there is
/// an error.
///
/// # Errors
/// When a file cannot be read, or has an error, or the report cannot be written.
pub fn check(arguments: &CheckArgs) -> Result<(), Failed> {
    if let Some(code) = &arguments.explain {
        let text =
            explain_code(code).ok_or_else(|| Failed::new(format!("there is no diagnostic code `{code}`")))?;
        return print(&format!("{}\n", text.trim_end()));
    }
    progress::watch(|| {});
    let folders = arguments.secrets.folders()?;
    let paths = chain_files(&arguments.chains)?;
    let mut checked: Vec<_> = paths
        .iter()
        .map(|path| check_one(path, arguments.text_only, &folders))
        .collect();
    check_conflicts(&mut checked, &arguments.elsewhere());
    let together = check_together(&checked, arguments.text_only);
    warn_of(&mut checked, |files| {
        let memory = (!arguments.text_only).then(|| past_machine(files)).flatten();
        overlaps(files).into_iter().chain(memory).collect()
    });
    match arguments.format.format {
        Format::Human => {
            checked.iter().try_for_each(print_human)?;
            if let Err(error) = &together {
                complain(&format!("error: {error}\n"))?;
            }
        }
        Format::Json => {
            let mut reports: Vec<Value> = checked.iter().map(to_json).collect();
            if let Err(error) = &together {
                reports.push(json!({ "file": Value::Null, "good": false, "found": { "message": error } }));
            }
            print_json(&Value::Array(reports))?;
        }
    }
    if together.is_ok() && checked.iter().all(|report| report.outcome.is_ok()) {
        Ok(())
    } else {
        Err(Failed::reported())
    }
}

/// The one that checks, and the one that watches it.
const OWN_THREADS: u64 = 2;

struct Report<'a> {
    path: &'a Path,
    outcome: Result<(ChainFile, Diagnostics), ChainFileError>,
}

fn check_one<'a>(path: &'a Path, text_only: bool, folders: &Folders) -> Report<'a> {
    let outcome = ChainFile::read(path).and_then(|file| {
        // What was opened to be looked at is closed again.
        let _going = progress::asking(path);
        let file = file.within(folders);
        check_fit(core::iter::once(file.chain()))
            .map_err(|error| ChainFileError::Gateway(error.to_string()))?;
        if text_only {
            let warnings = file.warnings().clone();
            return Ok((file, warnings));
        }
        find_room_for_files([file.chain()]);
        let file = with_adaptor(file, false);
        let warnings = file.open_all()?.warnings;
        Ok((file, warnings))
    });
    Report { path, outcome }
}

/// The files without an error, and which of the reports are theirs.
fn good<'r>(reports: &'r [Report<'_>]) -> (Vec<usize>, Vec<&'r ChainFile>) {
    let good = reports.iter().enumerate();
    good.filter_map(|(at, report)| Some((at, &report.outcome.as_ref().ok()?.0)))
        .unzip()
}

/// Refuses chains that cannot be served beside those before them.
fn check_conflicts(reports: &mut [Report<'_>], elsewhere: &Elsewhere) {
    loop {
        let (places, files) = good(reports);
        let Some((nth, error)) = first_conflict(&files, Some(elsewhere)) else {
            return;
        };
        let Some(report) = places.get(nth).and_then(|at| reports.get_mut(*at)) else {
            return;
        };
        report.outcome = Err(error);
    }
}

/// Whether the chains fit into one service, and that onto this machine, as `serve` would find.
fn check_together(reports: &[Report<'_>], text_only: bool) -> Result<(), String> {
    let (_, files) = good(reports);
    let chains: Vec<_> = files.iter().map(|file| file.chain()).collect();
    if chains.is_empty() {
        return Ok(());
    }
    check_sums(&chains)?;
    if text_only {
        return Ok(());
    }
    check_files(&files)?;
    check_programs(&chains)?;
    raise_soft_limits();
    let mut need = need::of_chains(&chains);
    // This process is not there when they are served.
    need.processes = need.processes.saturating_sub(OWN_THREADS);
    shortfall(&need).map_or(Ok(()), Err)
}

/// Adds what `find` warns of where all these chains are served together.
fn warn_of(reports: &mut [Report<'_>], find: impl FnOnce(&[&ChainFile]) -> Vec<(usize, Diagnostic)>) {
    let (places, files) = good(reports);
    for (nth, warning) in find(&files) {
        let report = places.get(nth).and_then(|at| reports.get_mut(*at));
        if let Some(Ok((_, warnings))) = report.map(|report| &mut report.outcome) {
            *warnings = warnings.with_more([warning]);
        }
    }
}

fn print_human(report: &Report<'_>) -> Result<(), Failed> {
    let render = |problems: &Diagnostics| complain(&problems.render(stderr_has_colours()));
    match &report.outcome {
        Ok((file, warnings)) => {
            if !warnings.is_empty() {
                render(warnings)?;
            }
            let chain = file.chain();
            let counts = [
                (chain.functions().len(), "function"),
                (chain.edges().len(), "edge"),
            ]
            .map(|(count, noun)| format!("{count} {noun}{}", if count == 1 { "" } else { "s" }));
            print(&format!(
                "{}: chain `{}`, {}: good\n",
                report.path.display(),
                chain.name(),
                counts.join(", ")
            ))?;
            if let Some(place) = own_gateway::in_words(chain) {
                print(&format!("  served by {place}\n"))?;
            }
            if let Some(mapped) = in_words(chain) {
                print(&format!(
                    "  note: mapped, and not sealed: {mapped}\n  a mapped edge has {GIVEN_UP}\n"
                ))?;
            }
            Ok(())
        }
        Err(ChainFileError::Problems(problems)) => render(problems),
        Err(error) => complain(&format!("error: {error}\n")),
    }
}

fn to_json(report: &Report<'_>) -> Value {
    let good = report.outcome.is_ok();
    let found = match &report.outcome {
        Ok((_, warnings)) => serde_json::to_value(warnings),
        Err(ChainFileError::Problems(problems)) => serde_json::to_value(problems.as_ref()),
        Err(error) => Ok(json!({ "message": error.to_string() })),
    };
    let chain = report.outcome.as_ref().ok().map(|(file, _)| file.chain());
    let mapped = chain.map(mapped_edges);
    let listen = chain.and_then(|chain| chain.ingress().listen());
    json!({
        "file": report.path, "good": good, "found": found.unwrap_or(Value::Null),
        "chain": chain.map(Chain::name), "functions": chain.map(|chain| chain.functions().len()),
        "edges": chain.map(|chain| chain.edges().len()),
        "mapped_edges": mapped.unwrap_or_default(), "listen": listen,
    })
}
