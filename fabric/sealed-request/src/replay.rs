//! A sealed request opens once: what was opened is remembered for as long as its time would still be taken.

use crate::request::Claim;
use crate::{KEY_BYTES, Refused};
use std::collections::{HashSet, VecDeque};

/// Requests that are remembered at a time, 150 bytes each at most. It bounds how many come within one window.
pub const REMEMBERED_MAX: usize = 1 << 17;

/// What the first request that is remembered takes, or less.
const FIRST_BYTES: usize = 1 << 10;
/// Memory is given back where less than one part in so many of it is used.
const SHRINKS_BELOW: usize = 8;

/// The requests that were opened lately.
pub struct Replays {
    window_ms: u64,
    /// The latest time that was ever given: a clock that is turned back makes nothing new again.
    latest_ms: u64,
    most: usize,
    known: HashSet<[u8; KEY_BYTES]>,
    /// The same, with the time from which each may be forgotten, in the order in which they came.
    forget: VecDeque<(u64, [u8; KEY_BYTES])>,
}

impl Replays {
    /// Takes requests whose time is at most `window_ms` from now, before or after. Remembers nothing yet, so a
    /// gateway that starts anew needs a new key: else it would open what its predecessor opened.
    #[must_use]
    pub fn new(window_ms: u64) -> Self {
        Self::remembering(window_ms, REMEMBERED_MAX)
    }

    /// As [`Replays::new`], for `most` requests at a time.
    #[must_use]
    pub fn remembering(window_ms: u64, most: usize) -> Self {
        Self {
            window_ms,
            latest_ms: 0,
            most,
            known: HashSet::new(),
            forget: VecDeque::new(),
        }
    }

    /// Takes a request, of which the first segment was opened, for the first and last time.
    ///
    /// # Errors
    /// When it came before, was not made now, or no more can be remembered.
    pub fn admit(&mut self, request: &Claim, now_ms: u64) -> Result<(), Refused> {
        let now_ms = self.latest_ms.max(now_ms);
        self.latest_ms = now_ms;
        let off_ms = now_ms.abs_diff(request.made_at_ms);
        if off_ms > self.window_ms {
            return Err(Refused::Time { off_ms });
        }
        self.forget_until(now_ms);
        if self.known.contains(&request.encapsulated) {
            return Err(Refused::Replayed);
        }
        if self.known.len() >= self.most {
            return Err(Refused::Full);
        }
        // A request from the future is taken until its own time has passed, and as long again. One window
        // more for all keeps the queue in order.
        let until_ms = now_ms.saturating_add(self.window_ms.saturating_mul(2));
        self.known.insert(request.encapsulated);
        self.forget.push_back((until_ms, request.encapsulated));
        Ok(())
    }

    fn forget_until(&mut self, now_ms: u64) {
        while let Some((_, oldest)) = self.forget.pop_front_if(|(until_ms, _)| *until_ms < now_ms) {
            self.known.remove(&oldest);
        }
        if self.known.len() < self.known.capacity() / SHRINKS_BELOW {
            let kept = self.known.len() * 2;
            self.known.shrink_to(kept);
            self.forget.shrink_to(kept);
        }
    }

    /// Bytes of memory that remembering takes now.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        // Seven of eight places of the set are used at most, and each has a byte beside its key.
        let places = self.known.capacity().div_ceil(7) * 8;
        places * (KEY_BYTES + 1) + self.forget.capacity() * size_of::<(u64, [u8; KEY_BYTES])>()
    }

    /// Bytes that the next request adds at most: what is full grows to twice its size.
    #[must_use]
    pub fn growth_bytes(&self) -> usize {
        let is_full = |len: usize, capacity: usize| len >= capacity;
        let grows = is_full(self.known.len(), self.known.capacity())
            || is_full(self.forget.len(), self.forget.capacity());
        if grows {
            self.held_bytes().max(FIRST_BYTES)
        } else {
            0
        }
    }
}
