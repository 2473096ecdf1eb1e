//! What a function finds before its first record: while it loads what all its runs need.

use super::environment::Environment;
use super::secret::{Secret, find_secret};

/// Handed to a function's one-time initialisation: its settings and secrets. There is no record yet, and
/// nobody is told that the function serves.
#[derive(Clone, Copy)]
pub struct Start<'s> {
    secrets: &'s [Secret],
    environment: &'s Environment,
}

impl core::fmt::Debug for Start<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Neither names nor values: they must not reach a log by accident.
        formatter
            .debug_struct("Start")
            .field("secrets", &self.secrets.len())
            .finish_non_exhaustive()
    }
}

impl<'s> Start<'s> {
    pub(crate) const fn new(secrets: &'s [Secret], environment: &'s Environment) -> Self {
        Self { secrets, environment }
    }

    /// A secret by the name that the chain file gives it; as [`Input::secret`](crate::Input::secret).
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&'s [u8]> {
        find_secret(self.secrets, name)
    }

    /// A variable of the function's environment; as [`Input::env`](crate::Input::env).
    #[must_use]
    pub fn env(&self, name: &str) -> Option<String> {
        self.environment.var(name)
    }
}
