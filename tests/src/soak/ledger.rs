//! What came of the requests of a run.

use std::collections::BTreeMap;

/// Unexpected events that are kept with their words; more are counted alone.
const KEPT_MAX: usize = 40;

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
    /// The slowest reply to a client that behaves, in ms, and of which chain.
    pub(super) slowest: (u128, String),
    /// Bodies that were compared, in bytes.
    pub(super) compared_bytes: u64,
}

impl Ledger {
    pub(super) fn expected(&mut self, chain: &str) {
        *self.expected.entry(chain.to_owned()).or_default() += 1;
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
