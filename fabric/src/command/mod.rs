//! One file for each command. Results go to standard output, everything else to standard error.

pub mod answer;
pub mod bench;
pub mod call;
pub mod check;
pub mod doctor;
pub mod evidence;
pub mod explain;
pub mod graph;
pub mod measure;
pub mod new;
mod operator;
pub mod run;
pub mod serve;
pub mod status;
mod streamed;
pub mod traces;
pub mod verify;

use crate::cli::Format;
use crate::failed::Failed;
use hacher_loader::file::{ChainFile, ChainFileError};
use hacher_trustlet_host::lines;
use hacher_trustlet_host::service::LOADER_TERMINAL;
use hacher_trustlet_host::tell;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

/// Turns a command's result into its exit code, and says on standard error what went wrong.
#[must_use]
pub fn finish(result: Result<(), Failed>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { message, code }) => {
            if !message.is_empty() && lines::format() == lines::Format::Bare {
                // Nobody else is left to be told.
                let _ = complain(&format!(
                    "{} {}\n",
                    paint("error:", "1;31"),
                    lines::visible(&message)
                ));
            } else if !message.is_empty() {
                tell!(Error: "{message}");
            }
            ExitCode::from(code)
        }
    }
}

/// Whether standard error takes colours. A loader has none that would, and is told.
#[must_use]
pub fn stderr_has_colours() -> bool {
    let is_terminal = io::stderr().is_terminal() || std::env::var_os(LOADER_TERMINAL).is_some();
    is_terminal && std::env::var_os("NO_COLOR").is_none()
}

pub(crate) fn paint(text: &str, style: &str) -> String {
    if stderr_has_colours() {
        format!("\x1b[{style}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Prints a result for people, without anything in it that a terminal would obey.
///
/// # Errors
/// When it cannot be written.
pub fn print(text: &str) -> Result<(), Failed> {
    print_bytes(lines::visible(text).as_bytes())
}

/// Prints a result that need not be text.
///
/// # Errors
/// As [`print()`].
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| Failed::unwritten("standard output", &error))
}

/// Ends the line that a body has left open on a terminal, as more is said below it. `last` is its last byte.
///
/// # Errors
/// As [`print()`].
pub fn end_line(last: Option<&u8>) -> Result<(), Failed> {
    match last {
        Some(last) if *last != b'\n' && io::stdout().is_terminal() => print_bytes(b"\n"),
        _ => Ok(()),
    }
}

/// Prints data.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &Value) -> Result<(), Failed> {
    print(&format!("{value:#}\n"))
}

/// Prints to standard error what is wrong with what was given, or doubtful: as it is for people, in one line
/// for programs.
///
/// # Errors
/// As [`print()`].
pub fn complain(text: &str) -> Result<(), Failed> {
    if lines::format() == lines::Format::Json {
        tell!(Warning: "{}", text.trim_end());
        return Ok(());
    }
    let written = io::stderr().lock().write_all(text.as_bytes());
    written.map_err(|error| Failed::unwritten("standard error", &error))
}

/// Reports why a chain file cannot be used: all its problems, for people or as data.
#[must_use]
pub fn report_chain_error(error: &ChainFileError, format: Format) -> Failed {
    match (error, format) {
        (ChainFileError::Problems(problems), Format::Human) => {
            let said = complain(&problems.render(stderr_has_colours()));
            said.err().unwrap_or_else(Failed::reported)
        }
        (ChainFileError::Problems(problems), Format::Json) => {
            let printed = print_json(&serde_json::to_value(problems.as_ref()).unwrap_or(Value::Null));
            printed.err().unwrap_or_else(Failed::reported)
        }
        (other, _) => Failed::new(other.to_string()),
    }
}

/// Reads a chain file for a command; prints its warnings.
///
/// # Errors
/// Reported.
pub fn read_chain(path: &Path, format: Format) -> Result<ChainFile, Failed> {
    let file = ChainFile::read(path).map_err(|error| report_chain_error(&error, format))?;
    if format == Format::Human && !file.warnings().is_empty() {
        complain(&file.warnings().render(stderr_has_colours()))?;
    }
    Ok(file)
}
