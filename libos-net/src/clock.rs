//! Time on Linux: `CLOCK_MONOTONIC`, which all processes of a machine share.

use hacher_data_path::machine::clock::Clock;
use rustix::time::{ClockId, clock_gettime};

pub use hacher_data_path::machine::clock::Monotonic;

/// The present. A read of the vDSO, not a system call, on every machine with a usable time-stamp counter.
#[must_use]
pub fn now() -> Monotonic {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    Monotonic::from_ns(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

/// Nanoseconds from `earlier` to the present.
#[must_use]
pub fn ns_since(earlier: Monotonic) -> u64 {
    now().ns_since(earlier)
}

/// This clock, for the data path.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Monotonic {
        now()
    }
}
