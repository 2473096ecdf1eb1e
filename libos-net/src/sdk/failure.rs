//! How a handler says that it could not do its work.

use core::fmt;

/// The longest reason that travels, in bytes; longer ones are cut to it.
pub const REASON_MAX_BYTES: usize = 240;

/// Whether a failed run is worth another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Run again, as often and as late as the chain's `retry` says.
    MayHelp,
    /// Running again would end the same way; the record fails now.
    Pointless,
}

/// Why a run failed. The reason is a `&'static str` on purpose: it reaches the client and the logs, and text
/// fixed at compile time cannot carry a payload there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    reason: &'static str,
    retry: Retry,
}

impl Failure {
    /// This attempt failed; another may succeed (a resource was busy, an input did not arrive whole).
    #[must_use]
    pub const fn retry(reason: &'static str) -> Self {
        Self {
            reason,
            retry: Retry::MayHelp,
        }
    }

    /// No attempt on this record can succeed (it is not what the function understands).
    #[must_use]
    pub const fn permanent(reason: &'static str) -> Self {
        Self {
            reason,
            retry: Retry::Pointless,
        }
    }

    /// The reason, fixed at compile time.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Whether another attempt may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.retry, Retry::MayHelp)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason)
    }
}

/// An error and what caused it, on one line, as logs have it.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text.replace(char::is_control, " ")
}

/// Lets a handler use `?` on reads and writes. The error's own text is dropped, as it might quote the
/// payload. [`InvalidData`](std::io::ErrorKind::InvalidData) and
/// [`InvalidInput`](std::io::ErrorKind::InvalidInput) speak of the bytes, which stay what they are: a
/// permanent failure. Others are transient.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // A `Failure` that travelled through `std::io::Read` or `Write` comes out as it went in.
        if let Some(failure) = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return *failure;
        }
        match error.kind() {
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => {
                Self::permanent("the data is not what the function understands")
            }
            _ => Self::retry(reason_of(error.raw_os_error())),
        }
    }
}

/// What the number of an error says: fixed text, unlike the error's own.
const fn reason_of(number: Option<i32>) -> &'static str {
    match number {
        Some(libc::ENOMEM) => "an input/output operation failed: out of memory",
        Some(libc::EMFILE | libc::ENFILE) => {
            "an input/output operation failed: the limit on open descriptors is reached"
        }
        Some(libc::EAGAIN) => {
            "an input/output operation failed: not available now; of a thread's start: the limit is reached"
        }
        Some(libc::ENOSPC | libc::EFBIG) => "an input/output operation failed: the scratch folder is full",
        Some(libc::EPERM | libc::EACCES) => "an input/output operation failed: not permitted in a trustlet",
        _ => "an input/output operation failed",
    }
}

impl From<Failure> for std::io::Error {
    fn from(failure: Failure) -> Self {
        Self::other(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_the_detour_through_io_error() {
        let failure = Failure::permanent("not a photograph");
        assert_eq!(Failure::from(std::io::Error::from(failure)), failure);
    }

    #[test]
    fn an_error_that_speaks_of_the_bytes_is_permanent_unless_a_handler_said_otherwise() {
        use std::io::{Error, ErrorKind};
        for kind in [ErrorKind::InvalidData, ErrorKind::InvalidInput] {
            let failure = Failure::from(Error::new(kind, "secret payload"));
            assert!(!failure.is_transient(), "{kind}");
            assert!(!failure.to_string().contains("secret"));
            let kept = Failure::from(Error::new(kind, Failure::retry("busy")));
            assert_eq!(kept, Failure::retry("busy"));
        }
        for kind in [ErrorKind::UnexpectedEof, ErrorKind::TimedOut, ErrorKind::Other] {
            assert!(Failure::from(Error::from(kind)).is_transient(), "{kind}");
        }
    }

    #[test]
    fn a_foreign_io_error_is_transient_and_says_nothing_of_its_text() {
        let failure = Failure::from(std::io::Error::other("secret payload"));
        assert!(failure.is_transient());
        assert!(!failure.to_string().contains("secret"));
    }
}
