//! How a consumer goes on that replaces another.

use super::Inlet;
use super::cursor::store_changed;
use super::order::Order;
use super::step::RecordPlace;
use crate::record::descriptor::Descriptor;
use crate::region::layout::cursor_word;
use crate::region::memory::OwnRegion;
use crate::region::ring;
use crate::sync::{Ordering, fence};
use alloc::sync::Arc;

impl Inlet {
    /// Goes on where a predecessor stopped. What it left may be anything, so it is believed as far as the
    /// ring bears it out, and made good for whoever reads it next.
    pub(crate) fn resume(&mut self, page: &OwnRegion, gapless: bool) {
        let load_at = |at: usize| page.word(at).map_or(0, |word| word.load(Ordering::Relaxed));
        let load = |word: usize| load_at(self.cursor.word_at(word));
        // Before the ring is looked at: a producer that is replaced meanwhile is then seen as another, and
        // what its predecessor said of epoch and order is not held against it.
        self.producer_process = self.process_of_producer();
        fence(Ordering::Acquire);
        let region = Arc::clone(&self.region);
        let Some(slots) = region.slots(self.ring_at, self.capacity) else {
            return;
        };
        let said = load(cursor_word::RELEASED);
        let next = ring::recover(slots, said);
        let published_to = ring::resume(slots, next, next);
        let is_believed = ring::ahead_of(next, said) == 0;
        let floor = u32::try_from(load(cursor_word::EPOCH))
            .ok()
            .map(|epoch| (epoch, load(cursor_word::SEQUENCE)))
            .filter(|floor| is_believed && *floor <= self.newest_released(slots, next));
        self.next = next;
        self.published_to = published_to;
        let taken = next + ring::ahead_of(next, load_at(self.cursor.taken_at()));
        self.taken_to = taken.min(published_to);
        let (epoch, sequence) = floor.unwrap_or((0, 0));
        // Otherwise this process is the first.
        if said != 0 || floor != Some((0, 0)) {
            self.order = Order::resume(gapless, epoch, sequence);
        }
        if self.upstream.streams
            && let Some((epoch, sequence)) = self.interrupted(slots, next, (epoch, sequence))
        {
            self.order.skip_rest_of(epoch, sequence);
            self.interrupted_record = Some((epoch, sequence));
        }
        if let Some(cursor) = page.word(self.cursor.word_at(cursor_word::RELEASED)) {
            ring::release(cursor, self.next);
        }
        self.note_taken(page);
        store_changed(page, self.cursor.word_at(cursor_word::EPOCH), u64::from(epoch));
        store_changed(page, self.cursor.word_at(cursor_word::SEQUENCE), sequence);
        let unpublished = if is_believed { published_to } else { next };
        self.cursor.resume_done(page, next, unpublished);
        // It may have released more than its predecessor had.
        self.wake_starved();
    }

    /// Epoch and sequence that can have been accepted at most before position `next`, as the producer's
    /// descriptors beside it say: the last one that was released, and the first one that is not.
    fn newest_released(&self, slots: &[ring::Slot], next: u64) -> (u32, u64) {
        let said_at = |position| match ring::peek(slots, position) {
            ring::Found::Words(words) => self.read(&words).ok(),
            ring::Found::Empty | ring::Found::Corrupt => None,
        };
        let beside = [next.wrapping_sub(1), next].into_iter().filter_map(said_at);
        let newest = beside.map(|descriptor| (descriptor.epoch, descriptor.sequence.saturating_add(1)));
        newest.max().unwrap_or((0, 0))
    }

    /// The record of which a predecessor may have released the beginning: the one that goes on at `next`, or
    /// if nothing is there yet, the last one before the `floor` of epoch and sequence.
    fn interrupted(&self, slots: &[ring::Slot], next: u64, floor: (u32, u64)) -> Option<(u32, u64)> {
        let goes_on = match ring::peek(slots, next) {
            ring::Found::Words(words) => self.read(&words).ok().filter(|found| found.segment > 0),
            ring::Found::Empty | ring::Found::Corrupt => None,
        };
        let of_floor = floor.1.checked_sub(1).map(|last| (floor.0, last));
        goes_on.map(|found| (found.epoch, found.sequence)).or(of_floor)
    }

    /// Where the next look goes.
    pub(crate) const fn position(&self) -> u64 {
        self.next
    }

    /// Whether a process before this one had taken the record at `first`, as that one says.
    #[inline]
    pub(crate) const fn was_taken(&self, first: u64) -> bool {
        first < self.taken_to
    }

    /// The last position published before this process began, and not released, of which `is` holds.
    pub(crate) fn last_published(&self, is: impl Fn(&Descriptor) -> bool) -> Option<u64> {
        let slots = self.slots()?;
        (self.next..self.published_to)
            .rev()
            .find(|position| match ring::peek(slots, *position) {
                ring::Found::Words(words) => self.read(&words).is_ok_and(|found| is(&found)),
                ring::Found::Empty | ring::Found::Corrupt => false,
            })
    }

    /// The record that `word` of a predecessor means, if one can be meant: published before this process
    /// began, and not released.
    pub(crate) fn record_at(&self, word: u64) -> Option<RecordPlace> {
        let first = self.next + ring::ahead_of(self.next, word);
        (first < self.published_to).then_some(RecordPlace {
            ring: self.index,
            first,
        })
    }
}
