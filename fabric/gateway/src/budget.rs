//! The gateway's one memory budget (I11): what clients and functions can make it hold is charged here, from
//! the head of a request to the last written byte of its reply, and what does not fit is refused before it is
//! held.
//!
//! ```text
//! memory limit = the process itself + allocator's slack + accounts
//! accounts     = reserved for connections + reserved for each chain + common
//! ```
//!
//! An account uses what is reserved for it first, then borrows from the common part: as long as it would not
//! hold more of it than is left for others. So one chain alone gets half of the common part, two get a third
//! each, and nobody takes what is reserved for another chain: its largest request and its largest reply.
//!
//! Sealed records lie in the outboxes, which are no private memory and have bounds of their own.

use super::framing::HEAD_MAX_BYTES;
use core::task::Waker;
use hacher_libos_net::headers::ENCODED_MAX_BYTES;
use hacher_libos_net::layout::SEGMENT_BYTES;
use hacher_sealed_request::head;
use hacher_sealed_request::segments::{OVERHEAD_BYTES, SEGMENT_MAX_BYTES};
use rustix::process::{Resource, getrlimit};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What a gateway may use: bodies of requests and replies in flight are its own memory.
pub const MEMORY_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// The program's own data: tables of rings and keys, the TLS configuration, the runtime.
const PROCESS_BYTES: u64 = 128 << 20;
/// One byte in so many is left to the allocator, for what lies unused between allocations.
const SLACK_DIVISOR: u64 = 8;
/// What one connection costs besides its requests: a task, buffers for reading a head and for writing (32 KiB
/// each, and as much again while a head is in use), and TLS records in both directions.
pub(super) const CONNECTION_BYTES: u64 = 160 << 10;
/// Connections at a time, without the spare ones: half of the descriptors that the monitor lets a gateway
/// have, so that those which are being closed have some, too.
pub(super) const ORDINARY_MAX: usize = 1024;
/// Further connections, for health alone.
pub(super) const SPARE_MAX: usize = 64;
/// All of them.
pub(super) const PLACES_MAX: usize = ORDINARY_MAX + SPARE_MAX;
/// Bytes that an HTTP/2 client may have sent and no request has taken, over all streams.
pub(super) const HTTP_2_WINDOW_BYTES: u32 = 1 << 20;
/// What an HTTP/2 connection may have received that no request has taken yet: its window, and header blocks
/// in decoding.
pub(super) const HTTP_2_BYTES: u64 = HTTP_2_WINDOW_BYTES as u64 + (256 << 10);
/// What a stream of HTTP/2 holds beside a text that answers it, until that was written: its state, its task,
/// its headers.
pub(super) const HTTP_2_STREAM_BYTES: u64 = 4 << 10;
/// What one request costs besides its body: its task, who waits for it, and a problem that answers it.
pub(super) const REQUEST_BYTES: u64 = 8 << 10;

/// What an upload holds at most that is handed on as it arrives: a piece that is on its way, one that fills,
/// and what its connection gives at a time.
pub(super) const UPLOAD_BYTES: u64 = 3 * SEGMENT_BYTES as u64;
/// What a reply holds at most that leaves as it is made, beside its first segment: what waits for its client,
/// a segment that comes, and what is being written.
pub(super) const FLOW_BYTES: u64 = FLOW_WAITING_BYTES as u64 + 2 * SEGMENT_BYTES as u64;
/// What of it may wait: enough for one write of the socket while the ring, which has a window of its own, is
/// filled again.
pub(super) const FLOW_WAITING_BYTES: usize = 4 * SEGMENT_BYTES;

/// What all accounts may borrow, and what they have.
#[derive(Debug)]
pub(super) struct Budget {
    /// What all accounts may hold together.
    total: u64,
    common: Cell<u64>,
    borrowed: Cell<u64>,
}

/// Somebody's part of the budget.
#[derive(Debug)]
pub(super) struct Account {
    budget: Rc<Budget>,
    reserved: u64,
    used: Cell<u64>,
    /// Woken when something is given back.
    waiter: RefCell<Option<Waker>>,
    /// What pays for it, if it is a part of another.
    _paid_by: Option<Charge>,
}

/// Bytes that are held; given back when dropped.
#[derive(Debug)]
pub(super) struct Charge {
    account: Rc<Account>,
    bytes: u64,
}

impl Budget {
    /// The budget of this process, whose memory the monitor has limited.
    pub(super) fn of_this_process() -> Rc<Self> {
        let limit = getrlimit(Resource::Data).current;
        Self::new(limit.unwrap_or(MEMORY_BYTES))
    }

    pub(super) fn new(memory_bytes: u64) -> Rc<Self> {
        let total = shared_bytes(memory_bytes);
        Rc::new(Self {
            total,
            common: Cell::new(total),
            borrowed: Cell::new(0),
        })
    }

    /// Bytes that all accounts may hold together.
    pub(super) const fn total_bytes(&self) -> u64 {
        self.total
    }

    /// Bytes that no account has reserved.
    pub(super) const fn common_bytes(&self) -> u64 {
        self.common.get()
    }

    /// Opens an account. The loader has checked that all reserves fit; if they do not, the last ones get
    /// less.
    pub(super) fn account(self: &Rc<Self>, reserved: u64) -> Rc<Account> {
        let reserved = reserved.min(self.common.get());
        self.common.set(self.common.get() - reserved);
        Rc::new(Account {
            budget: Rc::clone(self),
            reserved,
            used: Cell::new(0),
            waiter: RefCell::default(),
            _paid_by: None,
        })
    }
}

impl Account {
    /// An account of what `charge` has paid for: it holds no more than that, and costs no more.
    pub(super) fn of(charge: Charge) -> Rc<Self> {
        let budget = Budget {
            total: charge.bytes,
            common: Cell::new(0),
            borrowed: Cell::new(0),
        };
        Rc::new(Self {
            budget: Rc::new(budget),
            reserved: charge.bytes,
            used: Cell::new(0),
            waiter: RefCell::default(),
            _paid_by: Some(charge),
        })
    }

    /// Wakes `waker` once something is given back.
    pub(super) fn wake_when_freed(&self, waker: &Waker) {
        *self.waiter.borrow_mut() = Some(waker.clone());
    }

    /// Bytes that are held.
    pub(super) const fn used_bytes(&self) -> u64 {
        self.used.get()
    }

    /// How much more than now is borrowed with `bytes` more.
    fn more_borrowed(&self, bytes: u64) -> u64 {
        let used = self.used.get();
        self.beyond(used.saturating_add(bytes)) - self.beyond(used)
    }

    fn beyond(&self, used: u64) -> u64 {
        used.saturating_sub(self.reserved)
    }

    /// Whether `bytes` more may be held.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let more = self.more_borrowed(bytes);
        if more == 0 {
            return true;
        }
        let after = self.budget.borrowed.get().saturating_add(more);
        let left = self.budget.common.get().checked_sub(after);
        let own = self.beyond(self.used.get().saturating_add(bytes));
        left.is_some_and(|left| own <= left)
    }

    #[cfg(test)]
    pub(super) fn is_used(&self) -> bool {
        self.used.get() > 0
    }

    fn add(&self, bytes: u64) {
        let more = self.more_borrowed(bytes);
        self.budget.borrowed.set(self.budget.borrowed.get() + more);
        self.used.set(self.used.get() + bytes);
    }

    fn give_back(&self, bytes: u64) {
        let used = self.used.get();
        let left = used.saturating_sub(bytes);
        let less = self.beyond(used) - self.beyond(left);
        let borrowed = self.budget.borrowed.get();
        self.budget.borrowed.set(borrowed.saturating_sub(less));
        self.used.set(left);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    /// Charges `bytes`; `None` if there is no room for them.
    pub(super) fn charge(self: &Rc<Self>, bytes: u64) -> Option<Charge> {
        self.has_room(bytes).then(|| {
            let mut charge = self.nothing();
            charge.set(bytes);
            charge
        })
    }

    /// A charge that may grow.
    pub(super) fn nothing(self: &Rc<Self>) -> Charge {
        Charge {
            account: Rc::clone(self),
            bytes: 0,
        }
    }
}

impl Charge {
    /// The account that is charged.
    pub(super) const fn account(&self) -> &Rc<Account> {
        &self.account
    }

    /// Charges `bytes` in all; `false`, and nothing changes, if there is no room for them.
    #[must_use]
    pub(super) fn try_set(&mut self, bytes: u64) -> bool {
        let has_room = self.account.has_room(bytes.saturating_sub(self.bytes));
        if has_room {
            self.set(bytes);
        }
        has_room
    }

    /// Charges `bytes` in all, for memory that was asked for by [`Account::has_room`] and is held now.
    pub(super) fn set(&mut self, bytes: u64) {
        if bytes > self.bytes {
            self.account.add(bytes - self.bytes);
        } else {
            self.account.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.give_back(self.bytes);
    }
}

/// What a gateway with this much memory has for all accounts.
const fn shared_bytes(memory_bytes: u64) -> u64 {
    let rest = memory_bytes.saturating_sub(PROCESS_BYTES);
    rest - rest / SLACK_DIVISOR
}

/// Memory of a record with a body of this size, in pieces of which each may be half empty.
pub(super) const fn record_bytes(body_bytes: u64) -> u64 {
    (body_bytes + ENCODED_MAX_BYTES as u64).next_multiple_of(SEGMENT_BYTES as u64) + 2 * SEGMENT_BYTES as u64
}

/// Memory of the largest request, collected whole or handed on as it arrives.
const fn request_bytes(max_body_bytes: u64) -> u64 {
    let whole = record_bytes(max_body_bytes);
    if whole > UPLOAD_BYTES { whole } else { UPLOAD_BYTES }
}

/// Memory of the largest reply, collected whole or as it leaves while it is made. `parts`: how many records
/// it joins at most, 1 if it joins none.
pub(super) const fn reply_bytes(max_reply_bytes: u64, parts: u64) -> u64 {
    let whole = if parts > 1 {
        joined_bytes(max_reply_bytes, parts)
    } else {
        record_bytes(max_reply_bytes)
    };
    let flow = FLOW_BYTES + SEGMENT_BYTES as u64;
    if whole > flow { whole } else { flow }
}

/// What stands before a part of a joined reply: its headers once more, as lines of text, each a byte longer
/// than the five or more that a header takes in a record. A vector that grew may be half empty.
const PART_HEAD_BYTES: u64 = 2 * (ENCODED_MAX_BYTES as u64 * 6 / 5 + PART_NAMES_BYTES);
/// The boundary, and which function's port and what status a part has.
const PART_NAMES_BYTES: u64 = 512;

/// Memory of a reply that joins so many records, whose bodies together are no longer than a reply may be:
/// each is one of its own, with headers and with pieces that are not full.
const fn joined_bytes(max_reply_bytes: u64, parts: u64) -> u64 {
    let beside_body = record_bytes(0) + SEGMENT_BYTES as u64 + PART_HEAD_BYTES;
    // And the boundary at the end.
    max_reply_bytes + parts * beside_body + PART_NAMES_BYTES
}

/// What a sealed request holds besides its record while it arrives: a segment that is not whole, the
/// plaintext of one, and a head inside that is not whole.
const SEALED_BYTES: u64 = (2 * SEGMENT_MAX_BYTES + OVERHEAD_BYTES + 2 * head::HEAD_MAX_BYTES) as u64;

/// What a chain needs to serve its largest request with its largest reply, which joins so many records at
/// most; 1 if it joins none.
#[must_use]
pub const fn chain_bytes(max_body_bytes: u64, max_reply_bytes: u64, reply_parts: u64) -> u64 {
    REQUEST_BYTES
        + HEAD_MAX_BYTES as u64
        + SEALED_BYTES
        + request_bytes(max_body_bytes)
        + reply_bytes(max_reply_bytes, reply_parts)
}

/// What is reserved for connections.
pub(super) const fn connections_bytes() -> u64 {
    PLACES_MAX as u64 * CONNECTION_BYTES
}

/// What a gateway with this much memory has for one request and one reply of each of its chains.
#[must_use]
pub const fn room_for_chains(memory_bytes: u64) -> u64 {
    shared_bytes(memory_bytes).saturating_sub(connections_bytes())
}

/// The least memory of a gateway that has so much room for its chains ([`room_for_chains`]).
#[must_use]
pub const fn least_memory_bytes(chains_bytes: u64) -> u64 {
    let shared = connections_bytes().saturating_add(chains_bytes);
    // So much that what is left after the allocator's slack is enough.
    PROCESS_BYTES.saturating_add(shared.saturating_add(shared / (SLACK_DIVISOR - 1)) + SLACK_DIVISOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn budget(shared: u64) -> Rc<Budget> {
        Rc::new(Budget {
            total: shared,
            common: Cell::new(shared),
            borrowed: Cell::new(0),
        })
    }

    #[test]
    fn the_least_memory_is_enough_and_a_little_less_is_not() {
        let needed = 3 * chain_bytes(32 << 20, 1 << 20, 1);
        let least = least_memory_bytes(needed);
        assert!(room_for_chains(least) >= needed);
        assert!(room_for_chains(least - 64) < needed);
    }

    #[test]
    fn what_is_reserved_for_a_chain_is_there_whatever_others_hold() {
        let budget = budget(100 * MIB);
        let (hog, modest) = (budget.account(10 * MIB), budget.account(20 * MIB));
        let mut held = Vec::new();
        while let Some(charge) = hog.charge(MIB) {
            held.push(charge);
        }
        // Its own 10, and half of the common 70.
        assert_eq!(held.len(), 45);
        let first = modest.charge(20 * MIB).unwrap();
        // And it can borrow, too: half of what the other has left.
        let mut borrowed = Vec::new();
        while let Some(charge) = modest.charge(MIB) {
            borrowed.push(charge);
        }
        assert_eq!(borrowed.len(), 17);
        drop((held, borrowed, first));
        assert_eq!(
            (budget.borrowed.get(), hog.used.get(), modest.used.get()),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_charge_follows_what_is_held() {
        let budget = budget(10 * MIB);
        let account = budget.account(MIB);
        let mut charge = account.nothing();
        charge.set(3 * MIB);
        assert_eq!((account.used.get(), budget.borrowed.get()), (3 * MIB, 2 * MIB));
        charge.set(MIB / 2);
        assert_eq!((account.used.get(), budget.borrowed.get()), (MIB / 2, 0));
        drop(charge);
        assert_eq!(account.used.get(), 0);
        assert!(!account.has_room(u64::MAX));
    }

    #[test]
    fn reserves_that_do_not_fit_are_cut_and_never_wrap() {
        let budget = budget(MIB);
        let (first, second) = (budget.account(MIB), budget.account(MIB));
        assert!(first.has_room(MIB) && !first.has_room(MIB + 1));
        assert!(!second.has_room(1));
    }
}
