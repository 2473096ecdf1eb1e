//! A child process with chosen namespaces, held by a pidfd from its first moment.
#![allow(
    unsafe_code,
    reason = "clone has no safe wrapper that takes namespaces and returns twice"
)]

use crate::linux::patience::{BURIAL_MAX, until_readable};
use core::time::Duration;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, FromRawFd, OwnedFd};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, getpid, pidfd_open, pidfd_send_signal,
    set_parent_process_death_signal, waitid,
};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the child exits with when its body panicked.
pub(super) const PANICKED: i32 = 254;
/// What the child exits with when its parent was gone before it began.
const ORPHANED: i32 = 253;

/// A process that this one started and has not reaped. Dropping it kills and reaps it.
#[derive(Debug)]
pub(super) struct Forked {
    pid: Pid,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Forked {
    /// The process id as this process sees it.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Readable once the process has ended.
    pub(super) fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// SIGKILL; no error if it has ended already.
    pub(super) fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reaps; `None` only if `options` hold `NOHANG` and the process still runs.
    pub(super) fn wait(&mut self, options: WaitIdOptions) -> io::Result<Option<WaitIdStatus>> {
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), options | WaitIdOptions::EXITED) {
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(status) => {
                    self.reaped |= status.is_some();
                    return Ok(status);
                }
            }
        }
    }
}

impl Forked {
    /// Waits for its end, but not longer than `patience`, and reaps it.
    ///
    /// # Errors
    /// As [`until_readable`].
    pub(super) fn wait_for(&mut self, patience: Duration) -> io::Result<Option<WaitIdStatus>> {
        until_readable(&self.pidfd, patience)?;
        self.wait(WaitIdOptions::empty())
    }
}

impl Forked {
    /// Kills it, and waits until it is gone, within a bound.
    pub(super) fn end(&mut self) -> io::Result<Option<WaitIdStatus>> {
        self.kill()?;
        let mut gone = [PollFd::new(&self.pidfd, PollFlags::IN)];
        // Interrupted or late: then it is reaped if it has ended meanwhile, or by the kernel when the monitor
        // ends.
        let _ = poll(&mut gone, Some(&BURIAL_MAX));
        self.wait(WaitIdOptions::NOHANG)
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.reaped {
            // Nothing can be done about an error here; the kernel reaps what is left when the monitor ends.
            let _ = self.end();
        }
    }
}

/// Runs `body` in a new process that has its own copies of the namespaces in `namespaces` (`CLONE_NEW*`
/// bits), and exits it with the returned code. The parent's destructors never run in the child. Until it
/// changes its user, the child is killed when the calling thread ends.
///
/// # Errors
///
/// Whatever clone(2) answers: mostly `EPERM` or `ENOSPC` where the kernel forbids a namespace, `EAGAIN` at a
/// limit on processes.
pub(super) fn fork(namespaces: u64, body: impl FnOnce() -> i32) -> io::Result<Forked> {
    let exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    let flags = namespaces | u64::from(libc::CLONE_PIDFD.unsigned_abs()) | exit_signal;
    let mut pidfd: libc::c_int = -1;
    let parent = pidfd_open(getpid(), PidfdFlags::empty())?;
    // The legacy call, because clone3 is refused by many container runtimes and brings nothing that is needed
    // here. SAFETY: without CLONE_VM the child has a copy of the address space and continues on its own
    // copy of this stack (a null stack means that), as fork(2) does; `pidfd` outlives the call, and the
    // kernel writes one int to it. The remaining arguments are unused with these flags, in the argument
    // order of x86-64 as well as of AArch64.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0_u64, &raw mut pidfd, 0_u64, 0_u64) };
    if result == 0 {
        let code = if lives_with(&parent) {
            drop(parent);
            catch_unwind(AssertUnwindSafe(body)).unwrap_or(PANICKED)
        } else {
            ORPHANED
        };
        // SAFETY: ends this process without running anything of the parent's.
        unsafe { libc::_exit(code) }
    }
    // Negative is no process id, and -1 says that clone failed.
    let pid = i32::try_from(result)
        .ok()
        .filter(|&pid| pid > 0)
        .and_then(Pid::from_raw);
    let pid = pid.ok_or_else(io::Error::last_os_error)?;
    // SAFETY: clone succeeded with CLONE_PIDFD, so `pidfd` is a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked {
        pid,
        pidfd,
        reaped: false,
    })
}

/// In the child: ties its life to its parent's; `false` if the parent has ended already. A pidfd says so
/// where process numbers cannot: in a pid namespace of its own, the child's parent has number 0, alive or
/// not.
fn lives_with(parent: &OwnedFd) -> bool {
    set_parent_process_death_signal(Some(Signal::KILL)).is_ok()
        && poll(
            &mut [PollFd::new(parent, PollFlags::IN)],
            Some(&Timespec::default()),
        ) == Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_does_not_end_is_not_waited_for_without_end() {
        let mut child = fork(0, || {
            std::thread::sleep(Duration::from_secs(3600));
            0
        })
        .unwrap();
        let waited = child.wait_for(Duration::from_millis(20)).unwrap_err();
        assert_eq!(waited.kind(), io::ErrorKind::TimedOut);
        child.kill().unwrap();
        let status = child.wait_for(Duration::from_secs(60)).unwrap().unwrap();
        assert_eq!(status.terminating_signal(), Some(libc::SIGKILL));
    }
}
