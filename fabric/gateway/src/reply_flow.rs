//! A reply that leaves as it is made: what has come of its record and was not written yet, shared by who
//! takes it in from its ring and by the body that its client gets.
//!
//! ```text
//! ring --- taken in, released at once ---> flow, a few segments ---> body, as its client reads
//! ```
//!
//! If a client reads slowly, the flow fills, its ring is paused, and its function waits for room. If the
//! record is given up by its function, the body ends with an error: over HTTP/1 a chunked body without its
//! last chunk, over HTTP/2 a reset stream.

use super::budget::{Account, FLOW_BYTES, FLOW_WAITING_BYTES};
use super::progress::Progress;
use super::record::{Piece, Record};
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use hacher_libos_net::inlet::Step;
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::layout::SEGMENT_BYTES;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::time::{Instant, Sleep, sleep_until};

/// A record that comes to egress and is handed on meanwhile.
pub(super) struct Flow {
    waiting: RefCell<Record>,
    /// What it may hold, waiting or on its way to the client, was asked for when it began.
    held: Rc<Account>,
    outcome: Cell<Option<Outcome>>,
    is_paused: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    progress: Rc<Progress>,
}

/// How a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With its last byte.
    Whole,
    /// In the middle.
    Broken,
}

/// Who reads a flow. Dropped before its end, it tells the functions that nobody waits.
pub(crate) struct FlowReader {
    flow: Rc<Flow>,
    source: Rc<dyn FlowSource>,
    ring: usize,
    invocation: InvocationId,
    /// When to look whether it stands still.
    limit: Pin<Box<Sleep>>,
    /// What its request takes until the end of its reply.
    ongoing: Option<Box<dyn Any>>,
}

/// Who takes in what comes over rings.
pub(super) trait FlowSource {
    /// Goes on taking in what comes over a ring.
    fn resume_flow(&self, ring: usize);

    /// Nobody reads the rest of a flow. May be called while something is taken in.
    fn leave_flow(&self, ring: usize, invocation: InvocationId);
}

/// A reply was broken off in the middle.
#[derive(Debug, Clone, Copy)]
pub(super) struct BrokenOff {
    /// Because of its client, which has not sent the rest of its request.
    pub(super) by_client: bool,
}

impl fmt::Display for BrokenOff {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the reply was broken off")
    }
}

impl std::error::Error for BrokenOff {}

impl Flow {
    /// One of which nothing waits yet; `None` if there is no room for what it may hold.
    pub(super) fn new(account: &Rc<Account>, progress: &Rc<Progress>) -> Option<Rc<Self>> {
        let held = Account::of(account.charge(FLOW_BYTES)?);
        Some(Rc::new(Self {
            waiting: RefCell::new(Record::empty(&held)),
            held,
            outcome: Cell::new(None),
            is_paused: Cell::new(false),
            reader: RefCell::default(),
            progress: Rc::clone(progress),
        }))
    }

    /// Opens its next segment by `step`, behind what waits.
    pub(super) fn open(&self, step: impl FnOnce(&mut Vec<u8>) -> Step) -> Step {
        let mut waiting = self.waiting.borrow_mut();
        let step = step(waiting.tail());
        if let Step::Opened(opened) = &step
            && !opened.in_place
        {
            waiting.settle(opened.descriptor.len_bytes);
            self.progress.moves();
            self.wake();
        }
        step
    }

    /// Whether no more is to be taken in before some was read: enough waits, or too much is being written.
    pub(super) fn is_full(&self) -> bool {
        let has_room = self.held.has_room(SEGMENT_BYTES as u64);
        self.waiting.borrow().len_bytes() >= FLOW_WAITING_BYTES || !has_room
    }

    /// Notes whether its ring is paused.
    pub(super) fn set_paused(&self, paused: bool) {
        self.is_paused.set(paused);
    }

    /// It has ended.
    pub(super) fn end(&self, outcome: Outcome) {
        if self.outcome.get().is_none() {
            self.outcome.set(Some(outcome));
            // The ring is another record's from now on.
            self.is_paused.set(false);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}

impl FlowReader {
    /// The one that reads this flow, which comes over this ring.
    pub(super) fn new(
        flow: Rc<Flow>,
        source: Rc<dyn FlowSource>,
        ring: usize,
        invocation: InvocationId,
    ) -> Self {
        let limit = Box::pin(sleep_until(flow.progress.until()));
        Self {
            flow,
            source,
            ring,
            invocation,
            limit,
            ongoing: None,
        }
    }

    /// Keeps what its request takes until the end.
    pub(super) fn hold(&mut self, ongoing: impl Any) {
        self.ongoing = Some(Box::new(ongoing));
    }

    /// Whether its last byte was taken.
    pub(super) fn is_over(&self) -> bool {
        self.flow.outcome.get() == Some(Outcome::Whole) && self.flow.waiting.borrow().len_bytes() == 0
    }

    /// Whether something can be taken, or it has ended: how, or else waits for that.
    pub(super) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BrokenOff>> {
        if self.flow.waiting.borrow().len_bytes() > 0 {
            return Poll::Ready(Ok(()));
        }
        match self.flow.outcome.get() {
            Some(Outcome::Whole) => return Poll::Ready(Ok(())),
            Some(Outcome::Broken) => {
                let progress = &self.flow.progress;
                let by_client = progress.is_client_late() || progress.has_lost_client();
                return Poll::Ready(Err(BrokenOff { by_client }));
            }
            None => {}
        }
        self.flow.reader.replace(Some(context.waker().clone()));
        // What is being written may have taken the room.
        if self.is_still_paused() {
            self.flow.held.wake_when_freed(context.waker());
        }
        loop {
            let until = self.flow.progress.until();
            if Instant::now() >= until {
                let progress = &self.flow.progress;
                let by_client = progress.is_client_late() || progress.has_lost_client();
                return Poll::Ready(Err(BrokenOff { by_client }));
            }
            if self.limit.deadline() < until {
                self.limit.as_mut().reset(until);
            }
            if self.limit.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Takes what has come first.
    pub(super) fn take_piece(&mut self) -> Option<Piece> {
        let piece = self.flow.waiting.borrow_mut().take_piece()?;
        self.flow.progress.moves();
        let _ = self.is_still_paused();
        Some(piece)
    }

    /// Goes on with the ring, if it is paused and there is room again; whether it stays paused.
    fn is_still_paused(&self) -> bool {
        if self.flow.is_paused.get() && !self.flow.is_full() {
            self.flow.set_paused(false);
            self.source.resume_flow(self.ring);
        }
        self.flow.is_paused.get()
    }
}

impl Drop for FlowReader {
    fn drop(&mut self) {
        if self.flow.outcome.get() != Some(Outcome::Whole) {
            self.source.leave_flow(self.ring, self.invocation);
        }
    }
}
