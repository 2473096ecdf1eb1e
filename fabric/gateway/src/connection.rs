//! One client's connection, as far as its limits are concerned: what it is waiting for, and for how long.
//!
//! The places' clock ticks once a second and looks at every connection, so a request sets no timer of its
//! own. Who keeps the gateway waiting is closed:
//!
//! | waiting for | limit |
//! |---|---|
//! | the first request, its first byte or the whole TLS handshake | 10 s |
//! | the rest of a head | 10 s |
//! | the next request | 60 s |
//! | the rest of a body | see `request_body.rs` |
//! | room to write | less than 16 KiB in 15 s, whatever the reply's length |
//! | the next segment of a reply | 30 s |
//! | the end of a reply | 30 s, and a second for every 32 KiB |
//!
//! A connection that is to end while its client sends nothing ends between two looks at its socket: what has
//! arrived by then is answered, and what comes later is read for a moment, so that the client finds an end
//! and no reset.

use super::budget::Charge;
use super::client::Client;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Seconds of the places' clock.
pub(super) type Tick = u64;

/// How long the first request of a connection may stay away.
const FIRST_TICKS: Tick = 10;
/// How long a head may take from its first byte on.
const HEAD_TICKS: Tick = 10;
/// How long a connection may be without a request.
const IDLE_TICKS: Tick = 60;
/// How long an idle connection may take to end after it was told to.
const GOODBYE_TICKS: Tick = 5;
/// Within so long a client that is being written to takes at least this much.
const WRITE_TICKS: Tick = 15;
const WRITE_MIN_BYTES: u64 = 16 << 10;
/// How long the whole of a reply may take: this, and a second for each so many bytes.
const REPLY_TICKS: Tick = 30;
const REPLY_BYTES_PER_TICK: u64 = 32 << 10;
/// Longer if its client reads other replies of the same connection meanwhile, but not longer than this.
const REPLY_TICKS_MAX: Tick = 600;
/// And how long a reply may take to be taken over by another segment, and its last one to be written: HTTP/2
/// has windows of its own in front of the socket.
const SEGMENT_TICKS: Tick = 30;
/// How long a client is listened to after the end, if it was sending what will not be read.
const LINGER: Duration = Duration::from_secs(10);
/// The same if it was sending nothing: what was on its way then arrives within a round trip.
const LINGER_IDLE: Duration = Duration::from_millis(200);
/// After so long without a byte, a client that is waited for may be closed to make room for another.
const STALLED_TICKS: Tick = 2;

/// In place of when a reply has moved: its next segment is not there yet.
const AWAITED: Tick = Tick::MAX;

/// So long a connection is kept for what its client has to say, from the first look at its socket on.
const NEW: Duration = Duration::from_millis(20);

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// Not at all.
    Open,
    /// As the protocol has it, when nothing is in progress.
    Gracefully,
    /// Now.
    Now,
}

/// What is to be done when nothing lies in a connection's socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum WhenQuiet {
    /// Nothing: more may come.
    #[default]
    Wait,
    /// To be said: what is written before the end is not written yet.
    Say,
    /// The writing side is shut at once, so that as little time as can be lies in between.
    Shut,
}

/// Which connections go first when there is no place left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dispensable {
    /// No request in progress; the number says how long ago there was one.
    Idle(u64),
    /// A client that is waited for, and has not moved a byte since this tick.
    Stalled(Tick),
}

/// A reply that is on its way.
#[derive(Debug)]
struct Pending {
    number: u64,
    /// When it began, and what the connection had sent then.
    begun_at: Tick,
    sent_before: u64,
    latest_end: Tick,
    moved_at: Tick,
}

impl Pending {
    /// Whether it is late because its client reads other replies besides, and all of them as fast as one
    /// alone must be read.
    const fn shares_a_fast_connection(&self, now: Tick, sent: u64) -> bool {
        let taken = now.saturating_sub(self.begun_at);
        let due_bytes = taken.saturating_sub(REPLY_TICKS) * REPLY_BYTES_PER_TICK;
        taken <= REPLY_TICKS_MAX && sent - self.sent_before >= due_bytes
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Whose it is.
    pub(super) client: Client,
    /// Whether only health is answered here.
    pub(super) is_spare: bool,
    /// When it was first seen that its socket has something to read, or has not.
    looked_at: Cell<Option<Instant>>,
    ending: Cell<Ending>,
    told: Notify,
    told_at: Cell<Tick>,
    /// Bytes that came and went.
    received: Cell<u64>,
    sent: Cell<u64>,
    /// What they were at the last tick, and the tick at which they were different.
    seen: Cell<u64>,
    moved_at: Cell<Tick>,
    /// Requests that are being answered, and those of them whose body is still to come.
    requests: Cell<u32>,
    uploads: Cell<u32>,
    /// Replies whose last byte was not written yet.
    replies: RefCell<Vec<Pending>>,
    replies_begun: Cell<u64>,
    /// Whether the socket takes no more.
    blocked: Cell<bool>,
    /// Since when it is, and what was sent then; moved on whenever enough was.
    blocked_since: Cell<(Tick, u64)>,
    unblocked: Notify,
    /// Since when there is no request in progress, when that was in the order of such events, and what was
    /// received then.
    idle_since: Cell<Tick>,
    idle_order: Cell<u64>,
    idle_mark: Cell<u64>,
    head_since: Cell<Option<Tick>>,
    has_served: Cell<bool>,
    /// Set at the first request over HTTP/2.
    http_2: RefCell<Option<Charge>>,
    /// Whether a part of a request was not read: the client may still be sending it when the connection
    /// ends.
    unread: Cell<bool>,
    has_ended: Cell<bool>,
    /// Whether its socket was empty when it was looked at to end it.
    quiet: Cell<bool>,
    when_quiet: Cell<WhenQuiet>,
    _memory: Charge,
}

impl Connection {
    pub(super) fn new(client: Client, now: Tick, order: u64, is_spare: bool, memory: Charge) -> Self {
        Self {
            client,
            is_spare,
            looked_at: Cell::new(None),
            ending: Cell::new(Ending::Open),
            told: Notify::new(),
            told_at: Cell::new(0),
            received: Cell::new(0),
            sent: Cell::new(0),
            seen: Cell::new(0),
            moved_at: Cell::new(now),
            requests: Cell::new(0),
            uploads: Cell::new(0),
            replies: RefCell::default(),
            replies_begun: Cell::new(0),
            blocked: Cell::new(false),
            blocked_since: Cell::new((now, 0)),
            unblocked: Notify::new(),
            idle_since: Cell::new(now),
            idle_order: Cell::new(order),
            idle_mark: Cell::new(0),
            head_since: Cell::new(None),
            has_served: Cell::new(false),
            http_2: RefCell::default(),
            unread: Cell::new(false),
            has_ended: Cell::new(false),
            quiet: Cell::new(false),
            when_quiet: Cell::default(),
            _memory: memory,
        }
    }

    pub(super) fn note_received(&self, bytes: usize) {
        self.quiet.set(false);
        self.received.set(self.received.get() + bytes as u64);
    }

    /// The client will send no more.
    pub(super) fn note_end(&self) {
        self.has_ended.set(true);
    }

    pub(super) fn note_sent(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
        if self.blocked.replace(false) {
            self.unblocked.notify_waiters();
        }
    }

    pub(super) fn note_blocked(&self) {
        self.blocked.set(true);
    }

    /// Waits until what was written so far has left: whoever sends requests without reading replies is not
    /// answered further.
    pub(super) async fn writable(&self) {
        while self.blocked.get() {
            self.unblocked.notified().await;
        }
    }

    /// For how long the peer may still be sending what will not be read; `None` if it is not, or if nobody
    /// has that long.
    pub(super) fn lingers_for(&self) -> Option<Duration> {
        if self.has_ended.get() || self.ending.get() == Ending::Now {
            return None;
        }
        let is_in_head = self.is_idle() && self.received.get() != self.idle_mark.get();
        if self.unread.get() || is_in_head {
            return Some(LINGER);
        }
        (self.ending.get() == Ending::Gracefully).then_some(LINGER_IDLE)
    }

    /// Whether it ends as soon as nothing more has arrived, if nothing of a request has.
    pub(super) fn is_leaving(&self) -> bool {
        self.ending.get() == Ending::Gracefully && self.is_idle()
    }

    /// Whether it is to end after what is in progress.
    pub(super) fn is_to_end(&self) -> bool {
        self.ending.get() > Ending::Open
    }

    /// Says what is to be done when nothing lies in its socket.
    pub(super) fn when_quiet(&self, then: WhenQuiet) {
        self.when_quiet.set(then);
    }

    /// What is to be done when nothing lies in its socket.
    pub(super) fn to_do_when_quiet(&self) -> WhenQuiet {
        self.when_quiet.get()
    }

    /// Notes that nothing lies in its socket, as of now.
    pub(super) fn note_quiet(&self) {
        self.quiet.set(true);
    }

    /// Whether nothing lay in its socket when it was read last.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet.get()
    }

    /// Says that the rest of a request will not be read.
    pub(super) fn leave_unread(&self) {
        self.unread.set(true);
    }

    /// Notes that it speaks HTTP/2; `false` if there is no memory for that.
    pub(super) fn speaks_http_2(&self, charge: impl FnOnce() -> Option<Charge>) -> bool {
        let mut http_2 = self.http_2.borrow_mut();
        if http_2.is_none() {
            *http_2 = charge();
        }
        http_2.is_some()
    }

    pub(super) fn is_http_2(&self) -> bool {
        self.http_2.borrow().is_some()
    }

    fn is_idle(&self) -> bool {
        self.requests.get() == 0 && !self.blocked.get() && self.replies.borrow().is_empty()
    }

    /// Ends it, more or less at once.
    pub(super) fn end(&self, ending: Ending, now: Tick) {
        if ending > self.ending.get() {
            self.ending.set(ending);
            self.told_at.set(now);
            self.told.notify_one();
        }
    }

    /// Waits until it is told to end, and how.
    pub(super) async fn told_to_end(&self, known: Ending) -> Ending {
        loop {
            let ending = self.ending.get();
            if ending > known {
                return ending;
            }
            self.told.notified().await;
        }
    }

    /// Whether it does not go for another yet, whatever it does: what its client asks for may lie in its
    /// socket.
    pub(super) fn is_new(&self, clock: Instant) -> bool {
        let looked_at = self.looked_at.get();
        looked_at.is_none_or(|looked_at| clock.saturating_duration_since(looked_at) < NEW)
    }

    /// Whether it may go for another in a moment, if it stays as it is.
    pub(super) fn is_idle_and_new(&self, clock: Instant) -> bool {
        self.is_idle() && self.is_new(clock)
    }

    pub(super) fn was_looked_at(&self) -> bool {
        self.looked_at.get().is_some()
    }

    pub(super) fn note_look(&self) {
        self.looked_at.set(Some(Instant::now()));
    }

    /// Whether it may go for another, and how early.
    pub(super) fn dispensable(&self, now: Tick, clock: Instant) -> Option<Dispensable> {
        if self.is_idle() {
            return (!self.is_new(clock)).then(|| Dispensable::Idle(self.idle_order.get()));
        }
        // Nothing is waited for but the client: to read, or to send the rest of its bodies. A request that a
        // chain works on keeps its connection, whatever others on it wait for.
        let replies = self.replies.borrow();
        let with_client = replies.iter().filter(|reply| reply.moved_at != AWAITED).count();
        let with_client = with_client + self.uploads.get() as usize;
        let waits_for_client = self.blocked.get() || with_client >= self.requests.get() as usize;
        let moved_at = self.moved_at.get();
        (waits_for_client && now.saturating_sub(moved_at) >= STALLED_TICKS)
            .then_some(Dispensable::Stalled(moved_at))
    }

    #[cfg(test)]
    pub(super) fn ending(&self) -> Ending {
        self.ending.get()
    }

    #[cfg(test)]
    pub(super) fn is_replying(&self) -> bool {
        self.requests.get() > 0 && !self.replies.borrow().is_empty()
    }

    /// Looks whether it has kept the gateway waiting for too long.
    pub(super) fn tick(&self, now: Tick) {
        let moved = self.received.get().wrapping_add(self.sent.get());
        if self.seen.replace(moved) != moved {
            self.moved_at.set(now);
        }
        if self.ending.get() == Ending::Gracefully
            && now - self.told_at.get() >= GOODBYE_TICKS
            && self.is_idle()
        {
            self.end(Ending::Now, now);
        }
        if self.is_slow_reader(now) {
            self.end(Ending::Now, now);
        } else if self.is_idle() {
            self.tick_idle(now);
        }
    }

    fn is_slow_reader(&self, now: Tick) -> bool {
        let sent = self.sent.get();
        let (since, sent_before) = self.blocked_since.get();
        if !self.blocked.get() || sent - sent_before >= WRITE_MIN_BYTES {
            self.blocked_since.set((now, sent));
        } else if now - since >= WRITE_TICKS {
            return true;
        }
        let is_late = |reply: &Pending| {
            let is_over = now > reply.latest_end && !reply.shares_a_fast_connection(now, sent);
            is_over || now.saturating_sub(reply.moved_at) > SEGMENT_TICKS
        };
        self.replies.borrow().iter().any(is_late)
    }

    fn tick_idle(&self, now: Tick) {
        let waited = now - self.idle_since.get();
        // HTTP/2 also receives what belongs to no request.
        let is_in_head = self.received.get() != self.idle_mark.get() && self.http_2.borrow().is_none();
        if is_in_head {
            let since = self.head_since.get().unwrap_or(now);
            self.head_since.set(Some(since));
            if now - since >= HEAD_TICKS {
                self.end(Ending::Now, now);
            }
        } else if !self.has_served.get() && waited >= FIRST_TICKS {
            self.end(Ending::Now, now);
        } else if waited >= IDLE_TICKS {
            self.end(Ending::Gracefully, now);
        }
    }

    /// A request on it is being answered.
    pub(super) fn begin_request(&self) {
        self.requests.set(self.requests.get() + 1);
        self.has_served.set(true);
        self.head_since.set(None);
    }

    /// One that was is over; `order`: in the order of such events.
    pub(super) fn end_request(&self, now: Tick, order: u64) {
        self.requests.set(self.requests.get().saturating_sub(1));
        self.idle_since.set(now);
        self.idle_order.set(order);
        self.idle_mark.set(self.received.get());
    }

    /// The body of a request is awaited.
    pub(super) fn begin_upload(&self) {
        self.uploads.set(self.uploads.get() + 1);
    }

    /// It is not any more.
    pub(super) fn end_upload(&self) {
        self.uploads.set(self.uploads.get().saturating_sub(1));
    }

    /// A reply with so many bytes is on its way: its number.
    pub(super) fn begin_reply(&self, len_bytes: usize, now: Tick) -> u64 {
        let number = self.replies_begun.get();
        self.replies_begun.set(number + 1);
        self.replies.borrow_mut().push(Pending {
            number,
            begun_at: now,
            sent_before: self.sent.get(),
            // One of unknown length may take as long as it moves.
            latest_end: now.saturating_add(REPLY_TICKS + len_bytes as u64 / REPLY_BYTES_PER_TICK),
            moved_at: now,
        });
        number
    }

    /// Another segment of a reply was taken over.
    pub(super) fn moves_reply(&self, number: u64, now: Tick) {
        let mut replies = self.replies.borrow_mut();
        if let Some(reply) = replies.iter_mut().find(|reply| reply.number == number) {
            reply.moved_at = now;
        }
    }

    /// A reply continues once more of it is available, whatever its client does until then.
    pub(super) fn awaits_reply(&self, number: u64) {
        self.moves_reply(number, AWAITED);
    }

    /// The last byte of a reply was written, or never will be.
    pub(super) fn end_reply(&self, number: u64) {
        let mut replies = self.replies.borrow_mut();
        if let Some(at) = replies.iter().position(|reply| reply.number == number) {
            replies.swap_remove(at);
        }
    }
}
