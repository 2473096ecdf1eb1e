//! Why the daemon stops.

use hacher_trustlet_host::client::ClientError;

/// Why the daemon stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// The service will never be ready.
    CannotStart(String),
    /// The monitor is gone.
    MonitorGone,
    /// Something failed; a fresh daemon may do better.
    Error(String),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Closed => Self::MonitorGone,
            other => Self::Error(other.to_string()),
        }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Error(error.to_string())
    }
}
