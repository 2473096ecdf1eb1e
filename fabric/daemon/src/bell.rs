//! The daemon's own bell, which gateways ring when requests begin, so that it sleeps while there are none.

use super::stop::Stop;
use hacher_libos_net::attach::BELL_QUIET_NS;
use hacher_libos_net::doorbell;
use hacher_watched::watch;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::cell::Cell;
use std::future::pending;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// The bell, if the monitor has given one.
pub(super) struct Bell {
    watched: Option<AsyncFd<OwnedFd>>,
    /// Until when requests may be in flight that no page tells of yet.
    loud_until: Cell<Instant>,
}

impl Bell {
    /// Watches it. It is heard when the event loop says that it has rung, and that may not be true any more.
    /// A daemon before this one may just have heard it.
    pub(super) fn new(bell: Option<OwnedFd>) -> Result<Self, Stop> {
        let watched = bell.map(|bell| {
            fcntl_setfl(&bell, fcntl_getfl(&bell)? | OFlags::NONBLOCK)?;
            watch(bell)
        });
        Ok(Self {
            watched: watched.transpose()?,
            loud_until: Cell::new(loud_until()),
        })
    }

    /// Waits until it rings.
    pub(super) async fn rung(&self) {
        let Some(bell) = &self.watched else {
            return pending().await;
        };
        if let Ok(mut ready) = bell.readable().await {
            ready.clear_ready();
            // A bell that somebody has filled would ring no more.
            doorbell::hear(bell.get_ref());
        }
        self.loud_until.set(loud_until());
    }

    /// Whether it has rung lately: a gateway rings once for many requests, and perhaps before it counts the
    /// first.
    pub(super) fn is_loud(&self) -> bool {
        Instant::now() < self.loud_until.get()
    }
}

/// After the time in which a gateway that has rung now does not ring again: as long again, as a run may begin
/// when its request has its reply already.
fn loud_until() -> Instant {
    Instant::now() + 2 * Duration::from_nanos(BELL_QUIET_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_begins_watches_as_if_it_had_heard_a_ring() {
        // The one before it may have, and the gateway does not ring again so soon.
        assert!(Bell::new(None).unwrap().is_loud());
    }
}
