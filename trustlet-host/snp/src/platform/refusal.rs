//! Why the platform does not do something, in its words.

use crate::ledger::Refused;
use crate::space::NotMapped;
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use hacher_monitor_core::platform::PlatformError;

pub(super) fn gone() -> PlatformError {
    PlatformError::Unsuitable("the trustlet is gone".to_owned())
}

pub(super) fn no_pages(what: &'static str, refused: Refused) -> PlatformError {
    PlatformError::Refused {
        what,
        why: refused.to_string(),
        is_transient: refused.is_transient(),
    }
}

pub(super) fn not_mapped(error: &NotMapped) -> PlatformError {
    PlatformError::Refused {
        what: "mapping pages of a trustlet",
        why: error.to_string(),
        is_transient: matches!(error, NotMapped::Refused(refused) if refused.is_transient()),
    }
}

pub(super) fn no_files<T>() -> Result<T, PlatformError> {
    let words = "a trustlet of this platform is one static program: it has no libraries and no files";
    Err(PlatformError::Unsuitable(words.to_owned()))
}

/// Why something is not done, in words.
pub(super) fn unsuitable(words: impl Into<String>) -> PlatformError {
    PlatformError::Unsuitable(words.into())
}
