//! Where the records of an output port leave: the left column of [`crate::hop`].
//!
//! ```text
//! port        which instances take the record that begins now
//! reserve     a place in each of their rings, and room: a slot of the outbox, or an extent of a region
//! seal        plaintext to ciphertext, under a nonce of its own
//! publish     the descriptor, to one consumer instance; back comes what it has released
//! ```
//!
//! An [`Outlet`] is one of those rings, with the room that its records take: *sealed*, in the outbox, where
//! all sealed outlets of a port share one slot, or *mapped*, in a region of its own. All else treats them
//! alike.

pub(crate) mod extents;
pub(crate) mod mapped;
pub(crate) mod outbox;
pub(crate) mod outlets;
mod placing;
pub(crate) mod port;
pub(crate) mod publish;
pub(crate) mod rooms;
pub mod seal;
pub(crate) mod sender;
pub(crate) mod slots;
mod starving;
mod streams;
mod unfinished;

use crate::record::descriptor::Descriptor;
use alloc::boxed::Box;
use mapped::MappedRoom;
use outbox::Outbox;
use publish::OutRing;
use rooms::Rooms;
use slots::SlotIndex;

/// Where the records for one consumer instance leave.
pub(crate) struct Outlet {
    pub(crate) out_ring: OutRing,
    room: Room,
}

/// What holds the records of an outlet until its consumer has released them.
enum Room {
    /// The outbox: which slot each position of the ring names.
    Outbox(Rooms<SlotIndex>),
    /// A region of its own.
    Mapped(Box<MappedRoom>),
}

/// One segment on its way out.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'s> {
    pub(crate) descriptor: &'s Descriptor,
    /// Where it lies sealed, if it was sealed for anybody.
    pub(crate) slot: Option<SlotIndex>,
    pub(crate) plain: &'s [u8],
    pub(crate) now_ns: u64,
}

impl Outlet {
    /// One whose ring and segments lie in the outbox.
    pub(crate) fn sealed(out_ring: OutRing) -> Self {
        Self {
            room: Room::Outbox(Rooms::new(out_ring.capacity())),
            out_ring,
        }
    }

    /// One with a region of its own.
    pub(crate) fn mapped(out_ring: OutRing, room: MappedRoom) -> Self {
        Self {
            out_ring,
            room: Room::Mapped(Box::new(room)),
        }
    }

    /// Whether its segments are sealed.
    pub(crate) const fn is_sealed(&self) -> bool {
        matches!(self.room, Room::Outbox(_))
    }

    /// Takes back the room of what the consumer has released since the last look.
    #[inline]
    pub(crate) fn reclaim(&mut self, outbox: &mut Outbox) {
        match &mut self.room {
            Room::Outbox(rooms) => self.out_ring.reclaim(|position| {
                if let Some(slot) = rooms.take(position) {
                    outbox.slots_mut().let_go(slot);
                }
            }),
            Room::Mapped(room) => self.out_ring.reclaim(|position| room.give_back_at(position)),
        }
    }

    /// Makes sure that `places` descriptors fit; and of a mapped outlet reserves an extent for the segment,
    /// too. `false` if there is no room now.
    pub(crate) fn reserve(&mut self, outbox: &mut Outbox, len_bytes: usize, places: u64) -> bool {
        if let Room::Mapped(room) = &mut self.room {
            return room.reserve(&mut self.out_ring, len_bytes, places);
        }
        if self.out_ring.is_worth_a_look(len_bytes) {
            self.reclaim(outbox);
        }
        self.out_ring.has_room(places)
    }

    /// Gives up what was reserved for a segment that is not published.
    pub(crate) fn give_back(&mut self) {
        if let Room::Mapped(room) = &mut self.room {
            room.give_back();
        }
    }

    /// Publishes a segment: the slot that it was sealed into, or on a mapped edge a copy of its own.
    #[inline(always)]
    pub(crate) fn publish(&mut self, outbox: &Outbox, segment: Segment<'_>) {
        match &mut self.room {
            Room::Outbox(rooms) => {
                rooms.put(self.out_ring.tail(), segment.slot);
                outbox.publish(&mut self.out_ring, segment.descriptor);
            }
            Room::Mapped(room) => {
                room.publish(
                    &mut self.out_ring,
                    segment.descriptor,
                    segment.plain,
                    segment.now_ns,
                );
            }
        }
    }

    /// Whether `len_bytes` more bytes of the present record do not fit into a region of its own even when all
    /// others are released.
    pub(crate) fn is_too_small_for(&self, len_bytes: usize) -> bool {
        match &self.room {
            Room::Outbox(_) => false,
            Room::Mapped(room) => room.is_too_small_for(len_bytes, self.out_ring.streams()),
        }
    }

    /// The room of a mapped outlet, and its ring.
    pub(crate) fn mapped_mut(&mut self) -> Option<(&mut MappedRoom, &mut OutRing)> {
        match &mut self.room {
            Room::Outbox(_) => None,
            Room::Mapped(room) => Some((room, &mut self.out_ring)),
        }
    }

    /// Takes over from a predecessor: keeps what the consumer has not released. Returns the last descriptor
    /// of that.
    pub(crate) fn resume(&mut self, outbox: &mut Outbox, epoch: u32) -> Option<Descriptor> {
        match &mut self.room {
            Room::Outbox(rooms) => outbox.resume(&mut self.out_ring, epoch, |position, slot| {
                rooms.put(position, Some(slot));
            }),
            Room::Mapped(room) => room.resume(&mut self.out_ring, epoch),
        }
    }

    /// Announces in a region of its own that this producer waits for room.
    pub(crate) fn announce_starved(&mut self) {
        if let Room::Mapped(room) = &mut self.room {
            room.announce_starved();
        }
    }

    /// Says there that the wait is over.
    pub(crate) fn fed(&mut self) {
        if let Room::Mapped(room) = &mut self.room {
            room.fed();
        }
    }

    /// Says there whether this instance serves.
    pub(crate) fn set_serving(&self, serving: bool) {
        if let Room::Mapped(room) = &self.room {
            room.set_serving(serving);
        }
    }
}
