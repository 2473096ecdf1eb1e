//! How long the monitor waits for a child: every wait ends by itself, and at once when the monitor is asked
//! to stop (I6).
//!
//! The monitor has the signals that stop it blocked and reads them from a descriptor between two steps. A
//! step that waits for a child must therefore look for them itself: a child that hangs would otherwise keep
//! the monitor from ending.
#![allow(unsafe_code, reason = "sigpending has no safe wrapper")]

use core::time::Duration;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::time::Instant;

/// How soon a wait notices that the monitor is to stop. A child answers in a few milliseconds, so a wait is
/// rarely cut in two by this.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a killed process may take to be gone. As a rule that is milliseconds; one that the kernel keeps,
/// in a file system that does not answer, must not keep the monitor as well.
pub(crate) const BURIAL_MAX: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

/// Waits until `fd` is readable or at its end.
///
/// # Errors
/// `Errno::TIMEDOUT` after `patience`, `Errno::CANCELED` when the monitor is asked to stop.
pub(crate) fn until_readable(fd: impl AsFd, patience: Duration) -> Result<(), Errno> {
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let slice = left.min(LOOK_EVERY);
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(slice.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno),
        }
        if is_asked_to_stop() {
            return Err(Errno::CANCELED);
        }
        if left.is_zero() {
            return Err(Errno::TIMEDOUT);
        }
    }
}

/// Whether a signal that stops the monitor has come and has not been read yet.
#[must_use]
pub(crate) fn is_asked_to_stop() -> bool {
    // SAFETY: a signal set is plain data for which zeros are valid.
    let mut pending = unsafe { core::mem::zeroed::<libc::sigset_t>() };
    // SAFETY: writes to the set that it is given.
    if unsafe { libc::sigpending(&raw mut pending) } != 0 {
        return false;
    }
    [libc::SIGTERM, libc::SIGINT].into_iter().any(|signal| {
        // SAFETY: reads the set, which sigpending has written; the numbers are valid.
        unsafe { libc::sigismember(&raw const pending, signal) == 1 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::write;
    use rustix::pipe::{PipeFlags, pipe_with};

    #[test]
    fn a_wait_for_what_never_comes_ends() {
        let (read, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        assert_eq!(
            until_readable(&read, Duration::from_millis(1)),
            Err(Errno::TIMEDOUT)
        );
        write(&write_end, b"x").unwrap();
        assert_eq!(until_readable(&read, Duration::from_secs(60)), Ok(()));
    }

    #[test]
    fn a_wait_ends_when_the_other_side_goes() {
        let (read, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        drop(write_end);
        assert_eq!(until_readable(&read, Duration::from_secs(60)), Ok(()));
    }
}
