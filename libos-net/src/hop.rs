//! One hop of one record, step by step: start reading here.
//!
//! ```text
//! producer                                        consumer
//! reserve   a slot of the outbox                  peek      the next descriptor, checked in private memory
//! seal      private plaintext into the slot       open      the slot into private plaintext, or refuse
//! publish   a descriptor into each ring           (run      the handler, which sends in its turn)
//! wake      the consumers that sleep              release   only now the producer may reuse the slot
//! ```
//!
//! [`Sender`] walks the left column, [`Receiver`] the right one; both work on regions and keys that the
//! monitor gave to this instance, and neither knows of the daemon. Between the two handlers the bytes are
//! written once, by sealing, and read once, by opening.
//!
//! On a `mapped` edge (`outlet/mapped.rs`, `inlet/placed.rs`) the bytes are written as they are, into memory
//! that the two ends alone have mapped, by the producer or by its handler itself; and the consumer copies them out, or
//! leaves them where they are and lets the handler look. All checks but the cipher's are the same.

use crate::clock::Monotonic;
use crate::inlet::peek::{InRing, Opened, RecordPlace, Step, Taking, Upstream, published_at};
use crate::name::Name;
use crate::outlet::mapped::MappedRing;
use crate::outlet::port::{Begun, OutPort};
use crate::outlet::publish::OutRing;
use crate::outlet::reserve::{SlotIndex, Slots};
use crate::outlet::seal::{End, RecordContext};
use crate::page::counter::Counter;
pub use crate::page::own::Own;
use crate::record::descriptor::Descriptor;
use crate::record::invocation::InvocationId;
use crate::record::refusal::Refusal;
use crate::region::layout::{EXTENT_MAX_BYTES, OutboxLayout, SLOT_CLASSES, SLOT_TAIL_BYTES, outbox_word};
use crate::region::memory::{OwnRegion, PeerRegion, PeerSpan};
use crate::sync::Ordering;
use crate::wait::park::{Sleeper, Waker};
use crate::wait::patience::{Patience, look};
use crate::wait::rest::Rest;
use std::sync::Arc;

/// Why a segment could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// A consumer has not released enough yet; waiting helps.
    #[error("the outbox or a ring is full")]
    Full,
    /// The record is larger than the outbox; waiting does not help.
    #[error("a record of more than {outbox_bytes} bytes does not fit into the outbox")]
    TooLarge {
        /// Plaintext bytes that the outbox holds.
        outbox_bytes: u64,
    },
    /// There is no such port.
    #[error("there is no output port number {port}")]
    NoSuchPort {
        /// The number asked for.
        port: usize,
    },
    /// The port has used up the keys of its epoch; a replaced instance has new ones.
    #[error("an output port has used all its keys")]
    KeysExhausted,
}

/// Room for one segment on its way to all its consumers.
struct Room {
    /// In the outbox, and how many rings name it; `None` if all of its rings are mapped ones.
    slot: Option<(SlotIndex, usize)>,
}

/// How much longer than for other work a producer looks for room in the cache: a consumer that lags works on
/// a record, and one of a megabyte takes longer to open than being woken does.
const CATCH_UP_SPINS: u64 = 4;

/// The producing side of an instance.
pub struct Sender {
    outbox: OwnRegion,
    layout: OutboxLayout,
    slots: Slots,
    ports: Vec<OutPort>,
    starved: Sleeper,
    /// An abort found no room.
    owes_aborts: bool,
    published_last: Monotonic,
    patience: Patience,
    /// For how long to let consumers catch up.
    pace: Patience,
}

impl Sender {
    /// `random`: this process's own number.
    pub(crate) fn new(
        outbox: OwnRegion,
        layout: OutboxLayout,
        ports: Vec<OutPort>,
        spin_ns: u64,
        random: u64,
    ) -> Self {
        let starved = outbox.word(outbox_word::STARVED);
        let starved = starved.map_or_else(Sleeper::default, |word| Sleeper::take_over(word, random));
        Self {
            slots: Slots::new(&layout),
            outbox,
            layout,
            ports,
            starved,
            owes_aborts: false,
            published_last: Monotonic::from_ns(0),
            patience: Patience::new(spin_ns),
            pace: Patience::new(spin_ns.saturating_mul(CATCH_UP_SPINS)),
        }
    }

    /// When a segment was published last.
    pub(crate) const fn published_last(&self) -> Monotonic {
        self.published_last
    }

    /// The names of the output ports, in order; the fault port is not among them.
    pub(crate) fn port_names(&self) -> impl Iterator<Item = Name> {
        self.ports.iter().filter(|port| !port.fault).map(|port| port.name)
    }

    /// The number of the port that carries fault notices.
    pub(crate) fn fault_port(&self) -> Option<usize> {
        self.ports.iter().position(|port| port.fault)
    }

    /// Plaintext bytes that the outbox holds at most.
    #[must_use]
    pub fn outbox_bytes(&self) -> u64 {
        (self.slots.full_slots() * crate::record::descriptor::SEGMENT_BYTES) as u64
    }

    /// Whether a record of `len_bytes` can ever be sent on port `port`, once everything before it is
    /// released.
    pub(crate) fn can_hold(&self, port: usize, len_bytes: usize) -> bool {
        let Some(port) = self.ports.get(port) else {
            return false;
        };
        let (full, rest) = (
            len_bytes / crate::record::descriptor::SEGMENT_BYTES,
            len_bytes % crate::record::descriptor::SEGMENT_BYTES,
        );
        // The end of a record may be short, and then lies in a slot of a smaller class.
        let of_full = full + usize::from(rest + SLOT_TAIL_BYTES > SLOT_CLASSES[1]);
        let sealed =
            of_full <= self.slots.full_slots() && full + usize::from(rest > 0) <= self.layout.ring_capacity();
        (port.rings.is_empty() || sealed) && port.mapped.iter().all(|ring| !ring.is_too_small_for(len_bytes))
    }

    /// Most plaintext bytes that one call of [`Self::send`] takes on port `port`: more than a segment's where
    /// records are sealed for nobody.
    #[must_use]
    pub fn segment_bytes(&self, port: usize) -> usize {
        let mapped = self
            .ports
            .get(port)
            .filter(|port| !port.mapped.is_empty() && port.rings.is_empty());
        mapped.map_or(crate::record::descriptor::SEGMENT_BYTES, |_| EXTENT_MAX_BYTES)
    }

    /// Reserves room for a record of `len_bytes` where its one consumer will read it, so that it can be
    /// written there directly; `false` where that is not how this port's records travel. Its bytes are
    /// whatever was there before: zeros, or parts of earlier records of this edge. What was placed before
    /// on this port is given up.
    ///
    /// # Errors
    /// [`SendError`]. After `Full` nothing has happened, and the same call may be made again.
    pub fn place(
        &mut self,
        port: usize,
        invocation: InvocationId,
        len_bytes: usize,
    ) -> Result<bool, SendError> {
        let outbox_bytes = self.outbox_bytes();
        let out = self.ports.get_mut(port).ok_or(SendError::NoSuchPort { port })?;
        let Some(ring) = out.only_mapped(invocation.count()) else {
            return Ok(false);
        };
        if ring.place(len_bytes) {
            return Ok(true);
        }
        if ring.is_too_small_for(len_bytes) {
            return Err(SendError::TooLarge { outbox_bytes });
        }
        // Whoever waits for room next must wait for more than what was released already, by whomever.
        self.reclaim_all();
        let out = self.ports.get_mut(port).ok_or(SendError::NoSuchPort { port })?;
        let has_room = out
            .only_mapped(invocation.count())
            .is_some_and(|ring| ring.place(len_bytes));
        if has_room { Ok(true) } else { Err(SendError::Full) }
    }

    fn placed(&mut self, port: usize) -> Option<&mut MappedRing> {
        let mut rings = self.ports.get_mut(port)?.mapped.iter_mut();
        rings.find(|ring| ring.placed_bytes().is_some())
    }

    /// Writes into the record that was placed on this port; `false`, and nothing written, past its end.
    #[must_use]
    pub fn write_placed(&mut self, port: usize, at: usize, bytes: &[u8]) -> bool {
        self.placed(port).is_some_and(|ring| ring.write_placed(at, bytes))
    }

    /// Sends the record that was placed on this port, as it is.
    ///
    /// # Errors
    /// [`SendError`]. After `Full` nothing has happened, and the same call may be made again.
    pub fn send_placed(&mut self, own: &Own, port: usize, record: &RecordContext) -> Result<(), SendError> {
        if self.ports.get(port).is_some_and(|port| port.begun.is_some()) {
            self.end_begun(own, port)?;
        }
        if self.placed(port).is_some_and(|ring| !ring.has_room(1)) {
            self.reclaim_all();
        }
        let out = self.ports.get_mut(port).ok_or(SendError::NoSuchPort { port })?;
        let mut rings = out.mapped.iter_mut();
        let Some(ring) = rings.find(|ring| ring.placed_bytes().is_some()) else {
            return Ok(());
        };
        if !ring.has_room(1) {
            return Err(SendError::Full);
        }
        let len_bytes = ring.placed_bytes().unwrap_or(0);
        let numbered = out.sealer.number(record, len_bytes, End::Last);
        let numbered = numbered.map_err(|_| SendError::KeysExhausted)?;
        self.published_last = Monotonic::now();
        ring.publish_placed(&numbered, self.published_last.as_ns());
        own.count_sent(ring.ring().sent_at());
        Waker::fence();
        ring.wake();
        own.count(Counter::Published, 1);
        Ok(())
    }

    /// Gives up the record that was placed on this port, if there is one.
    pub fn drop_placed(&mut self, port: usize) {
        if let Some(ring) = self.placed(port) {
            ring.drop_placed();
        }
    }

    /// Sends one segment of a record: the whole record, if it is the first and `last` is true.
    ///
    /// # Errors
    /// [`SendError`]. After `Full` nothing has happened, and the same call may be made again.
    pub fn send(
        &mut self,
        own: &Own,
        port: usize,
        record: &RecordContext,
        plain: &[u8],
        last: bool,
    ) -> Result<(), SendError> {
        let begun = self.ports.get(port).and_then(|port| port.begun);
        if begun.is_some_and(|begun| begun.is_other_than(record)) {
            self.end_begun(own, port)?;
        }
        self.send_segment(own, port, record, plain, if last { End::Last } else { End::More })
    }

    /// Tells the consumers of a record that was sent in part to drop it. Does nothing for a port where
    /// `record` is not in part sent. If there is no room now, [`Self::say_aborts`] says it later, or the
    /// next record on this port before it.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn abort(&mut self, own: &Own, port: usize, record: &RecordContext) -> Result<(), SendError> {
        let begun = self.ports.get(port).and_then(|port| port.begun);
        if begun.is_none_or(|begun| !begun.aborting && begun.is_other_than(record)) {
            return Ok(());
        }
        self.end_begun(own, port)
    }

    fn end_begun(&mut self, own: &Own, port: usize) -> Result<(), SendError> {
        let Some(begun) = self.ports.get_mut(port).and_then(|port| port.begun.as_mut()) else {
            return Ok(());
        };
        begun.aborting = true;
        let record = begun.record;
        let said = self.send_segment(own, port, &record, &[], End::Abort);
        self.owes_aborts |= said == Err(SendError::Full);
        said
    }

    /// Whether consumers wait for the rest of a record that has none, because there was no room to say so.
    #[must_use]
    pub const fn owes_aborts(&self) -> bool {
        self.owes_aborts
    }

    /// Says now what there was no room for, as far as there is room; [`Self::owes_aborts`] tells whether
    /// something is left.
    pub fn say_aborts(&mut self, own: &Own) {
        self.owes_aborts = false;
        for index in 0..self.ports.len() {
            let begun = self.ports.get(index).and_then(|port| port.begun);
            if begun.is_some_and(|begun| begun.aborting) {
                // What else than room it fails for does not pass, and the flag stays down.
                let _ = self.end_begun(own, index);
            }
        }
    }

    fn send_segment(
        &mut self,
        own: &Own,
        index: usize,
        record: &RecordContext,
        plain: &[u8],
        end: End,
    ) -> Result<(), SendError> {
        let port = self
            .ports
            .get_mut(index)
            .ok_or(SendError::NoSuchPort { port: index })?;
        if port.begun.is_none() {
            port.choose_instances(record.invocation.count());
            self.let_catch_up(index, plain.len());
        }
        // reserve
        let Some(room) = self.reserve(index, plain.len(), end)? else {
            return Ok(()); // a port that leads nowhere: `check` has warned
        };
        // seal
        let descriptor = match room.slot {
            Some((slot, holders)) => self.seal(index, record, plain, end, slot, holders)?,
            None => self.number(index, record, plain, end)?,
        };
        let port = self
            .ports
            .get_mut(index)
            .ok_or(SendError::NoSuchPort { port: index })?;
        self.published_last = Monotonic::now();
        let now = self.published_last.as_ns();
        // publish, to every consumer the same sealed segment, or on mapped edges a copy each
        if let Some((slot, _)) = room.slot {
            if let Some(word) = self.outbox.word(published_at(descriptor.offset, plain.len())) {
                word.store(now, Ordering::Relaxed);
            }
            for ring in port.rings.iter_mut().filter(|ring| ring.takes()) {
                ring.publish(&self.outbox, &descriptor, Some(slot));
                own.count_sent(ring.sent_at());
            }
        }
        for ring in port.mapped.iter_mut().filter(|ring| ring.takes()) {
            ring.publish(&descriptor, plain, now);
            own.count_sent(ring.ring().sent_at());
        }
        // wake
        Waker::fence();
        for ring in port.rings.iter_mut().filter(|ring| ring.takes()) {
            ring.wake();
        }
        for ring in port.mapped.iter_mut().filter(|ring| ring.takes()) {
            ring.wake();
        }
        port.begun = (end == End::More).then_some(Begun {
            record: *record,
            aborting: false,
        });
        if end == End::Last {
            own.count(Counter::Published, 1);
        }
        if room.slot.is_some() {
            self.expect_another(plain.len());
        }
        Ok(())
    }

    /// Before a record begins: lets a consumer that lags far behind catch up, if it is about to. Only where
    /// looking is allowed at all, and no longer than it has paid.
    fn let_catch_up(&mut self, index: usize, len_bytes: usize) {
        let Some(port) = self.ports.get_mut(index) else {
            return;
        };
        let slots = &mut self.slots;
        let mut rings = port.rings.iter_mut().filter(|ring| ring.takes());
        let Some(ring) = rings.find(|ring| ring.lags(len_bytes)) else {
            return;
        };
        let works = ring.has_news();
        ring.reclaim(|slot| slots.let_go(slot));
        if !ring.lags(len_bytes) || !self.pace.may_look() {
            return;
        }
        if works && self.pace.hopes() {
            self.pace.found();
        }
        let start = Monotonic::now();
        if look(self.pace.limit_ns(), || start.elapsed_ns(), || ring.has_news()) {
            self.pace.found();
        } else {
            self.pace.slept(u64::MAX);
        }
    }

    /// Takes the cache lines of the slot that a segment of this size would get next, while nobody waits for
    /// them.
    fn expect_another(&self, len_bytes: usize) {
        let place = self.slots.next(len_bytes).and_then(|slot| self.slots.place(slot));
        if let Some(span) = place.and_then(|(offset, slot_bytes)| self.outbox.span(offset, slot_bytes)) {
            span.prefetch_for_write(len_bytes + SLOT_TAIL_BYTES);
        }
    }

    /// Seals a segment into `slot`, for `holders` rings.
    fn seal(
        &mut self,
        index: usize,
        record: &RecordContext,
        plain: &[u8],
        end: End,
        slot: SlotIndex,
        holders: usize,
    ) -> Result<Descriptor, SendError> {
        let port = self
            .ports
            .get_mut(index)
            .ok_or(SendError::NoSuchPort { port: index })?;
        let Some((offset, slot_bytes)) = self.slots.place(slot) else {
            return Err(SendError::Full);
        };
        for _ in 0..holders {
            self.slots.hold(slot);
        }
        let Some(mut span) = self.outbox.span(offset, slot_bytes) else {
            return Err(SendError::Full);
        };
        port.sealer
            .seal(record, plain, end, offset, &mut span)
            .map_err(|_| {
                for _ in 0..holders {
                    self.slots.let_go(slot);
                }
                port.give_back_mapped();
                SendError::KeysExhausted
            })
    }

    /// Numbers a segment that is sealed for nobody.
    fn number(
        &mut self,
        index: usize,
        record: &RecordContext,
        plain: &[u8],
        end: End,
    ) -> Result<Descriptor, SendError> {
        let port = self
            .ports
            .get_mut(index)
            .ok_or(SendError::NoSuchPort { port: index })?;
        port.sealer.number(record, plain.len(), end).map_err(|_| {
            port.give_back_mapped();
            SendError::KeysExhausted
        })
    }

    /// A place in every ring that takes the record, and room: a slot for all the sealed ones, an extent for
    /// each mapped one. `None` if there are no such rings.
    fn reserve(&mut self, index: usize, len_bytes: usize, end: End) -> Result<Option<Room>, SendError> {
        let slots = &mut self.slots;
        let port = self
            .ports
            .get_mut(index)
            .ok_or(SendError::NoSuchPort { port: index })?;
        // Before a record's end one place is left for its end, so that it can always be said that there is
        // none.
        let places = if end == End::More { 2 } else { 1 };
        let mut holders = 0;
        let mut have_room = true;
        for ring in port.rings.iter_mut().filter(|ring| ring.takes()) {
            if ring.is_worth_a_look(len_bytes) {
                ring.reclaim(|slot| slots.let_go(slot));
            }
            have_room &= ring.has_room(places);
            holders += 1;
        }
        let mapped = port.reserve_mapped(len_bytes, places);
        if holders == 0 && mapped == Some(0) {
            return Ok(None);
        }
        let have_room = have_room && mapped.is_some();
        if have_room && holders == 0 {
            return Ok(Some(Room { slot: None }));
        }
        if have_room && let Some(slot) = self.slots.reserve(len_bytes) {
            let slot = Some((slot, holders));
            return Ok(Some(Room { slot }));
        }
        // Other ports' consumers may have released something since those ports were last used. What they
        // released is noticed here in any case: whoever waits for room next must wait for more than
        // that.
        self.reclaim_all();
        if have_room && let Some(slot) = self.slots.reserve(len_bytes) {
            let slot = Some((slot, holders));
            return Ok(Some(Room { slot }));
        }
        if let Some(port) = self.ports.get_mut(index) {
            port.give_back_mapped();
        }
        Err(self.full_or_too_large(index, len_bytes, end))
    }

    fn reclaim_all(&mut self) {
        let slots = &mut self.slots;
        for port in &mut self.ports {
            for ring in &mut port.rings {
                ring.reclaim(|slot| slots.let_go(slot));
            }
            for ring in &mut port.mapped {
                ring.reclaim();
            }
        }
    }

    /// There is no room: are others' records in the way, or is this one alone too large?
    fn full_or_too_large(&self, index: usize, len_bytes: usize, end: End) -> SendError {
        let Some(port) = self.ports.get(index) else {
            return SendError::NoSuchPort { port: index };
        };
        let sent = port.sealer.segments();
        let of_ring = self.layout.ring_capacity() - 1;
        let mut mapped = port.mapped.iter().filter(|ring| ring.takes());
        let is_too_large = (end == End::More && sent >= of_ring)
            || (!port.rings.is_empty() && sent >= self.slots.full_slots())
            || mapped.any(|ring| ring.is_too_small_for(len_bytes));
        if is_too_large {
            SendError::TooLarge {
                outbox_bytes: self.outbox_bytes(),
            }
        } else {
            SendError::Full
        }
    }

    /// Waits until a consumer has released something, or `until`. Call it after [`SendError::Full`], and send
    /// again.
    pub fn wait_for_room(&mut self, own: &Own, until: Monotonic) {
        own.count(Counter::Waited, 1);
        let start = self.patience.may_look().then(Monotonic::now);
        if let Some(start) = start
            && look(
                self.patience.limit_ns(),
                || start.elapsed_ns(),
                || self.has_news(),
            )
        {
            self.patience.found();
            return;
        }
        if self.announce_starved() {
            own.doorbell.wait(Some(until));
            if let Some(start) = start {
                self.patience.slept(start.elapsed_ns());
            }
        }
        self.fed();
    }

    fn has_news(&self) -> bool {
        self.ports.iter().any(|port| {
            port.rings.iter().any(OutRing::has_news) || port.mapped.iter().any(MappedRing::has_news)
        })
    }

    /// Announces that this producer waits for room; `false` if there is some news already. The caller then
    /// waits for the doorbell, and calls [`Self::fed`].
    pub fn announce_starved(&mut self) -> bool {
        let Some(word) = self.outbox.word(outbox_word::STARVED) else {
            return false;
        };
        self.starved.announce(word);
        for ring in self.ports.iter_mut().flat_map(|port| &mut port.mapped) {
            ring.announce_starved();
        }
        !self.has_news()
    }

    /// Says that the wait for room is over.
    pub fn fed(&mut self) {
        if let Some(word) = self.outbox.word(outbox_word::STARVED) {
            self.starved.awake(word);
        }
        for ring in self.ports.iter_mut().flat_map(|port| &mut port.mapped) {
            ring.fed();
        }
    }

    /// Takes over the outbox of a predecessor: keeps what its consumers have not released, and ends the
    /// records that it left unfinished. This process is of `epoch`.
    pub(crate) fn resume(&mut self, own: &Own, epoch: u32) {
        let mut unfinished = Vec::with_capacity(self.ports.len());
        for port in &mut self.ports {
            let mut of_port = None;
            for ring in &mut port.rings {
                let last = ring.resume(
                    &self.outbox,
                    epoch,
                    |words| Descriptor::from_words(words, &self.layout).ok(),
                    |descriptor| {
                        self.slots
                            .at(descriptor.offset)
                            .inspect(|slot| self.slots.hold(*slot))
                    },
                );
                let unfinished = last.filter(|descriptor| !descriptor.last);
                ring.take_over(unfinished.is_some());
                of_port = of_port.or(unfinished);
            }
            for ring in &mut port.mapped {
                let unfinished = ring.resume(epoch).filter(|descriptor| !descriptor.last);
                ring.ring_mut().take_over(unfinished.is_some());
                of_port = of_port.or(unfinished);
            }
            unfinished.push(of_port);
        }
        self.slots.keep_held();
        for (index, port) in self.ports.iter_mut().enumerate() {
            port.begin_counting(index, &own.page_layout, |at, sent| own.store(at, sent));
        }
        for (index, descriptor) in unfinished.into_iter().enumerate() {
            if let Some(descriptor) = descriptor {
                let record = RecordContext {
                    invocation: descriptor.invocation,
                    deadline: descriptor.deadline,
                    attempt: descriptor.attempt,
                };
                if let Some(port) = self.ports.get_mut(index) {
                    port.begun = Some(Begun {
                        record,
                        aborting: true,
                    });
                }
                // If there is no room now, it is said as soon as there is some.
                let _ = self.end_begun(own, index);
            }
        }
    }

    /// Says in the outbox whether this instance serves.
    pub fn set_serving(&self, serving: bool) {
        if let Some(word) = self.outbox.word(outbox_word::STATE) {
            word.store(u64::from(serving), Ordering::Relaxed);
        }
        for ring in self.ports.iter().flat_map(|port| &port.mapped) {
            ring.set_serving(serving);
        }
    }
}

/// The consuming side of an instance.
pub struct Receiver {
    rings: Vec<InRing>,
    /// Where the next round over the rings starts, so that none is served last for ever.
    round: usize,
    rest: Rest,
}

impl Receiver {
    pub(crate) const fn new(rings: Vec<InRing>, rest: Rest) -> Self {
        Self {
            rings,
            round: 0,
            rest,
        }
    }

    /// How many inbound rings there are.
    #[must_use]
    pub fn ring_count(&self) -> usize {
        self.rings.len()
    }

    /// What is known of the sender of ring `ring`.
    #[must_use]
    pub fn upstream(&self, ring: usize) -> Option<&Upstream> {
        self.rings.get(ring).map(|ring| &ring.upstream)
    }

    /// Whether every producer has said that it serves.
    #[must_use]
    pub fn all_producers_serve(&self) -> bool {
        self.rings.iter().all(InRing::producer_serves)
    }

    /// The next ring on which there is something, starting after the one served last.
    pub fn ring_with_news(&mut self) -> Option<usize> {
        let count = self.rings.len();
        let found = (self.round..count)
            .chain(0..self.round)
            .find(|ring| self.rings.get(*ring).is_some_and(InRing::has_news))?;
        self.round = (found + 1) % count.max(1);
        Some(found)
    }

    /// Peeks at ring `ring` and opens what is there, appending to `into`. Refusals are counted here.
    pub fn step(&mut self, own: &Own, ring: usize, into: &mut Vec<u8>) -> Step {
        self.step_choosing(own, ring, into, |_| Taking::Copy)
    }

    /// As [`Self::step`], but leaves what comes over a `mapped` edge where it is: [`Self::in_place`] reads
    /// it, until it is released.
    pub fn step_in_place(&mut self, own: &Own, ring: usize, into: &mut Vec<u8>) -> Step {
        self.step_choosing(own, ring, into, |_| Taking::InPlace)
    }

    /// The bytes of a segment that was left in place, as its producer may still change them.
    #[must_use]
    pub fn in_place(&self, opened: &Opened) -> Option<PeerSpan<'_>> {
        if !opened.in_place {
            return None;
        }
        let descriptor = &opened.descriptor;
        let region = self.region(opened.record.ring)?;
        region.span(descriptor.offset, descriptor.len_bytes)
    }

    /// The record of ring `ring` that a word of a predecessor means, if one can: published before this
    /// process began, and not released.
    pub(crate) fn record_at(&self, ring: usize, word: u64) -> Option<RecordPlace> {
        self.rings.get(ring)?.record_at(word)
    }

    /// Whether a predecessor had released this record, before older ones.
    pub(crate) fn was_done(&mut self, record: RecordPlace) -> bool {
        self.rings
            .get_mut(record.ring)
            .is_some_and(|ring| ring.was_done(record.first))
    }

    /// The region that ring `ring` lies in.
    pub(crate) fn region(&self, ring: usize) -> Option<&Arc<PeerRegion>> {
        self.rings.get(ring).map(InRing::region)
    }

    /// As [`Self::step`], but `choose` looks at the descriptor first: at what it says that the segment
    /// belongs to, which is not authenticated yet, and how long it is. So a consumer that bounds its
    /// memory can leave a large segment of a mapped edge where it is; a sealed one has at most
    /// [`crate::record::descriptor::SEGMENT_BYTES`], and is opened in any case.
    pub fn step_choosing(
        &mut self,
        own: &Own,
        ring: usize,
        into: &mut Vec<u8>,
        choose: impl FnOnce(&Descriptor) -> Taking,
    ) -> Step {
        let Some(in_ring) = self.rings.get_mut(ring) else {
            return Step::Empty;
        };
        let woken = self.rest.woken();
        let step = in_ring.step(into, choose);
        if let (Some(woken), Step::Opened(opened)) = (woken, &step) {
            self.rest.learn(woken.ns_since(opened.published));
        }
        if let Step::Refused { refusal, .. } = &step {
            own.count(Counter::Refused(*refusal), 1);
        }
        in_ring.note_taken(&own.page);
        // The places of what was refused or passed over are done with, if nothing before them is held.
        in_ring.release_done(&own.page);
        step
    }

    /// Opens segment `segment` of a held record again, for another attempt. `None` past its end.
    pub(crate) fn reopen(
        &mut self,
        own: &Own,
        record: RecordPlace,
        segment: u64,
        into: &mut Vec<u8>,
    ) -> Option<Result<Descriptor, Refusal>> {
        let opened = self.rings.get_mut(record.ring)?.reopen(record, segment, into);
        if let Some(Err(refusal)) = &opened {
            own.count(Counter::Refused(*refusal), 1);
        }
        opened
    }

    /// Drops what is still to come of the record that is arriving on `ring`.
    pub fn give_up_arriving(&mut self, ring: usize) {
        if let Some(ring) = self.rings.get_mut(ring) {
            ring.give_up_arriving();
        }
    }

    /// Releases a record: all that it caused has been published (I5).
    pub fn release(&mut self, own: &Own, record: RecordPlace) {
        if let Some(ring) = self.rings.get_mut(record.ring) {
            ring.release(record, &own.page);
        }
    }

    /// Waits until there is news on a ring, or `until`; may return without reason.
    pub fn wait(&mut self, own: &Own, until: Option<Monotonic>) {
        let rings = &self.rings;
        self.rest.wait(own, until, || rings.iter().any(InRing::has_news));
    }

    /// Waits until there is news on ring `ring`, or `until`; may return without reason.
    pub(crate) fn wait_for(&mut self, own: &Own, ring: usize, until: Monotonic) {
        let ring = self.rings.get(ring);
        self.rest
            .wait(own, Some(until), || ring.is_none_or(InRing::has_news));
    }

    fn has_news(&self) -> bool {
        self.rings.iter().any(InRing::has_news)
    }

    /// Announces sleep; `false` if there is news, so that there must be none. The caller then waits for the
    /// doorbell, and calls [`Self::awake`].
    pub fn announce(&mut self, own: &Own) -> bool {
        self.rest.announce(own) && !self.has_news()
    }

    /// Says that the sleep is over, or did not happen.
    pub fn awake(&mut self, own: &Own) {
        self.rest.awake(own);
    }

    /// Wakes who needs this core next, for one that does not sleep in [`Self::wait`].
    pub fn make_room(&mut self, own: &Own) {
        self.rest.make_room(own);
    }

    pub(crate) fn resume(&mut self, own: &Own, gapless: &[bool]) {
        for (ring, gapless) in self.rings.iter_mut().zip(gapless) {
            ring.resume(&own.page, *gapless);
        }
    }
}
