//! Time on the path: `CLOCK_MONOTONIC`, which all processes of a machine share, in nanoseconds.

use core::time::Duration;
use rustix::time::{ClockId, clock_gettime};

/// A point of `CLOCK_MONOTONIC`, in nanoseconds since the machine started. Comparable between processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(u64);

impl Monotonic {
    /// The present. A read of the vDSO, not a system call, on every machine with a usable time-stamp counter.
    #[must_use]
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
    }

    /// The point `ns` nanoseconds after the machine started.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the machine started.
    #[must_use]
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// This point and `duration`; the end of time if that is out of range.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// Nanoseconds from `earlier` to this point; 0 if it is not earlier.
    #[must_use]
    pub const fn ns_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Nanoseconds from this point to the present.
    #[must_use]
    pub fn elapsed_ns(self) -> u64 {
        Self::now().ns_since(self)
    }

    /// The time from `earlier` to this point; zero if it is not earlier.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.ns_since(earlier))
    }
}
