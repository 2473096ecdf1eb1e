//! Why a service could not start.

use crate::process::headroom::explained;
use crate::process::image::ImageError;
use crate::process::library::LibraryError;
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
    /// An executable of the service cannot be copied.
    #[error("cannot use the own executable: {0}")]
    Image(#[from] ImageError),
    /// A library of this executable cannot be measured.
    #[error("cannot use an own library: {0}")]
    Library(#[from] LibraryError),
    /// The platform is not usable.
    #[error(transparent)]
    Platform(#[from] crate::platform::PlatformError),
    /// A limit of the machine is too low.
    #[error("{0}")]
    Short(String),
    /// It cannot be found out what this machine can enforce.
    #[error("cannot find out whether this machine has a layer of isolation: {0}")]
    Untried(String),
    /// The daemon cannot be started.
    #[error("the daemon: {0}")]
    Daemon(#[from] crate::process::jail::SpawnError),
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
