//! Lets the runtime watch a descriptor for something to read.
#![allow(unsafe_code, reason = "registers an owned descriptor with the runtime")]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches `fd`.
///
/// # Errors
/// When the kernel cannot watch it.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by what is registered, so it stays open, and the same, until it is deregistered.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    watched.map_err(|error| error.into())
}

/// Watches a duplicate of `fd`, whose owner keeps it.
///
/// # Errors
/// When there is no descriptor left, or the kernel cannot watch it.
pub(crate) fn watch_shared(fd: impl AsFd) -> io::Result<AsyncFd<OwnedFd>> {
    watch(rustix::io::fcntl_dupfd_cloexec(fd, 0)?)
}
