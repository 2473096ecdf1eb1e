//! How much a function is given.

use super::tree::Tree;
use hacher_trustlet_host::core::limits::{FILES_MAX, FILES_MAX_BYTES};

/// How many files, folders and links a function is given, and how many bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Given {
    pub(super) entries: usize,
    pub(super) len_bytes: u64,
}

impl Given {
    pub(super) fn add(&mut self, tree: &Tree) {
        self.entries += tree.entries().len();
        self.len_bytes = self.len_bytes.saturating_add(tree.len_bytes());
    }

    /// The bound that it is past, in words.
    pub(super) fn past(&self) -> Option<String> {
        let past = (self.entries > FILES_MAX).then(|| format!("{FILES_MAX} files, folders and links"));
        past.or_else(|| (self.len_bytes > FILES_MAX_BYTES).then(|| format!("{FILES_MAX_BYTES} bytes")))
    }
}
