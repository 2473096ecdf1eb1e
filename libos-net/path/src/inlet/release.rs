//! `release`: the word to the producer that a record has had all its effects (I5), in the cursor of its ring.

use super::step::RecordPlace;
use super::{Inlet, Shape};
use crate::region::layout::{DONE_WINDOW, cursor_word, outbox_word};
use crate::region::memory::OwnRegion;
use crate::region::ring;
use crate::sync::Ordering;
use crate::wait::park::Waker;

impl Inlet {
    /// Whether a predecessor had released the record at `first`, before older ones.
    pub(crate) fn was_done(&mut self, first: u64) -> bool {
        self.cursor.was_done(first)
    }

    /// Says how far this end has come, so that a producer that is replaced does not publish before that.
    pub(crate) fn note_taken(&self, page: &OwnRegion) {
        if let Some(word) = page.word(self.cursor.taken_at()) {
            word.store(self.next, Ordering::Relaxed);
        }
    }

    /// Notes that the record has had all its effects, and tells the producer how far everything is done.
    pub(crate) fn release(&mut self, record: RecordPlace, page: &OwnRegion) {
        let oldest = self.held.oldest().unwrap_or(self.next);
        if self.held.set_done(record.first) && record.first > oldest && record.first - oldest < DONE_WINDOW {
            self.cursor.note_done(record.first, true, page);
        }
        self.release_done(page);
    }

    /// Releases what was accepted so far of a record that arrives as a stream, unless an older one is held.
    /// From here on it is not delivered again: a process that replaces this one passes over its rest.
    pub(crate) fn release_part(&mut self, record: RecordPlace, page: &OwnRegion) {
        let next = self.next;
        let Some(held) = self.held.oldest_at(record.first).filter(|held| held.from < next) else {
            return;
        };
        let from = core::mem::replace(&mut held.from, next);
        let accepted = (held.epoch, held.sequence);
        if let Shape::Mapped(leaves) = &mut self.shape {
            (from..next).for_each(|position| leaves.let_go(position));
        }
        if let Some(cursor) = page.word(self.cursor.word_at(cursor_word::RELEASED)) {
            ring::release(cursor, next);
        }
        self.note_accepted(accepted, page);
        self.wake_starved();
    }

    /// Says which record was accepted last.
    fn note_accepted(&self, (epoch, sequence): (u32, u64), page: &OwnRegion) {
        let words = [
            (cursor_word::EPOCH, u64::from(epoch)),
            (cursor_word::SEQUENCE, sequence.saturating_add(1)),
        ];
        for (at, value) in words {
            if let Some(word) = page.word(self.cursor.word_at(at)) {
                word.store(value, Ordering::Relaxed);
            }
        }
    }

    /// Tells the producer how far everything is done.
    pub(crate) fn release_done(&mut self, page: &OwnRegion) {
        if !self.held.oldest_is_done() {
            return;
        }
        let mut end = None;
        let mut accepted = None;
        // A record that is still arriving may yet grow, so its place is kept even if nobody wants it.
        let arriving = self.arriving().map(|record| record.first);
        while let Some(held) = self.held.pop_done(arriving) {
            end = Some(held.end);
            if let Shape::Mapped(leaves) = &mut self.shape {
                (held.from..held.end).for_each(|position| leaves.let_go(position));
            }
            if held.epoch > 0 {
                accepted = Some((held.epoch, held.sequence));
            }
            if self.cursor.has_done_ahead() {
                self.cursor.note_done(held.first, false, page);
            }
        }
        let Some(end) = end else { return };
        let Some(cursor) = page.word(self.cursor.word_at(cursor_word::RELEASED)) else {
            return;
        };
        ring::release(cursor, end);
        if let Some(accepted) = accepted {
            self.note_accepted(accepted, page);
        }
        self.wake_starved();
    }

    /// Rings the producer if it waits for room.
    pub(super) fn wake_starved(&mut self) {
        Waker::fence();
        if let Some(starved) = self.region.word(outbox_word::STARVED)
            && self.producer_waker.must_ring(starved)
        {
            self.producer_bell.ring();
        }
    }
}
