//! What came of the requests of a run.

use std::collections::BTreeMap;
use std::time::Duration;

/// Unexpected events that are kept with their words; more are counted alone.
const KEPT_MAX: usize = 40;
/// A reply that takes longer than a few restarts of a function is listed, for somebody to ask why.
const SLOW: Duration = Duration::from_secs(10);

/// Counts of events.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Replies that are as the model says, by chain.
    pub(super) expected: BTreeMap<String, u64>,
    /// What the run itself brought about, by what it was.
    pub(super) injected: BTreeMap<&'static str, u64>,
    /// Everything else.
    pub(super) unexpected_count: u64,
    pub(super) unexpected: Vec<String>,
    /// The longest that a client that behaves waited.
    pub(super) slowest: Duration,
    /// Replies that took longer than [`SLOW`]: when they came, their chain, how long.
    pub(super) slow: Vec<String>,
    /// Bodies that were compared, in bytes.
    pub(super) compared_bytes: u64,
}

impl Ledger {
    /// A right reply to a request of `len` bytes that took so long, `at` after the start.
    pub(super) fn expected(&mut self, chain: &str, len: usize, took: Duration, at: Duration) {
        *self.expected.entry(chain.to_owned()).or_default() += 1;
        self.compared_bytes += len as u64;
        self.slowest = self.slowest.max(took);
        if took > SLOW && self.slow.len() < KEPT_MAX {
            self.slow.push(format!(
                "{chain}, {len} bytes: {took:.1?}, until {at:.1?} after the start"
            ));
        }
    }

    pub(super) fn injected(&mut self, what: &'static str) {
        *self.injected.entry(what).or_default() += 1;
    }

    pub(super) fn unexpected(&mut self, what: String) {
        self.unexpected_count += 1;
        if self.unexpected.len() < KEPT_MAX {
            eprintln!("UNEXPECTED {what}");
            self.unexpected.push(what);
        }
    }
}
