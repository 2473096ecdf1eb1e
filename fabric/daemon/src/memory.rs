//! How much memory instances have is asked when somebody wants to know, and not else: the monitor has to look
//! at each process. And not again while the last answer is fresh, however often somebody wants to: whoever
//! may connect to the operators' port could otherwise keep the monitor busy.

use std::cell::Cell;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// For how long an answer is waited for; without one, the last one holds.
const PATIENCE: Duration = Duration::from_secs(1);
/// For how long an answer holds: less than the time between two scrapes.
const FRESH: Duration = Duration::from_secs(1);

/// A question from operators to the supervisor, who alone speaks with the monitor. Those who ask at the same
/// time, or soon after, share an answer.
#[derive(Debug, Default)]
pub(super) struct MemoryQuestion {
    asked: Notify,
    answered: Notify,
    answered_at: Cell<Option<Instant>>,
}

impl MemoryQuestion {
    /// Asks, and waits until the tables have an answer that is fresh.
    pub(super) async fn ask(&self) {
        if self.answered_at.get().is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
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
        self.answered_at.set(Some(Instant::now()));
        self.answered.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use tokio::task::{LocalSet, spawn_local};

    #[test]
    fn those_who_ask_soon_after_an_answer_share_it() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, async {
            let question = Rc::new(MemoryQuestion::default());
            let looks = Rc::new(Cell::new(0));
            let (asked, counted) = (Rc::clone(&question), Rc::clone(&looks));
            spawn_local(async move {
                loop {
                    asked.is_asked().await;
                    counted.set(counted.get() + 1);
                    asked.answer();
                }
            });
            for _ in 0..100 {
                question.ask().await;
            }
            assert_eq!(looks.get(), 1);
            question.answered_at.set(Instant::now().checked_sub(FRESH));
            question.ask().await;
            assert_eq!(looks.get(), 2, "an old answer does not hold");
        });
    }
}
