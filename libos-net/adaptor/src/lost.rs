//! How a run goes without an answer.

use core::time::Duration;
use hacher::{Cancellation, Failure};

/// How often a run that waits looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(20);

const UNWANTED: Failure = Failure::retry("nobody waited for the run any more");

/// Why a run has failed.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The guest has closed its connection, or takes none.
    Connection(Failure),
    /// The time of the run is up.
    Time,
    /// Something else.
    Failed(Failure),
}

impl From<Failure> for Lost {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Lost {
    /// The run's failure; `on_lost` is called when a connection was lost, and does not return if the guest
    /// has ended. Does not return if the time is up.
    pub(crate) fn into_failure(self, on_lost: &dyn Fn()) -> Failure {
        match self {
            Self::Connection(failure) => {
                on_lost();
                failure
            }
            // The service ends a run whose time is up, and says so; a failure would keep a guest that may
            // never answer again.
            Self::Time => loop {
                std::thread::park();
            },
            Self::Failed(failure) => failure,
        }
    }
}

/// Returns when the run is not wanted any more.
pub(crate) async fn unwanted(cancellation: Cancellation<'_>) -> Lost {
    while !cancellation.is_cancelled() {
        tokio::time::sleep(LOOK_EVERY.min(cancellation.remaining())).await;
    }
    if cancellation.remaining().is_zero() {
        Lost::Time
    } else {
        Lost::Failed(UNWANTED)
    }
}
