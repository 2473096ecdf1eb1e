//! Exactly the descriptors that a jailed process is meant to have, at the numbers where it expects them.
#![allow(
    unsafe_code,
    reason = "descriptor numbers are chosen here, which no owning type can express"
)]

use rustix::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where standard output or standard error of a jailed process goes.
#[derive(Debug, Clone, Copy)]
pub enum Output<'a> {
    /// Nowhere.
    Null,
    /// To a duplicate of this descriptor.
    Fd(BorrowedFd<'a>),
}

/// Raises the soft limit on descriptor numbers to the hard one, so that numbers above the jail's limit can be
/// used.
pub(super) fn raise_limit() -> Result<(), Errno> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
}

/// A close-on-exec duplicate with a number of at least `first`.
pub(super) fn lift(fd: BorrowedFd<'_>, first: RawFd) -> Result<OwnedFd, Errno> {
    fcntl_dupfd_cloexec(fd, first)
}

/// Makes `number` a duplicate of `fd`, closing what was there.
pub(super) fn place(fd: BorrowedFd<'_>, number: RawFd, close_on_exec: bool) -> Result<(), Errno> {
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: takes two numbers. Called in the child just before exec, which owns none of the numbers it
    // replaces any more but by values that are never used again.
    let result = unsafe { libc::dup3(fd.as_raw_fd(), number, flags) };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Closes every number but those in `keep`, which is in ascending order.
pub(super) fn close_all_but(keep: &[RawFd]) -> Result<(), Errno> {
    let mut first = 0;
    for &kept in keep {
        if kept > first {
            close_range(first, kept - 1)?;
        }
        first = kept + 1;
    }
    close_range(first, RawFd::MAX)
}

/// Lets go of a descriptor that [`close_all_but`] closes.
pub(super) fn forget(fd: OwnedFd) {
    let _ = fd.into_raw_fd();
}

/// Closes the child's copy of a descriptor that its parent keeps.
pub(super) fn close(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    close_range(fd.as_raw_fd(), fd.as_raw_fd())
}

fn close_range(first: RawFd, last: RawFd) -> Result<(), Errno> {
    // SAFETY: takes three numbers. As in `place`: whatever is closed here is not used again.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
