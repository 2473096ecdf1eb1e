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
//! [`Sender`] walks the left column, [`Receiver`] the right one; both work on regions and keys that the monitor
//! gave to this instance, and neither knows of the daemon. Between the two handlers the bytes are written once,
//! by sealing, and read once, by opening.

use crate::clock::Monotonic;
use crate::doorbell::Doorbell;
use crate::invocation::InvocationId;
use crate::layout::{CLOSED_ENTRIES, OutboxLayout, PageLayout, outbox_word, page_word};
use crate::memory::{OwnRegion, PeerRegion};
use crate::name::Name;
use crate::park::{Sleeper, Waker};
use crate::peek::{InRing, RecordPlace, Step, Upstream, published_at};
use crate::publish::OutRing;
use crate::refusal::Refusal;
use crate::reserve::{SlotIndex, Slots};
use crate::seal::{End, PortSealer, RecordContext};
use crate::sync::Ordering;
use crate::telemetry::{Counter, Phase, count, record};
use crate::wait::{Patience, look};

/// The two things that every step may need: the page that this instance writes, and the bell that it sleeps on.
#[derive(Debug)]
pub struct Own {
    pub(crate) page: OwnRegion,
    pub(crate) page_layout: PageLayout,
    pub(crate) doorbell: Doorbell,
    /// The gateway's page, where it says which requests are closed; the gateway itself has none.
    pub(crate) gateway: Option<(PeerRegion, PageLayout)>,
}

impl Own {
    /// Adds to a counter of this instance.
    pub fn count(&self, counter: Counter, value: u64) {
        count(&self.page, counter, value);
    }

    /// Adds a duration to a histogram of this instance.
    pub fn record(&self, phase: Phase, ns: u64) {
        record(&self.page, &self.page_layout, phase, ns);
    }

    /// The bell that peers ring, for an event loop to wait on.
    #[must_use]
    pub const fn doorbell(&self) -> &Doorbell {
        &self.doorbell
    }

    pub(crate) fn store(&self, at: usize, value: u64) {
        if let Some(word) = self.page.word(at) {
            word.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn load(&self, at: usize) -> u64 {
        self.page.word(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Whether the gateway has said that nobody waits for this request any more.
    pub(crate) fn is_closed(&self, invocation: InvocationId) -> bool {
        let Some((page, layout)) = &self.gateway else {
            return false;
        };
        let word = page.word(closed_at(layout, invocation));
        word.is_some_and(|word| word.load(Ordering::Relaxed) == invocation.count().wrapping_add(1))
    }

    /// Gateway: says how many requests are in flight.
    pub fn set_in_flight(&self, requests: u64) {
        self.store(page_word::IN_FLIGHT, requests);
    }

    /// Gateway: says that nobody waits for this request any more, so that functions need not run for it.
    pub fn close(&self, invocation: InvocationId) {
        self.store(
            closed_at(&self.page_layout, invocation),
            invocation.count().wrapping_add(1),
        );
    }
}

fn closed_at(layout: &PageLayout, invocation: InvocationId) -> usize {
    let entry = usize::try_from(invocation.count() % CLOSED_ENTRIES as u64).unwrap_or(0);
    layout.closed_at() + entry * 8
}

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

/// One output port: its sealing key and the rings of its edges.
struct OutPort {
    name: Name,
    fault: bool,
    sealer: PortSealer,
    rings: Vec<OutRing>,
    /// The record of which segments were sent, and not yet its end.
    begun: Option<Begun>,
}

/// A record that was sent in part.
#[derive(Clone, Copy)]
struct Begun {
    record: RecordContext,
    /// Its consumers are to be told to drop it, as soon as there is room for that.
    aborting: bool,
}

impl Begun {
    /// Whether `record` is another one, which must not become a part of this.
    fn is_other_than(&self, record: &RecordContext) -> bool {
        self.aborting || (self.record.invocation, self.record.attempt) != (record.invocation, record.attempt)
    }
}

/// The producing side of an instance.
pub struct Sender {
    outbox: OwnRegion,
    layout: OutboxLayout,
    slots: Slots,
    ports: Vec<OutPort>,
    starved: Sleeper,
    published_last: Monotonic,
    patience: Patience,
}

impl Sender {
    pub(crate) fn new(
        outbox: OwnRegion,
        layout: OutboxLayout,
        ports: Vec<(Name, bool, PortSealer, Vec<OutRing>)>,
        spin_ns: u64,
    ) -> Self {
        let starved = outbox
            .word(outbox_word::STARVED)
            .map(Sleeper::resume)
            .unwrap_or_default();
        let ports = ports
            .into_iter()
            .map(|(name, fault, sealer, rings)| OutPort {
                name,
                fault,
                sealer,
                rings,
                begun: None,
            })
            .collect();
        Self {
            slots: Slots::new(&layout),
            outbox,
            layout,
            ports,
            starved,
            published_last: Monotonic::from_ns(0),
            patience: Patience::new(spin_ns),
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
        (self.slots.full_slots() * crate::descriptor::SEGMENT_BYTES) as u64
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

    /// Tells the consumers of a record that was sent in part to drop it. Does nothing for a port where `record` is not in
    /// part sent. If there is no room now, the next record on this port says it first.
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
        self.send_segment(own, port, &record, &[], End::Abort)
    }

    fn send_segment(
        &mut self,
        own: &Own,
        index: usize,
        record: &RecordContext,
        plain: &[u8],
        end: End,
    ) -> Result<(), SendError> {
        let lane = record.invocation.count();
        // reserve
        let Some((slot, holders)) = self.reserve(index, lane, plain.len(), end)? else {
            return Ok(()); // a port that leads nowhere: `check` has warned
        };
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
        // seal
        let Some(mut span) = self.outbox.span(offset, slot_bytes) else {
            return Err(SendError::Full);
        };
        let sealed = port.sealer.seal(record, plain, end, offset, &mut span);
        let descriptor = match sealed {
            Ok(descriptor) => descriptor,
            Err(_) => {
                for _ in 0..holders {
                    self.slots.let_go(slot);
                }
                return Err(SendError::KeysExhausted);
            }
        };
        self.published_last = Monotonic::now();
        if let Some(word) = self.outbox.word(published_at(offset, plain.len())) {
            word.store(self.published_last.as_ns(), Ordering::Relaxed);
        }
        // publish, to every consumer the same sealed segment
        for ring in port.rings.iter_mut().filter(|ring| ring.carries(lane)) {
            ring.publish(&self.outbox, &descriptor, slot);
        }
        // wake
        Waker::fence();
        for ring in port.rings.iter_mut().filter(|ring| ring.carries(lane)) {
            ring.wake();
        }
        port.begun = (end == End::More).then_some(Begun {
            record: *record,
            aborting: false,
        });
        if end == End::Last {
            own.count(Counter::Published, 1);
        }
        Ok(())
    }

    /// A place in every ring that carries `lane`, and a slot: the slot, and how many rings there are. `None` if there are
    /// none.
    fn reserve(
        &mut self,
        index: usize,
        lane: u64,
        len_bytes: usize,
        end: End,
    ) -> Result<Option<(SlotIndex, usize)>, SendError> {
        let port = self
            .ports
            .get_mut(index)
            .ok_or(SendError::NoSuchPort { port: index })?;
        // Before a record's end one place is left for its end, so that it can always be said that there is none.
        let places = if end == End::More { 2 } else { 1 };
        let mut holders = 0;
        let mut have_room = true;
        for ring in port.rings.iter_mut().filter(|ring| ring.carries(lane)) {
            ring.reclaim(&mut self.slots);
            have_room &= ring.has_room(places);
            holders += 1;
        }
        if holders == 0 {
            return Ok(None);
        }
        if have_room && let Some(slot) = self.slots.reserve(len_bytes) {
            return Ok(Some((slot, holders)));
        }
        // Other ports' consumers may have released something since those ports were last used. What they released is
        // noticed here in any case: whoever waits for room next must wait for more than that.
        self.reclaim_all();
        let slot = if have_room {
            self.slots.reserve(len_bytes)
        } else {
            None
        };
        match slot {
            Some(slot) => Ok(Some((slot, holders))),
            None => Err(self.full_or_too_large(index, end)),
        }
    }

    fn reclaim_all(&mut self) {
        for ring in self.ports.iter_mut().flat_map(|port| port.rings.iter_mut()) {
            ring.reclaim(&mut self.slots);
        }
    }

    /// There is no room: are others' records in the way, or is this one alone too large?
    fn full_or_too_large(&self, index: usize, end: End) -> SendError {
        let sent = self.ports.get(index).map_or(0, |port| port.sealer.segments());
        let of_ring = self.layout.ring_capacity() - 1;
        if sent >= self.slots.full_slots() || (end == End::More && sent >= of_ring) {
            SendError::TooLarge {
                outbox_bytes: self.outbox_bytes(),
            }
        } else {
            SendError::Full
        }
    }

    /// Waits until a consumer has released something, or `until`. Call it after [`SendError::Full`], and send again.
    pub fn wait_for_room(&mut self, own: &Own, until: Monotonic) {
        own.count(Counter::Waited, 1);
        let start = self.patience.may_look().then(Monotonic::now);
        if let Some(start) = start
            && look(self.patience.limit_ns(), || elapsed_ns(start), || self.has_news())
        {
            self.patience.found();
            return;
        }
        if self.announce_starved() {
            own.doorbell.wait(Some(until));
            if let Some(start) = start {
                self.patience.slept(elapsed_ns(start));
            }
        }
        self.fed();
    }

    fn has_news(&self) -> bool {
        self.ports
            .iter()
            .flat_map(|port| &port.rings)
            .any(OutRing::has_news)
    }

    /// Announces that this producer waits for room; `false` if there is some news already. The caller then waits for the
    /// doorbell, and calls [`Self::fed`].
    pub fn announce_starved(&mut self) -> bool {
        let Some(word) = self.outbox.word(outbox_word::STARVED) else {
            return false;
        };
        self.starved.announce(word);
        !self.has_news()
    }

    /// Says that the wait for room is over.
    pub fn fed(&mut self) {
        if let Some(word) = self.outbox.word(outbox_word::STARVED) {
            self.starved.awake(word);
        }
    }

    /// Takes over the outbox of a predecessor: keeps what its consumers have not released, and ends the records that it
    /// left unfinished.
    pub(crate) fn resume(&mut self, own: &Own) {
        let mut unfinished = Vec::with_capacity(self.ports.len());
        for port in &mut self.ports {
            let mut of_port = None;
            for ring in &mut port.rings {
                let last = ring.resume(&self.outbox, &self.layout, &mut self.slots);
                of_port = of_port.or(last.filter(|descriptor| !descriptor.last));
            }
            unfinished.push(of_port);
        }
        self.slots.keep_held();
        for (index, descriptor) in unfinished.into_iter().enumerate() {
            if let Some(descriptor) = descriptor {
                let record = RecordContext {
                    invocation: descriptor.invocation,
                    deadline: descriptor.deadline,
                    attempt: descriptor.attempt,
                };
                // If there is no room now, the next record of this epoch ends the unfinished one as well.
                let _ = self.send_segment(own, index, &record, &[], End::Abort);
            }
        }
    }

    /// Says in the outbox whether this instance serves.
    pub fn set_serving(&self, serving: bool) {
        if let Some(word) = self.outbox.word(outbox_word::STATE) {
            word.store(u64::from(serving), Ordering::Relaxed);
        }
    }
}

/// The consuming side of an instance.
pub struct Receiver {
    rings: Vec<InRing>,
    sleeper: Sleeper,
    /// Where the next round over the rings starts, so that none is served last for ever.
    round: usize,
    patience: Patience,
    /// The last wait slept, and nothing was opened since.
    was_asleep: bool,
}

impl Receiver {
    pub(crate) fn new(own: &Own, rings: Vec<InRing>, spin_ns: u64) -> Self {
        let sleeper = own
            .page
            .word(page_word::PARKED)
            .map(Sleeper::resume)
            .unwrap_or_default();
        Self {
            rings,
            sleeper,
            round: 0,
            patience: Patience::new(spin_ns),
            was_asleep: false,
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
        let Some(in_ring) = self.rings.get_mut(ring) else {
            return Step::Empty;
        };
        let woken = core::mem::take(&mut self.was_asleep).then(Monotonic::now);
        let step = in_ring.step(into);
        if let (Some(woken), Step::Opened(opened)) = (woken, &step) {
            self.patience.woken(woken.ns_since(opened.published));
        }
        if let Step::Refused { refusal, .. } = &step {
            own.count(Counter::Refused(*refusal), 1);
        }
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
    ) -> Option<Result<crate::descriptor::Descriptor, Refusal>> {
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
        self.wait_unless(own, until, Self::has_news);
    }

    /// Waits until there is news on ring `ring`, or `until`; may return without reason.
    pub(crate) fn wait_for(&mut self, own: &Own, ring: usize, until: Monotonic) {
        self.wait_unless(own, Some(until), |receiver| {
            receiver.rings.get(ring).is_none_or(InRing::has_news)
        });
    }

    fn wait_unless(&mut self, own: &Own, until: Option<Monotonic>, news: impl Fn(&Self) -> bool) {
        let start = self.patience.may_look().then(Monotonic::now);
        if let Some(start) = start
            && look(self.patience.limit_ns(), || elapsed_ns(start), || news(self))
        {
            self.patience.found();
            return;
        }
        let Some(word) = own.page.word(page_word::PARKED) else {
            return;
        };
        self.sleeper.announce(word);
        if !news(self) {
            own.count(Counter::Slept, 1);
            own.doorbell.wait(until);
            if let Some(start) = start {
                self.patience.slept(elapsed_ns(start));
                self.was_asleep = true;
            }
        }
        self.sleeper.awake(word);
    }

    fn has_news(&self) -> bool {
        self.rings.iter().any(InRing::has_news)
    }

    /// Announces sleep; `false` if there is news, so that there must be none. The caller then waits for the doorbell, and
    /// calls [`Self::awake`].
    pub fn announce(&mut self, own: &Own) -> bool {
        let Some(word) = own.page.word(page_word::PARKED) else {
            return false;
        };
        self.sleeper.announce(word);
        !self.has_news()
    }

    /// Says that the sleep is over, or did not happen.
    pub fn awake(&mut self, own: &Own) {
        if let Some(word) = own.page.word(page_word::PARKED) {
            self.sleeper.awake(word);
        }
    }

    pub(crate) fn resume(&mut self, own: &Own, gapless: &[bool]) {
        for (ring, gapless) in self.rings.iter_mut().zip(gapless) {
            ring.resume(&own.page, *gapless);
        }
    }
}

fn elapsed_ns(start: Monotonic) -> u64 {
    Monotonic::now().ns_since(start)
}
