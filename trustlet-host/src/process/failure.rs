//! What fails on this platform, as the core is told of it.

use super::headroom::explained;
use crate::platform::PlatformError;
use rustix::io::Errno;

/// The kernel refused `what`.
pub(super) fn os(what: &'static str) -> impl Fn(std::io::Error) -> PlatformError {
    move |source| PlatformError::Os {
        what,
        source: Errno::from_io_error(&source).map_or(source, explained),
    }
}

/// What was given is not what it should be, or the machine lacks something that trying again does not bring.
pub(super) fn unsuitable(error: &dyn core::fmt::Display) -> PlatformError {
    PlatformError::Unsuitable(error.to_string())
}
