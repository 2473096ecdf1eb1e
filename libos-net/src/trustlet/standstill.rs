//! Whether what waits here is in the way of what comes: parts of joins hold room of their producers, and who
//! has none can send no other part.

use crate::clock::Monotonic;
use core::time::Duration;
use hacher_data_path::hop::Receiver;

/// How often one at which parts wait looks at their producers, as nobody rings when a producer has no room
/// left, or when requests get their replies elsewhere. And how long a producer waits for room, and a part for
/// the others, before that is taken for a standstill: a part that is on its way would be here.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Producers that wait for room.
#[derive(Debug)]
pub(super) struct Standstill {
    /// When was looked last.
    looked: Monotonic,
    /// Of each ring, since when its producer was found waiting at every look.
    starving: Vec<Option<Monotonic>>,
}

impl Standstill {
    pub(super) fn new(rings: usize, now: Monotonic) -> Self {
        Self {
            looked: now,
            starving: vec![None; rings],
        }
    }

    /// Looks at all producers, if it is time to.
    pub(super) fn look(&mut self, receiver: &Receiver, now: Monotonic) {
        if self.looked.after(LOOK_EVERY) > now {
            return;
        }
        // What was seen long ago is no standstill.
        let is_continued = self.looked.after(2 * LOOK_EVERY) > now;
        self.looked = now;
        for (ring, since) in self.starving.iter_mut().enumerate() {
            *since = match receiver.producer_starves(ring) {
                true => since.filter(|_| is_continued).or(Some(now)),
                false => None,
            };
        }
    }

    /// Whether what has waited since then, and was taken off this ring, is in the way: more than half of the
    /// ring is held, or its producer finds no room, of which a good part is held here.
    pub(super) fn is_made_by(
        &self,
        receiver: &Receiver,
        ring: usize,
        waits_since: Monotonic,
        now: Monotonic,
    ) -> bool {
        let is_long = |since: Monotonic| since.after(LOOK_EVERY) <= now;
        let starves = self.starving.get(ring).copied().flatten().is_some_and(is_long);
        receiver.is_crowded(ring) || (starves && is_long(waits_since) && receiver.holds_much(ring))
    }
}
