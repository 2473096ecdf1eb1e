//! `check`: all that is wrong with chain files.

use super::{Failed, print, print_json, stderr_has_colours};
use crate::chain::define::GATEWAY_MEMORY_BYTES;
use crate::chain::file::{ChainFile, ChainFileError};
use crate::chain::own_gateway::{self, address_taken_twice};
use crate::chain::protection::{GIVEN_UP, in_words, mapped_edges};
use crate::cli::{CheckArgs, Format};
use crate::gateway::budget;
use hacher_chain_dsl::{Diagnostics, explain_code};
use serde_json::{Value, json};
use std::path::Path;

/// Checks every file, reports on all of them, and fails if one has an error.
///
/// # Errors
/// When a file cannot be read, or has an error.
pub fn check(arguments: &CheckArgs) -> Result<(), Failed> {
    if let Some(code) = &arguments.explain {
        let text =
            explain_code(code).ok_or_else(|| Failed::new(format!("there is no diagnostic code `{code}`")))?;
        print(&format!("{}\n", text.trim_end()));
        return Ok(());
    }
    let mut checked: Vec<_> = arguments
        .chains
        .iter()
        .map(|path| check_one(path, arguments.text_only))
        .collect();
    check_addresses(&mut checked);
    match arguments.format.format {
        Format::Human => checked.iter().for_each(print_human),
        Format::Json => print_json(&Value::Array(checked.iter().map(to_json).collect())),
    }
    if checked.iter().all(|report| report.outcome.is_ok()) {
        Ok(())
    } else {
        Err(Failed::reported())
    }
}

struct Report<'a> {
    path: &'a Path,
    outcome: Result<(ChainFile, Diagnostics), ChainFileError>,
}

fn check_one(path: &Path, text_only: bool) -> Report<'_> {
    let outcome = ChainFile::read(path).and_then(|file| {
        budget::check_fit(GATEWAY_MEMORY_BYTES, core::iter::once(file.chain()))
            .map_err(|error| ChainFileError::Gateway(error.to_string()))?;
        let warnings = match text_only {
            true => file.warnings().clone(),
            false => file.open_all()?.warnings,
        };
        Ok((file, warnings))
    });
    Report { path, outcome }
}

/// Refuses chains that want an address which one before them has: they cannot be served together.
fn check_addresses(reports: &mut [Report<'_>]) {
    loop {
        let good = reports.iter().enumerate();
        let good = good.filter_map(|(at, report)| Some((at, &report.outcome.as_ref().ok()?.0)));
        let (places, files): (Vec<_>, Vec<_>) = good.unzip();
        let Some((nth, error)) = address_taken_twice(&files) else {
            return;
        };
        let Some(report) = places.get(nth).and_then(|at| reports.get_mut(*at)) else {
            return;
        };
        report.outcome = Err(error);
    }
}

fn print_human(report: &Report<'_>) {
    let render = |problems: &Diagnostics| eprint!("{}", problems.render(stderr_has_colours()));
    match &report.outcome {
        Ok((file, warnings)) => {
            if !warnings.is_empty() {
                render(warnings);
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
            ));
            if let Some(place) = own_gateway::in_words(chain) {
                print(&format!("  served by {place}\n"));
            }
            if let Some(mapped) = in_words(chain) {
                print(&format!(
                    "  note: mapped, and not sealed: {mapped}\n  a mapped edge has {GIVEN_UP}\n"
                ));
            }
        }
        Err(ChainFileError::Problems(problems)) => render(problems),
        Err(error) => eprintln!("error: {error}"),
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
        "mapped_edges": mapped.unwrap_or_default(), "listen": listen,
    })
}
