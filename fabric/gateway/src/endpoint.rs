//! The gateway's place in one chain: it seals requests into its outbox, and matches what comes back with who
//! waits.

use super::arriving::Arriving;
use super::begin_queue::BeginQueue;
use super::budget::{self, Account, Budget, Charge};
use super::client::Client;
use super::daemon_bell::DaemonBell;
use super::ids::Ids;
use super::pace::BYTES_AT_ONCE;
use super::parts::{Part, Parts};
use super::progress::Progress;
use super::record::Record;
use super::reply_flow::FlowReader;
use super::request_key::RequestKey;
use super::sampling::Sampling;
use super::taken::Taken;
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::attach::Begin;
use hacher_libos_net::clock;
use hacher_libos_net::doorbell;
use hacher_libos_net::error::{Exhausted, SendError};
use hacher_libos_net::fault::Notice;
use hacher_libos_net::hop::{Own, Receiver, Sender};
use hacher_libos_net::inlet::Upstream;
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
use tokio::sync::futures::Notified;
use tokio::sync::{Mutex, Notify, oneshot};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

/// The gateway's one output port.
pub(super) const INGRESS: usize = 0;
/// Segments of one request that are sealed before other tasks get their turn.
const SEGMENTS_AT_ONCE: usize = BYTES_AT_ONCE / SEGMENT_BYTES;

/// What a chain answers.
pub(crate) enum Answer {
    /// A record came to egress: its plaintext, headers first, and who sent it.
    Record { record: Record, upstream: Upstream },
    /// A record is coming to egress, and is handed on as it comes.
    Flow {
        /// Its first segment, headers first.
        beginning: Record,
        /// What follows.
        rest: FlowReader,
        /// Who sends it.
        upstream: Upstream,
    },
    /// A record of each edge that the reply joins.
    Joined(Vec<Part>),
    /// The deadline has passed with only some of what the reply joins.
    Late {
        /// Who has sent a part.
        here: Vec<String>,
    },
    /// A function's record is larger than a reply may be.
    TooLarge {
        /// The function's name.
        function: String,
        /// Bytes of its body, as far as they came; of a joined reply, of all its parts.
        at_least_bytes: u64,
        /// It is the part of a joined reply.
        is_joined: bool,
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
    /// What its largest reply holds.
    reply_bytes: u64,
    pub(super) sender: RefCell<Sender>,
    pub(super) receiver: RefCell<Receiver>,
    pub(super) waiters: RefCell<HashMap<InvocationId, Waiter>>,
    /// Records of which some segments are here, by their ring.
    pub(super) arriving: RefCell<Arriving>,
    /// Flows that nobody reads any more: their rings and requests.
    pub(super) left: RefCell<Vec<(usize, InvocationId)>>,
    in_flight: Cell<u32>,
    /// Whether every function has served once, under this or an earlier gateway.
    has_started: Cell<bool>,
    /// Who begins next with a record.
    pub(super) queue: Rc<BeginQueue>,
    /// One record at a time leaves.
    pub(super) sending: Mutex<()>,
    /// Requests that wait for room in the outbox.
    starving: Cell<usize>,
    pub(super) room: Notify,
    /// Wakes the pump when there was no room to say that a record will not end, and when a flow goes on or
    /// was left.
    pub(super) owed: Notify,
    pub(super) ids: RefCell<Ids>,
    /// Which requests are traced.
    pub(super) sampling: Rc<Sampling>,
    /// Whether the service takes all functions for fit to serve.
    fit: Cell<bool>,
    /// What opens sealed requests.
    pub(super) request_key: Option<RequestKey>,
    /// Which requests the chain takes.
    pub(super) taken: Taken,
}

/// A request that is in flight; gives its place back when dropped.
pub(crate) struct Admission {
    endpoint: Rc<Endpoint>,
}

/// Who waits for an answer.
pub(super) struct Waiter {
    pub(super) answer: oneshot::Sender<Answer>,
    /// How its request moves along, if the answer may be handed on as it comes.
    pub(super) progress: Option<Rc<Progress>>,
    /// What of a joined reply has come.
    pub(super) parts: Parts,
}

/// A request whose answer is awaited. Dropped without one, it tells the functions that nobody waits.
pub(crate) struct Waiting {
    endpoint: Rc<Endpoint>,
    pub(crate) invocation: InvocationId,
    answer: oneshot::Receiver<Answer>,
    answered: bool,
    /// The answer is a flow, which has an owner of its own.
    flows: bool,
}

impl Endpoint {
    /// Starts serving an attachment.
    pub(super) fn start(
        attachment: Attachment,
        budget: &Rc<Budget>,
        sampling: &Rc<Sampling>,
    ) -> io::Result<Rc<Self>> {
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
        let reply_parts = (0..receiver.ring_count())
            .filter_map(|ring| receiver.upstream(ring))
            .map(|upstream| u64::from(upstream.group_width))
            .fold(1, u64::max);
        let needed = budget::chain_bytes(begin.max_body_bytes, begin.max_reply_bytes, reply_parts);
        let account = budget.account(needed);
        let request_key = request_key.map(|secret| RequestKey::new(&secret, &begin, &account));
        let endpoint = Rc::new(Self {
            reply_bytes: budget::reply_bytes(begin.max_reply_bytes, reply_parts),
            begin,
            own,
            account,
            request_key,
            taken: Taken::new(&requests),
            arriving: RefCell::new(Arriving::new(receiver.ring_count())),
            sender: RefCell::new(sender),
            receiver: RefCell::new(receiver),
            waiters: RefCell::default(),
            left: RefCell::default(),
            in_flight: Cell::new(0),
            has_started: Cell::new(begin.instance_epoch > 1),
            queue: BeginQueue::new(),
            sending: Mutex::new(()),
            starving: Cell::new(0),
            room: Notify::new(),
            owed: Notify::new(),
            ids: RefCell::new(ids),
            sampling: Rc::clone(sampling),
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
        self.account.has_room(bytes.saturating_add(self.reply_bytes))
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

    /// Takes a place among the requests in flight; `None` if there is none.
    pub(crate) fn admit(self: &Rc<Self>, daemon: &DaemonBell) -> Option<Admission> {
        if !self.has_place() {
            return None;
        }
        let in_flight = self.in_flight.get() + 1;
        self.in_flight.set(in_flight);
        // Said before the daemon is woken by the first: it looks for it.
        self.own.set_in_flight(u64::from(in_flight));
        if in_flight == 1 {
            daemon.note_begun(self.own.now());
        }
        Some(Admission {
            endpoint: Rc::clone(self),
        })
    }

    /// Whether all functions that requests go to read them as streams.
    pub(super) fn takes_streams(&self) -> bool {
        self.sender.borrow().streams(INGRESS)
    }

    /// A new invocation, and a place where its answer will arrive; as a flow, if that may be and `progress`
    /// is there.
    pub(crate) fn expect(self: &Rc<Self>, progress: Option<Rc<Progress>>) -> Waiting {
        let invocation = self.ids.borrow_mut().next();
        let (sender, answer) = oneshot::channel();
        let waiter = Waiter {
            answer: sender,
            progress,
            parts: Parts::default(),
        };
        self.waiters.borrow_mut().insert(invocation, waiter);
        Waiting {
            endpoint: Rc::clone(self),
            invocation,
            answer,
            answered: false,
            flows: false,
        }
    }

    /// Seals a request of this client towards the first functions, waiting for room until `until`.
    pub(super) async fn send(
        &self,
        invocation: InvocationId,
        client: Client,
        until: Instant,
        mut request: Record,
    ) -> Result<(), NotSent> {
        let left = until.saturating_duration_since(Instant::now());
        let record = RecordContext {
            invocation,
            deadline: clock::now().after(left),
            attempt: 1,
        };
        let turn = async {
            let turn = self.queue.turn(client).await;
            (turn, self.sending.lock().await)
        };
        let turn = timeout_at(until, turn).await.map_err(|_| NotSent::Full)?;
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
        if self.sender.borrow().owes_aborts() {
            self.owed.notify_one();
        }
        self.receiver.borrow_mut().make_room(&self.own);
        if self.in_flight.get() == 1 {
            // Nobody else waits for this process: on a core that they share, who was rung begins now, and not
            // when all that an event loop does before it sleeps is done.
            rustix::thread::sched_yield();
        }
        Ok(())
    }

    /// Says which records will not end, as far as there is room. Functions may be free then to begin with
    /// another.
    pub(super) fn say_aborts(&self, sender: &mut Sender) {
        sender.say_aborts(&self.own);
        self.queue.set_open(sender.may_begin(INGRESS));
    }

    /// A record of an upload has begun, gone on or ended: the functions that can begin with another are
    /// others now.
    pub(super) fn note_begun(&self) {
        self.queue.set_open(self.sender.borrow().may_begin(INGRESS));
    }

    /// Waits until something was released, or `until`.
    pub(super) async fn wait_for_room(&self, room: Notified<'_>, until: Instant) -> Result<(), NotSent> {
        self.own.count(Counter::Waited, 1);
        let hungry = Hungry::new(&self.starving);
        if !self.sender.borrow_mut().announce_starved() {
            // Something was released in between. Other waiters stay announced and look again: it may be
            // theirs.
            drop(hungry);
            if self.starving.get() == 0 {
                self.sender.borrow_mut().fed();
            } else {
                self.room.notify_waiters();
            }
            tokio::task::yield_now().await;
            return Ok(());
        }
        let waited = timeout_at(until, room).await;
        drop(hungry);
        if self.starving.get() == 0 {
            self.sender.borrow_mut().fed();
        }
        waited.map_err(|_| NotSent::Full)
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
            self.wait_for_room(room, until).await?;
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
            self.say_aborts(&mut sender);
            if !sender.owes_aborts() && self.starving.get() == 0 {
                sender.fed();
            }
        }
        sender.owes_aborts()
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

impl Drop for Admission {
    fn drop(&mut self) {
        let in_flight = self.endpoint.in_flight.get().saturating_sub(1);
        self.endpoint.in_flight.set(in_flight);
        self.endpoint.own.set_in_flight(u64::from(in_flight));
    }
}

impl Waiting {
    /// The answer; `None` if there is none before `until`.
    pub(crate) async fn answer(&mut self, until: impl Future<Output = ()>) -> Option<Answer> {
        let answer = tokio::select! {
            biased;
            answer = &mut self.answer => answer.ok(),
            () = until => self.late(),
        };
        // Late, or answered: either way this end is no disconnection.
        self.answered = true;
        match &answer {
            Some(Answer::Flow { .. }) => self.flows = true,
            None | Some(Answer::Late { .. }) => self.endpoint.own.close(self.invocation),
            Some(_) => {}
        }
        answer
    }

    /// What there is to say once the time is up.
    fn late(&self) -> Option<Answer> {
        let waiters = self.endpoint.waiters.borrow();
        let here = waiters.get(&self.invocation)?.parts.here();
        Some(Answer::Late { here })
    }

    /// Says that the request has ended without reaching the chain.
    pub(crate) fn give_up(mut self) {
        self.answered = true;
        self.endpoint.own.close(self.invocation);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.flows {
            return;
        }
        let endpoint = &self.endpoint;
        let waiter = endpoint.waiters.borrow_mut().remove(&self.invocation);
        endpoint.count_dropped(waiter.map_or(0, |waiter| waiter.parts.count()));
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
