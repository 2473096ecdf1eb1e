//! Between the run, which is on the thread of the fabric, and the API, which is on a thread of its own: an
//! event goes one way, the pieces of its answer the other.

use super::event::Event;
use super::request_id::RequestId;
use super::state::{Answer, OutOfTurn, Poll, PollId, State};
use bytes::Bytes;
use http::HeaderValue;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Pieces of an answer that wait for the run: the guest waits while there is one.
const PIECES_MAX: usize = 1;

/// A part of an answer, in this order: a head, any number of bytes, one of the others.
#[derive(Debug)]
pub(super) enum Piece {
    /// What the body is, if the guest says so.
    Head(Option<HeaderValue>),
    Bytes(Bytes),
    /// That was all.
    End,
    /// The guest reports an error of this type, at any place.
    Failed(String),
}

/// What the guest's start comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Started {
    /// It has asked for its first event.
    Ready,
    /// Its initialisation failed, by an error of this type.
    Failed(String),
}

/// The place of the handover.
#[derive(Debug)]
pub(super) struct Handover {
    inner: Mutex<Inner>,
    started: Sender<Started>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// Polls so far.
    polls: u64,
    /// The poll that waits.
    waiting: Option<oneshot::Sender<Event>>,
    /// The event of the run, until the run is over: its connection may be lost, and another one ask for it.
    event: Option<Event>,
    /// Where its answer goes.
    pieces: Option<mpsc::Sender<Piece>>,
}

impl Handover {
    /// `started` is told once how the guest's start ends, and again for each report of a failure until then.
    pub(super) fn new(started: Sender<Started>) -> Arc<Self> {
        let inner = Mutex::default();
        Arc::new(Self { inner, started })
    }

    /// Hands `event` to the guest as soon as it asks; its answer comes in pieces.
    pub(super) fn offer(&self, event: Event) -> mpsc::Receiver<Piece> {
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        let mut inner = self.inner();
        inner.pieces = Some(sender);
        let is_asked_for = inner.state.offer(event.id).is_some();
        inner.event = Some(event);
        if is_asked_for {
            inner.deliver();
        }
        receiver
    }

    /// The run is over, whether it was answered or not.
    pub(super) fn withdraw(&self, id: RequestId) {
        let mut inner = self.inner();
        inner.state.withdraw(id);
        inner.event = None;
        inner.pieces = None;
    }

    /// The guest asks for its next event.
    ///
    /// # Errors
    /// When it may not now.
    pub(super) fn poll(self: &Arc<Self>) -> Result<Polling, OutOfTurn> {
        let mut inner = self.inner();
        inner.polls += 1;
        let poll = PollId(inner.polls);
        if inner.polls == 1 {
            // Nobody listens once the start was given up.
            let _ = self.started.send(Started::Ready);
        }
        let polled = inner.state.poll(poll);
        if let Poll::Refuse(why) = polled {
            return Err(why);
        }
        let (sender, event) = oneshot::channel();
        inner.waiting = Some(sender);
        if let Poll::Deliver(_) = polled {
            inner.deliver();
        }
        drop(inner);
        Ok(Polling {
            event,
            place: Place {
                handover: Arc::clone(self),
                poll: Some(poll),
            },
        })
    }

    /// The guest begins an answer: where its pieces go, or nowhere if its run has been withdrawn.
    ///
    /// # Errors
    /// When there is nothing to answer under this id.
    pub(super) fn answer(&self, id: RequestId) -> Result<Option<mpsc::Sender<Piece>>, OutOfTurn> {
        let mut inner = self.inner();
        match inner.state.answer(id) {
            Answer::Take => Ok(inner.pieces.take()),
            Answer::Drop => Ok(None),
            Answer::Refuse(why) => Err(why),
        }
    }

    /// All of the answer is there; to be called before its last piece is handed over.
    pub(super) fn end_answer(&self, id: RequestId) {
        self.inner().state.end_answer(id);
    }

    /// Whether the guest may report that its initialisation failed.
    ///
    /// # Errors
    /// When it has ended before.
    pub(super) fn begin_init_error(&self) -> Result<(), OutOfTurn> {
        self.inner().state.fail_initialisation()
    }

    /// The guest's initialisation failed by an error of this type.
    pub(super) fn fail_start(&self, error_type: String) {
        // Nobody listens once the start was given up.
        let _ = self.started.send(Started::Failed(error_type));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn deliver(&mut self) {
        if let (Some(waiting), Some(event)) = (self.waiting.take(), &self.event) {
            // A poll whose connection has just ended says so, and the event is offered again.
            let _ = waiting.send(event.clone());
        }
    }
}

/// A request for the next event.
#[derive(Debug)]
pub(super) struct Polling {
    event: oneshot::Receiver<Event>,
    place: Place,
}

/// The place of a poll, given up when its connection ends.
#[derive(Debug)]
struct Place {
    handover: Arc<Handover>,
    poll: Option<PollId>,
}

impl Polling {
    /// Waits for the event; `None` if another poll has taken its place.
    pub(super) async fn event(self) -> Option<Event> {
        let Self { event, mut place } = self;
        let event = event.await.ok()?;
        place.poll = None;
        Some(event)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(poll) = self.poll {
            self.handover.inner().state.lose_poll(poll);
        }
    }
}
