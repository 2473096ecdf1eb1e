//! Sends spans to the collector, in batches. A collector that is not there is said once, and tried again ever
//! more seldom, with the same batch, until it takes it.

use super::connection::{Connector, Sent};
use super::queue::{BATCH_MAX, Queue};
use super::span::{export, rejected};
use crate::metrics::Dropped;
use crate::settings::CollectorUrl;
use hacher_trustlet_host::tell;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// For how long spans wait for others to be sent with.
const GATHER: Duration = Duration::from_secs(1);
/// How long to wait before a collector is tried again, at first and at most.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// How long the last spans are tried to be sent when the daemon ends. The monitor waits a second for all that
/// it does then.
const FINISH_PATIENCE: Duration = Duration::from_millis(400);

/// What sends.
pub(super) struct Exporter {
    url: CollectorUrl,
    queue: Rc<Queue>,
    connector: Rc<Connector>,
    /// The batch that is being sent, or is to be sent again.
    batch: RefCell<Vec<Vec<u8>>>,
    /// Whether it is being sent at this moment.
    is_sending: Cell<bool>,
    backoff: Cell<Duration>,
    /// Whether it was said that the collector does not take spans.
    is_said: Cell<bool>,
    is_hurried: Cell<bool>,
    /// Set once the daemon ends: the drain then sends what is left.
    is_finishing: Cell<bool>,
    hurried: Notify,
    /// A batch is done.
    done: Notify,
}

impl Exporter {
    pub(super) fn new(url: CollectorUrl, queue: Rc<Queue>, connector: Rc<Connector>) -> Self {
        Self {
            url,
            queue,
            connector,
            batch: RefCell::default(),
            is_sending: Cell::new(false),
            backoff: Cell::new(BACKOFF_FIRST),
            is_said: Cell::new(false),
            is_hurried: Cell::new(false),
            is_finishing: Cell::new(false),
            hurried: Notify::new(),
            done: Notify::new(),
        }
    }

    /// From here on spans do not wait for others.
    pub(super) fn hurry(&self) {
        self.is_hurried.set(true);
        self.hurried.notify_one();
    }

    /// Sends until the daemon ends.
    pub(super) async fn keep_sending(&self) {
        while !self.is_finishing.get() {
            self.queue.has_some().await;
            if !self.is_hurried.get() {
                tokio::select! {
                    () = self.queue.has_batch() => {}
                    () = self.hurried.notified() => {}
                    () = sleep(GATHER) => {}
                }
            }
            while self.has_left() && !self.is_finishing.get() {
                if let Some(wait) = self.send_batch().await {
                    tokio::select! {
                        () = self.hurried.notified() => {}
                        () = sleep(wait) => {}
                    }
                }
                if self.queue.len() < BATCH_MAX && self.batch.borrow().is_empty() {
                    break;
                }
            }
        }
    }

    /// Whether there are spans that were not taken.
    fn has_left(&self) -> bool {
        self.queue.len() > 0 || !self.batch.borrow().is_empty()
    }

    /// Sends the next spans; how long to wait if they have to be sent again.
    async fn send_batch(&self) -> Option<Duration> {
        if self.batch.borrow().is_empty() {
            *self.batch.borrow_mut() = self.queue.take();
        }
        let (count, body) = {
            let batch = self.batch.borrow();
            (batch.len() as u64, export(&self.url.service, &batch))
        };
        self.is_sending.set(true);
        let sent = self
            .connector
            .send(&self.url.authority, &self.url.path, body)
            .await;
        self.is_sending.set(false);
        let wait = match sent {
            Sent::Taken(answer) => {
                let rejected = rejected(&answer).min(count);
                Dropped::Refused.count(rejected);
                Queue::count_exported(count - rejected);
                if self.is_said.replace(false) {
                    tell!(Info: "the collector of traces at {} accepts spans again", self.url);
                }
                None
            }
            Sent::Refused(status) => {
                Dropped::Refused.count(count);
                self.say(&format!("refused spans with {status}: they are dropped"));
                None
            }
            Sent::NotNow { why, after } => {
                self.say(&format!("does not accept spans: {why}; retrying"));
                let backoff = self.backoff.get();
                self.backoff.set((backoff * 2).min(BACKOFF_MAX));
                Some(after.unwrap_or(backoff))
            }
        };
        if wait.is_none() {
            self.backoff.set(BACKOFF_FIRST);
            self.batch.borrow_mut().clear();
        }
        self.done.notify_one();
        wait
    }

    /// Says what is wrong with the collector, once until it is well again.
    fn say(&self, what: &str) {
        if !self.is_said.replace(true) {
            tell!(Warning: "the collector of traces at {} {what}", self.url);
        }
    }

    /// Sends what there is, as far as it goes soon; what does not is counted.
    pub(super) async fn finish(&self) {
        self.is_finishing.set(true);
        self.hurry();
        let until = Instant::now() + FINISH_PATIENCE;
        while self.is_sending.get() && timeout_at(until, self.done.notified()).await.is_ok() {}
        let all = async {
            while self.has_left() {
                if self.send_batch().await.is_some() {
                    return;
                }
            }
        };
        let left = until.saturating_duration_since(Instant::now());
        if !self.is_sending.get() {
            let _ = timeout(left, all).await;
        }
        let lost = self.queue.len() + self.batch.borrow().len();
        if lost > 0 {
            Dropped::Stopped.count(lost as u64);
            tell!(Warning: "{lost} spans were not sent to the collector of traces at {} before the end", self.url);
        }
    }
}
