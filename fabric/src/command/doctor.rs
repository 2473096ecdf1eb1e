//! `doctor`: what this machine can enforce.

use super::{Failed, print, print_json};
use crate::cli::{Format, FormatArgs};
use hacher_libos_net::aead;
use hacher_trustlet_host::process::doctor::{Status, findings};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Prints one line for each thing that was tried, and what its absence means.
///
/// # Errors
/// Never; a machine that can enforce little is still reported on.
pub fn doctor(arguments: &FormatArgs) -> Result<(), Failed> {
    let findings = findings();
    let word = |status| match status {
        Status::Ok => "ok",
        Status::Missing => "missing",
        _ => "info",
    };
    if arguments.format == Format::Json {
        let list: Vec<Value> = findings
            .iter()
            .map(|found| {
                json!({ "name": found.name, "status": word(found.status), "detail": found.detail, "help": found.help })
            })
            .collect();
        print_json(&json!({ "findings": list, "aead": aead::IMPLEMENTATION }));
        return Ok(());
    }
    let width = findings
        .iter()
        .map(|found| found.name.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for found in &findings {
        let name = &found.name;
        let _ = writeln!(text, "{:<8}{name:<width$}  {}", word(found.status), found.detail);
        if found.status == Status::Missing && !found.help.is_empty() {
            let _ = writeln!(text, "{:8}{:width$}  {}", "", "", found.help);
        }
    }
    let _ = writeln!(text, "{:<8}{:<width$}  {}", "info", "AEAD", aead::IMPLEMENTATION);
    print(&text);
    Ok(())
}
