//! The time that the caller says it is; this crate has no clock.

use std::fmt;
use x509_cert::der::DateTime;

/// Seconds since the first of January 1970, UTC, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// The time that is written so: `2026-11-26T10:00:00Z`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let time: DateTime = text.parse().ok()?;
        Some(Self(time.unix_duration().as_secs()))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_unix_duration(core::time::Duration::from_secs(self.0)) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{} s after 1970", self.0),
        }
    }
}
