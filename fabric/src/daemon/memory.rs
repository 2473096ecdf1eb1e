//! How much memory instances have is asked when somebody wants to know, and not else: the monitor has to look
//! at each process.

use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// For how long an answer is waited for; without one, the last one holds.
const PATIENCE: Duration = Duration::from_secs(1);

/// A question from operators to the supervisor, who alone speaks with the monitor. Those who ask at the same
/// time share an answer.
#[derive(Debug, Default)]
pub(super) struct MemoryQuestion {
    asked: Notify,
    answered: Notify,
}

impl MemoryQuestion {
    /// Asks, and waits until the tables have the answer.
    pub(super) async fn ask(&self) {
        let answered = self.answered.notified();
        self.asked.notify_one();
        // A supervisor that does not answer in time stops, or starts very many.
        let _ = timeout(PATIENCE, answered).await;
    }

    /// Waits until somebody asks.
    pub(super) async fn is_asked(&self) {
        self.asked.notified().await;
    }

    /// Says that the tables have the answer.
    pub(super) fn answer(&self) {
        self.answered.notify_waiters();
    }
}
