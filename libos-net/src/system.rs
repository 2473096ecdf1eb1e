//! The system failed.

use rustix::io::Errno;

/// The kernel refused something, for this reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SystemFailure(pub Errno);

impl SystemFailure {
    /// Whether the same call can succeed later: it was interrupted, had nothing to take, or found something
    /// short that others give back.
    #[must_use]
    pub fn is_transient(self) -> bool {
        [
            Errno::AGAIN,
            Errno::BUSY,
            Errno::INTR,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
        ]
        .contains(&self.0)
    }
}

impl From<Errno> for SystemFailure {
    fn from(errno: Errno) -> Self {
        Self(errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_may_be_there_later_and_what_is_forbidden_stays_so() {
        assert!(SystemFailure(Errno::NOMEM).is_transient());
        assert!(SystemFailure(Errno::AGAIN).is_transient());
        assert!(!SystemFailure(Errno::PERM).is_transient());
        assert!(!SystemFailure(Errno::INVAL).is_transient());
    }
}
