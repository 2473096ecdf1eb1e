//! A process tree without a monitor: regions, doorbells, keys and attachments for a few instances, handed
//! over through the same messages that the monitor sends, so that tests and benchmarks run the real data path
//! in one process, or in several after a fork. Whoever holds a [`Wiring`] can read and change every region,
//! which is what a test of tampering wants, and nobody else.
//!
//! ```
//! use hacher_libos_net::wiring::Plan;
//!
//! let mut plan = Plan::new();
//! let gateway = plan.gateway(&["out"]);
//! let echo = plan.function("echo", &["out"]);
//! plan.edge((gateway, "out"), echo);
//! plan.edge((echo, "out"), gateway);
//! let mut wiring = plan.wire();
//! let gateway = wiring.attach(gateway, 0);
//! let echo = wiring.attach(echo, 0);
//! assert_eq!(echo.receiver.ring_count(), 1);
//! assert_eq!(gateway.receiver.ring_count(), 2, "echo's output, and its fault notices");
//! ```
#![allow(
    clippy::missing_panics_doc,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "plays the monitor for tests and benchmarks: a plan that cannot be wired is a mistake of their author"
)]

mod attach;
mod exposed;
mod instances;
mod plan;
mod runner;

pub use exposed::Exposed;
pub use instances::Wiring;
pub use plan::{Limits, Node, Plan};
pub use runner::{Handler, Runner};

use crate::clock::{self, Monotonic};
use core::time::Duration;

/// A point in time `duration` from now, for deadlines.
#[must_use]
pub fn after(duration: Duration) -> Monotonic {
    clock::now().after(duration)
}
