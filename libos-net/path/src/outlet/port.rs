//! An output port: the key that its records are sealed with, its outlets, and the record that is under way.

use super::outbox::Outbox;
use super::outlets::Outlets;
use super::seal::{Count, End, PortSealer, RecordContext};
use super::slots::SlotIndex;
use crate::aead::Refused;
use crate::name::Name;
use crate::record::descriptor::Descriptor;
use alloc::vec::Vec;

/// One output port.
pub(crate) struct OutPort {
    pub(crate) name: Name,
    pub(crate) fault: bool,
    pub(crate) sealer: PortSealer,
    pub(crate) outlets: Outlets,
    /// The record of which segments were sent, and not yet its end.
    pub(crate) begun: Option<Begun>,
    /// Such records that go on later, each over outlets of its own.
    pub(crate) aside: Vec<Aside>,
}

/// What was reserved for one segment on its way to all its consumers.
#[derive(Clone, Copy)]
pub(crate) struct Reservation {
    /// A slot of the outbox, and how many outlets name it; `None` if all of them are mapped ones.
    slot: Option<(SlotIndex, usize)>,
}

/// What the rings and the outbox offer for a segment.
pub(crate) enum Offer {
    /// Yes.
    Room(Reservation),
    /// No, and none is held.
    Full,
    /// No outlet takes the record.
    Nowhere,
}

impl Reservation {
    /// The slot to seal into.
    pub(crate) fn slot(&self) -> Option<SlotIndex> {
        self.slot.map(|(slot, _)| slot)
    }
}

impl OutPort {
    pub(crate) const fn new(name: Name, fault: bool, sealer: PortSealer, outlets: Outlets) -> Self {
        Self {
            name,
            fault,
            sealer,
            outlets,
            begun: None,
            aside: Vec::new(),
        }
    }

    /// A place in every ring that takes the record, and room: a slot for all the sealed ones, an extent for
    /// each mapped one.
    pub(crate) fn reserve(&mut self, outbox: &mut Outbox, len_bytes: usize, end: End) -> Offer {
        // Before a record's end one descriptor is reserved, so an abort always fits.
        let places = if end == End::More { 2 } else { 1 };
        let taking = self.outlets.reserve(outbox, len_bytes, places);
        if taking.sealed + taking.mapped == 0 {
            return Offer::Nowhere;
        }
        if taking.has_room {
            if taking.sealed == 0 {
                return Offer::Room(Reservation { slot: None });
            }
            if let Some(slot) = outbox.slots_mut().reserve(len_bytes) {
                let slot = Some((slot, taking.sealed));
                return Offer::Room(Reservation { slot });
            }
        }
        self.outlets.give_back();
        Offer::Full
    }

    /// Seals a segment into its slot, for all outlets that are to name it; or numbers it, if it is sealed for
    /// nobody.
    ///
    /// # Errors
    /// When the port has used all its keys. Nothing is held then.
    pub(crate) fn seal(
        &mut self,
        outbox: &mut Outbox,
        room: Reservation,
        record: &RecordContext,
        plain: &[u8],
        end: End,
    ) -> Result<Descriptor, Refused> {
        let sealed = match room.slot {
            None => self.sealer.number(record, plain.len(), end),
            Some((slot, holders)) => {
                for _ in 0..holders {
                    outbox.slots_mut().hold(slot);
                }
                match outbox.slot(slot) {
                    Some((offset, mut span)) => self.sealer.seal(record, plain, end, offset, &mut span),
                    None => Err(Refused),
                }
            }
        };
        if sealed.is_err() {
            if let Some((slot, holders)) = room.slot {
                for _ in 0..holders {
                    outbox.slots_mut().let_go(slot);
                }
            }
            self.outlets.give_back();
        }
        sealed
    }
}

/// A record that was sent in part and goes on later.
pub(crate) struct Aside {
    pub(crate) begun: Begun,
    /// How far it has come.
    pub(crate) count: Count,
    /// The outlets that take it.
    pub(crate) outlets: Vec<usize>,
}

/// A record that was sent in part.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    pub(crate) record: RecordContext,
    /// Its consumers are to be told to drop it, as soon as there is room for that.
    pub(crate) aborting: bool,
}

impl Begun {
    /// Whether `record` is another one, which must not become a part of this.
    pub(crate) fn is_other_than(&self, record: &RecordContext) -> bool {
        self.aborting || (self.record.invocation, self.record.attempt) != (record.invocation, record.attempt)
    }
}
