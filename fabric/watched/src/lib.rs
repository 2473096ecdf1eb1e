//! Lets the runtime watch a descriptor for something to read, or for room to write.
#![allow(unsafe_code, reason = "registers an owned descriptor with the runtime")]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches `fd`.
///
/// # Errors
/// When the kernel cannot watch it.
pub fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    watch_for(fd, Interest::READABLE)
}

/// Watches a duplicate of `fd` for room to write.
///
/// # Errors
/// As [`watch_shared`].
pub fn watch_room(fd: impl AsFd) -> io::Result<AsyncFd<OwnedFd>> {
    watch_for(rustix::io::fcntl_dupfd_cloexec(fd, 0)?, Interest::WRITABLE)
}

fn watch_for(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by what is registered, so it stays open, and the same, until it is
    // deregistered.
    let watched = unsafe { AsyncFd::register_with_interest(fd, interest) };
    watched.map_err(|error| error.into())
}

/// Watches a duplicate of `fd`, whose owner keeps it.
///
/// # Errors
/// When there is no descriptor left, or the kernel cannot watch it.
pub fn watch_shared(fd: impl AsFd) -> io::Result<AsyncFd<OwnedFd>> {
    watch(rustix::io::fcntl_dupfd_cloexec(fd, 0)?)
}
