//! A trustlet's process: its channel, and how it ends.

use super::backlog::Backlog;
use super::failure::os;
use super::jail::{Child, Exit, InstanceGroup};
use crate::core::EndReason;
use crate::machine::{Refused, Trustlet};
use crate::pace::Pace;
use crate::platform::PlatformError;
use hacher_libos_net::clock::{self, Monotonic};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// One trustlet's process.
pub struct Process {
    pub(super) child: Child,
    pub(super) channel: OwnedFd,
    pub(super) born: Monotonic,
    pub(super) backlog: Backlog,
    /// Of answers to its refused calls.
    pub(super) pace: Pace,
    /// The only core that it may run on.
    pub(super) cpu: Option<usize>,
    /// Whether it lets whoever wakes it finish first.
    pub(super) patient: bool,
}

impl Process {
    /// When it is given up for not reading what it is sent; `None` while nothing waits.
    pub(super) fn reading_deadline(&self) -> Option<Monotonic> {
        self.backlog.deadline()
    }
}

impl Trustlet for Process {
    fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    fn ended(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }

    fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    fn flush(&mut self) -> Result<(), PlatformError> {
        self.backlog
            .flush(&self.channel, clock::now())
            .map_err(|errno| os("sending an attachment")(errno.into()))
    }

    fn refusals(&self) -> Option<BorrowedFd<'_>> {
        self.child.refusals().map(AsFd::as_fd)
    }

    fn refuse_next(&mut self) -> Option<Refused> {
        // Fails once all its processes have ended, which is reported elsewhere.
        let number = self.child.refusals()?.refuse_next().ok()?;
        let resumes = self.pace.count(clock::now());
        Some(Refused { number, resumes })
    }

    fn end(&mut self) -> Option<crate::core::Exit> {
        // Fails for one that was reaped already.
        let _ = self.child.end();
        self.reap()
    }

    fn reap(&mut self) -> Option<crate::core::Exit> {
        let exit = self.child.try_wait().ok().flatten()?;
        let (signalled, code) = match exit {
            Exit::Code(code) => (false, code),
            Exit::Signal(signal) => (true, signal),
        };
        let lived_ns = clock::now().ns_since(self.born);
        let out_of_memory = self.child.group().is_some_and(InstanceGroup::was_out_of_memory);
        Some(crate::core::Exit {
            signalled,
            code: u32::try_from(code).unwrap_or(u32::MAX),
            lived_ns,
            asked: out_of_memory.then_some(EndReason::OutOfMemory),
        })
    }
}
