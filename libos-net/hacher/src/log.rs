//! What a function says while it runs: `tracing` events on standard error, each with the request and the
//! attempt that it is about. The chain file drops or forwards them (`logs`); the service adds time and
//! instance.

use core::fmt;
use hacher_libos_net::Input;
use std::io::stderr;
use tracing::level_filters::LevelFilter;
use tracing::span::EnteredSpan;

/// The variable that says how much is told: `error`, `warn`, `info`, `debug`, `trace` or `off`.
pub const LOG_LEVEL: &str = "LOG_LEVEL";

/// Its values, and which events each of them lets through.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
    ("off", LevelFilter::OFF),
];

/// The variable says something else.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownLevel(String);

impl fmt::Display for UnknownLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = LEVELS.map(|(name, _)| name).join("`, `");
        write!(
            formatter,
            "{LOG_LEVEL} is `{}`, which is none of `{known}`",
            self.0
        )
    }
}

impl core::error::Error for UnknownLevel {}

/// Prints events from here on, unless the author has chosen a subscriber already.
///
/// # Errors
/// [`LOG_LEVEL`] is set to something that is no level.
pub(crate) fn begin() -> Result<(), UnknownLevel> {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level(std::env::var(LOG_LEVEL).ok())?)
        .with_writer(stderr)
        .with_ansi(false)
        .without_time()
        .finish();
    // Fails if there is one, which then stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

fn level(said: Option<String>) -> Result<LevelFilter, UnknownLevel> {
    let Some(said) = said else {
        return Ok(LevelFilter::INFO);
    };
    let known = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&said));
    known.map(|(_, level)| *level).ok_or(UnknownLevel(said))
}

/// The span of one run, for as long as it takes.
pub(crate) fn enter(input: &Input<'_>) -> EnteredSpan {
    // As the service names requests: the last 16 digits.
    let invocation = Digits(input.invocation().halves().0);
    tracing::error_span!("run", %invocation, attempt = input.attempt()).entered()
}

struct Digits(u64);

impl fmt::Display for Digits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_an_error_which_names_those_that_are() {
        assert_eq!(level(None), Ok(LevelFilter::INFO));
        for (name, filter) in LEVELS {
            assert_eq!(level(Some(name.to_uppercase())), Ok(filter));
        }
        for wrong in ["", "loud", "warning", "3", "hacher=debug"] {
            let error = level(Some(wrong.to_owned())).unwrap_err().to_string();
            let known = "none of `error`, `warn`, `info`, `debug`, `trace`, `off`";
            assert_eq!(error, format!("LOG_LEVEL is `{wrong}`, which is {known}"));
        }
    }
}
