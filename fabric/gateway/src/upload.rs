//! A request whose body is handed on as it arrives: to a chain whose first functions all read their input as
//! a stream.
//!
//! ```text
//! client ---> a segment at most ---> ring, within its window ---> function
//! ```
//!
//! If the function is slow, its window fills, nothing more is read from the client, and its socket fills.
//! Where the function has several instances, several requests flow at a time, each to an instance of its own.

use super::begin_queue::UnderWay;
use super::client::Client;
use super::client_wait::ClientWait;
use super::endpoint::{Endpoint, INGRESS, NotSent};
use super::problem::Problem;
use super::progress::Progress;
use super::record::Record;
use super::request_body::{RequestBody, broke_off, no_room, refused};
use super::turn::BodyTurn;
use hacher_libos_net::clock;
use hacher_libos_net::error::{Exhausted, SendError};
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::seal::RecordContext;
use std::future::pending;
use std::rc::Rc;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, timeout_at};

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
    pub(super) turn: BodyTurn,
    pub(super) client: Client,
    pub(super) progress: Rc<Progress>,
}

/// The record of such a body, as far as it was sent. One that is left in the middle is ended.
struct Outgoing {
    endpoint: Rc<Endpoint>,
    invocation: InvocationId,
    client: Client,
    progress: Rc<Progress>,
    /// Once it has begun, as long as it has not ended.
    under_way: Option<UnderWay>,
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
            turn,
            client,
            progress,
        } = self;
        let mut outgoing = Outgoing {
            endpoint,
            invocation,
            client,
            progress: Rc::clone(&progress),
            under_way: None,
        };
        let mut wait = ClientWait::of(&body);
        loop {
            while let Some(piece) = record.take_full() {
                outgoing.send(piece.bytes(), false).await?;
            }
            let next = match body.next_at_once().await {
                Some(next) => next,
                None => {
                    // Nothing more is here: what is goes on, however little it is.
                    if let Some(piece) = record.take_piece() {
                        outgoing.send(piece.bytes(), false).await?;
                    }
                    progress.awaits_client(true);
                    let next = wait.next(&mut body, &turn, || progress.until()).await;
                    progress.awaits_client(false);
                    next.inspect_err(|_| progress.loses_client())?
                }
            };
            let data = match next {
                None => break,
                Some(Ok(data)) => data,
                Some(Err(_)) => {
                    progress.loses_client();
                    return Err(broke_off());
                }
            };
            progress.moves();
            turn.pace(data.len()).await;
            // It has an account of its own, with room for what can have come since the last piece left.
            if !record.append(&data) {
                return Err(no_room());
            }
        }
        while let Some(piece) = record.take_full() {
            outgoing.send(piece.bytes(), false).await?;
        }
        let last = record.take_piece();
        let last = last.as_ref().map_or(&[][..], |piece| piece.bytes());
        outgoing.send(last, true).await
    }
}

impl Outgoing {
    /// Sends the next segment, as soon as there is room for it.
    async fn send(&mut self, bytes: &[u8], last: bool) -> Result<(), Problem> {
        let endpoint = Rc::clone(&self.endpoint);
        let turn = match self.under_way {
            Some(_) => None,
            None => {
                let turn = timeout_at(self.progress.until(), endpoint.queue.turn(self.client)).await;
                Some(turn.map_err(|_| refused(NotSent::Full, 0))?)
            }
        };
        loop {
            let room = endpoint.room.notified();
            let waited = match timeout_at(self.progress.until(), endpoint.sending.lock()).await {
                Err(_) => Err(NotSent::Full),
                Ok(turn) => {
                    let sent = self.try_send(bytes, last);
                    drop(turn);
                    match sent {
                        Ok(()) => break,
                        Err(error) if error.is_transient() => {
                            endpoint.wait_for_room(room, self.progress.until()).await
                        }
                        Err(SendError::Exhausted(Exhausted::TooLarge { outbox_bytes })) => {
                            return Err(refused(NotSent::TooLarge { outbox_bytes }, bytes.len()));
                        }
                        Err(_) => return Err(refused(NotSent::Exhausted, 0)),
                    }
                }
            };
            match waited {
                // The reply has moved meanwhile.
                Err(NotSent::Full) if Instant::now() < self.progress.until() => {}
                waited => waited.map_err(|not_sent| refused(not_sent, 0))?,
            }
        }
        self.progress.moves();
        endpoint.receiver.borrow_mut().make_room(&endpoint.own);
        if last {
            self.under_way = None;
        }
        endpoint.note_begun();
        drop(turn);
        Ok(())
    }

    fn try_send(&mut self, bytes: &[u8], last: bool) -> Result<(), SendError> {
        let endpoint = &self.endpoint;
        let mut sender = endpoint.sender.borrow_mut();
        if sender.owes_aborts() {
            endpoint.say_aborts(&mut sender);
        }
        let is_begun = self.under_way.is_some();
        let may_go_on = match is_begun {
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
        if sent.is_ok() && !is_begun {
            self.under_way = Some(endpoint.queue.count(self.client));
        }
        if self.under_way.is_some() {
            sender.set_aside(INGRESS);
        }
        sent
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if self.under_way.is_some() {
            let mut sender = self.endpoint.sender.borrow_mut();
            sender.abort_aside(INGRESS, self.invocation);
            self.endpoint.owed.notify_one();
        }
    }
}
