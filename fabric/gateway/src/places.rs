//! The places for connections: who has one, who gives way when there is none left, and the clock that looks
//! for those who keep the gateway waiting.
//!
//! Nobody can lock others out by holding connections (I6): a new one always gets a place. The one that was
//! idle longest goes for it, then one whose client has stalled; and if all of them are busy, there are places
//! more, where health is answered and chains are not.

use super::budget::{
    Account, Budget, CONNECTION_BYTES, Charge, HTTP_2_BYTES, HTTP_2_STREAM_BYTES, ORDINARY_MAX, PLACES_MAX,
    SPARE_MAX, connections_bytes,
};
use super::client::Client;
use super::connection::{Connection, Ending, Tick};
use super::pace::Pace;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How long whoever comes waits before it is seen again whether there is room.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// And how often: nobody is left in the queue for the sake of one connection, whatever becomes of it.
const LOOKS_MAX: usize = 200;
/// What the clock counts.
const TICK: Duration = Duration::from_secs(1);

/// All connections.
pub(super) struct Places {
    taken: RefCell<BTreeMap<u64, Rc<Connection>>>,
    next: Cell<u64>,
    now: Cell<Tick>,
    order: Cell<u64>,
    /// Places where chains are answered, and all places: fewer than the most where descriptors are short.
    ordinary: Cell<usize>,
    all: Cell<usize>,
    memory: Rc<Account>,
    /// For what can be refused, so that it leaves the reserve alone: HTTP/2, and the texts that answer
    /// there.
    optional: Rc<Account>,
    /// Told when the first place is taken, and when the last is given back.
    changed: Notify,
    pace: Pace,
}

/// A connection's place; given back when dropped.
pub(super) struct Place {
    places: Rc<Places>,
    number: u64,
    pub(super) connection: Rc<Connection>,
}

impl Places {
    pub(super) fn new(budget: &Rc<Budget>) -> Rc<Self> {
        Rc::new(Self {
            taken: RefCell::default(),
            next: Cell::new(0),
            now: Cell::new(0),
            order: Cell::new(0),
            ordinary: Cell::new(ORDINARY_MAX),
            all: Cell::new(PLACES_MAX),
            memory: budget.account(connections_bytes()),
            optional: budget.account(0),
            changed: Notify::new(),
            pace: Pace::default(),
        })
    }

    /// Gives out no more places than this.
    pub(super) fn limit_to(&self, all: usize) {
        let all = all.min(PLACES_MAX);
        self.all.set(all);
        self.ordinary.set((all - SPARE_MAX.min(all / 8)).max(1));
    }

    /// At which long bodies move on all of them.
    pub(super) const fn pace(&self) -> &Pace {
        &self.pace
    }

    pub(super) fn now(&self) -> Tick {
        self.now.get()
    }

    /// A number for each event, in their order.
    pub(super) fn next_order(&self) -> u64 {
        let order = self.order.get();
        self.order.set(order + 1);
        order
    }

    /// Waits until a new connection can have a place without taking it from one that has hardly come, or that
    /// was heard from just now: a flood of connections would else have them all gone before any of them
    /// was looked at. Whoever comes meanwhile waits in the queue of the socket, where nobody is turned
    /// away.
    pub(super) async fn room(&self) {
        if self.taken.borrow().len() < self.ordinary.get() {
            return;
        }
        // Those whose sockets have become readable together with that of the listener.
        yield_now().await;
        for _ in 0..LOOKS_MAX {
            if !self.has_only_new_ones() {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether a newcomer would get less than it does in a moment: an ordinary place, or a spare one at all.
    fn has_only_new_ones(&self) -> bool {
        let (taken, clock) = (self.taken.borrow(), Instant::now());
        let ordinary = || taken.values().filter(|connection| !connection.is_spare);
        if self.ordinary_taken() < self.ordinary.get()
            || ordinary().any(|connection| connection.dispensable(self.now(), clock).is_some())
        {
            return false;
        }
        let spare_is_new = || {
            let oldest = taken.values().find(|connection| connection.is_spare);
            taken.len() >= self.all.get() && oldest.is_some_and(|spare| spare.is_new(clock))
        };
        ordinary().any(|connection| connection.is_idle_and_new(clock)) || spare_is_new()
    }

    /// A place for a new connection. There always is one.
    pub(super) fn take(self: &Rc<Self>, client: Client) -> Place {
        let mut is_spare = false;
        if self.taken.borrow().len() >= self.ordinary.get() {
            self.make_room();
            // The ordinary never pass their number, so among as many as there may be at all there always is a
            // spare one. And the spare, however many there are and however they came, keep nobody
            // out of an ordinary place that is free.
            is_spare = self.ordinary_taken() >= self.ordinary.get();
            if self.taken.borrow().len() >= self.all.get() {
                self.drop_oldest_spare();
            }
        }
        // Places are counted, and the account has what they need in reserve.
        let mut memory = self.memory.nothing();
        memory.set(CONNECTION_BYTES);
        let connection = Rc::new(Connection::new(
            client,
            self.now(),
            self.next_order(),
            is_spare,
            memory,
        ));
        let number = self.next.get();
        self.next.set(number + 1);
        let mut taken = self.taken.borrow_mut();
        taken.insert(number, Rc::clone(&connection));
        if taken.len() == 1 {
            self.changed.notify_waiters();
        }
        Place {
            places: Rc::clone(self),
            number,
            connection,
        }
    }

    fn ordinary_taken(&self) -> usize {
        let taken = self.taken.borrow();
        taken.values().filter(|connection| !connection.is_spare).count()
    }

    /// Closes the connection that can be dispensed with most, unless all are busy.
    fn make_room(&self) {
        let (now, clock) = (self.now(), Instant::now());
        let mut taken = self.taken.borrow_mut();
        let found = taken
            .iter()
            .filter_map(|(number, connection)| Some((connection.dispensable(now, clock)?, *number)))
            .min();
        if let Some(connection) = found.and_then(|(_, number)| taken.remove(&number)) {
            connection.end(Ending::Now, now);
        }
    }

    fn drop_oldest_spare(&self) {
        let mut taken = self.taken.borrow_mut();
        let oldest = taken.iter().find(|(_, connection)| connection.is_spare);
        let number = oldest.map(|(number, _)| *number);
        if let Some(connection) = number.and_then(|number| taken.remove(&number)) {
            connection.end(Ending::Now, self.now());
        }
    }

    /// Memory for a connection over HTTP/2.
    pub(super) fn charge_http_2(&self, connection: &Connection) -> bool {
        connection.speaks_http_2(|| self.optional.charge(HTTP_2_BYTES))
    }

    /// Memory for a text that answers a request over HTTP/2. On HTTP/1 there is one at a time, which the
    /// connection's own memory has room for.
    pub(super) fn charge_text(&self, len_bytes: usize) -> Option<Charge> {
        self.optional.charge(HTTP_2_STREAM_BYTES + len_bytes as u64)
    }

    /// Connections that have a place, those on which chains are answered at most, and the bytes that all
    /// hold.
    pub(super) fn figures(&self) -> (u64, u64, u64) {
        let count = |count: usize| count as u64;
        let taken = count(self.taken.borrow().len());
        let bytes = self.memory.used_bytes() + self.optional.used_bytes();
        (taken, count(self.ordinary.get()), bytes)
    }

    /// Runs the clock, for ever: while there are connections. Calls `each_tick` at each tick, and when the
    /// last one has gone.
    pub(super) async fn watch(self: Rc<Self>, each_tick: impl Fn()) {
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while self.taken.borrow().is_empty() {
                each_tick();
                self.changed.notified().await;
            }
            clock.tick().await;
            self.now.set(self.now.get() + 1);
            let now = self.now();
            for connection in self.taken.borrow().values() {
                connection.tick(now);
            }
            each_tick();
        }
    }

    /// Gives long bodies their turns, for ever.
    pub(super) async fn keep_pace(self: Rc<Self>) {
        self.pace.give_turns().await;
    }

    /// Has clients that speak HTTP/2 send no further request.
    pub(super) fn end_http_2(&self) {
        let taken = self.taken.borrow();
        for connection in taken.values().filter(|connection| connection.is_http_2()) {
            connection.end(Ending::Gracefully, self.now());
        }
    }

    /// Ends each connection as soon as it is idle.
    pub(super) fn end_all(&self) {
        for connection in self.taken.borrow().values() {
            connection.end(Ending::Gracefully, self.now());
        }
    }

    /// Whether there is no connection.
    pub(super) fn are_free(&self) -> bool {
        self.taken.borrow().is_empty()
    }

    /// Waits until all places are given back.
    pub(super) async fn all_free(&self) {
        while !self.are_free() {
            self.changed.notified().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.borrow_mut();
        taken.remove(&self.number);
        if taken.is_empty() {
            self.places.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::drain::Draining;
    use super::super::turn::RequestTurn;
    use super::*;

    const ORDINARY: usize = 14;
    const ALL: usize = 16;

    /// Fewer places, all ordinary ones of which are busy.
    fn crowded() -> (Rc<Places>, Vec<(RequestTurn, Place)>) {
        let places = Places::new(&Budget::of_this_process());
        places.limit_to(ALL);
        let busy = (0..ORDINARY)
            .map(|_| {
                let place = places.take(Client::HERE);
                assert!(!place.connection.is_spare);
                (
                    RequestTurn::new(&place.connection, &places, &Rc::new(Draining::new())),
                    place,
                )
            })
            .collect();
        (places, busy)
    }

    #[test]
    fn a_spare_connection_is_kept_for_a_while_before_it_goes_for_another() {
        let (places, mut busy) = crowded();
        let spare = [(); ALL - ORDINARY].map(|()| places.take(Client::HERE));
        let oldest = &spare[0].connection;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let not_yet = async { tokio::time::timeout(Duration::from_millis(50), places.room()).await };
        assert!(runtime.block_on(not_yet).is_err(), "nobody has looked at it");
        oldest.note_look();
        runtime.block_on(places.room());
        assert!(!oldest.is_new(Instant::now()));
        // An ordinary place that becomes free is nobody's to wait for.
        let next = places.take(Client::HERE);
        assert_eq!(oldest.ending(), Ending::Now);
        drop(next);
        busy.pop();
        let young = places.take(Client::HERE);
        assert!(!young.connection.is_spare);
        runtime.block_on(places.room());
    }

    #[test]
    fn an_idle_connection_that_is_new_is_waited_for_and_then_goes_for_the_next() {
        let (places, mut busy) = crowded();
        busy.pop();
        let idle = places.take(Client::HERE);
        assert!(!idle.connection.is_spare);
        idle.connection.note_look();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(places.room());
        let next = places.take(Client::HERE);
        assert!(!next.connection.is_spare);
        assert_eq!(idle.connection.ending(), Ending::Now);
    }

    #[test]
    fn short_connections_on_spare_places_use_nothing_up() {
        let (places, mut busy) = crowded();
        let mut open = Vec::new();
        for round in 0..1000 {
            let place = places.take(Client::HERE);
            assert!(place.connection.is_spare, "round {round}");
            // Some end at once, some stay until another takes their place.
            if round % 3 == 0 {
                open.push(place);
            }
            assert!(places.taken.borrow().len() <= ALL);
            assert_eq!(
                places.ordinary_taken(),
                ORDINARY,
                "the busy ones keep their places"
            );
        }
        busy.clear();
        let next = places.take(Client::HERE);
        assert!(!next.connection.is_spare, "and give them back");
        drop((open, next));
        assert!(places.taken.borrow().is_empty());
    }

    #[test]
    fn spare_connections_that_stay_keep_nobody_out_of_an_ordinary_place() {
        let (places, mut busy) = crowded();
        let spare = [(); ALL - ORDINARY].map(|()| {
            let place = places.take(Client::HERE);
            (
                RequestTurn::new(&place.connection, &places, &Rc::new(Draining::new())),
                place,
            )
        });
        assert!(spare.iter().all(|(_, place)| place.connection.is_spare));
        for _ in 0..2 {
            busy.pop();
            // As many are open as there are ordinary places, or more.
            assert!(places.taken.borrow().len() >= ORDINARY);
            let place = places.take(Client::HERE);
            assert!(!place.connection.is_spare);
            busy.push((
                RequestTurn::new(&place.connection, &places, &Rc::new(Draining::new())),
                place,
            ));
        }
        assert!(places.take(Client::HERE).connection.is_spare);
    }

    #[test]
    fn an_upload_that_stalls_gives_way_and_a_request_that_is_answered_does_not() {
        let (places, busy) = crowded();
        let (turn, place) = busy.last().unwrap();
        let upload = turn.body().awaits();
        assert!(
            places.take(Client::HERE).connection.is_spare,
            "it has not stalled yet"
        );
        for now in 1..=3 {
            places.now.set(now);
            place.connection.tick(now);
        }
        assert!(!places.take(Client::HERE).connection.is_spare);
        assert_eq!(
            places.ordinary_taken(),
            ORDINARY - 1,
            "the newcomer has gone again"
        );
        drop(upload);
    }

    #[test]
    fn a_connection_that_a_chain_works_for_stays_whatever_else_its_client_leaves_unread() {
        let (places, busy) = crowded();
        let (_, place) = busy.last().unwrap();
        let unread = RequestTurn::new(&place.connection, &places, &Rc::new(Draining::new()));
        let unread = unread.replies(10, &Rc::default());
        for now in 1..=3 {
            places.now.set(now);
            place.connection.tick(now);
        }
        assert!(places.take(Client::HERE).connection.is_spare);
        drop(unread);
    }

    #[test]
    fn replies_that_share_a_connection_share_the_time_to_be_read() {
        for (sent_each_tick, is_cut) in [(40 << 10, false), (20 << 10, true)] {
            let (places, busy) = crowded();
            let connection = &busy.last().unwrap().1.connection;
            let replies = [(); 4].map(|()| {
                RequestTurn::new(connection, &places, &Rc::new(Draining::new()))
                    .replies(1 << 20, &Rc::default())
            });
            // One alone would have 62 s.
            for now in 1..=90 {
                places.now.set(now);
                connection.note_sent(sent_each_tick);
                replies.iter().for_each(super::super::turn::ReplyTurn::moves);
                connection.tick(now);
            }
            assert_eq!(connection.ending() == Ending::Now, is_cut);
        }
    }
}
