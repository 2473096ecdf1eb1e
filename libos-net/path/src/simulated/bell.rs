//! A bell whose owner sleeps by setting the clock.

use super::clock::SetClock;
use crate::machine::bell::{Bell, OwnBell};
use crate::machine::clock::Monotonic;
use crate::sync::{AtomicU64, Ordering};
use alloc::sync::Arc;

/// Both ends of a bell. Clones are the same bell.
#[derive(Debug, Clone)]
pub struct CountingBell {
    clock: SetClock,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    rings: AtomicU64,
    heard: AtomicU64,
    slept: AtomicU64,
    slept_for_good: AtomicU64,
}

impl CountingBell {
    /// One that nobody has rung.
    #[must_use]
    pub fn new(clock: SetClock) -> Self {
        Self {
            clock,
            counts: Arc::default(),
        }
    }

    /// How often it was rung.
    #[must_use]
    pub fn rings(&self) -> u64 {
        self.counts.rings.load(Ordering::Relaxed)
    }

    /// How often its owner slept until a time came.
    #[must_use]
    pub fn slept(&self) -> u64 {
        self.counts.slept.load(Ordering::Relaxed)
    }

    /// How often its owner went to sleep without a time to wake at, and nobody had rung: on a real machine
    /// it would not have gone on.
    #[must_use]
    pub fn slept_for_good(&self) -> u64 {
        self.counts.slept_for_good.load(Ordering::Relaxed)
    }
}

impl Bell for CountingBell {
    fn ring(&self) {
        self.counts.rings.fetch_add(1, Ordering::Relaxed);
    }
}

impl OwnBell for CountingBell {
    fn wait(&self, until: Option<Monotonic>) {
        let rings = self.rings();
        if self.counts.heard.swap(rings, Ordering::Relaxed) != rings {
            return;
        }
        match until {
            Some(until) => {
                self.counts.slept.fetch_add(1, Ordering::Relaxed);
                self.clock.pass_until(until);
            }
            None => {
                self.counts.slept_for_good.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn forget_rings(&self) {
        self.counts.heard.store(self.rings(), Ordering::Relaxed);
    }
}
