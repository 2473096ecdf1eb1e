//! `publish`: a descriptor into the ring towards one consumer instance, and its doorbell if it sleeps. Also
//! the way back: what the consumer has released frees room.

use crate::attach::contradiction::BadAttachment;
use crate::attach::message;
use crate::machine::bell::Bell;
use crate::record::descriptor::Descriptor;
use crate::region::layout::{PageLayout, cursor_word, page_word};
use crate::region::memory::{OwnRegion, PeerRegion};
use crate::region::ring;
use crate::sync::{AtomicU64, Ordering};
use crate::wait::park::Waker;
use alloc::boxed::Box;

/// A producer looks how far a consumer has come when it has sent this much since: each look moves a cache
/// line between two cores, which costs as much as sealing a small segment. Releases that nobody looked for
/// hold slots back; the bound keeps those to a small part of the smallest first-level cache.
const LOOK_EVERY_BYTES: usize = 4096;
/// A smaller segment counts as this, so that a look comes after eight at the latest.
const LOOK_LEAST_BYTES: usize = LOOK_EVERY_BYTES / 8;

/// A producer that has this much out lets its consumer catch up before it begins another record, if the
/// consumer does that at once: records that wait longer than it takes to fill a second-level cache have left
/// it when they are opened.
const LAG_BYTES: usize = 512 * 1024;

/// Words that are no descriptor.
const SPOILT: [u64; ring::WORDS] = [0; ring::WORDS];

/// The producer's end of the ring towards one consumer instance.
pub(crate) struct OutRing {
    /// Where the ring starts in the region that it lies in, and how many descriptors it holds.
    ring_at: usize,
    capacity: usize,
    page: PeerRegion,
    cursor_at: usize,
    taken_at: usize,
    bell: Box<dyn Bell>,
    waker: Waker,
    /// Where the next descriptor goes.
    tail: u64,
    /// How far the consumer had come when we last looked.
    released: u64,
    /// Where the last record begins.
    last_began: u64,
    edge: u32,
    lane: u64,
    lanes: u64,
    joined: bool,
    /// The consumer releases a record as it reads it.
    streams: bool,
    /// Takes the record that is being sent.
    takes: bool,
    /// Takes a record that goes on later, and so no other before.
    is_busy: bool,
    /// Where this instance counts in its page what it publishes here.
    sent_at: Option<usize>,
}

impl OutRing {
    /// `page` brings the consumer's page, of so many bytes.
    pub(crate) fn new<F>(
        edge: &message::Edge,
        ring_at: usize,
        capacity: usize,
        page: impl FnOnce(usize) -> Result<PeerRegion, F>,
        bell: Box<dyn Bell>,
    ) -> Result<Result<Self, F>, BadAttachment> {
        let page_layout = PageLayout::new(edge.consumer_inbound_count, edge.consumer_port_count)
            .ok_or(BadAttachment("a consumer's page"))?;
        let inbound = usize::try_from(edge.consumer_inbound).map_err(|_| BadAttachment("a cursor"))?;
        let cursor_at = page_layout.cursor_at(inbound).ok_or(BadAttachment("a cursor"))?;
        if edge.lane >= edge.lanes {
            return Err(BadAttachment("a lane"));
        }
        Ok(page(page_layout.len_bytes()).map(|page| Self {
            ring_at,
            capacity,
            page,
            cursor_at,
            taken_at: page_layout.taken_at(inbound),
            bell,
            waker: Waker::default(),
            tail: 0,
            released: 0,
            last_began: 0,
            edge: edge.edge,
            lane: u64::from(edge.lane),
            lanes: u64::from(edge.lanes),
            joined: edge.joined == 1,
            streams: edge.streams == 1,
            takes: edge.lanes == 1,
            is_busy: false,
            sent_at: None,
        }))
    }

    /// Whether this ring leads to the instance that takes the record that is being sent.
    pub(crate) const fn takes(&self) -> bool {
        self.takes
    }

    /// Says whether it does.
    pub(crate) const fn set_takes(&mut self, takes: bool) {
        self.takes = takes;
    }

    /// Whether its consumer releases a record as it reads it.
    pub(crate) const fn streams(&self) -> bool {
        self.streams
    }

    /// Whether it takes a record that goes on later.
    pub(crate) const fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Says whether it does.
    pub(crate) const fn set_busy(&mut self, is_busy: bool) {
        self.is_busy = is_busy;
    }

    /// Descriptors of the record that is being sent which the consumer had not released at the last look.
    pub(crate) fn out_of_record(&self) -> u64 {
        self.tail - self.released.max(self.last_began)
    }

    /// Has it take the end of the record that a predecessor left unfinished, if that went this way; or if it
    /// takes every record of its port, because then none of their numbers may be missing here.
    pub(crate) const fn take_over(&mut self, has_unfinished: bool) {
        self.takes = has_unfinished || self.lanes == 1;
    }

    /// The edge that it is a ring of.
    pub(crate) const fn edge(&self) -> u32 {
        self.edge
    }

    /// Where what is published here is counted.
    pub(crate) const fn sent_at(&self) -> Option<usize> {
        self.sent_at
    }

    /// Says where.
    pub(crate) const fn count_sent_at(&mut self, at: usize) {
        self.sent_at = Some(at);
    }

    /// Whether it belongs to the same edge as another, and leads to another instance of the same function.
    pub(crate) const fn is_beside(&self, other: &Self) -> bool {
        self.edge == other.edge
    }

    /// How loaded its instance is, for the record of the request numbered `count`; the least takes it. A join
    /// must get all that it joins in one instance. Else no record waits behind one that takes long while
    /// another instance has less to do; among equals they take turns.
    pub(crate) fn load_rank(&self, count: u64) -> (u64, u64) {
        let turn = (self.lane + self.lanes - count % self.lanes) % self.lanes;
        let backlog = match (self.is_busy, self.joined) {
            (true, _) => u64::MAX,
            (false, true) => 0,
            (false, false) => self.tail - self.look(),
        };
        (backlog, turn)
    }

    fn cursor(&self) -> Option<&AtomicU64> {
        self.page.word(self.cursor_at + cursor_word::RELEASED)
    }

    /// How far the consumer says it has come: not as far as before, or past what was published, is nothing
    /// that it can say.
    fn look(&self) -> u64 {
        let said = self.cursor().map_or(self.released, ring::released);
        let ahead = ring::ahead_of(self.released, said);
        if ahead <= self.tail - self.released {
            self.released + ahead
        } else {
            self.released
        }
    }

    /// Looks how far the consumer has come, and names each position that it has released since the last look.
    pub(crate) fn reclaim(&mut self, mut give_back: impl FnMut(u64)) {
        let released = self.look();
        while self.released < released {
            give_back(self.released);
            self.released += 1;
        }
    }

    /// Whether enough is out for it to be worth a look how far the consumer has come, before a segment of
    /// `len_bytes` is sent.
    pub(crate) fn is_worth_a_look(&self, len_bytes: usize) -> bool {
        let out = usize::try_from(self.tail - self.released).unwrap_or(usize::MAX);
        out.saturating_mul(len_bytes.max(LOOK_LEAST_BYTES)) >= LOOK_EVERY_BYTES
    }

    /// Whether the consumer lags behind so far that what is published now will have left the cache when it is
    /// opened. Two records may be out in any case: one that is read, and one that is written meanwhile.
    pub(crate) fn lags(&self, len_bytes: usize) -> bool {
        let out = usize::try_from(self.tail - self.released).unwrap_or(usize::MAX);
        self.released < self.last_began && out.saturating_mul(len_bytes) > LAG_BYTES
    }

    /// Whether the consumer has released something since the last look.
    pub(crate) fn has_news(&self) -> bool {
        self.look() > self.released
    }

    /// Whether `places` more descriptors fit.
    pub(crate) fn has_room(&self, places: u64) -> bool {
        self.tail - self.released + places <= self.capacity as u64
    }

    /// Makes a descriptor visible in `region`, where the ring lies: `words`, of a segment that `begins` a
    /// record or not. The caller has seen [`Self::has_room`], and rings afterwards.
    #[inline(always)]
    pub(crate) fn publish(&mut self, region: &OwnRegion, begins: bool, words: &[u64; ring::WORDS]) {
        if begins {
            self.last_began = self.tail;
        }
        if let Some(ring) = self.ring(region) {
            ring::publish(ring, self.tail, words);
        }
        self.tail += 1;
    }

    fn ring<'r>(&self, region: &'r OwnRegion) -> Option<&'r [ring::Slot]> {
        region.slots(self.ring_at, self.capacity)
    }

    /// How far the consumer had come when it was last looked for.
    pub(crate) const fn released(&self) -> u64 {
        self.released
    }

    /// What is published at `position`.
    pub(crate) fn words_at(&self, region: &OwnRegion, position: u64) -> Option<[u64; ring::WORDS]> {
        match ring::peek(self.ring(region)?, position) {
            ring::Found::Words(words) => Some(words),
            ring::Found::Empty | ring::Found::Corrupt => None,
        }
    }

    /// Rings the consumer if it sleeps; [`Waker::fence`] came before.
    pub(crate) fn wake(&mut self) {
        if let Some(word) = self.page.word(page_word::PARKED)
            && self.waker.must_ring(word)
        {
            self.bell.ring();
        }
    }

    /// Descriptors that the ring holds.
    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Where the next descriptor goes.
    pub(crate) const fn tail(&self) -> u64 {
        self.tail
    }

    /// Finds out what a predecessor published that is not released yet. `read` checks what it left, and
    /// `hold` is told each such descriptor, with its position. Returns the last of them.
    ///
    /// A predecessor may have been hostile, and so may the consumer: what they left is checked like anything
    /// else. What does not name room of ours is left to the consumer to refuse, and what pretends to be
    /// of this `epoch` or a later one is spoilt, as a consumer that lost count might take its numbers for
    /// true.
    pub(crate) fn resume(
        &mut self,
        region: &OwnRegion,
        epoch: u32,
        read: impl Fn(&[u64; ring::WORDS]) -> Option<Descriptor>,
        mut hold: impl FnMut(u64, &Descriptor),
    ) -> Option<Descriptor> {
        let ring = self.ring(region)?;
        let released = self.cursor().map_or(0, ring::released) & u64::from(u32::MAX);
        let taken = self.page.word(self.taken_at);
        let taken = taken.map_or(0, |word| ring::ahead_of(released, word.load(Ordering::Relaxed)));
        let taken = if taken <= self.capacity as u64 { taken } else { 0 };
        self.released = released;
        if ring::can_be_released(ring, released) {
            self.tail = ring::resume(ring, released, released + taken);
        } else {
            self.tail = released + taken;
            ring::restore(ring, self.tail, &SPOILT);
        }
        let mut last = None;
        // From the last one on that was released: by that a consumer finds out how far it had come.
        for position in released.saturating_sub(1)..self.tail {
            let descriptor = match ring::peek(ring, position) {
                ring::Found::Words(words) => read(&words),
                ring::Found::Corrupt | ring::Found::Empty if position < released => continue,
                // So that whoever looks there goes on.
                ring::Found::Corrupt | ring::Found::Empty => {
                    ring::publish(ring, position, &SPOILT);
                    continue;
                }
            };
            let Some(descriptor) = descriptor else { continue };
            if descriptor.epoch >= epoch {
                ring::publish(ring, position, &SPOILT);
                continue;
            }
            // What is read as a stream may be unfinished though all that was published of it is released.
            if position >= released || self.streams {
                last = Some(descriptor);
            }
            if position < released {
                continue;
            }
            hold(position, &descriptor);
        }
        last
    }
}
