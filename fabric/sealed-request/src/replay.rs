//! A sealed request opens once: what was opened is remembered for as long as its time would still be taken.
//!
//! The clock may be anybody's, so nothing here believes that it goes forward: what was forgotten is never
//! taken again, whatever time it is, and a clock that was ahead for a while costs only what was made before.

use crate::request::Claim;
use crate::{KEY_BYTES, Refused};
use std::collections::BTreeSet;

/// Requests that are remembered at a time. It bounds how many come within two windows.
pub const REMEMBERED_MAX: usize = 1 << 17;

/// What a request that is remembered takes at most: its 40 bytes in a node of which at least five places of
/// eleven are used, that node's part of those above it, and what the allocator adds.
pub const ENTRY_BYTES: usize = 128;

/// Requests that are forgotten at once, so that nobody waits for more: each that comes makes room for itself.
const FORGOTTEN_AT_ONCE: usize = 256;

/// The requests that were opened lately.
pub struct Replays {
    window_ms: u64,
    most: usize,
    /// By their time: the first are the first to be forgotten.
    known: BTreeSet<(u64, [u8; KEY_BYTES])>,
    /// The latest time of a request that was forgotten: none up to it can be told from one that came before.
    forgotten_ms: Option<u64>,
}

impl Replays {
    /// Takes requests whose time is at most `window_ms` from now, before or after. Remembers nothing yet, so
    /// a gateway that starts anew needs a new key: else it would open what its predecessor opened.
    #[must_use]
    pub const fn new(window_ms: u64) -> Self {
        Self::remembering(window_ms, REMEMBERED_MAX)
    }

    /// As [`Replays::new`], for `most` requests at a time.
    #[must_use]
    pub const fn remembering(window_ms: u64, most: usize) -> Self {
        Self {
            window_ms,
            most,
            known: BTreeSet::new(),
            forgotten_ms: None,
        }
    }

    /// Takes a request, of which the first segment was opened, for the first and last time.
    ///
    /// # Errors
    /// When it came before, or may have; was not made now; or no more can be remembered.
    pub fn admit(&mut self, request: &Claim, now_ms: u64) -> Result<(), Refused> {
        let off_ms = now_ms.abs_diff(request.made_at_ms);
        if off_ms > self.window_ms {
            return Err(Refused::Time { off_ms });
        }
        self.forget_before(now_ms.saturating_sub(self.window_ms));
        // A request that opens has the time that it was sealed with, so a replay has the same.
        let entry = (request.made_at_ms, request.encapsulated);
        if self.known.contains(&entry) || self.forgotten_ms >= Some(request.made_at_ms) {
            return Err(Refused::Replayed);
        }
        if self.known.len() >= self.most {
            return Err(Refused::Full);
        }
        self.known.insert(entry);
        Ok(())
    }

    /// Forgets requests whose time is taken no more, the oldest first.
    fn forget_before(&mut self, oldest_ms: u64) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            match self.known.first() {
                Some((made_at_ms, _)) if *made_at_ms < oldest_ms => {
                    self.forgotten_ms = self.forgotten_ms.max(Some(*made_at_ms));
                    self.known.pop_first();
                }
                _ => return,
            }
        }
    }

    /// Bytes of memory that remembering takes now, or less.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.known.len() * ENTRY_BYTES
    }
}
