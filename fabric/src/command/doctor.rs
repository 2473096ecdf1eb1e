//! `doctor`: what this machine can enforce, and whether its limits leave room for a service.

use super::{Failed, print, print_json, read_chain};
use crate::cli::{DoctorArgs, Format};
use crate::companion::{Companion, CompanionError};
use hacher_libos_net::aead;
use hacher_loader::file::ChainFile;
use hacher_loader::named::chain_files;
use hacher_loader::need;
use hacher_trustlet_host::chosen::doctor::{Finding, Status, findings};
use hacher_trustlet_host::chosen::headroom::raise_soft_limits;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Prints one line for each thing that was tried, and what its absence means; for each limit, what the named
/// chains need of it, or a chain of one function.
///
/// # Errors
/// When a limit keeps them from starting. A machine that can enforce little is only reported on.
pub fn doctor(arguments: &DoctorArgs) -> Result<(), Failed> {
    let format = arguments.format.format;
    let files = chain_files(&arguments.chains)?
        .iter()
        .map(|path| read_chain(path, format))
        .collect::<Result<Vec<_>, _>>()?;
    let need = if files.is_empty() {
        need::of_a_small_chain()
    } else {
        need::of_chains(&files.iter().map(ChainFile::chain).collect::<Vec<_>>())
    };
    raise_soft_limits();
    let mut findings = findings(&need);
    let (companions, unusable) = companions();
    findings.extend(companions);
    report(&findings, format)?;
    if let Some(error) = unusable {
        return Err(error.into());
    }
    // What could not be tried is short of something too, which a limit may say more plainly.
    let short = findings.iter().filter(|found| found.status == Status::TooLow);
    match short.min_by_key(|found| found.figures.is_none()) {
        None => Ok(()),
        Some(short) => Err(Failed::new(format!(
            "{} cannot be served here: {}: {}",
            need.whose, short.name, short.detail
        ))),
    }
}

/// Which executables lie beside this one; why one cannot be used, for which `serve` would end.
fn companions() -> (Vec<Finding>, Option<CompanionError>) {
    let mut unusable = None;
    let mut find = |companion: Companion, without: &str| {
        let (status, detail) = match companion.beside(Companion::Fabric) {
            Ok(Some(found)) => (Status::Ok, found.path.display().to_string()),
            Ok(None) => (Status::Info, without.to_owned()),
            Err(error) => {
                let detail = error.to_string();
                unusable = Some(error);
                (Status::Missing, detail)
            }
        };
        Finding {
            name: companion.name(),
            status,
            detail,
            help: String::new(),
            figures: None,
        }
    };
    let played = "is not installed beside this executable, which plays its part";
    let findings = vec![
        find(Companion::Monitor, played),
        find(Companion::Gateway, played),
        find(
            Companion::Adaptor,
            "is not installed beside this executable; functions with `http` or `lambda` need it",
        ),
        find(
            Companion::Bench,
            "is not installed beside this executable; `bench` and `tcb` need it",
        ),
    ];
    (findings, unusable)
}

fn report(findings: &[Finding], format: Format) -> Result<(), Failed> {
    let word = |status| match status {
        Status::Ok => "ok",
        Status::Missing => "missing",
        Status::TooLow => "too low",
        _ => "info",
    };
    if format == Format::Json {
        let list: Vec<Value> = findings
            .iter()
            .map(|found| {
                let mut value = json!({
                    "name": found.name, "status": word(found.status), "detail": found.detail, "help": found.help,
                });
                if let (Some(figures), Some(fields)) = (found.figures, value.as_object_mut()) {
                    fields.insert("limit".to_owned(), json!(figures.limit));
                    fields.insert("used".to_owned(), json!(figures.used));
                    fields.insert("need".to_owned(), json!(figures.need));
                }
                value
            })
            .collect();
        return print_json(&json!({ "findings": list, "aead": aead::IMPLEMENTATION }));
    }
    let width = findings
        .iter()
        .map(|found| found.name.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for found in findings {
        let name = &found.name;
        let _ = writeln!(text, "{:<8}{name:<width$}  {}", word(found.status), found.detail);
        if !matches!(found.status, Status::Ok | Status::Info) && !found.help.is_empty() {
            let _ = writeln!(text, "{:8}{:width$}  {}", "", "", found.help);
        }
    }
    let _ = writeln!(text, "{:<8}{:<width$}  {}", "info", "AEAD", aead::IMPLEMENTATION);
    print(&text)
}
