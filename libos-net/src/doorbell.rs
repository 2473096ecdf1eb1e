//! A doorbell: an `eventfd` that its instance sleeps on and its peers ring.

use crate::clock::Monotonic;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

/// A doorbell, as given by the monitor.
#[derive(Debug)]
pub struct Doorbell(OwnedFd);

impl Doorbell {
    /// Takes an eventfd. In blocking mode a ring can be made to wait by an owner that has filled its own bell; in
    /// non-blocking mode it cannot.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Wakes the owner. A bell that cannot be rung belongs to an instance that is gone; nothing is lost by that.
    pub fn ring(&self) {
        // Fails with EAGAIN only if the count is about to overflow, and then the owner is awake anyway.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Sleeps until the bell rings, or `until` is reached; returns at once for a bell that rang before.
    pub fn wait(&self, until: Option<Monotonic>) {
        if let Some(until) = until
            && !self.rings_before(until)
        {
            return;
        }
        let mut count = [0; 8];
        // An interruption by a signal is a spurious wake-up, which every caller expects.
        let heard = rustix::io::read(&self.0, &mut count);
        if until.is_none() && heard == Err(Errno::AGAIN) {
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            let _ = poll(&mut fds, None);
            let _ = rustix::io::read(&self.0, &mut count);
        }
    }

    fn rings_before(&self, until: Monotonic) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let left = until.saturating_duration_since(Monotonic::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => ready > 0,
            Err(Errno::INTR) => false,
            Err(_) => true,
        }
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
