//! Requests in flight, over all chains. The daemon is told of the first: it watches handlers' timeouts while
//! there are any, and sleeps otherwise.

use hacher_libos_net::doorbell::Doorbell;
use std::cell::{Cell, RefCell};

/// Their number, and the daemon's bell.
#[derive(Default)]
pub(super) struct InFlight {
    count: Cell<u64>,
    bell: RefCell<Option<Doorbell>>,
}

impl InFlight {
    /// Rings this bell from now on.
    pub(super) fn set_bell(&self, bell: Doorbell) {
        *self.bell.borrow_mut() = Some(bell);
    }

    /// Notes that a request has begun.
    pub(super) fn begin(&self) {
        let before = self.count.get();
        self.count.set(before + 1);
        if before == 0
            && let Some(bell) = self.bell.borrow().as_ref()
        {
            bell.ring();
        }
    }

    /// Notes that one has ended.
    pub(super) fn end(&self) {
        self.count.set(self.count.get().saturating_sub(1));
    }
}
