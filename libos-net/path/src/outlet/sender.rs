//! The producing side of an instance: its ports and its outbox. How a segment goes through them is told in
//! [`crate::hop`]; here is what each of those steps asks of all ports together.

use super::Segment;
use super::outbox::Outbox;
use super::port::{Begun, Offer, OutPort, Reservation};
use super::seal::{End, RecordContext};
use crate::error::{Exhausted, Misuse, SendError};
use crate::machine::clock::Monotonic;
use crate::name::Name;
use crate::page::counter::Counter;
use crate::page::own::Own;
use crate::record::descriptor::Descriptor;
use crate::region::layout::{EXTENT_MAX_BYTES, SEGMENT_BYTES, SLOT_CLASSES, SLOT_TAIL_BYTES};
use crate::wait::park::Waker;
use crate::wait::patience::{Patience, look};
use alloc::vec::Vec;

/// Multiplier on the spin budget while waiting for a lagging consumer: it works on a record, and one of a
/// megabyte takes longer to open than being woken does.
const CATCH_UP_SPINS: u64 = 4;

/// The producing side of an instance.
pub struct Sender {
    pub(super) outbox: Outbox,
    pub(super) ports: Vec<OutPort>,
    /// An abort found no room.
    pub(super) owes_aborts: bool,
    pub(super) published_last: Monotonic,
    pub(super) patience: Patience,
    /// For how long to let consumers catch up.
    pace: Patience,
}

impl Sender {
    pub(crate) fn new(outbox: Outbox, ports: Vec<OutPort>, spin_ns: u64) -> Self {
        Self {
            outbox,
            ports,
            owes_aborts: false,
            published_last: Monotonic::from_ns(0),
            patience: Patience::new(spin_ns),
            pace: Patience::new(spin_ns.saturating_mul(CATCH_UP_SPINS)),
        }
    }

    /// When a segment was published last.
    #[must_use]
    pub const fn published_last(&self) -> Monotonic {
        self.published_last
    }

    /// The names of the output ports, in order; the fault port is not among them.
    pub fn port_names(&self) -> impl Iterator<Item = Name> {
        self.ports.iter().filter(|port| !port.fault).map(|port| port.name)
    }

    /// The number of the port that carries fault notices.
    #[must_use]
    pub fn fault_port(&self) -> Option<usize> {
        self.ports.iter().position(|port| port.fault)
    }

    /// Plaintext bytes that the outbox holds at most.
    #[must_use]
    pub fn outbox_bytes(&self) -> u64 {
        (self.outbox.full_slots() * SEGMENT_BYTES) as u64
    }

    /// Whether a record of `len_bytes` can ever be sent on port `port`, once everything before it is
    /// released.
    #[must_use]
    pub fn can_hold(&self, port: usize, len_bytes: usize) -> bool {
        let Some(port) = self.ports.get(port) else {
            return false;
        };
        let (full, rest) = (len_bytes / SEGMENT_BYTES, len_bytes % SEGMENT_BYTES);
        // The end of a record may be short, and then lies in a slot of a smaller class.
        let of_full = full + usize::from(rest + SLOT_TAIL_BYTES > SLOT_CLASSES[1]);
        let fits_outbox = of_full <= self.outbox.full_slots()
            && full + usize::from(rest > 0) <= self.outbox.layout().ring_capacity();
        let fits = |outlet: &super::Outlet| {
            if outlet.is_sealed() {
                fits_outbox
            } else {
                !outlet.is_too_small_for(len_bytes)
            }
        };
        port.outlets.iter().all(fits)
    }

    /// Most plaintext bytes that one call of [`Self::send`] takes on port `port`: more than a segment's where
    /// records are sealed for nobody.
    #[must_use]
    pub fn segment_bytes(&self, port: usize) -> usize {
        let mapped = self.ports.get(port).is_some_and(|port| port.outlets.all_mapped());
        if mapped { EXTENT_MAX_BYTES } else { SEGMENT_BYTES }
    }

    /// The port numbered `index`.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn port_mut(&mut self, index: usize) -> Result<&mut OutPort, Misuse> {
        self.ports
            .get_mut(index)
            .ok_or(Misuse::NoSuchPort { port: index })
    }

    /// The record of which port `index` has sent a part.
    pub(crate) fn begun(&self, index: usize) -> Option<Begun> {
        self.ports.get(index).and_then(|port| port.begun)
    }

    /// Before a record begins: which instances take it; and lets one that lags far behind catch up, if it is
    /// about to.
    ///
    /// # Errors
    /// When there is no such port.
    pub(crate) fn begin(
        &mut self,
        own: &Own,
        index: usize,
        record: &RecordContext,
        len_bytes: usize,
    ) -> Result<(), SendError> {
        let port = self
            .ports
            .get_mut(index)
            .ok_or(Misuse::NoSuchPort { port: index })?;
        if port.begun.is_some() {
            return Ok(());
        }
        port.outlets.choose_instances(record.invocation.count());
        let mut sealed = port.outlets.taking().filter(|outlet| outlet.is_sealed());
        let Some(outlet) = sealed.find(|outlet| outlet.out_ring.lags(len_bytes)) else {
            return Ok(());
        };
        // Only where looking is allowed at all, and no longer than it has paid.
        let works = outlet.out_ring.has_news();
        outlet.reclaim(&mut self.outbox);
        if !outlet.out_ring.lags(len_bytes) || !self.pace.may_look() {
            return Ok(());
        }
        if works && self.pace.accepts_early_wake() {
            self.pace.found();
        }
        let start = own.now();
        let news = || outlet.out_ring.has_news();
        if look(self.pace.limit_ns(), || own.ns_since(start), news) {
            self.pace.found();
        } else {
            self.pace.slept(u64::MAX);
        }
        Ok(())
    }

    /// `reserve`: room for one segment with all that take it. `None` for a port that leads nowhere, of which
    /// `check` has warned.
    ///
    /// # Errors
    /// [`Exhausted::Full`], [`Exhausted::TooLarge`] or [`Misuse`].
    pub(crate) fn reserve(
        &mut self,
        index: usize,
        len_bytes: usize,
        end: End,
    ) -> Result<Option<Reservation>, SendError> {
        // The second look is at everything again: what was released since the first one rings nobody.
        for has_looked in [false, true] {
            let port = self
                .ports
                .get_mut(index)
                .ok_or(Misuse::NoSuchPort { port: index })?;
            match port.reserve(&mut self.outbox, len_bytes, end) {
                Offer::Room(room) => return Ok(Some(room)),
                Offer::Nowhere => return Ok(None),
                Offer::Full if has_looked => {}
                // Other ports' consumers may have released something since those ports were last used. What
                // they released is noticed here in any case: whoever waits for room next must wait for more
                // than that.
                Offer::Full => self.reclaim_all(),
            }
        }
        Err(self.full_or_too_large(index, len_bytes, end))
    }

    /// `seal`: the segment into the slot that was reserved.
    ///
    /// # Errors
    /// [`Exhausted::Keys`] or [`Misuse`].
    pub(crate) fn seal(
        &mut self,
        index: usize,
        room: Reservation,
        record: &RecordContext,
        plain: &[u8],
        end: End,
    ) -> Result<Descriptor, SendError> {
        let port = self
            .ports
            .get_mut(index)
            .ok_or(Misuse::NoSuchPort { port: index })?;
        port.seal(&mut self.outbox, room, record, plain, end)
            .map_err(|_| Exhausted::Keys.into())
    }

    /// `publish`: to every consumer the same sealed segment, or on mapped edges a copy each.
    pub(crate) fn publish(
        &mut self,
        own: &Own,
        index: usize,
        room: Reservation,
        descriptor: &Descriptor,
        plain: &[u8],
    ) {
        self.published_last = own.now();
        let now_ns = self.published_last.as_ns();
        let slot = room.slot();
        if slot.is_some() {
            self.outbox.note_published(descriptor, now_ns);
        }
        let segment = Segment {
            descriptor,
            slot,
            plain,
            now_ns,
        };
        if let Some(port) = self.ports.get_mut(index) {
            port.outlets.publish(own, &self.outbox, segment);
            port.begun = (!descriptor.last).then_some(Begun {
                record: RecordContext::of(descriptor),
                aborting: false,
            });
        }
    }

    /// `wake`: those that have been sent to and sleep.
    pub(crate) fn wake(&mut self, index: usize) {
        Waker::fence();
        if let Some(port) = self.ports.get_mut(index) {
            port.outlets.wake();
        }
    }

    /// After a segment has left: counts the record if it is whole, and makes the next slot ready.
    pub(crate) fn note_sent(&self, own: &Own, room: Reservation, descriptor: &Descriptor) {
        if descriptor.last && !descriptor.abort {
            own.count(Counter::Published, 1);
        }
        if room.slot().is_some() {
            self.outbox.expect_another(descriptor.len_bytes);
        }
    }

    pub(super) fn reclaim_all(&mut self) {
        for port in &mut self.ports {
            port.outlets.reclaim(&mut self.outbox);
        }
    }

    /// There is no room: are others' records in the way, or is this one alone too large?
    fn full_or_too_large(&mut self, index: usize, len_bytes: usize, end: End) -> SendError {
        let (of_ring, full_slots) = (self.outbox.layout().ring_capacity() - 1, self.outbox.full_slots());
        let outbox_bytes = self.outbox_bytes();
        let Some(port) = self.ports.get_mut(index) else {
            return Misuse::NoSuchPort { port: index }.into();
        };
        let sent = port.sealer.segments();
        let is_held = !port.outlets.all_stream();
        let is_too_large = (is_held && end == End::More && sent >= of_ring)
            || (is_held && port.outlets.any_sealed() && sent >= full_slots)
            || port
                .outlets
                .taking()
                .any(|outlet| outlet.is_too_small_for(len_bytes));
        if is_too_large {
            Exhausted::TooLarge { outbox_bytes }.into()
        } else {
            Exhausted::Full.into()
        }
    }

    /// Says in the outbox whether this instance serves.
    pub fn set_serving(&self, serving: bool) {
        self.outbox.set_serving(serving);
        for outlet in self.ports.iter().flat_map(|port| port.outlets.iter()) {
            outlet.set_serving(serving);
        }
    }
}
