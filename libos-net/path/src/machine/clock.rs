//! Time on the path, as all instances of a machine share it, in nanoseconds. It is read by whoever runs the
//! path, and given to it.

use core::fmt;
use core::time::Duration;

/// A point in time, in nanoseconds since the machine started. Comparable between instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(u64);

impl Monotonic {
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

    /// The time from `earlier` to this point; zero if it is not earlier.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.ns_since(earlier))
    }
}

/// Tells the present time, to every instance of a machine the same.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present.
    fn now(&self) -> Monotonic;
}
