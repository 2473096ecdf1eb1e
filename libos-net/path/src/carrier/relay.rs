//! `relay`: what one producer instance seals, to the consumer behind the carrier.

use super::before::Before;

use crate::inlet::step::{Opened, RecordPlace, Step};
use crate::inlet::{Inlet, Peeked};
use crate::outlet::Segment;
use crate::outlet::outbox::Outbox;
use crate::outlet::outlets::Outlets;
use crate::page::counter::Counter;
use crate::page::own::Own;
use crate::record::descriptor::Descriptor;
use crate::record::refusal::Refusal;
use crate::region::layout::{SLOT_CLASSES, SLOT_TAIL_BYTES};
use crate::wait::park::Waker;
use alloc::collections::VecDeque;

/// One producer's way through a carrier.
pub(crate) struct Relay {
    pub(super) inlet: Inlet,
    pub(super) gapless: bool,
    /// To the instances of one consumer: each record goes to one of them.
    pub(super) outlets: Outlets,
    /// Records that were handed on, at least in part, and are not released; oldest first.
    carried: VecDeque<Carried>,
    /// What a predecessor had handed on already, until that has come again.
    pub(super) before: Option<Before>,
    /// Segments of full size that this producer's outbox holds, and so the carrier's for it.
    large_max: usize,
    /// Such segments that were handed on and are not released.
    large: usize,
    /// There was no room when it last was looked for.
    is_stalled: bool,
    /// A record was carried, or became whole, since it was last looked whether some can be released.
    has_unseen: bool,
}

/// A record that was handed on.
struct Carried {
    record: RecordPlace,
    /// Which outlet took it, and the position in its ring after the last descriptor; `None` if the consumer
    /// had released it before this process began.
    at: Option<(usize, u64)>,
    /// Its segments of full size.
    large: usize,
    /// Nothing more of it comes.
    is_whole: bool,
}

impl Relay {
    pub(crate) const fn new(inlet: Inlet, gapless: bool, outlets: Outlets, large_max: usize) -> Self {
        Self {
            inlet,
            gapless,
            outlets,
            carried: VecDeque::new(),
            before: None,
            large_max,
            large: 0,
            is_stalled: false,
            has_unseen: false,
        }
    }

    /// Counts in the page what is handed on over each edge.
    pub(super) fn begin_counting(&mut self, own: &Own, index: usize) {
        let store = |at, sent| own.store(at, sent);
        self.outlets.begin_counting(index, &own.page_layout, store);
    }

    /// Whether there is something to hand on, or to release.
    pub(super) fn has_news(&self) -> bool {
        (!self.is_stalled && self.inlet.has_news()) || self.outlets.have_news()
    }

    /// Something was released, of this producer's records or of another's.
    pub(super) fn expect_room(&mut self) {
        self.is_stalled = false;
    }

    /// Releases the records that the consumer has released; whether there was news of it.
    pub(super) fn release(&mut self, own: &Own, outbox: &mut Outbox) -> bool {
        let has_news = self.outlets.have_news();
        if !has_news && !core::mem::take(&mut self.has_unseen) {
            return false;
        }
        self.outlets.reclaim(outbox);
        let Self {
            inlet,
            outlets,
            carried,
            large,
            ..
        } = self;
        carried.retain(|carried| {
            let is_released =
                carried.is_whole && carried.at.is_none_or(|(lane, end)| outlets.released(lane) >= end);
            if is_released {
                inlet.release(carried.record, &own.page);
                *large = large.saturating_sub(carried.large);
            }
            !is_released
        });
        has_news
    }

    /// Hands on the next segment, if there is one and room for it; whether something was done.
    pub(super) fn carry(&mut self, own: &Own, outbox: &mut Outbox) -> bool {
        if self.is_stalled || !self.inlet.has_news() {
            return false;
        }
        let step = match self.inlet.peek() {
            // An honest producer reuses no memory before it is released: whoever names more than it has could
            // take the room of all others.
            Ok(found) if is_large(&found.descriptor) && self.large >= self.large_max => {
                self.inlet.refuse(Refusal::Malformed, Some(found.descriptor))
            }
            Ok(found) => {
                let Some(at) = self.hand_on(own, outbox, &found) else {
                    self.is_stalled = true;
                    return false;
                };
                let step = self.inlet.accept(&found, true);
                self.note_carried(&step, &found, at);
                step
            }
            Err(step) => step,
        };
        match step {
            Step::Abandoned(record) => self.note_whole(record),
            Step::Refused {
                refusal, arriving, ..
            } => {
                own.count(Counter::Refused(refusal), 1);
                if let Some(record) = arriving {
                    self.note_whole(record);
                }
            }
            // No edge over a carrier is read as a stream.
            Step::Opened(_) | Step::Empty | Step::Interrupted { .. } => {}
        }
        self.inlet.note_taken(&own.page);
        // The places of what was refused or passed over are done with, if nothing before them is held.
        self.inlet.release_done(&own.page);
        true
    }

    /// Copies a segment, sealed as it is, and publishes it; which outlet took it, and the position after it.
    /// The outer `None`: there is no room now, and nothing has happened.
    fn hand_on(&mut self, own: &Own, outbox: &mut Outbox, found: &Peeked) -> Option<Option<(usize, u64)>> {
        let descriptor = &found.descriptor;
        if let Some(handed_on) = self.handed_on_before(descriptor) {
            if let Some((lane, _)) = handed_on {
                self.outlets.choose(lane);
            }
            return Some(handed_on);
        }
        if found.begins || self.outlets.taking_lane().is_none() {
            self.outlets.choose_instances(descriptor.invocation.count());
        }
        let lane = self.outlets.taking_lane()?;
        if !self.outlets.taking().all(|outlet| outlet.out_ring.has_room(1)) {
            return None;
        }
        let slot = outbox.slots_mut().reserve(descriptor.len_bytes)?;
        outbox.slots_mut().hold(slot);
        let copied = outbox.slot(slot).and_then(|(offset, mut span)| {
            let sealed = self.inlet.sealed_segment(descriptor)?;
            span.copy_sealed(sealed).then_some(offset)
        });
        let Some(offset) = copied else {
            // A descriptor that was checked names no more than fits into a slot.
            outbox.slots_mut().let_go(slot);
            return None;
        };
        let placed = Descriptor {
            offset,
            ..*descriptor
        };
        let now_ns = own.now().as_ns();
        outbox.note_published(&placed, now_ns);
        let segment = Segment {
            descriptor: &placed,
            slot: Some(slot),
            plain: &[],
            now_ns,
        };
        self.outlets.publish(own, outbox, segment);
        Waker::fence();
        self.outlets.wake();
        if placed.last && !placed.abort {
            own.count(Counter::Published, 1);
        }
        Some(Some((lane, self.outlets.tail(lane))))
    }

    /// Whether a predecessor has handed this segment on, and where it is if its consumer has not released it.
    fn handed_on_before(&mut self, descriptor: &Descriptor) -> Option<Option<(usize, u64)>> {
        let before = self.before.as_ref()?;
        let found = before.find(self.inlet.position(), descriptor);
        if found.is_none() {
            self.before = None;
        }
        found
    }

    fn note_carried(&mut self, step: &Step, found: &Peeked, at: Option<(usize, u64)>) {
        let (Step::Opened(Opened { record, .. }) | Step::Abandoned(record)) = step else {
            return;
        };
        self.has_unseen = true;
        let large = usize::from(is_large(&found.descriptor));
        self.large += large;
        match self.carried.back_mut() {
            Some(carried) if carried.record == *record => {
                // What was released in part only was given up by its consumer.
                carried.at = at.or(carried.at);
                carried.large += large;
                carried.is_whole |= found.descriptor.last;
            }
            newest => {
                // The one before it will get no more.
                if let Some(newest) = newest {
                    newest.is_whole = true;
                }
                self.carried.push_back(Carried {
                    record: *record,
                    at,
                    large,
                    is_whole: found.descriptor.last,
                });
            }
        }
    }

    fn note_whole(&mut self, record: RecordPlace) {
        if let Some(carried) = self
            .carried
            .iter_mut()
            .rev()
            .find(|carried| carried.record == record)
        {
            carried.is_whole = true;
            self.has_unseen = true;
        }
    }
}

/// Whether a segment takes a slot of full size.
const fn is_large(descriptor: &Descriptor) -> bool {
    descriptor.len_bytes + SLOT_TAIL_BYTES > SLOT_CLASSES[1]
}
