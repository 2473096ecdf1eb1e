//! Where things lie in the regions that an instance writes, and the bounds of each.
//!
//! ```text
//! outbox         0      header: state, "waits for space"
//!                4096   rings: ring_count x ring_capacity descriptors of 64 bytes
//!                ...    segments, from the next page on: outbox_bytes
//!
//! instance page  0      header: parked, state, what runs now, counters
//!                4096   inbound cursors: one cache line a ring
//!                ...    histograms: run; a set for each inbound ring; seal for each port
//!                ...    traces: the last 256 runs
//!                ...    spans: the last 256 runs and hops of requests that are traced
//!                ...    closed: invocations that nobody waits for
//!                ...    answered: invocations that have their reply
//!                ...    suspects: records that processes of this instance died in
//!                ...    done ahead: for each inbound ring, which records were released before older ones
//!
//! mapped region  0      header, as in an outbox
//!                4096   one ring
//!                ...    room for records, from the next page on
//! ```
//!
//! A mapped region belongs to one ring of a `mapped` edge: its producer writes it, its consumer reads it, and
//! nobody else has a descriptor of it.
//!
//! Offsets are computed by both ends from the same few counts, which come from the monitor; nothing in a
//! region says where anything is.

/// Bytes of a cache line, and of a descriptor.
pub const LINE_BYTES: usize = 64;
/// Plaintext bytes of a full segment. Every segment of a record but the last is full, unless it streams: then
/// what there is may go on at once.
pub const SEGMENT_BYTES: usize = 64 * 1024;
/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;
/// Most rings in one outbox: 1,024 edges of a chain, each to at most 64 instances, and one fault ring.
pub const RINGS_MAX: u32 = 64 * 1024 + 1;
/// Fewest descriptors in a ring.
pub const RING_CAPACITY_MIN: u32 = 256;
/// Most descriptors in a ring: a record of 16 GiB in segments of 64 KiB.
pub const RING_CAPACITY_MAX: u32 = 256 * 1024;
/// Smallest room for segments in an outbox.
pub const OUTBOX_MIN_BYTES: u64 = 1024 * 1024;
/// Largest room for segments in an outbox.
pub const OUTBOX_MAX_BYTES: u64 = 16 * 1024 * 1024 * 1024;
/// Buckets of a histogram: bucket `i` counts durations under `256 << i` nanoseconds (256 ns to about 275 s).
pub const HISTOGRAM_BUCKETS: usize = 31;
/// Words of a histogram: [`histogram_word`], then what [`EDGES_COUNTED`] says; a whole number of cache lines.
pub const HISTOGRAM_WORDS: usize = 40;
/// Words that are left in a port's histogram: each counts what was published over one of the port's edges.
pub const EDGES_COUNTED: usize = HISTOGRAM_WORDS - histogram_word::END;
/// Histograms for each inbound ring: queued, hand-over, open.
pub const HISTOGRAMS_PER_INBOUND: usize = 3;
/// Entries for system calls that were refused: the last one is for all that found no other.
pub const REFUSED_CALLS: usize = 16;
/// Traces of runs that an instance page keeps.
pub const TRACES: usize = 256;
/// Words of a trace, and of a span: a stamp and at most 15 values, in two cache lines.
pub const TRACE_WORDS: usize = 16;
/// Spans that an instance page keeps. They are apart from traces, so that at a high rate of requests of which
/// few are traced, these are not overwritten before they are read.
pub const SPANS: usize = 256;
/// Entries of the table of closed invocations, and of that of answered ones. A chain may have more requests
/// in flight: then one may be overwritten before functions look, and they run for nothing, or joins wait.
pub const CLOSED_ENTRIES: usize = 4096;
/// Bytes of such an entry: the halves of an id, each inverted, so that zeros name the one id
/// of all ones, which is no request.
pub const CLOSED_ENTRY_BYTES: usize = 16;

/// Records that an instance remembers to have died in, at the same time: as many as the smallest ring holds.
pub const SUSPECTS: usize = 256;
/// Bytes of such an entry: a cache line.
const SUSPECT_BYTES: usize = LINE_BYTES;
/// Places of a ring, from the oldest that is not released on, of which an instance remembers whether they are
/// done. What lies further on may run again after a death.
pub const DONE_WINDOW: u64 = 1024;
/// Words of that.
pub const DONE_WORDS: usize = 16;

const _: () = assert!(DONE_WORDS as u64 * 64 == DONE_WINDOW);

/// Bytes after a segment's ciphertext: the AEAD's tag, then, aligned to 8 bytes, the time of publishing
/// (telemetry, not authenticated).
pub const SLOT_TAIL_BYTES: usize = 32;
/// Sizes of slots, smallest first. Odd multiples of a cache line, so that slots of one class spread over all
/// sets of a cache instead of sharing one.
pub const SLOT_CLASSES: [usize; 3] = [9 * LINE_BYTES, 73 * LINE_BYTES, 1025 * LINE_BYTES];
/// Most slots of each smaller class.
const SMALL_SLOTS_MAX: usize = 1024;

const _: () = assert!(SLOT_CLASSES[2] >= SEGMENT_BYTES + SLOT_TAIL_BYTES);

const fn round_up(value: usize, to: usize) -> usize {
    value.div_ceil(to) * to
}

/// Descriptors for a ring, so that the largest record that fits into the outbox fits into one ring.
#[must_use]
pub fn ring_capacity(outbox_bytes: u64) -> u32 {
    let segments = outbox_bytes / (SEGMENT_BYTES as u64);
    u32::try_from(segments)
        .unwrap_or(RING_CAPACITY_MAX)
        .clamp(RING_CAPACITY_MIN, RING_CAPACITY_MAX)
        .next_power_of_two()
}

/// The shape of an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLayout {
    ring_count: usize,
    ring_capacity: usize,
    full_slots: usize,
    /// Kept, because every descriptor that is read is held against it.
    len_bytes: usize,
}

impl OutboxLayout {
    /// The outbox with these counts; `None` if one is out of its bounds.
    #[must_use]
    pub fn new(ring_count: u32, ring_capacity: u32, outbox_bytes: u64) -> Option<Self> {
        let bounded = ring_count <= RINGS_MAX
            && ring_capacity.is_power_of_two()
            && (RING_CAPACITY_MIN..=RING_CAPACITY_MAX).contains(&ring_capacity)
            && (OUTBOX_MIN_BYTES..=OUTBOX_MAX_BYTES).contains(&outbox_bytes);
        if !bounded {
            return None;
        }
        let mut layout = Self {
            ring_count: usize::try_from(ring_count).ok()?,
            ring_capacity: usize::try_from(ring_capacity).ok()?,
            full_slots: usize::try_from(outbox_bytes).ok()? / SEGMENT_BYTES,
            len_bytes: 0,
        };
        layout.len_bytes = layout.segments_at() + layout.segments_bytes();
        Some(layout)
    }

    /// Descriptors in each ring.
    #[must_use]
    pub const fn ring_capacity(&self) -> usize {
        self.ring_capacity
    }

    /// Slots for segments of full size.
    #[must_use]
    pub const fn full_slots(&self) -> usize {
        self.full_slots
    }

    /// Where ring `ring` starts; `None` if there is no such ring.
    #[must_use]
    pub fn ring_at(&self, ring: u32) -> Option<usize> {
        let ring = usize::try_from(ring).ok()?;
        (ring < self.ring_count).then_some(PAGE_BYTES + ring * self.ring_capacity * LINE_BYTES)
    }

    /// Where the segments start.
    #[must_use]
    pub const fn segments_at(&self) -> usize {
        round_up(
            PAGE_BYTES + self.ring_count * self.ring_capacity * LINE_BYTES,
            PAGE_BYTES,
        )
    }

    /// The number of slots of each of [`SLOT_CLASSES`]: full ones as many as the outbox is to hold, of the
    /// smaller classes as many as a ring can name at once, within reason.
    #[must_use]
    pub fn slots(&self) -> [usize; SLOT_CLASSES.len()] {
        let few = self.ring_capacity.min(SMALL_SLOTS_MAX);
        [few, few, self.full_slots]
    }

    /// Where the slots of class `class` start.
    #[must_use]
    pub fn class_at(&self, class: usize) -> usize {
        let before = SLOT_CLASSES.iter().zip(self.slots()).take(class);
        self.segments_at()
            + before
                .map(|(slot_bytes, count)| slot_bytes * count)
                .sum::<usize>()
    }

    /// Bytes for segments.
    #[must_use]
    pub fn segments_bytes(&self) -> usize {
        round_up(self.class_at(SLOT_CLASSES.len()) - self.segments_at(), PAGE_BYTES)
    }

    /// Bytes of the whole region.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

/// Most leaves in the room of a mapped region, so that the tables of both its ends stay small. A descriptor
/// names a leaf with 16 bits.
const LEAVES_MAX: u64 = 16 * 1024;
const _: () = assert!(LEAVES_MAX <= 1 << 16);
/// Smallest leaf.
const LEAF_MIN_BYTES: u64 = 1024;
/// Longest segment in a mapped region: a descriptor counts bytes with 32 bits. A longer record has several.
pub const EXTENT_MAX_BYTES: usize = 1 << 30;

/// The shape of a mapped region. Its room is given out in *leaves*, so that a record of any size is one
/// extent of neighbouring leaves and needs one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedLayout {
    ring_capacity: usize,
    /// Worked out once: each record asks where a leaf is.
    room_at: usize,
    leaf_bytes: usize,
    leaves: u32,
}

impl MappedLayout {
    /// The region of one ring of a producer whose outbox has these bounds; `None` if one is out of its
    /// bounds.
    #[must_use]
    pub fn new(ring_capacity: u32, outbox_bytes: u64) -> Option<Self> {
        let ring_capacity = OutboxLayout::new(1, ring_capacity, outbox_bytes)?.ring_capacity;
        let leaf_bytes = outbox_bytes
            .div_ceil(LEAVES_MAX)
            .next_power_of_two()
            .max(LEAF_MIN_BYTES);
        Some(Self {
            ring_capacity,
            room_at: round_up(PAGE_BYTES + ring_capacity * LINE_BYTES, PAGE_BYTES),
            leaf_bytes: usize::try_from(leaf_bytes).ok()?,
            leaves: u32::try_from(outbox_bytes.div_ceil(leaf_bytes)).ok()?,
        })
    }

    /// Descriptors in the ring.
    #[must_use]
    pub const fn ring_capacity(&self) -> usize {
        self.ring_capacity
    }

    /// Where the ring starts.
    #[must_use]
    pub const fn ring_at(&self) -> usize {
        PAGE_BYTES
    }

    /// Where the room for records starts.
    #[must_use]
    pub const fn room_at(&self) -> usize {
        self.room_at
    }

    /// Leaves in the room.
    #[must_use]
    pub const fn leaves(&self) -> u32 {
        self.leaves
    }

    /// Bytes of a leaf.
    #[must_use]
    pub const fn leaf_bytes(&self) -> usize {
        self.leaf_bytes
    }

    /// How many leaves `len_bytes` bytes need; more than there are if they cannot fit.
    #[must_use]
    pub fn leaves_for(&self, len_bytes: usize) -> u32 {
        u32::try_from(len_bytes.div_ceil(self.leaf_bytes)).unwrap_or(u32::MAX)
    }

    /// Where leaf `leaf` starts.
    #[must_use]
    pub fn leaf_at(&self, leaf: u32) -> usize {
        self.room_at + usize::try_from(leaf).unwrap_or(usize::MAX / self.leaf_bytes / 2) * self.leaf_bytes
    }

    /// The leaf that starts at `offset`, if one does.
    #[must_use]
    pub fn leaf_of(&self, offset: usize) -> Option<u32> {
        let from = offset.checked_sub(self.room_at)?;
        let leaf = u32::try_from(from / self.leaf_bytes).ok()?;
        (from.is_multiple_of(self.leaf_bytes) && leaf < self.leaves).then_some(leaf)
    }

    /// Bytes of the whole region.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.leaf_at(self.leaves)
    }
}

/// Words of the header of an outbox and of a mapped region, each at the start of a cache line.
pub mod outbox_word {
    /// 1 once the instance serves.
    pub const STATE: usize = 0;
    /// Odd while the producer sleeps until a consumer releases something.
    pub const STARVED: usize = 64;
    /// Of a mapped region: a number that each process of the producer draws.
    pub const PROCESS: usize = 128;
}

/// The shape of an instance page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLayout {
    inbound_count: usize,
    port_count: usize,
    /// Worked out once: each record asks for a few of its histograms and for its trace.
    histograms_at: usize,
    traces_at: usize,
}

/// Words of an instance page's header.
pub mod page_word {
    /// Odd while the instance sleeps until a producer publishes something.
    pub const PARKED: usize = 0;
    /// 1 if the instance, woken without work, would look for some before it sleeps again.
    pub const LOOKS: usize = 8;
    /// 1 once the instance serves.
    pub const STATE: usize = 64;
    /// Gateway: the number of its life, so that no function runs for a request of an earlier one; 0 before
    /// the first.
    pub const GATEWAY_LIFE: usize = 72;
    /// When the present run of the handler started (`CLOCK_MONOTONIC`, ns); 0 when none runs.
    pub const BUSY_SINCE: usize = 128;
    /// Attempts at the record that runs now.
    pub const RUNNING_ATTEMPT: usize = 136;
    /// Inbound ring of the record that runs now, plus one; 0 when none runs.
    pub const RUNNING_INBOUND: usize = 144;
    /// Position in that ring of the record's first descriptor.
    pub const RUNNING_AT: usize = 152;
    /// When the request that runs now is worth nothing any more.
    pub const RUNNING_DEADLINE: usize = 160;
    /// The low half of its id.
    pub const RUNNING_INVOCATION: usize = 168;
    /// How far giving up on the record has come; 0 while that has not begun.
    pub const RUNNING_STAGE: usize = 176;
    /// Why the process aborts; see `last_words`.
    pub const LAST_WORDS: usize = 184;
    /// Gateway: requests in flight.
    pub const IN_FLIGHT: usize = 192;
    /// Counters; see `counter`.
    pub const COUNTERS: usize = 256;
    /// How many there may be.
    pub const COUNTER_WORDS: usize = 64;
    /// Gateway: figures that go up and down; see `counter`.
    pub const GAUGES: usize = COUNTERS + COUNTER_WORDS * 8;
    /// How many there may be.
    pub const GAUGE_WORDS: usize = 32;
    /// Number of the next trace.
    pub const TRACE_HEAD: usize = 1024;
    /// Number of the next span.
    pub const SPAN_HEAD: usize = 1032;
    /// System calls that were refused, [`super::REFUSED_CALLS`] words; see `refused_call`.
    pub const REFUSED_CALLS: usize = 2048;
}

/// Words of a histogram. The buckets of short durations (under 8 µs) share a cache line with count and sum.
pub mod histogram_word {
    /// How many durations.
    pub const COUNT: usize = 0;
    /// Their sum in nanoseconds.
    pub const SUM: usize = 1;
    /// The first bucket.
    pub const BUCKETS: usize = 2;
    /// After the last bucket.
    pub const END: usize = BUCKETS + super::HISTOGRAM_BUCKETS;
}

/// Words of an entry of the table of suspects.
pub mod suspect_word {
    /// Inbound ring of the record, plus one; 0 if the entry is empty.
    pub const INBOUND: usize = 0;
    /// Position in that ring of its first descriptor.
    pub const AT: usize = 8;
    /// Attempts so far.
    pub const ATTEMPTS: usize = 16;
    /// When it may run again.
    pub const DUE: usize = 24;
    /// How far giving up has come.
    pub const STAGE: usize = 32;
    /// Cause of the last death, above its code.
    pub const CAUSE: usize = 40;
}

/// Words of an inbound cursor, from the start of its cache line.
pub mod cursor_word {
    /// Every descriptor before this position has been released. Of both positions the low half counts.
    pub const RELEASED: usize = 0;
    /// The sequence number after the last one accepted; never ahead of `RELEASED`.
    pub const SEQUENCE: usize = 8;
    /// The producer's epoch in which it was accepted.
    pub const EPOCH: usize = 16;
}

const fn taken_at(inbound_count: usize, inbound: usize) -> usize {
    round_up(PAGE_BYTES + inbound_count * LINE_BYTES, 2 * LINE_BYTES) + inbound * 8
}

impl PageLayout {
    /// The page of an instance with these many inbound rings and ports; `None` if there are too many.
    #[must_use]
    pub fn new(inbound_count: u32, port_count: u32) -> Option<Self> {
        if inbound_count > RINGS_MAX || port_count > 1024 {
            return None;
        }
        let inbound_count = usize::try_from(inbound_count).ok()?;
        let port_count = usize::try_from(port_count).ok()?;
        let histograms_at = round_up(taken_at(inbound_count, inbound_count), LINE_BYTES);
        let histograms = 1 + inbound_count * HISTOGRAMS_PER_INBOUND + port_count;
        let traces_at = round_up(histograms_at + histograms * HISTOGRAM_WORDS * 8, LINE_BYTES);
        Some(Self {
            inbound_count,
            port_count,
            histograms_at,
            traces_at,
        })
    }

    /// Where the cursor of inbound ring `inbound` starts.
    #[must_use]
    #[inline]
    pub const fn cursor_at(&self, inbound: usize) -> Option<usize> {
        if inbound < self.inbound_count {
            Some(PAGE_BYTES + inbound * LINE_BYTES)
        } else {
            None
        }
    }

    /// Where the word is that says how far inbound ring `inbound` is taken: every descriptor before that
    /// position, so that a producer that replaces another publishes after it. Not in the line of the cursor,
    /// nor in the one that processors fetch with it: a producer looks at the cursor for each record, and this
    /// is written as a record is taken, where waiting for the line would hold up all that is written after.
    #[must_use]
    #[inline]
    pub const fn taken_at(&self, inbound: usize) -> usize {
        taken_at(self.inbound_count, inbound)
    }

    /// Where the histogram of the handler's runs starts.
    #[must_use]
    #[inline]
    pub const fn run_histogram_at(&self) -> usize {
        self.histograms_at
    }

    /// Where histogram `which` (0 queued, 1 hand-over, 2 open) of inbound ring `inbound` starts.
    #[must_use]
    #[inline]
    pub const fn inbound_histogram_at(&self, inbound: usize, which: usize) -> Option<usize> {
        if inbound < self.inbound_count && which < HISTOGRAMS_PER_INBOUND {
            Some(self.histograms_at + (1 + inbound * HISTOGRAMS_PER_INBOUND + which) * HISTOGRAM_WORDS * 8)
        } else {
            None
        }
    }

    /// Where the histogram of sealing to port `port` starts.
    #[must_use]
    #[inline]
    pub const fn port_histogram_at(&self, port: usize) -> Option<usize> {
        if port < self.port_count {
            let before = 1 + self.inbound_count * HISTOGRAMS_PER_INBOUND + port;
            Some(self.histograms_at + before * HISTOGRAM_WORDS * 8)
        } else {
            None
        }
    }

    /// Where the descriptors are counted that were published over edge `edge` of port `port`. An edge further
    /// on is counted with the first: all edges of a port are sent the same segments.
    #[must_use]
    pub const fn sent_at(&self, port: usize, edge: usize) -> Option<usize> {
        let edge = if edge < EDGES_COUNTED { edge } else { 0 };
        match self.port_histogram_at(port) {
            Some(at) => Some(at + (histogram_word::END + edge) * 8),
            None => None,
        }
    }

    /// Where the traces start.
    #[must_use]
    #[inline]
    pub const fn traces_at(&self) -> usize {
        self.traces_at
    }

    /// Where the spans start.
    #[must_use]
    pub const fn spans_at(&self) -> usize {
        self.traces_at() + TRACES * TRACE_WORDS * 8
    }

    /// Where the table of closed invocations starts.
    #[must_use]
    pub const fn closed_at(&self) -> usize {
        self.spans_at() + SPANS * TRACE_WORDS * 8
    }

    /// Where the table of answered invocations starts, which has as many entries.
    #[must_use]
    pub const fn answered_at(&self) -> usize {
        self.closed_at() + CLOSED_ENTRIES * CLOSED_ENTRY_BYTES
    }

    /// Where entry `entry` of the table of suspects starts.
    #[must_use]
    pub const fn suspect_at(&self, entry: usize) -> usize {
        self.answered_at() + CLOSED_ENTRIES * CLOSED_ENTRY_BYTES + entry * SUSPECT_BYTES
    }

    /// Where the words start that say which records of inbound ring `inbound` are done.
    #[must_use]
    pub const fn done_at(&self, inbound: usize) -> usize {
        self.suspect_at(SUSPECTS) + inbound * DONE_WORDS * 8
    }

    /// Bytes of the whole region.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        round_up(self.done_at(self.inbound_count), PAGE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_region_do_not_overlap() {
        let outbox = OutboxLayout::new(3, 1024, 1 << 20).unwrap();
        assert_eq!(outbox.ring_at(0), Some(4096));
        assert_eq!(outbox.ring_at(1), Some(4096 + 65536));
        assert_eq!(outbox.ring_at(3), None);
        assert_eq!(outbox.segments_at(), 4096 + 3 * 65536);
        let page = PageLayout::new(2, 2).unwrap();
        let histogram = HISTOGRAM_WORDS * 8;
        assert!(page.cursor_at(1).unwrap() + LINE_BYTES <= page.taken_at(0));
        assert!(page.taken_at(1) + 8 <= page.run_histogram_at());
        assert_eq!(page.run_histogram_at() % LINE_BYTES, 0);
        for rings in 1..4 {
            let page = PageLayout::new(rings, 1).unwrap();
            let last = page.cursor_at(rings as usize - 1).unwrap();
            let pair = 2 * LINE_BYTES;
            assert!(
                last / pair < page.taken_at(0) / pair,
                "{rings} rings: beside a cursor"
            );
        }
        assert_eq!(
            page.run_histogram_at() + histogram,
            page.inbound_histogram_at(0, 0).unwrap()
        );
        assert_eq!(
            page.inbound_histogram_at(1, 2).unwrap() + histogram,
            page.port_histogram_at(0).unwrap()
        );
        assert!(page.port_histogram_at(1).unwrap() + histogram <= page.traces_at());
        assert_eq!(page.cursor_at(2), None);
        assert_eq!(page.len_bytes() % PAGE_BYTES, 0);
    }

    #[test]
    fn a_mapped_region_holds_what_an_outbox_of_the_same_bounds_does() {
        for outbox_bytes in [1 << 20, (1 << 20) + 1, 64 << 20, 100 << 20, OUTBOX_MAX_BYTES] {
            let layout = MappedLayout::new(ring_capacity(outbox_bytes), outbox_bytes).unwrap();
            let room = u64::from(layout.leaves()) * layout.leaf_bytes() as u64;
            assert!(room >= outbox_bytes);
            assert!(u64::from(layout.leaves()) <= LEAVES_MAX);
            assert!(layout.ring_at() + layout.ring_capacity() * LINE_BYTES <= layout.room_at());
            assert_eq!(layout.leaf_of(layout.leaf_at(3)), Some(3));
            assert_eq!(layout.leaf_of(layout.leaf_at(3) + 64), None);
            assert_eq!(layout.leaf_of(layout.len_bytes()), None);
            assert_eq!(layout.leaf_of(0), None);
        }
        assert!(MappedLayout::new(256, 0).is_none());
    }

    #[test]
    fn counts_out_of_bounds_give_no_layout() {
        assert!(OutboxLayout::new(1, 1000, 1 << 20).is_none());
        assert!(OutboxLayout::new(1, 128, 1 << 20).is_none());
        assert!(OutboxLayout::new(1, 1024, 1 << 10).is_none());
        assert!(OutboxLayout::new(RINGS_MAX + 1, 1024, 1 << 20).is_none());
        assert!(PageLayout::new(RINGS_MAX + 1, 1).is_none());
        assert_eq!(ring_capacity(1 << 20), 256);
        assert_eq!(ring_capacity(64 << 20), 1024);
    }
}
