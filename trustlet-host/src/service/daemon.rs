//! The daemon's process: how it is waited for, and ended.

use crate::machine::{Machine, OwnProcess};
use core::time::Duration;
use hacher_libos_net::clock::{self, Monotonic};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fd::{AsFd, OwnedFd};

/// A daemon that has closed its socket is about to end, and its exit code says why; killed before, it could
/// not say so.
pub(super) const DAEMON_EXIT_PATIENCE: Duration = Duration::from_secs(5);
/// How long the daemon may take to forward what is left when all trustlets have ended; it takes half of that
/// at most.
const LAST_LINES_PATIENCE: Duration = Duration::from_secs(1);

/// The daemon's process.
pub(super) struct Daemon<M: Machine> {
    pub(super) process: M::OwnProcess,
    pub(super) socket: OwnedFd,
    pub(super) born: Monotonic,
    /// When it is killed: set once it has closed its socket.
    pub(super) exit_due: Option<Monotonic>,
}

impl<M: Machine> Daemon<M> {
    /// It has closed its socket, so it is ending.
    pub(super) fn await_end(&mut self, epoll: &OwnedFd) {
        if self.exit_due.is_none() {
            // A closed socket would be reported over and over until it ends, which its pidfd reports.
            let _ = epoll::delete(epoll, self.socket.as_fd());
            self.exit_due = Some(clock::now().after(DAEMON_EXIT_PATIENCE));
        }
    }

    /// Has it forward what trustlets that have ended said last, and end.
    pub(super) fn finish(mut self) {
        drop(self.socket);
        let patience = Timespec {
            tv_sec: i64::try_from(LAST_LINES_PATIENCE.as_secs()).unwrap_or(1),
            tv_nsec: 0,
        };
        let _ = poll(
            &mut [PollFd::from_borrowed_fd(self.process.ended(), PollFlags::IN)],
            Some(&patience),
        );
        self.process.end();
    }
}
