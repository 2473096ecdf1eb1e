//! How a request moves along whose body or whose reply is handed on as it comes: its chain's deadline limits
//! how long it may stand still, in both directions at once.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How much earlier a function may see that a time is up: the gateway's timers are rounded.
const CLOCKS_APART: Duration = Duration::from_millis(10);

/// When a request moved last.
pub(super) struct Progress {
    moved_at: Cell<Instant>,
    limit: Duration,
    client: Cell<Sending>,
}

/// What the client of such a request does, whose body is handed on as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// It has sent what was wanted of it.
    Enough,
    /// More of it is waited for.
    Awaited,
    /// It was too slow, or has broken off.
    Lost,
}

impl Progress {
    /// One that may stand still for `limit`.
    pub(super) fn new(limit: Duration) -> Rc<Self> {
        Rc::new(Self {
            moved_at: Cell::new(Instant::now()),
            limit,
            client: Cell::new(Sending::Enough),
        })
    }

    /// Something was read or written.
    pub(super) fn moves(&self) {
        self.moved_at.set(Instant::now());
    }

    /// The client is waited for, or is not any more.
    pub(super) fn awaits_client(&self, is_awaited: bool) {
        self.client.set(match is_awaited {
            true => Sending::Awaited,
            false => Sending::Enough,
        });
    }

    /// The client does not send the rest.
    pub(super) fn loses_client(&self) {
        self.client.set(Sending::Lost);
    }

    /// Whether nothing has moved for too long as the client has not sent more. Its function's run ends at the
    /// same time, and which of the two is seen first is chance.
    pub(super) fn is_client_late(&self) -> bool {
        self.client.get() == Sending::Awaited && Instant::now() + CLOCKS_APART >= self.until()
    }

    /// Whether the client does not send the rest.
    pub(super) fn has_lost_client(&self) -> bool {
        self.client.get() == Sending::Lost
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
