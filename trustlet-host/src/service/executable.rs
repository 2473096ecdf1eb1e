//! The executable `hacher-monitor`: the monitor and the scribe, and nothing that parses text, speaks HTTP or
//! reads a chain file. `hacher-fabric serve` turns into it where it lies beside.

use super::config::MonitorConfig;
use super::run::run;
use crate::lines::{self, About, Level};
use crate::{VERSION, scribe, version_asked};
use std::process::ExitCode;

/// Its name.
const NAME: &str = "hacher-monitor";

/// Where it starts.
#[must_use]
pub fn main() -> ExitCode {
    let mut words = std::env::args_os();
    if words.next().is_some_and(|name| name == scribe::ROLE) {
        return scribe::main();
    }
    if let Some(said) = version_asked(NAME) {
        return said;
    }
    let Some((log_format, config)) = MonitorConfig::from_words(words) else {
        complain(format_args!(
            "{NAME} {VERSION} is started by `hacher-fabric serve` of the same build"
        ));
        return ExitCode::from(2);
    };
    lines::begin(log_format, "hacher-fabric");
    match run(config) {
        Ok(code) => code,
        Err(error) => {
            complain(format_args!("{error}"));
            ExitCode::FAILURE
        }
    }
}

fn complain(what: core::fmt::Arguments<'_>) {
    lines::say(Level::Error, &About::default(), what);
}
