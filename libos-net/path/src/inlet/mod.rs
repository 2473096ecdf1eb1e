//! Where records arrive: the right column of `hop.rs`, but for what is done with their payload.
//!
//! ```text
//! peek        the next descriptor of one ring, checked in private memory (I2), in its order (I9)
//! hold        on a mapped edge: its leaves, which no other record that is held may overlap
//! accept      it belongs to a record, which is held from now on
//! release     the record has had all its effects (I5): its producer may reuse what it took
//! ```
//!
//! An `Inlet` is one ring with its order, epoch and cursor, seen from the consumer. It never touches payload,
//! and holds no key: what happens to payload between `peek` and `accept` is decided in `payload/` (open,
//! copy, view) or by a carrier (relay).

mod cursor;
mod held;
mod leaves;
mod order;
mod peek;
mod release;
mod resume;
pub(crate) mod step;

use crate::attach::contradiction::BadAttachment;
use crate::attach::message;
use crate::machine::bell::Bell;
use crate::machine::clock::Monotonic;
use crate::record::descriptor::TAG_BYTES;
use crate::record::descriptor::{Descriptor, Malformed};
use crate::region::layout::{MappedLayout, OutboxLayout, PageLayout, outbox_word};
use crate::region::memory::{PeerRegion, PeerSpan, SealedBytes};
use crate::region::ring;
use crate::sync::Ordering;
use crate::wait::park::{Waker, is_announced};
use alloc::boxed::Box;
use alloc::sync::Arc;
use cursor::Cursor;
use held::HeldRecords;
use leaves::HeldLeaves;
use order::Order;

pub use step::{Opened, RecordPlace, Step, Taking, Upstream};

/// The consumer's end of one ring.
pub(crate) struct Inlet {
    index: usize,
    upstream: Upstream,
    port: u16,
    /// The producer's outbox, or the mapped region of this ring.
    region: Arc<PeerRegion>,
    shape: Shape,
    ring_at: usize,
    capacity: usize,
    /// What is accepted was authenticated, so epoch and order are its producer's word.
    is_vouched_for: bool,
    cursor: Cursor,
    producer_bell: Box<dyn Bell>,
    producer_waker: Waker,
    order: Order,
    /// Position to look at next.
    next: u64,
    /// Records before `next` that are not released.
    held: HeldRecords,
    /// How many positions they may take: what the ring has, or nothing while this end has paused.
    held_max: u64,
    /// Epoch and sequence of the record of which a process before this one may have released the beginning,
    /// until that was told: its rest is passed over, if it has one.
    interrupted_record: Option<(u32, u64)>,
    /// The corrupt slot that was refused last.
    corrupt_at: Option<u64>,
    /// Up to where its producer had published when this process began.
    published_to: u64,
    /// Up to where a process before this one had taken what it published.
    taken_to: u64,
    /// Where nothing is vouched for: the number of the producer's process that was seen last, and from which
    /// position on.
    producer_process: u64,
    producer_since: u64,
}

/// Where segments lie in the region, as their descriptors say it.
enum Shape {
    /// In slots of an outbox, with a tag behind each.
    Outbox(OutboxLayout),
    /// In leaves of a mapped region.
    Mapped(HeldLeaves),
}

impl Shape {
    /// What an entry says of the producer's region: its shape, where its ring starts, how many descriptors
    /// that holds, and how long the region is.
    fn of(inbound: &message::Inbound) -> Result<(Self, usize, usize, usize), BadAttachment> {
        let (capacity, outbox_bytes) = (inbound.producer_ring_capacity, inbound.producer_outbox_bytes);
        if inbound.mapped == 1 {
            let layout = MappedLayout::new(capacity, outbox_bytes).ok_or(BadAttachment("a mapped region"))?;
            let (ring_at, capacity) = (layout.ring_at(), layout.ring_capacity());
            let len_bytes = layout.len_bytes();
            return Ok((
                Self::Mapped(HeldLeaves::new(layout)),
                ring_at,
                capacity,
                len_bytes,
            ));
        }
        let layout = OutboxLayout::new(inbound.producer_ring_count, capacity, outbox_bytes)
            .ok_or(BadAttachment("a producer's outbox"))?;
        let ring_at = layout
            .ring_at(inbound.ring)
            .ok_or(BadAttachment("a producer's ring"))?;
        let (capacity, len_bytes) = (layout.ring_capacity(), layout.len_bytes());
        Ok((Self::Outbox(layout), ring_at, capacity, len_bytes))
    }

    /// When a segment was published, if its descriptor says it.
    #[inline(always)]
    fn published(&self, words: &[u64; ring::WORDS]) -> Option<Monotonic> {
        match self {
            Self::Outbox(_) => None,
            Self::Mapped(_) => Some(Descriptor::mapped_published(words)),
        }
    }
}

/// A segment that was found, checked but for its payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peeked {
    pub(crate) descriptor: Descriptor,
    /// Whether a record begins with it.
    pub(crate) begins: bool,
    /// When it was published, if its descriptor says it.
    published: Option<Monotonic>,
}

impl Inlet {
    /// `region` brings the producer's region, of so many bytes; `is_vouched_for`: whether what is accepted
    /// here will have been authenticated.
    pub(crate) fn new<F>(
        index: usize,
        inbound: &message::Inbound,
        page_layout: &PageLayout,
        region: impl FnOnce(usize) -> Result<PeerRegion, F>,
        bell: Box<dyn Bell>,
        is_vouched_for: bool,
    ) -> Result<Result<Self, F>, BadAttachment> {
        let (shape, ring_at, capacity, len_bytes) = Shape::of(inbound)?;
        let cursor = Cursor::new(page_layout, index).ok_or(BadAttachment("an inbound ring"))?;
        let port = u16::try_from(inbound.port).map_err(|_| BadAttachment("a port"))?;
        if inbound.member >= inbound.group_width {
            return Err(BadAttachment("a join"));
        }
        Ok(region(len_bytes).map(|region| Self {
            index,
            upstream: Upstream::of(inbound),
            port,
            region: Arc::new(region),
            shape,
            ring_at,
            capacity,
            is_vouched_for,
            cursor,
            producer_bell: bell,
            producer_waker: Waker::default(),
            order: Order::new(inbound.gapless == 1),
            next: 0,
            held: HeldRecords::default(),
            held_max: capacity as u64,
            interrupted_record: None,
            corrupt_at: None,
            published_to: 0,
            taken_to: 0,
            producer_process: 0,
            producer_since: 0,
        }))
    }

    /// What is known of the sender.
    pub(crate) const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The region that the ring lies in.
    pub(crate) const fn region(&self) -> &Arc<PeerRegion> {
        &self.region
    }

    fn slots(&self) -> Option<&[ring::Slot]> {
        self.region.slots(self.ring_at, self.capacity)
    }

    /// Segments of full size that the producer's outbox holds; none where nothing is sealed.
    pub(crate) const fn full_slots(&self) -> usize {
        match &self.shape {
            Shape::Outbox(layout) => layout.full_slots(),
            Shape::Mapped(_) => 0,
        }
    }

    /// The bytes of a segment of a mapped edge, whoever says where they are: none, if they are not whole
    /// leaves of this region.
    pub(crate) fn mapped_segment(&self, descriptor: &Descriptor) -> Option<PeerSpan<'_>> {
        let Shape::Mapped(leaves) = &self.shape else {
            return None;
        };
        leaves.layout().leaf_of(descriptor.offset)?;
        self.region.span(descriptor.offset, descriptor.len_bytes)
    }

    /// The bytes of a segment whose descriptor was read from this ring, and so checked: ciphertext and tag,
    /// or on a mapped edge plaintext.
    pub(crate) fn segment(&self, descriptor: &Descriptor) -> Option<PeerSpan<'_>> {
        let tail_bytes = match &self.shape {
            Shape::Outbox(_) => TAG_BYTES,
            Shape::Mapped(_) => 0,
        };
        self.region
            .span(descriptor.offset, descriptor.len_bytes + tail_bytes)
    }

    /// The bytes of a sealed segment, to be handed on as they are; `None` of a mapped edge.
    pub(crate) fn sealed_segment(&self, descriptor: &Descriptor) -> Option<SealedBytes<'_>> {
        match &self.shape {
            Shape::Outbox(_) => self
                .region
                .sealed(descriptor.offset, descriptor.len_bytes + TAG_BYTES),
            Shape::Mapped(_) => None,
        }
    }

    /// Asks for the segment after the present one, if there is one already: it is opened next.
    #[inline(always)]
    pub(crate) fn prefetch_next(&self) {
        let Some(slots) = self.slots() else { return };
        // As a rule there is none.
        if !ring::is_published(slots, self.next + 1) {
            return;
        }
        let ring::Found::Words(words) = ring::peek(slots, self.next + 1) else {
            return;
        };
        let described = self.read(&words).ok();
        if let Some(span) = described.and_then(|descriptor| self.segment(&descriptor)) {
            span.prefetch();
        }
    }

    /// A descriptor, checked.
    #[inline(always)]
    fn read(&self, words: &[u64; ring::WORDS]) -> Result<Descriptor, Malformed> {
        match &self.shape {
            Shape::Outbox(layout) => Descriptor::from_words(words, layout),
            Shape::Mapped(leaves) => Descriptor::from_mapped_words(words, leaves.layout(), self.port),
        }
    }

    /// When a sealed segment was published, as its producer says behind it.
    #[inline(always)]
    fn published_behind(&self, descriptor: &Descriptor) -> Monotonic {
        let word = self.region.word(descriptor.published_at());
        Monotonic::from_ns(word.map_or(0, |word| word.load(Ordering::Relaxed)))
    }

    /// Whether the producer has said that it serves.
    pub(crate) fn producer_serves(&self) -> bool {
        self.region
            .word(outbox_word::STATE)
            .is_some_and(|state| state.load(Ordering::Relaxed) == 1)
    }

    /// Whether the producer says that it waits for room.
    pub(crate) fn producer_starves(&self) -> bool {
        self.region
            .word(outbox_word::STARVED)
            .is_some_and(|starved| is_announced(starved.load(Ordering::Relaxed)))
    }

    /// Where nothing is vouched for, the number of the producer's process; else 0, as it is authenticated who
    /// speaks.
    fn process_of_producer(&self) -> u64 {
        if self.is_vouched_for {
            return 0;
        }
        let word = self.region.word(outbox_word::PROCESS);
        word.map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Whether the producer is another process than before, where nothing is vouched for. What that one said
    /// of epoch and order was its own word, and may be nothing that a clean replacement can follow; and that
    /// one may not have left word of the leaves that are held here, so they are not in its way. Not again
    /// before what was held then is released: so no more than twice what the region holds is ever held (I6),
    /// whatever a producer says of itself.
    fn has_new_producer(&mut self) -> bool {
        let process = self.process_of_producer();
        let oldest = self.held.oldest().unwrap_or(self.next);
        if process == self.producer_process || oldest < self.producer_since {
            return false;
        }
        self.producer_process = process;
        self.producer_since = self.next;
        if let Shape::Mapped(leaves) = &mut self.shape {
            leaves.forget();
        }
        true
    }

    /// The record that is arriving.
    fn arriving(&self) -> Option<RecordPlace> {
        let first = self.held.newest().filter(|_| self.order.is_mid_record())?;
        Some(RecordPlace {
            ring: self.index,
            first,
        })
    }
}
