//! Spans that wait to be sent, encoded. Their number is bounded: what finds no room is dropped and counted,
//! and nobody waits for room.

use crate::metrics::{Dropped, SPANS_EXPORTED};
use std::cell::RefCell;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// Spans that wait at most: of some hundred bytes each, a few MiB of the daemon's memory.
const SPANS_MAX: usize = 8192;
/// Spans that are sent at once at most.
pub(super) const BATCH_MAX: usize = 512;

/// Where spans wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    spans: RefCell<VecDeque<Vec<u8>>>,
    news: Notify,
}

impl Queue {
    /// Has a span wait, if there is room.
    pub(super) fn push(&self, span: Vec<u8>) {
        let mut spans = self.spans.borrow_mut();
        if spans.len() < SPANS_MAX {
            spans.push_back(span);
            self.news.notify_one();
        } else {
            Dropped::QueueFull.count(1);
        }
    }

    /// The oldest of them, as many as are sent at once.
    pub(super) fn take(&self) -> Vec<Vec<u8>> {
        let mut spans = self.spans.borrow_mut();
        let count = spans.len().min(BATCH_MAX);
        spans.drain(..count).collect()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.spans.borrow().len()
    }

    /// Waits until there may be one.
    pub(super) async fn has_some(&self) {
        while self.len() == 0 {
            self.news.notified().await;
        }
    }

    /// Waits until there are as many as are sent at once.
    pub(super) async fn has_batch(&self) {
        while self.len() < BATCH_MAX {
            self.news.notified().await;
        }
    }

    /// So many were sent.
    pub(super) fn count_exported(spans: u64) {
        ::metrics::counter!(SPANS_EXPORTED.name).increment(spans);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_keeps_what_it_has_and_drops_what_comes() {
        let queue = Queue::default();
        for number in 0..SPANS_MAX + 10 {
            queue.push(number.to_le_bytes().to_vec());
        }
        assert_eq!(queue.len(), SPANS_MAX);
        let batch = queue.take();
        assert_eq!((batch.len(), queue.len()), (BATCH_MAX, SPANS_MAX - BATCH_MAX));
        assert_eq!(batch.first(), Some(&0_usize.to_le_bytes().to_vec()));
    }
}
