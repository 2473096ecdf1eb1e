//! One run: its event is handed over, and the pieces of the answer become a record.

use super::event::Event;
use super::handover::{Handover, Piece};
use super::prelude::{self, Prelude};
use crate::lost::{Lost, unwanted};
use crate::reason::fixed;
use crate::reply;
use bytes::Bytes;
use core::pin::pin;
use hacher::{Cancellation, Failure, Output, PortWriter};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::response::{Parts, Response};
use std::io::Write;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

const BROKEN: Failure = Failure::retry("the program's answer broke off");
const NO_PRELUDE: Failure =
    Failure::retry("the program's answer has no prelude in JSON, with eight zero bytes behind it");
const OUT_OF_ORDER: Failure = Failure::retry("the program's answer has no head");

/// Hands `event` over, and writes what the guest answers to `output`.
///
/// # Errors
/// When the guest reports an error, does not answer all of it, or nobody waits any more.
pub(super) async fn answered(
    handover: &Handover,
    event: Event,
    cancellation: Cancellation<'_>,
    output: &mut Output<'_>,
    streams: bool,
) -> Result<(), Lost> {
    let id = event.id;
    let mut pieces = handover.offer(event);
    let ended = receive(&mut pieces, cancellation, output, streams).await;
    handover.withdraw(id);
    ended
}

async fn receive(
    pieces: &mut mpsc::Receiver<Piece>,
    cancellation: Cancellation<'_>,
    output: &mut Output<'_>,
    streams: bool,
) -> Result<(), Lost> {
    let mut unwanted = pin!(unwanted(cancellation));
    let state = State::Before(output);
    let mut coming = Coming { state, streams };
    loop {
        let piece = tokio::select! {
            biased;
            piece = coming.next(pieces) => piece?,
            lost = &mut unwanted => return Err(lost),
        };
        match piece {
            Piece::Head(content_type) => coming.begin(content_type)?,
            Piece::Bytes(bytes) => coming.append(&bytes)?,
            Piece::End => return Ok(coming.end()?),
            Piece::Failed(error_type) => {
                let reason = fixed(&format!("the program reported an error: {error_type}"));
                return Err(Lost::Failed(Failure::retry(reason)));
            }
        }
    }
}

/// An answer on its way to its port.
struct Coming<'o, 'r> {
    state: State<'o, 'r>,
    streams: bool,
}

enum State<'o, 'r> {
    Before(&'o mut Output<'r>),
    Prelude(&'o mut Output<'r>, Prelude),
    Body(PortWriter<'o>),
    /// An error has been told.
    Over,
}

impl<'o, 'r> Coming<'o, 'r> {
    /// The next piece; what has come before leaves first where that takes a while.
    async fn next(&mut self, pieces: &mut mpsc::Receiver<Piece>) -> Result<Piece, Lost> {
        if let (State::Body(writer), true) = (&mut self.state, self.streams) {
            match pieces.try_recv() {
                Ok(piece) => return Ok(piece),
                Err(TryRecvError::Empty) => writer.flush().map_err(Failure::from)?,
                Err(TryRecvError::Disconnected) => return Err(Lost::Connection(BROKEN)),
            }
        }
        pieces.recv().await.ok_or(Lost::Connection(BROKEN))
    }

    fn begin(&mut self, content_type: Option<HeaderValue>) -> Result<(), Failure> {
        let State::Before(output) = core::mem::replace(&mut self.state, State::Over) else {
            return Err(OUT_OF_ORDER);
        };
        let content_type = content_type.unwrap_or(JSON);
        if content_type.as_bytes() == prelude::CONTENT_TYPE {
            self.state = State::Prelude(output, Prelude::default());
            return Ok(());
        }
        let (mut head, ()) = Response::new(()).into_parts();
        head.headers.insert(CONTENT_TYPE, content_type);
        self.begin_body(output, &head)
    }

    fn begin_body(&mut self, output: &'o mut Output<'r>, head: &Parts) -> Result<(), Failure> {
        self.state = State::Body(reply::begin(output, head, self.streams)?);
        Ok(())
    }

    fn append(&mut self, bytes: &Bytes) -> Result<(), Failure> {
        match core::mem::replace(&mut self.state, State::Over) {
            State::Before(_) | State::Over => Err(OUT_OF_ORDER),
            State::Prelude(output, mut prelude) => match prelude.take(bytes) {
                Ok(Some((head, body))) => {
                    self.begin_body(output, &head)?;
                    self.append(&body.into())
                }
                Ok(None) => {
                    self.state = State::Prelude(output, prelude);
                    Ok(())
                }
                Err(_) => Err(NO_PRELUDE),
            },
            State::Body(mut writer) => {
                writer.append(bytes)?;
                self.state = State::Body(writer);
                Ok(())
            }
        }
    }

    fn end(&self) -> Result<(), Failure> {
        match self.state {
            State::Body(_) => Ok(()),
            State::Prelude(..) => Err(NO_PRELUDE),
            State::Before(_) | State::Over => Err(OUT_OF_ORDER),
        }
    }
}
