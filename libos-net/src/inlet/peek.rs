//! `peek`: the next descriptor of one inbound ring, copied to private memory once and checked there (I2); and
//! `release`: the word to its producer that the record has had all its effects (I5).

use crate::aead::TAG_BYTES;
use crate::aead::keys::SecretBytes;
use crate::attach::contradiction::BadAttachment;
use crate::attach::message;
use crate::clock::Monotonic;
use crate::inlet::open::Opener;
use crate::inlet::placed::Placed;
use crate::inlet::sequence::{Order, Place};
use crate::name::Name;
use crate::record::descriptor::{Descriptor, Malformed};
use crate::record::refusal::Refusal;
use crate::region::layout::{
    DONE_WINDOW, DONE_WORDS, MappedLayout, OutboxLayout, PageLayout, cursor_word, outbox_word,
};
use crate::region::memory::{MapError, OwnRegion, PeerRegion};
use crate::region::ring::{self, Found};
use crate::sync::Ordering;
use crate::wait::doorbell::Doorbell;
use crate::wait::park::Waker;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Records that are usually held at once; more room is made when it is needed, up to the ring's capacity.
const HELD_EXPECTED: usize = 32;

/// What a consumer knows of a ring's sender.
#[derive(Debug, Clone, Copy)]
pub struct Upstream {
    /// The sending function.
    pub function: Name,
    /// Its port.
    pub port: Name,
    /// Number of the sending function in the chain.
    pub function_index: u32,
    /// Which alternative input of this function the ring belongs to.
    pub group: u32,
    /// Members of that alternative; more than one make a join.
    pub group_width: u32,
    /// Which of them this ring brings.
    pub member: u32,
    /// Whether the ring brings fault notices.
    pub fault: bool,
}

/// A record, as far as its position is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace {
    /// Index of the inbound ring.
    pub ring: usize,
    /// Position in the ring of its first descriptor.
    pub first: u64,
}

/// The outcome of looking at one ring.
#[derive(Debug)]
pub enum Step {
    /// Nothing there.
    Empty,
    /// A segment was opened.
    Opened(Opened),
    /// The record that was arriving will never be whole: its producer gave up, or died. Drop it.
    Abandoned(RecordPlace),
    /// Something was refused, and counted. If it belonged to a record that was arriving, that record is lost.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The record that was arriving.
        arriving: Option<RecordPlace>,
        /// What the refused descriptor says, unauthenticated.
        claimed: Option<Descriptor>,
    },
}

/// An opened segment.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    /// The record that it belongs to.
    pub record: RecordPlace,
    /// Its descriptor, authenticated.
    pub descriptor: Descriptor,
    /// Whether the record begins with it.
    pub begins: bool,
    /// When it was published, as its producer says; for telemetry, and for how long to look for work.
    pub published: Monotonic,
    /// Whether it was left where it is, in a mapped region.
    pub in_place: bool,
}

/// What to do with a segment that came over a `mapped` edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// Copy it to private memory.
    Copy,
    /// Leave it where it is.
    InPlace,
}

/// How segments get out of the producer's region.
#[cfg_attr(
    not(feature = "aws-lc"),
    expect(
        clippy::large_enum_variant,
        reason = "the key of `ring` is large; there is one of these for each ring, and a box would cost each record a step"
    )
)]
enum Source {
    /// They are opened.
    Sealed { layout: OutboxLayout, opener: Opener },
    /// They lie there as they are.
    Mapped(Placed),
}

/// Asks for the segment at `position`, if there is one already: it is opened after the present one.
fn prefetch(region: &PeerRegion, (ring_at, capacity): (usize, usize), position: u64, layout: &OutboxLayout) {
    let Some(Found::Words(words)) = region
        .slots(ring_at, capacity)
        .map(|slots| ring::peek(slots, position))
    else {
        return;
    };
    let described = Descriptor::from_words(&words, layout).ok();
    if let Some(span) =
        described.and_then(|descriptor| region.span(descriptor.offset, descriptor.len_bytes + TAG_BYTES))
    {
        span.prefetch();
    }
}

/// One accepted record that is not released.
#[derive(Debug)]
struct Held {
    first: u64,
    end: u64,
    epoch: u32,
    sequence: u64,
    done: bool,
}

/// The consumer's end of one ring.
pub(crate) struct InRing {
    index: usize,
    pub(crate) upstream: Upstream,
    port: u16,
    /// The producer's outbox, or the mapped region of this ring.
    region: Arc<PeerRegion>,
    source: Source,
    ring_at: usize,
    capacity: usize,
    cursor_at: usize,
    /// Where the page says which records are done before older ones.
    done_at: usize,
    /// How many it says so of.
    done_ahead: u32,
    /// What it said when this process began, and from which position on.
    done_before: Option<Box<(u64, [u64; DONE_WORDS])>>,
    producer_doorbell: Doorbell,
    producer_waker: Waker,
    order: Order,
    /// Position to look at next.
    next: u64,
    /// Records before `next` that are not released, oldest first.
    held: VecDeque<Held>,
    /// The corrupt slot that was refused last.
    corrupt_at: Option<u64>,
    /// Up to where its producer had published when this process began.
    published_to: u64,
    /// Of a mapped ring, the number of the producer's process that was seen last, and from which position
    /// on.
    producer_process: u64,
    producer_since: u64,
}

impl InRing {
    pub(crate) fn new(
        index: usize,
        inbound: &message::Inbound,
        begin: &message::Begin,
        page_layout: &PageLayout,
        region: &OwnedFd,
        doorbell: OwnedFd,
    ) -> Result<Result<Self, MapError>, BadAttachment> {
        let (source, ring_at, capacity, len_bytes) = source(inbound, begin)?;
        let cursor_at = page_layout
            .cursor_at(index)
            .ok_or(BadAttachment("an inbound ring"))?;
        let port = u16::try_from(inbound.port).map_err(|_| BadAttachment("a port"))?;
        if inbound.member >= inbound.group_width {
            return Err(BadAttachment("a join"));
        }
        let upstream = Upstream {
            function: inbound.upstream,
            port: inbound.port_name,
            function_index: inbound.producer_function,
            group: inbound.group,
            group_width: inbound.group_width,
            member: inbound.member,
            fault: inbound.fault == 1,
        };
        Ok(PeerRegion::map(region, len_bytes).map(|region| Self {
            index,
            upstream,
            port,
            region: Arc::new(region),
            source,
            ring_at,
            capacity,
            cursor_at,
            done_at: page_layout.done_at(index),
            done_ahead: 0,
            done_before: None,
            producer_doorbell: Doorbell::new(doorbell),
            producer_waker: Waker::default(),
            order: Order::new(inbound.gapless == 1),
            next: 0,
            held: VecDeque::with_capacity(HELD_EXPECTED),
            corrupt_at: None,
            published_to: 0,
            producer_process: 0,
            producer_since: 0,
        }))
    }

    /// The region that the ring lies in.
    pub(crate) const fn region(&self) -> &Arc<PeerRegion> {
        &self.region
    }

    /// Goes on where a predecessor stopped. What it left may be anything, so it is believed as far as the
    /// ring bears it out, and made good for whoever reads it next.
    pub(crate) fn resume(&mut self, page: &OwnRegion, gapless: bool) {
        let load = |at: usize| page.word(at).map_or(0, |word| word.load(Ordering::Relaxed));
        let store = |at: usize, value: u64| {
            if let Some(word) = page.word(at)
                && word.load(Ordering::Relaxed) != value
            {
                word.store(value, Ordering::Relaxed);
            }
        };
        let Some(slots) = self.region.slots(self.ring_at, self.capacity) else {
            return;
        };
        self.producer_process = self.process_of_producer();
        let said = load(self.cursor_at + cursor_word::RELEASED);
        self.next = ring::recover(slots, said);
        self.published_to = ring::resume(slots, self.next, self.next);
        let is_believed = ring::ahead_of(self.next, said) == 0;
        let floor = u32::try_from(load(self.cursor_at + cursor_word::EPOCH))
            .ok()
            .map(|epoch| (epoch, load(self.cursor_at + cursor_word::SEQUENCE)))
            .filter(|floor| is_believed && *floor <= self.newest_released(slots));
        let (epoch, sequence) = floor.unwrap_or((0, 0));
        // Otherwise this process is the first.
        if said != 0 || floor != Some((0, 0)) {
            self.order = Order::resume(gapless, epoch, sequence);
        }
        if let Some(cursor) = page.word(self.cursor_at + cursor_word::RELEASED) {
            ring::release(cursor, self.next);
        }
        self.note_taken(page);
        store(self.cursor_at + cursor_word::EPOCH, u64::from(epoch));
        store(self.cursor_at + cursor_word::SEQUENCE, sequence);
        let mut done: [u64; DONE_WORDS] = core::array::from_fn(|word| load(self.done_at + word * 8));
        if done != [0; DONE_WORDS] {
            let from = if is_believed { self.published_to } else { self.next };
            // What was not published could not be done.
            for position in from..self.next + DONE_WINDOW {
                let (word, bit) = done_place(position);
                if let Some(word) = done.get_mut(word) {
                    *word &= !bit;
                }
            }
            for (word, value) in done.iter().enumerate() {
                store(self.done_at + word * 8, *value);
            }
        }
        self.done_ahead = done.iter().map(|word| word.count_ones()).sum();
        if self.done_ahead > 0 {
            self.done_before = Some(Box::new((self.next, done)));
        }
        // It may have released more than its predecessor had.
        self.wake_starved();
    }

    /// Epoch and sequence that can have been accepted at most before the present position, as the producer's
    /// descriptors beside it say: the last one that was released, and the first one that is not.
    fn newest_released(&self, slots: &[ring::Slot]) -> (u32, u64) {
        let said_at = |position| match ring::peek(slots, position) {
            Found::Words(words) => self.read(&words).ok(),
            Found::Empty | Found::Corrupt => None,
        };
        let beside = [self.next.wrapping_sub(1), self.next]
            .into_iter()
            .filter_map(said_at);
        let newest = beside.map(|descriptor| (descriptor.epoch, descriptor.sequence.saturating_add(1)));
        newest.max().unwrap_or((0, 0))
    }

    /// The record that `word` of a predecessor means, if one can be meant.
    pub(crate) fn record_at(&self, word: u64) -> Option<RecordPlace> {
        let first = self.next + ring::ahead_of(self.next, word);
        (first < self.published_to).then_some(RecordPlace {
            ring: self.index,
            first,
        })
    }

    /// Says how far this end has come, so that a producer that is replaced does not publish before that.
    pub(crate) fn note_taken(&self, page: &OwnRegion) {
        if let Some(word) = page.word(self.cursor_at + cursor_word::TAKEN) {
            word.store(self.next, Ordering::Relaxed);
        }
    }

    /// Of a mapped ring, the number of the producer's process; 0 of a sealed one, where it is authenticated
    /// who speaks.
    fn process_of_producer(&self) -> u64 {
        match &self.source {
            Source::Sealed { .. } => 0,
            Source::Mapped(_) => self
                .region
                .word(outbox_word::PROCESS)
                .map_or(0, |word| word.load(Ordering::Relaxed)),
        }
    }

    /// Whether the producer of a mapped ring is another process than before. What that one said of epoch and
    /// order was its own word, and may be nothing that a clean replacement can follow; and that one may
    /// not have left word of the leaves that are held here, so they are not in its way. Not again before
    /// what was held then is released: so no more than twice what the region holds is ever held (I6),
    /// whatever a producer says of itself.
    fn has_new_producer(&mut self) -> bool {
        let process = self.process_of_producer();
        let oldest = self.held.front().map_or(self.next, |held| held.first);
        if process == self.producer_process || oldest < self.producer_since {
            return false;
        }
        self.producer_process = process;
        self.producer_since = self.next;
        if let Source::Mapped(placed) = &mut self.source {
            placed.forget();
        }
        true
    }

    /// A descriptor, checked.
    fn read(&self, words: &[u64; ring::WORDS]) -> Result<Descriptor, Malformed> {
        match &self.source {
            Source::Sealed { layout, .. } => Descriptor::from_words(words, layout),
            Source::Mapped(placed) => Descriptor::from_mapped_words(words, &placed.layout),
        }
    }

    /// Whether a predecessor had released the record at `first`, before older ones.
    pub(crate) fn was_done(&mut self, first: u64) -> bool {
        let Some(before) = &self.done_before else {
            return false;
        };
        let (from, done) = before.as_ref();
        if first.checked_sub(*from).is_none_or(|ahead| ahead >= DONE_WINDOW) {
            // All that it can speak of has come.
            self.done_before = None;
            return false;
        }
        let (word, bit) = done_place(first);
        done.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Notes in the page that the record at `first` is done, although older ones are not; or, when they are,
    /// that this need not be noted any more. A death before the cursor has moved then makes it run again,
    /// and a death after it has moved leaves nothing that a later record at the same place could be taken
    /// for.
    fn note_done(&mut self, first: u64, done: bool, page: &OwnRegion) {
        let (at, bit) = done_place(first);
        let Some(word) = page.word(self.done_at + at * 8) else {
            return;
        };
        let noted = word.load(Ordering::Relaxed);
        if (noted & bit != 0) == done {
            return;
        }
        word.store(noted ^ bit, Ordering::Relaxed);
        self.done_ahead = if done {
            self.done_ahead.saturating_add(1)
        } else {
            self.done_ahead.saturating_sub(1)
        };
    }

    /// Whether the producer has said that it serves.
    pub(crate) fn producer_serves(&self) -> bool {
        self.region
            .word(outbox_word::STATE)
            .is_some_and(|state| state.load(Ordering::Relaxed) == 1)
    }

    /// What there is to look at next. Nothing, where a producer goes on without waiting for what was
    /// released: it could make this process hold any number of records (I6). And nothing at a corrupt
    /// slot that was refused once, until a later one shows that the producer has gone past it.
    fn find(&self) -> Found {
        let Some(slots) = self.region.slots(self.ring_at, self.capacity) else {
            return Found::Empty;
        };
        if self.holds_all() {
            return Found::Empty;
        }
        match ring::peek(slots, self.next) {
            Found::Corrupt if self.corrupt_at == Some(self.next) && !ring::is_passed(slots, self.next) => {
                Found::Empty
            }
            found => found,
        }
    }

    /// Whether as much is held as the ring has room for.
    fn holds_all(&self) -> bool {
        let oldest = self.held.front().map_or(self.next, |held| held.first);
        self.next - oldest >= self.capacity as u64
    }

    /// Whether [`Self::step`] would find something. An idle poll is one load.
    pub(crate) fn has_news(&self) -> bool {
        let Some(slots) = self.region.slots(self.ring_at, self.capacity) else {
            return false;
        };
        if ring::is_empty(slots, self.next) {
            return false;
        }
        if ring::is_published(slots, self.next) {
            return !self.holds_all();
        }
        self.find() != Found::Empty
    }

    fn arriving(&self) -> Option<RecordPlace> {
        let held = self.held.back().filter(|_| self.order.is_mid_record())?;
        Some(RecordPlace {
            ring: self.index,
            first: held.first,
        })
    }

    /// Looks at the next descriptor; if there is one and all is well, appends the segment's plaintext to
    /// `into`.
    pub(crate) fn step(&mut self, into: &mut Vec<u8>, choose: impl FnOnce(&Descriptor) -> Taking) -> Step {
        loop {
            let words = match self.find() {
                Found::Empty => return Step::Empty,
                Found::Corrupt if self.corrupt_at == Some(self.next) => {
                    self.pass_over();
                    continue;
                }
                Found::Corrupt => {
                    self.corrupt_at = Some(self.next);
                    let arriving = self.arriving();
                    self.order.refuse();
                    return Step::Refused {
                        refusal: Refusal::CorruptSlot,
                        arriving,
                        claimed: None,
                    };
                }
                Found::Words(words) => words,
            };
            let Ok(descriptor) = self.read(&words) else {
                return self.refuse(Refusal::Malformed, None);
            };
            if descriptor.port != self.port {
                return self.refuse(Refusal::WrongPort, Some(descriptor));
            }
            match self.order.place(&descriptor) {
                Err(Refusal::Replayed | Refusal::OutOfOrder) if self.has_new_producer() => {
                    // The descriptor stays where it is.
                    let arriving = self.arriving();
                    self.order.start_over();
                    if let Some(record) = arriving {
                        return Step::Abandoned(record);
                    }
                }
                Err(refusal) => return self.refuse(refusal, Some(descriptor)),
                Ok(Place::Skipped) => self.pass_over(),
                Ok(Place::Supersedes) => {
                    // The descriptor stays where it is; the next step takes it.
                    let arriving = self.arriving();
                    self.order.abandon();
                    if let Some(record) = arriving {
                        return Step::Abandoned(record);
                    }
                }
                Ok(Place::CutsOff) => {
                    // As above.
                    let arriving = self.arriving();
                    self.order.give_up();
                    return Step::Refused {
                        refusal: Refusal::OutOfOrder,
                        arriving,
                        claimed: None,
                    };
                }
                Ok(place) => {
                    let taking = choose(&descriptor);
                    return self.open(&descriptor, place == Place::Begins, into, taking);
                }
            }
        }
    }

    fn open(&mut self, descriptor: &Descriptor, begins: bool, into: &mut Vec<u8>, taking: Taking) -> Step {
        let mut opened = self.open_segment(descriptor, into, taking);
        if opened == Err(Refusal::Malformed) && self.has_new_producer() {
            opened = self.open_segment(descriptor, into, taking);
        }
        if let Err(refusal) = opened {
            return self.refuse(refusal, Some(*descriptor));
        }
        self.order.accept(descriptor);
        let at = self.next;
        self.next += 1;
        match self.held.back_mut() {
            Some(held) if !begins => held.end = self.next,
            _ => self.held.push_back(Held {
                first: at,
                end: self.next,
                epoch: descriptor.epoch,
                sequence: descriptor.sequence,
                done: false,
            }),
        }
        let first = self.held.back().map_or(at, |held| held.first);
        let record = RecordPlace {
            ring: self.index,
            first,
        };
        if descriptor.abort {
            return Step::Abandoned(record);
        }
        Step::Opened(Opened {
            record,
            descriptor: *descriptor,
            begins,
            published: self.published(at, descriptor),
            in_place: taking == Taking::InPlace && matches!(self.source, Source::Mapped(_)),
        })
    }

    fn open_segment(
        &mut self,
        descriptor: &Descriptor,
        into: &mut Vec<u8>,
        taking: Taking,
    ) -> Result<(), Refusal> {
        match &mut self.source {
            Source::Sealed { opener, layout } => {
                let sealed = self
                    .region
                    .span(descriptor.offset, descriptor.len_bytes + TAG_BYTES)
                    .ok_or(Refusal::Malformed)?;
                sealed.prefetch();
                prefetch(&self.region, (self.ring_at, self.capacity), self.next + 1, layout);
                opener.open(descriptor, sealed, into).map_err(|_| Refusal::Forged)
            }
            Source::Mapped(placed) => {
                let span = self
                    .region
                    .span(descriptor.offset, descriptor.len_bytes)
                    .ok_or(Refusal::Malformed)?;
                placed.hold(self.next, descriptor)?;
                if taking == Taking::Copy {
                    span.append_to(into);
                }
                Ok(())
            }
        }
    }

    /// Opens again segment `segment` of a sealed record that was accepted and not released. `None` when the
    /// record has no such segment among those that were accepted; a refusal when it is not what it was.
    /// What came over a mapped edge was left in place, so there is nothing to open again.
    pub(crate) fn reopen(
        &mut self,
        record: RecordPlace,
        segment: u64,
        into: &mut Vec<u8>,
    ) -> Option<Result<Descriptor, Refusal>> {
        let Source::Sealed { layout, .. } = &self.source else {
            return None;
        };
        let (end, epoch, sequence) = self
            .held
            .iter()
            .find(|held| held.first == record.first)
            .map(|held| (held.end, held.epoch, held.sequence))?;
        let position = record
            .first
            .checked_add(segment)
            .filter(|position| *position < end)?;
        let Some(Found::Words(words)) = self
            .region
            .slots(self.ring_at, self.capacity)
            .map(|slots| ring::peek(slots, position))
        else {
            return Some(Err(Refusal::CorruptSlot));
        };
        let Ok(descriptor) = Descriptor::from_words(&words, layout) else {
            return Some(Err(Refusal::Malformed));
        };
        let is_the_one = (descriptor.epoch, descriptor.sequence, descriptor.port)
            == (epoch, sequence, self.port)
            && u64::from(descriptor.segment) == segment;
        if !is_the_one {
            return Some(Err(Refusal::OutOfOrder));
        }
        Some(
            self.open_segment(&descriptor, into, Taking::Copy)
                .map(|()| descriptor),
        )
    }

    /// When the segment was published, as its producer says.
    fn published(&self, position: u64, descriptor: &Descriptor) -> Monotonic {
        let at = match &self.source {
            Source::Sealed { .. } => descriptor.published_at(),
            Source::Mapped(placed) => placed.layout.published_at(position),
        };
        Monotonic::from_ns(
            self.region
                .word(at)
                .map_or(0, |word| word.load(Ordering::Relaxed)),
        )
    }

    fn refuse(&mut self, refusal: Refusal, claimed: Option<Descriptor>) -> Step {
        let arriving = self.arriving();
        self.order.refuse();
        self.pass_over();
        Step::Refused {
            refusal,
            arriving,
            claimed,
        }
    }

    /// Goes past the present descriptor without effect.
    fn pass_over(&mut self) {
        self.held.push_back(Held {
            first: self.next,
            end: self.next + 1,
            // What was refused says nothing about epoch and sequence; 0 is taken by `release` as "unchanged".
            epoch: 0,
            sequence: 0,
            done: true,
        });
        self.next += 1;
    }

    /// Passes over the rest of the record that is arriving.
    pub(crate) fn give_up_arriving(&mut self) {
        self.order.give_up();
    }

    /// Notes that the record has had all its effects, and tells the producer how far everything is done.
    pub(crate) fn release(&mut self, record: RecordPlace, page: &OwnRegion) {
        let oldest = self.held.front().map_or(self.next, |held| held.first);
        if let Some(held) = self.held.iter_mut().find(|held| held.first == record.first) {
            held.done = true;
            if record.first > oldest && record.first - oldest < DONE_WINDOW {
                self.note_done(record.first, true, page);
            }
        }
        self.release_done(page);
    }

    /// Tells the producer how far everything is done.
    pub(crate) fn release_done(&mut self, page: &OwnRegion) {
        if self.held.front().is_none_or(|held| !held.done) {
            return;
        }
        let mut end = None;
        let mut accepted = None;
        // A record that is still arriving may yet grow, so its place is kept even if nobody wants it.
        let arriving = self.arriving().map(|record| record.first);
        while let Some(held) = self
            .held
            .front()
            .filter(|held| held.done && Some(held.first) != arriving)
        {
            end = Some(held.end);
            if let Source::Mapped(placed) = &mut self.source {
                (held.first..held.end).for_each(|position| placed.let_go(position));
            }
            if held.epoch > 0 {
                accepted = Some((held.epoch, held.sequence));
            }
            let first = held.first;
            self.held.pop_front();
            if self.done_ahead > 0 {
                self.note_done(first, false, page);
            }
        }
        let Some(end) = end else { return };
        let Some(cursor) = page.word(self.cursor_at + cursor_word::RELEASED) else {
            return;
        };
        ring::release(cursor, end);
        if let Some((epoch, sequence)) = accepted {
            let words = [
                (cursor_word::EPOCH, u64::from(epoch)),
                (cursor_word::SEQUENCE, sequence.saturating_add(1)),
            ];
            for (at, value) in words {
                if let Some(word) = page.word(self.cursor_at + at) {
                    word.store(value, Ordering::Relaxed);
                }
            }
        }
        self.wake_starved();
    }

    /// Rings the producer if it waits for room.
    fn wake_starved(&mut self) {
        Waker::fence();
        if let Some(starved) = self.region.word(outbox_word::STARVED)
            && self.producer_waker.must_ring(starved)
        {
            self.producer_doorbell.ring();
        }
    }
}

/// In which of the words, and as which bit, it stands whether the record at `position` is done.
fn done_place(position: u64) -> (usize, u64) {
    let at = position % DONE_WINDOW;
    (usize::try_from(at / 64).unwrap_or(0), 1 << (at % 64))
}

/// What an inbound entry says of the producer's region: how segments get out of it, where its ring starts,
/// how many descriptors that holds, and how long the region is.
fn source(
    inbound: &message::Inbound,
    begin: &message::Begin,
) -> Result<(Source, usize, usize, usize), BadAttachment> {
    let (capacity, outbox_bytes) = (inbound.producer_ring_capacity, inbound.producer_outbox_bytes);
    if inbound.mapped == 1 {
        let layout = MappedLayout::new(capacity, outbox_bytes).ok_or(BadAttachment("a mapped region"))?;
        return Ok((
            Source::Mapped(Placed::new(layout)),
            layout.ring_at(),
            layout.ring_capacity(),
            layout.len_bytes(),
        ));
    }
    let layout = OutboxLayout::new(inbound.producer_ring_count, capacity, outbox_bytes)
        .ok_or(BadAttachment("a producer's outbox"))?;
    let ring_at = layout
        .ring_at(inbound.ring)
        .ok_or(BadAttachment("a producer's ring"))?;
    let opener = Opener::new(
        SecretBytes::new(inbound.port_secret),
        begin.chain_digest,
        begin.chain_epoch,
        inbound.port,
        inbound.producer_instance,
    );
    Ok((
        Source::Sealed { layout, opener },
        ring_at,
        layout.ring_capacity(),
        layout.len_bytes(),
    ))
}
