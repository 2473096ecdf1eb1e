//! Why a service could not start.

use crate::chosen::headroom::explained;
use crate::platform::PlatformError;
use rustix::io::Errno;
use std::io;

/// The service could not start, or its kernel failed it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A system call that should not fail failed.
    #[error("{what}: {source}")]
    Os {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The platform is not usable.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// A limit of the machine is too low.
    #[error("{0}")]
    Short(String),
    /// It cannot be found out what this machine can enforce.
    #[error("cannot find out whether this machine has a layer of isolation: {0}")]
    Untried(String),
    /// The daemon cannot be started.
    #[error("the daemon: {0}")]
    Daemon(#[source] PlatformError),
}

/// A system call that should not have failed.
pub(super) fn os<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> ServiceError {
    move |source| {
        let source = source.into();
        ServiceError::Os {
            what,
            source: Errno::from_io_error(&source).map_or(source, explained),
        }
    }
}
