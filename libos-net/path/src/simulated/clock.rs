//! Time that passes when it is told to.

use crate::machine::clock::{Clock, Monotonic};
use crate::sync::{AtomicU64, Ordering};
use alloc::sync::Arc;

/// A clock that stands still until it is set. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct SetClock(Arc<Hand>);

#[derive(Debug, Default)]
struct Hand {
    now_ns: AtomicU64,
    /// What each look at it takes.
    look_ns: AtomicU64,
}

impl SetClock {
    /// Sets it forward to `at`; what is past stays so.
    pub fn pass_until(&self, at: Monotonic) {
        self.0.now_ns.fetch_max(at.as_ns(), Ordering::Relaxed);
    }

    /// Lets `ns` nanoseconds pass.
    pub fn pass_ns(&self, ns: u64) {
        self.0.now_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Has each look at it take `ns` nanoseconds from now on, for loops that end by time.
    pub fn set_look_ns(&self, ns: u64) {
        self.0.look_ns.store(ns, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Monotonic {
        let look_ns = self.0.look_ns.load(Ordering::Relaxed);
        let before_ns = self.0.now_ns.fetch_add(look_ns, Ordering::Relaxed);
        Monotonic::from_ns(before_ns.saturating_add(look_ns))
    }
}
