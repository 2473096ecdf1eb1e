//! How a request moves along whose body or whose reply is handed on as it comes: its chain's deadline limits
//! how long it may stand still, in both directions at once.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// When a request moved last.
pub(super) struct Progress {
    moved_at: Cell<Instant>,
    limit: Duration,
}

impl Progress {
    /// One that may stand still for `limit`.
    pub(super) fn new(limit: Duration) -> Rc<Self> {
        Rc::new(Self {
            moved_at: Cell::new(Instant::now()),
            limit,
        })
    }

    /// Something was read or written.
    pub(super) fn moves(&self) {
        self.moved_at.set(Instant::now());
    }

    /// Until when something has to move.
    pub(super) fn until(&self) -> Instant {
        self.moved_at.get() + self.limit
    }

    /// Waits until nothing has moved for too long.
    pub(super) async fn is_over(&self) {
        while Instant::now() < self.until() {
            sleep_until(self.until()).await;
        }
    }
}
