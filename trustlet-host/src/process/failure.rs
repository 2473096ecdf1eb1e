//! What fails on this platform, as the core is told of it.

use super::headroom::explained;
use crate::platform::PlatformError;
use rustix::io::Errno;
use std::io::{Error, ErrorKind};

/// The kernel refused `what`.
pub(super) fn os(what: &'static str) -> impl Fn(Error) -> PlatformError {
    move |error| {
        let error = Errno::from_io_error(&error).map_or(error, explained);
        PlatformError::Refused {
            what,
            is_transient: is_transient(error.kind()),
            why: error.to_string(),
        }
    }
}

const fn is_transient(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::OutOfMemory | ErrorKind::WouldBlock | ErrorKind::Interrupted
    )
}

/// What was given is not what it should be, or the machine lacks something that trying again does not bring.
pub(super) fn unsuitable(error: &dyn core::fmt::Display) -> PlatformError {
    PlatformError::Unsuitable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_for_a_moment_is_told_from_what_never_works() {
        let is_transient = |errno: Errno| os("trying")(errno.into()).is_transient();
        assert!(is_transient(Errno::NOMEM));
        assert!(is_transient(Errno::AGAIN));
        assert!(!is_transient(Errno::PERM));
        let told = os("making a pipe")(Errno::PERM.into()).to_string();
        assert!(told.starts_with("making a pipe: "), "{told}");
    }
}
