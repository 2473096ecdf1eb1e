//! One file for each command. Results go to standard output, everything else to standard error.

pub mod bench;
pub mod call;
pub mod check;
pub mod doctor;
pub mod explain;
pub mod graph;
pub mod measure;
pub mod run;
pub mod serve;
pub mod status;

use crate::chain::file::{ChainFile, ChainFileError};
use crate::cli::Format;
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

/// Exit code of a command that was understood and failed.
pub const FAILED: u8 = 1;

/// A command that failed, with what to tell the person who gave it.
#[derive(Debug)]
pub struct Failed(String);

impl Failed {
    /// A failure with this message, without a full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// The same failure, with what else is known of it.
    #[must_use]
    pub fn with_details(self, details: &str) -> Self {
        let message = [self.0.as_str(), details.trim()].map(str::trim);
        Self(
            message
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("\n"),
        )
    }

    /// A failure that has been reported already.
    #[must_use]
    pub const fn reported() -> Self {
        Self(String::new())
    }
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Turns a command's result into its exit code, and says on standard error what went wrong.
#[must_use]
pub fn finish(result: Result<(), Failed>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(message)) => {
            if !message.is_empty() {
                tell!("{} {message}", paint("error:", "1;31"));
            }
            ExitCode::from(FAILED)
        }
    }
}

/// Whether standard error takes colours.
#[must_use]
pub fn stderr_has_colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn paint(text: &str, style: &str) -> String {
    if stderr_has_colours() {
        format!("\x1b[{style}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Prints a result. A reader that has gone away is no failure of ours.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints data.
pub fn print_json(value: &Value) {
    print(&format!("{value:#}\n"));
}

/// Reports why a chain file cannot be used: all its problems, for people or as data.
#[must_use]
pub fn report_chain_error(error: &ChainFileError, format: Format) -> Failed {
    match (error, format) {
        (ChainFileError::Problems(problems), Format::Human) => {
            eprint!("{}", problems.render(stderr_has_colours()));
            Failed::reported()
        }
        (ChainFileError::Problems(problems), Format::Json) => {
            print_json(&serde_json::to_value(problems.as_ref()).unwrap_or(Value::Null));
            Failed::reported()
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
        eprint!("{}", file.warnings().render(stderr_has_colours()));
    }
    Ok(file)
}
