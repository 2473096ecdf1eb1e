//! The gateway's place in one chain: it seals requests into its outbox, and matches what comes back with who
//! waits.

use super::arriving::{Arriving, Judgement};
use super::budget::{self, Account, Budget, Charge};
use super::ids::Ids;
use super::in_flight::InFlight;
use super::pace::BYTES_AT_ONCE;
use super::record::Record;
use super::request_key::RequestKey;
use super::taken::Taken;
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::attach::Begin;
use hacher_libos_net::clock;
use hacher_libos_net::descriptor::Descriptor;
use hacher_libos_net::doorbell;
use hacher_libos_net::error::{Exhausted, SendError};
use hacher_libos_net::fault::Notice;
use hacher_libos_net::headers::{self, ENCODED_MAX_BYTES};
use hacher_libos_net::hop::{Own, Receiver, Sender};
use hacher_libos_net::inlet::{RecordPlace, Step, Taking, Upstream};
use hacher_libos_net::invocation::{GatewayLife, InvocationId};
use hacher_libos_net::layout::SEGMENT_BYTES;
use hacher_libos_net::seal::RecordContext;
use hacher_libos_net::telemetry::{Counter, Gauge};
use hacher_watched::watch_shared;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex, Notify, oneshot};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

/// The gateway's one output port.
const INGRESS: usize = 0;
/// Segments of one request that are sealed before other tasks get their turn.
const SEGMENTS_AT_ONCE: usize = BYTES_AT_ONCE / SEGMENT_BYTES;
/// Segments that are opened at once, if they are short; of long ones [`BYTES_AT_ONCE`].
const STEPS_AT_ONCE: usize = 256;
/// Bytes that say how long a record's headers are.
const PREFIX_BYTES: u64 = 2;

/// What a chain answers.
pub(crate) enum Answer {
    /// A record came to egress: its plaintext, headers first, and who sent it.
    Record { record: Record, upstream: Upstream },
    /// A function's record is larger than a reply may be.
    TooLarge {
        /// The function's name.
        function: String,
        /// Bytes of its body, as far as they came.
        at_least_bytes: u64,
    },
    /// There is no memory for it.
    NoRoom,
    /// A function gave up.
    Fault {
        /// The function's name, as the monitor knows it.
        function: String,
        /// What it says.
        notice: Notice,
    },
}

/// Why a request could not be handed to the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// There was no room before the deadline.
    Full,
    /// The request is larger than the outbox.
    TooLarge {
        /// Plaintext bytes that the outbox holds.
        outbox_bytes: u64,
    },
    /// The keys of this epoch are used up.
    Exhausted,
}

/// A chain, from where the gateway stands.
pub(crate) struct Endpoint {
    pub(crate) begin: Begin,
    pub(crate) own: Own,
    /// What requests and replies of this chain hold.
    pub(super) account: Rc<Account>,
    sender: RefCell<Sender>,
    receiver: RefCell<Receiver>,
    waiters: RefCell<HashMap<InvocationId, oneshot::Sender<Answer>>>,
    /// Records of which some segments are here, by their ring.
    arriving: RefCell<Arriving>,
    in_flight: Cell<u32>,
    /// Whether every function has served once, under this or an earlier gateway.
    has_started: Cell<bool>,
    /// One record at a time leaves; the queue is fair.
    sending: Mutex<()>,
    /// Requests that wait for room in the outbox.
    starving: Cell<usize>,
    room: Notify,
    /// Wakes the pump when there was no room to say that a record will not end.
    owed: Notify,
    ids: RefCell<Ids>,
    /// Whether the service takes all functions for fit to serve.
    fit: Cell<bool>,
    /// What opens sealed requests.
    pub(super) request_key: Option<RequestKey>,
    /// Which requests the chain takes.
    pub(super) taken: Taken,
}

/// A request that is in flight; gives its place back when dropped.
pub(crate) struct Admission<'a> {
    endpoint: &'a Endpoint,
    all: &'a InFlight,
}

/// A request whose answer is awaited. Dropped without one, it tells the functions that nobody waits.
pub(crate) struct Waiting {
    endpoint: Rc<Endpoint>,
    pub(crate) invocation: InvocationId,
    answer: oneshot::Receiver<Answer>,
    answered: bool,
}

impl Endpoint {
    /// Starts serving an attachment.
    pub(super) fn start(attachment: Attachment, budget: &Rc<Budget>) -> io::Result<Rc<Self>> {
        let Attachment {
            begin,
            own,
            sender,
            receiver,
            doorbell,
            request_key,
            requests,
            ..
        } = attachment;
        let life = GatewayLife::of_epoch(begin.instance_epoch);
        own.set_life(life);
        let ids = Ids::new(life)?;
        // It is heard when the event loop says that it has rung, which may not be true any more.
        fcntl_setfl(&doorbell, fcntl_getfl(&doorbell)? | OFlags::NONBLOCK)?;
        let bell = watch_shared(&doorbell)?;
        let needed = budget::chain_bytes(begin.max_body_bytes, begin.max_reply_bytes);
        let account = budget.account(needed);
        let request_key = request_key.map(|secret| RequestKey::new(&secret, &begin, &account));
        let endpoint = Rc::new(Self {
            begin,
            own,
            account,
            request_key,
            taken: Taken::new(&requests),
            arriving: RefCell::new(Arriving::new(receiver.ring_count())),
            sender: RefCell::new(sender),
            receiver: RefCell::new(receiver),
            waiters: RefCell::default(),
            in_flight: Cell::new(0),
            has_started: Cell::new(begin.instance_epoch > 1),
            sending: Mutex::new(()),
            starving: Cell::new(0),
            room: Notify::new(),
            owed: Notify::new(),
            ids: RefCell::new(ids),
            fit: Cell::new(true),
        });
        spawn_local(Rc::clone(&endpoint).pump(bell));
        Ok(endpoint)
    }

    /// Whether every function of the chain has said that it serves, and none of them keeps ending since.
    pub(crate) fn is_ready(&self) -> bool {
        self.fit.get() && self.receiver.borrow().all_producers_serve()
    }

    /// The service found all functions fit to serve, or one that is not.
    pub(super) fn set_fit(&self, fit: bool) {
        self.fit.set(fit);
    }

    /// Whether every function has served once. Before that, requests would wait until their deadlines.
    pub(super) fn has_started(&self) -> bool {
        if !self.has_started.get() {
            self.has_started.set(self.is_ready());
        }
        self.has_started.get()
    }

    /// Tells how many requests wait for room, and what all of them hold.
    pub(super) fn tell_figures(&self) {
        let waiting = self.starving.get() as u64;
        self.own.set_gauge(Gauge::Waiting, waiting);
        self.own
            .set_gauge(Gauge::BufferedBytes, self.account.used_bytes());
    }

    /// Whether `bytes` more of requests may be held: beside the largest reply, so that what uploads take is
    /// never missing for the answer to a request whose functions have run.
    pub(super) fn has_room_for_request(&self, bytes: u64) -> bool {
        let reply = budget::record_bytes(self.begin.max_reply_bytes);
        self.account.has_room(bytes.saturating_add(reply))
    }

    /// Charges `bytes` of a request; `None` if there is no room for them.
    pub(super) fn charge_request(&self, bytes: u64) -> Option<Charge> {
        self.has_room_for_request(bytes)
            .then(|| self.account.charge(bytes))
            .flatten()
    }

    /// Whether there is a place among the requests in flight.
    pub(crate) fn has_place(&self) -> bool {
        self.in_flight.get() < self.begin.in_flight
    }

    /// Takes a place among the requests in flight, of this chain and of all; `None` if there is none.
    pub(crate) fn admit<'a>(&'a self, all: &'a InFlight) -> Option<Admission<'a>> {
        if !self.has_place() {
            return None;
        }
        let in_flight = self.in_flight.get() + 1;
        self.in_flight.set(in_flight);
        // Said before the daemon is woken by the first: it looks for it.
        self.own.set_in_flight(u64::from(in_flight));
        all.begin();
        Some(Admission { endpoint: self, all })
    }

    /// A new invocation, and a place where its answer will arrive.
    pub(crate) fn expect(self: &Rc<Self>) -> Waiting {
        let invocation = self.ids.borrow_mut().next();
        let (sender, answer) = oneshot::channel();
        self.waiters.borrow_mut().insert(invocation, sender);
        Waiting {
            endpoint: Rc::clone(self),
            invocation,
            answer,
            answered: false,
        }
    }

    /// Seals a request towards the first functions, waiting for room until `until`.
    pub(crate) async fn send(
        &self,
        invocation: InvocationId,
        until: Instant,
        mut request: Record,
    ) -> Result<(), NotSent> {
        let left = until.saturating_duration_since(Instant::now());
        let record = RecordContext {
            invocation,
            deadline: clock::now().after(left),
            attempt: 1,
        };
        let turn = timeout_at(until, self.sending.lock())
            .await
            .map_err(|_| NotSent::Full)?;
        let unfinished = Unfinished {
            endpoint: self,
            record: &record,
        };
        let mut sent = 0_usize;
        while let Some(piece) = request.take_piece() {
            let last = request.len_bytes() == 0;
            self.attempt(until, |sender| {
                sender.send(&self.own, INGRESS, &record, piece.bytes(), last)
            })
            .await?;
            sent += 1;
            if sent.is_multiple_of(SEGMENTS_AT_ONCE) && !last {
                tokio::task::yield_now().await;
            }
        }
        drop(unfinished);
        drop(turn);
        self.receiver.borrow_mut().make_room(&self.own);
        if self.in_flight.get() == 1 {
            // Nobody else waits for this process: on a core that they share, who was rung begins now, and not
            // when all that an event loop does before it sleeps is done.
            rustix::thread::sched_yield();
        }
        Ok(())
    }

    async fn attempt(
        &self,
        until: Instant,
        mut step: impl FnMut(&mut Sender) -> Result<(), SendError>,
    ) -> Result<(), NotSent> {
        loop {
            let room = self.room.notified();
            match step(&mut self.sender.borrow_mut()) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_transient() => {}
                Err(SendError::Exhausted(Exhausted::TooLarge { outbox_bytes })) => {
                    return Err(NotSent::TooLarge { outbox_bytes });
                }
                Err(_) => return Err(NotSent::Exhausted),
            }
            self.own.count(Counter::Waited, 1);
            let hungry = Hungry::new(&self.starving);
            if !self.sender.borrow_mut().announce_starved() {
                // Something was released in between.
                self.sender.borrow_mut().fed();
                drop(hungry);
                tokio::task::yield_now().await;
                continue;
            }
            let waited = timeout_at(until, room).await;
            drop(hungry);
            if self.starving.get() == 0 {
                self.sender.borrow_mut().fed();
            }
            waited.map_err(|_| NotSent::Full)?;
        }
    }

    /// Takes in what functions send, whenever the doorbell rings.
    async fn pump(self: Rc<Self>, bell: AsyncFd<OwnedFd>) {
        loop {
            self.take_in();
            if self.starving.get() > 0 {
                self.room.notify_waiters();
            }
            let owes_aborts = self.settle_aborts();
            let sleeps = self.receiver.borrow_mut().announce(&self.own)
                && (!owes_aborts || self.sender.borrow_mut().announce_starved());
            if sleeps {
                tokio::select! {
                    ready = bell.readable() => match ready {
                        Ok(mut ready) => {
                            ready.clear_ready();
                            // A bell that somebody has filled would ring no more.
                            doorbell::hear(bell.get_ref());
                        }
                        Err(_) => return,
                    },
                    () = self.owed.notified() => {}
                }
            }
            self.receiver.borrow_mut().awake(&self.own);
            if !sleeps {
                // Requests get their turn even if functions never stop sending.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Says which records will not end, where there was no room for that before; whether there still is none.
    fn settle_aborts(&self) -> bool {
        let mut sender = self.sender.borrow_mut();
        // Who is sending says it first.
        if sender.owes_aborts() && self.sending.try_lock().is_ok() {
            sender.say_aborts(&self.own);
            if !sender.owes_aborts() && self.starving.get() == 0 {
                sender.fed();
            }
        }
        sender.owes_aborts()
    }

    fn take_in(&self) {
        let mut receiver = self.receiver.borrow_mut();
        let mut arriving = self.arriving.borrow_mut();
        let mut opened_bytes = 0;
        // Some of what is there; the caller comes back, when others had their turn.
        for _ in 0..STEPS_AT_ONCE {
            if opened_bytes >= BYTES_AT_ONCE {
                return;
            }
            let Some(ring) = receiver.ring_with_news() else {
                return;
            };
            let mut record = arriving
                .take(ring)
                .unwrap_or_else(|| Record::empty(&self.account));
            let had_bytes = record.len_bytes();
            let mut judgement = Judgement::Welcome;
            let step = receiver.step_choosing(&self.own, ring, record.tail(), |descriptor| {
                judgement = self.judge(had_bytes, descriptor);
                if judgement == Judgement::Welcome {
                    Taking::Copy
                } else {
                    Taking::InPlace
                }
            });
            match step {
                Step::Empty => arriving.put_back(ring, record),
                Step::Opened(opened) if judgement == Judgement::Welcome => {
                    let (invocation, len_bytes) = (opened.descriptor.invocation, opened.descriptor.len_bytes);
                    record.settle(len_bytes);
                    opened_bytes += len_bytes;
                    if opened.descriptor.last {
                        self.answer(&mut receiver, opened.record, invocation, record);
                        self.drop_arriving(&mut receiver, &mut arriving, invocation);
                    } else {
                        arriving.put(ring, opened.record, invocation, record);
                    }
                }
                Step::Opened(opened) => {
                    drop(record);
                    opened_bytes += opened.descriptor.len_bytes;
                    self.refuse(&receiver, ring, judgement, opened.descriptor.invocation);
                    if !opened.descriptor.last {
                        receiver.give_up_arriving(ring);
                    }
                    receiver.release(&self.own, opened.record);
                }
                Step::Abandoned(record) => {
                    self.own.count(Counter::Abandoned, 1);
                    receiver.release(&self.own, record);
                }
                Step::Refused { arriving: lost, .. } => {
                    if let Some(record) = lost {
                        receiver.release(&self.own, record);
                    }
                }
            }
        }
    }

    /// Whether a segment is taken in. What nobody waits for is not kept, whoever sends it; nor what is too
    /// large.
    fn judge(&self, had_bytes: usize, descriptor: &Descriptor) -> Judgement {
        let bytes = (had_bytes as u64).saturating_add(descriptor.len_bytes as u64);
        let limit = self
            .begin
            .max_reply_bytes
            .saturating_add(ENCODED_MAX_BYTES as u64);
        if !self.waiters.borrow().contains_key(&descriptor.invocation) {
            Judgement::Unawaited
        } else if bytes > limit + PREFIX_BYTES {
            Judgement::TooLarge(bytes)
        } else if !self.account.has_room(descriptor.len_bytes as u64) {
            Judgement::NoRoom
        } else {
            Judgement::Welcome
        }
    }

    /// Tells who waits that its answer was refused.
    fn refuse(&self, receiver: &Receiver, ring: usize, judgement: Judgement, invocation: InvocationId) {
        let answer = match judgement {
            Judgement::TooLarge(bytes) => Answer::TooLarge {
                function: receiver
                    .upstream(ring)
                    .map(|upstream| upstream.function.to_string())
                    .unwrap_or_default(),
                at_least_bytes: bytes.saturating_sub(PREFIX_BYTES),
            },
            Judgement::NoRoom => Answer::NoRoom,
            Judgement::Unawaited | Judgement::Welcome => return,
        };
        self.own.close(invocation);
        if let Some(waiter) = self.waiters.borrow_mut().remove(&invocation) {
            // Fails if the client has gone meanwhile.
            drop(waiter.send(answer));
        }
    }

    /// Lets go what has arrived so far for a request that nobody waits for any more.
    fn drop_arriving(&self, receiver: &mut Receiver, arriving: &mut Arriving, invocation: InvocationId) {
        while let Some(record) = arriving.take_of(invocation) {
            receiver.give_up_arriving(record.ring);
            receiver.release(&self.own, record);
        }
    }

    fn answer(&self, receiver: &mut Receiver, place: RecordPlace, invocation: InvocationId, record: Record) {
        self.own.count(Counter::BytesIn, record.len_bytes() as u64);
        let upstream = receiver.upstream(place.ring).copied();
        // The first answer wins; a record for which nobody waits is a second one, or came too late.
        if let (Some(waiter), Some(upstream)) = (self.waiters.borrow_mut().remove(&invocation), upstream) {
            let notice = upstream.fault.then(|| {
                headers::split(record.first())
                    .ok()
                    .and_then(|(_, body)| Notice::decode(body))
            });
            let function = || upstream.function.to_string();
            let body_bytes = headers::split(record.first()).map_or(0, |(headers, _)| {
                (record.len_bytes() as u64).saturating_sub(PREFIX_BYTES + headers.len() as u64)
            });
            let answer = match notice {
                None if body_bytes > self.begin.max_reply_bytes => Some(Answer::TooLarge {
                    function: function(),
                    at_least_bytes: body_bytes,
                }),
                None => Some(Answer::Record { record, upstream }),
                Some(Some(notice)) => Some(Answer::Fault {
                    function: function(),
                    notice,
                }),
                Some(None) => None,
            };
            if matches!(answer, Some(Answer::Fault { .. })) {
                // Other functions need not go on with it. After a record this is not said: as a rule nothing
                // is left to do, and a word in a page that all functions read costs each of
                // them a look at another core's cache.
                self.own.close(invocation);
            }
            if let Some(answer) = answer {
                // Fails if the client has gone meanwhile.
                drop(waiter.send(answer));
            }
        }
        receiver.release(&self.own, place);
    }
}

/// A record that is being sent. One that is left in the middle, by its client or at its deadline, is ended:
/// whoever has its beginning waits for the rest.
struct Unfinished<'a> {
    endpoint: &'a Endpoint,
    record: &'a RecordContext,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let own = &self.endpoint.own;
        let mut sender = self.endpoint.sender.borrow_mut();
        if sender.abort(own, INGRESS, self.record).is_err() && sender.owes_aborts() {
            // The pump says it when there is room, and has to know that it waits for some.
            self.endpoint.owed.notify_one();
        }
    }
}

/// Counts a request that waits for room.
struct Hungry<'a>(&'a Cell<usize>);

impl<'a> Hungry<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Hungry<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let in_flight = self.endpoint.in_flight.get().saturating_sub(1);
        self.endpoint.in_flight.set(in_flight);
        self.endpoint.own.set_in_flight(u64::from(in_flight));
        self.all.end();
    }
}

impl Waiting {
    /// The answer; `None` if there is none before `until`.
    pub(crate) async fn answer(&mut self, until: Instant) -> Option<Answer> {
        let answer = timeout_at(until, &mut self.answer).await;
        // Late, or answered: either way this end is no disconnection.
        self.answered = true;
        match answer {
            Ok(Ok(answer)) => Some(answer),
            _ => {
                self.endpoint.own.close(self.invocation);
                None
            }
        }
    }

    /// Says that the request has ended without reaching the chain.
    pub(crate) fn give_up(mut self) {
        self.answered = true;
        self.endpoint.own.close(self.invocation);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let endpoint = &self.endpoint;
        endpoint.waiters.borrow_mut().remove(&self.invocation);
        let mut arriving = endpoint.arriving.borrow_mut();
        if !arriving.is_empty() {
            endpoint.drop_arriving(
                &mut endpoint.receiver.borrow_mut(),
                &mut arriving,
                self.invocation,
            );
        }
        if !self.answered {
            self.endpoint.own.close(self.invocation);
        }
    }
}

/// The end of a request's time.
pub(crate) fn deadline(begin: &Begin) -> Instant {
    Instant::now() + Duration::from_nanos(begin.deadline_ns)
}
