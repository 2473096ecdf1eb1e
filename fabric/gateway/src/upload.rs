//! A request whose body is handed on as it arrives: to a chain whose first functions all read their input as
//! a stream.
//!
//! ```text
//! client ---> a segment at most ---> ring, within its window ---> function
//! ```
//!
//! If the function is slow, its window fills, nothing more is read from the client, and its socket fills.
//! Where the function has several instances, several requests flow at a time, each to an instance of its own.

use super::endpoint::{Endpoint, INGRESS, NotSent};
use super::problem::Problem;
use super::progress::Progress;
use super::record::Record;
use super::request_body::{RequestBody, broke_off, no_room, refused, too_slow};
use super::turn::{Pacer, UploadTurn};
use hacher_libos_net::clock;
use hacher_libos_net::error::{Exhausted, SendError};
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::seal::RecordContext;
use std::future::{pending, ready};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, timeout_at};

/// In so much time that a client is waited for, at least so much of its body arrives.
const WAITED: Duration = Duration::from_secs(10);
const WAITED_MIN_BYTES: u64 = 10 << 10;

/// A body that flows into its chain. Dropped, it ends: whoever has its beginning is told to drop it.
pub(super) struct Upload {
    task: AbortHandle,
    failure: Option<oneshot::Receiver<Problem>>,
}

/// What it is made of.
pub(super) struct Uploading {
    pub(super) endpoint: Rc<Endpoint>,
    pub(super) invocation: InvocationId,
    /// What has come of it, headers first.
    pub(super) record: Record,
    /// The rest.
    pub(super) body: RequestBody,
    pub(super) pacer: Pacer,
    pub(super) turn: UploadTurn,
    pub(super) progress: Rc<Progress>,
}

/// The record of such a body, as far as it was sent. One that is left in the middle is ended.
struct Outgoing {
    endpoint: Rc<Endpoint>,
    invocation: InvocationId,
    progress: Rc<Progress>,
    is_begun: bool,
}

impl Upload {
    /// Begins to hand a body on.
    pub(super) fn begin(uploading: Uploading) -> Self {
        let (failed, failure) = oneshot::channel();
        let task = spawn_local(async move {
            if let Err(problem) = uploading.send().await {
                // Fails if its request was answered meanwhile.
                drop(failed.send(problem));
            }
        });
        Self {
            task: task.abort_handle(),
            failure: Some(failure),
        }
    }

    /// Waits until it fails, which it need not.
    pub(super) async fn fails(&mut self) -> Problem {
        if let Some(failure) = &mut self.failure {
            if let Ok(problem) = failure.await {
                return problem;
            }
            // All of it was handed on.
            self.failure = None;
        }
        pending().await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Uploading {
    async fn send(self) -> Result<(), Problem> {
        let Self {
            endpoint,
            invocation,
            mut record,
            mut body,
            pacer,
            turn,
            progress,
        } = self;
        let mut outgoing = Outgoing {
            endpoint: Rc::clone(&endpoint),
            invocation,
            progress: Rc::clone(&progress),
            is_begun: false,
        };
        let mut waited = Waited::default();
        loop {
            while let Some(piece) = record.take_full() {
                outgoing.send(piece.bytes(), false).await?;
            }
            let at_once = tokio::select! {
                biased;
                next = body.next() => Some(next),
                () = ready(()) => None,
            };
            let next = match at_once {
                Some(next) => next,
                None => {
                    // Nothing more is here: what is goes on, however little it is.
                    if let Some(piece) = record.take_piece() {
                        outgoing.send(piece.bytes(), false).await?;
                    }
                    waited.next(&mut body, &progress).await?
                }
            };
            let data = match next {
                None => break,
                Some(Ok(data)) => data,
                Some(Err(_)) => return Err(broke_off()),
            };
            progress.moves();
            pacer.pace(data.len()).await;
            if !endpoint.has_room_for_request(data.len() as u64) || !record.append(&data) {
                return Err(no_room());
            }
        }
        drop(turn);
        while let Some(piece) = record.take_full() {
            outgoing.send(piece.bytes(), false).await?;
        }
        let last = record.take_piece();
        let last = last.as_ref().map_or(&[][..], |piece| piece.bytes());
        outgoing.send(last, true).await
    }
}

/// How long a client was waited for, and what it sent meanwhile.
#[derive(Default)]
struct Waited {
    time: Duration,
    received_before: u64,
}

impl Waited {
    /// Waits for the next bytes of a body.
    async fn next(
        &mut self,
        body: &mut RequestBody,
        progress: &Progress,
    ) -> Result<Option<Result<bytes::Bytes, hyper::Error>>, Problem> {
        let begun = Instant::now();
        let until = progress.until().min(begun + WAITED.saturating_sub(self.time));
        let next = timeout_at(until, body.next()).await;
        self.time += begun.elapsed();
        if self.time >= WAITED {
            let received = body.received_bytes();
            if received - self.received_before < WAITED_MIN_BYTES {
                return Err(too_slow());
            }
            (self.time, self.received_before) = (Duration::ZERO, received);
        }
        match next {
            Ok(next) => Ok(next),
            Err(_) if Instant::now() >= progress.until() => Err(too_slow()),
            // The time was up by which so much had to come, and it has.
            Err(_) => timeout_at(progress.until(), body.next())
                .await
                .map_err(|_| too_slow()),
        }
    }
}

impl Outgoing {
    /// Sends the next segment, as soon as there is room for it.
    async fn send(&mut self, bytes: &[u8], last: bool) -> Result<(), Problem> {
        let endpoint = Rc::clone(&self.endpoint);
        loop {
            let room = endpoint.room.notified();
            let sent = {
                let turn = timeout_at(self.progress.until(), endpoint.sending.lock()).await;
                let _turn = turn.map_err(|_| refused(NotSent::Full, 0))?;
                self.try_send(bytes, last)
            };
            match sent {
                Ok(()) => break,
                Err(error) if error.is_transient() => {}
                Err(SendError::Exhausted(Exhausted::TooLarge { outbox_bytes })) => {
                    return Err(refused(NotSent::TooLarge { outbox_bytes }, bytes.len()));
                }
                Err(_) => return Err(refused(NotSent::Exhausted, 0)),
            }
            let waited = endpoint.wait_for_room(room, self.progress.until()).await;
            match waited {
                // The reply has moved meanwhile.
                Err(NotSent::Full) if Instant::now() < self.progress.until() => {}
                waited => waited.map_err(|not_sent| refused(not_sent, 0))?,
            }
        }
        self.progress.moves();
        endpoint.receiver.borrow_mut().make_room(&endpoint.own);
        if last {
            self.is_begun = false;
            // The function behind it may begin with another.
            endpoint.room.notify_waiters();
        }
        Ok(())
    }

    fn try_send(&mut self, bytes: &[u8], last: bool) -> Result<(), SendError> {
        let endpoint = &self.endpoint;
        let mut sender = endpoint.sender.borrow_mut();
        if sender.owes_aborts() {
            endpoint.say_aborts(&mut sender);
        }
        let may_go_on = match self.is_begun {
            true => sender.go_on(INGRESS, self.invocation) && (last || !sender.is_ahead(INGRESS)),
            false => sender.may_begin(INGRESS),
        };
        let left = self.progress.until().saturating_duration_since(Instant::now());
        let record = RecordContext {
            invocation: self.invocation,
            deadline: clock::now().after(left),
            attempt: 1,
        };
        let sent = match may_go_on {
            true => sender.send(&endpoint.own, INGRESS, &record, bytes, last),
            false => Err(Exhausted::Full.into()),
        };
        self.is_begun |= sent.is_ok();
        if self.is_begun {
            sender.set_aside(INGRESS);
        }
        sent
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if self.is_begun {
            let mut sender = self.endpoint.sender.borrow_mut();
            sender.abort_aside(INGRESS, self.invocation);
            self.endpoint.owed.notify_one();
        }
    }
}
