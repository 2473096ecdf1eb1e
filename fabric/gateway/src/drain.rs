//! The end of a gateway, in stages, so that nobody who asks is left without an answer:
//!
//! | stage | new connections | requests | readiness |
//! |---|---|---|---|
//! | serving | accepted | served | 200 |
//! | leaving, for the delay | accepted | served, and told that the connection closes | 503 |
//! | refusing, until what is in flight is done | accepted | 503 with `Retry-After`; HTTP/2: GOAWAY | 503 |
//! | cutting | accepted | 503, those in flight too | 503 |
//!
//! At last each connection on which nothing comes any more is ended, between two looks at its socket, and
//! listened to for a moment (`screen.rs`, `wire.rs`): a request that has arrived is answered, also if only a
//! part of its head has.
//!
//! A socket that outlives the service is not accepted from after the first stage: whoever waits in its queue
//! is served by the successor.

use super::problem::{Problem, RETRY_AFTER_S};
use hacher_libos_net::attach::Drained;
use hacher_libos_net::telemetry::{RequestFailure, RequestRefusal};
use hyper::StatusCode;
use std::cell::Cell;
use tokio::sync::Notify;

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Not at all.
    Serving,
    /// It goes on serving, and says that it leaves.
    Leaving,
    /// New requests are refused.
    Refusing,
    /// Those in flight are cut.
    Cutting,
    /// It has come.
    Done,
}

/// What becomes of a request of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is with its chain.
    Admitted,
    /// Its reply is on its way.
    Answered,
    /// It was cut.
    Cut,
}

/// Where the gateway is in its end, and the requests that it has to answer before.
#[derive(Debug)]
pub(super) struct Draining {
    stage: Cell<Stage>,
    keeps_queue: Cell<bool>,
    changed: Notify,
    /// Requests of chains whose reply's last byte is still to be taken.
    open: Cell<u64>,
    drained: Cell<Drained>,
}

impl Draining {
    pub(super) fn new() -> Self {
        Self {
            stage: Cell::new(Stage::Serving),
            keeps_queue: Cell::new(false),
            changed: Notify::new(),
            open: Cell::new(0),
            drained: Cell::new(Drained::default()),
        }
    }

    /// As it is when the end has begun.
    #[cfg(test)]
    pub(super) fn begun() -> Self {
        let drain = Self::new();
        drain.enter(Stage::Leaving);
        drain
    }

    /// Whether the end has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.stage.get() > Stage::Serving
    }

    /// Whether new requests are refused.
    pub(super) fn refuses(&self) -> bool {
        self.stage.get() >= Stage::Refusing
    }

    /// Waits until no connection is accepted any more.
    pub(super) async fn stops_accepting(&self) {
        self.until(|drain| drain.has_begun() && drain.keeps_queue.get())
            .await;
    }

    /// Waits until requests in flight are cut.
    pub(super) async fn cuts(&self) {
        self.until(|drain| drain.stage.get() >= Stage::Cutting).await;
    }

    /// Waits for the end: what became of requests since it began.
    pub(super) async fn done(&self) -> Drained {
        self.until(|drain| drain.stage.get() == Stage::Done).await;
        self.drained.get()
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        while !condition(self) {
            self.changed.notified().await;
        }
    }

    /// Goes on to a stage.
    pub(super) fn enter(&self, stage: Stage) {
        // It only goes forward, whoever is in a hurry.
        if stage > self.stage.get() {
            self.stage.set(stage);
            self.changed.notify_waiters();
        }
    }

    /// A chain's request is let in.
    pub(super) fn admit(&self) {
        self.open.set(self.open.get() + 1);
    }

    /// A request that was let in is over.
    pub(super) fn over(&self, fate: Fate) {
        self.open.set(self.open.get().saturating_sub(1));
        if self.has_begun() {
            self.count(|drained| match fate {
                // Its client has gone.
                Fate::Admitted => {}
                Fate::Answered => drained.served += 1,
                Fate::Cut => drained.cut += 1,
            });
        }
    }

    /// The answer to a request that is refused.
    pub(super) fn refusal(&self) -> Problem {
        self.count(|drained| drained.refused += 1);
        stopping("it takes no more requests").refusal(RequestRefusal::Draining)
    }

    /// A service manager keeps the socket: connections that wait in its queue are left to a successor.
    pub(super) fn keep_queue(&self) {
        self.keeps_queue.set(true);
    }

    /// Whether nobody new is accepted.
    pub(super) fn keeps_queue(&self) -> bool {
        self.keeps_queue.get()
    }

    /// Whether a request of a chain is still to be answered.
    pub(super) fn is_awaited(&self) -> bool {
        self.open.get() > 0
    }

    /// Nothing is answered any more: replies that nobody has read in time end in the middle.
    pub(super) fn finish(&self) {
        self.count(|drained| drained.cut += self.open.get());
        self.enter(Stage::Done);
    }

    fn count(&self, change: impl FnOnce(&mut Drained)) {
        let mut drained = self.drained.get();
        change(&mut drained);
        self.drained.set(drained);
    }
}

/// The answer to a request that is cut.
pub(super) fn cut() -> Problem {
    stopping("the request was not done in time").failure(RequestFailure::Cut)
}

fn stopping(detail: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the service is stopping", detail)
        .retry_after(RETRY_AFTER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_requests_is_counted_from_the_beginning_of_the_end() {
        let drain = Draining::new();
        for fate in [Fate::Answered, Fate::Cut, Fate::Admitted] {
            drain.admit();
            drain.over(fate);
        }
        assert_eq!(drain.drained.get(), Drained::default());
        drain.enter(Stage::Leaving);
        for fate in [Fate::Answered, Fate::Answered, Fate::Cut, Fate::Admitted] {
            drain.admit();
            drain.over(fate);
        }
        drop(drain.refusal());
        let expected = Drained {
            served: 2,
            cut: 1,
            refused: 1,
        };
        assert_eq!((drain.drained.get(), drain.open.get()), (expected, 0));
    }

    #[test]
    fn the_end_only_goes_forward() {
        let drain = Draining::new();
        drain.enter(Stage::Cutting);
        drain.enter(Stage::Refusing);
        assert!(drain.refuses() && drain.stage.get() == Stage::Cutting);
    }
}
