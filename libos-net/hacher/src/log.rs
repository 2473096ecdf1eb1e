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

/// Prints events from here on, unless the author has chosen a subscriber already.
pub(crate) fn begin() {
    let level = std::env::var(LOG_LEVEL).ok().and_then(|level| level.parse().ok());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .with_writer(stderr)
        .with_ansi(false)
        .without_time()
        .finish();
    // Fails if there is one, which then stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
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
