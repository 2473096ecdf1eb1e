//! A platform without isolation: the monitor's core defines a chain by the calls that a loader makes, starts
//! its trustlets by those that a daemon makes, and sends them the messages that it sends everywhere; but a
//! trustlet is a value in the hands of a test or a benchmark, which steps it, forks with it, or lets it fall.
//! Whoever holds a [`Monitor`] can read and change every region, which is what a test of tampering wants, and
//! nobody else.
//!
//! ```
//! use hacher_in_process::Draft;
//!
//! let mut draft = Draft::new();
//! let gateway = draft.gateway(&["out"]);
//! let echo = draft.function("echo", &["out"]);
//! draft.edge((gateway, "out"), echo);
//! draft.edge((echo, "out"), gateway);
//! let mut monitor = draft.define();
//! let gateway = monitor.attach(gateway, 0);
//! let echo = monitor.attach(echo, 0);
//! assert_eq!(echo.receiver.ring_count(), 1);
//! assert_eq!(gateway.receiver.ring_count(), 2, "echo's output, and its fault notices");
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::missing_panics_doc,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "for tests and benchmarks: a chain that the monitor refuses is a mistake of their author"
)]

mod caller;
mod draft;
mod exposed;
mod monitor;
mod platform;
mod regions;
mod runner;

pub use draft::{Draft, Limits, Node};
pub use exposed::Exposed;
pub use monitor::Monitor;
pub use runner::{Handler, Runner};

use core::time::Duration;
use hacher_libos_net::clock::{self, Monotonic};

/// A point in time `duration` from now, for deadlines.
#[must_use]
pub fn after(duration: Duration) -> Monotonic {
    clock::now().after(duration)
}
