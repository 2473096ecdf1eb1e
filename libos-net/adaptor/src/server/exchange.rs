//! One run: the request of a record, and what comes back.

use super::connection::{Connection, RequestBody};
use super::target::Target;
use crate::lost::{Lost, unwanted};
use crate::reply;
use bytes::Bytes;
use core::future::{pending, poll_fn};
use core::pin::pin;
use core::task::Poll;
use hacher::{Failure, Input, Output, PortWriter, Reader};
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::{Frame, Incoming};
use std::io::{BufRead, Write};
use tokio::sync::mpsc;

const NO_REQUEST: Failure = Failure::permanent("the record cannot be made a request of");
const REFUSED: Failure = Failure::retry("the program did not accept a connection");
const BROKEN: Failure = Failure::retry("the connection to the program was lost");
const NOT_HTTP: Failure = Failure::retry("the program answered with something that is not HTTP");

/// What an error of the connection means.
fn lost_by(error: &hyper::Error) -> Lost {
    if error.is_parse() {
        Lost::Failed(NOT_HTTP)
    } else {
        Lost::Connection(BROKEN)
    }
}

/// Sends `input` as a request, over the connection that is `kept` if the guest has left it open, and writes the
/// answer to `output`. A connection that this leaves in the middle of something is closed.
pub(super) async fn exchange(
    target: &Target,
    kept: &mut Option<Connection>,
    input: Input<'_>,
    output: &mut Output<'_>,
) -> Result<(), Lost> {
    let mut connection = match kept.take() {
        Some(connection) if connection.is_open().await => connection,
        _ => {
            let opened = Connection::open(target.address).await;
            opened.map_err(|_| Lost::Connection(REFUSED))?
        }
    };
    match over(&mut connection, target, input, output).await {
        Ok(true) => {
            *kept = Some(connection);
            Ok(())
        }
        Ok(false) => {
            connection.close().await;
            Ok(())
        }
        Err(lost) => {
            connection.close().await;
            Err(lost)
        }
    }
}

/// What happens next.
enum Next {
    Answer(hyper::Result<Response<Incoming>>),
    Frame(Option<hyper::Result<Frame<Bytes>>>),
    /// The request takes another piece, or none any more.
    Room(bool),
    Unwanted(Lost),
}

/// Whether the connection can be used again.
async fn over(
    connection: &mut Connection,
    target: &Target,
    mut input: Input<'_>,
    output: &mut Output<'_>,
) -> Result<bool, Lost> {
    let head = target.request_of(&input)?;
    let streams = input.is_stream();
    let mut unwanted = pin!(unwanted(input.cancellation()));
    let (body, mut pieces) = if streams && !input.has_arrived() {
        let (sender, receiver) = mpsc::channel(1);
        let reader = input.reader();
        (RequestBody::Pieces(receiver), Some(Pieces { reader, sender }))
    } else {
        let body = Bytes::copy_from_slice(input.bytes()?);
        (RequestBody::Whole(Full::new(body)), None)
    };
    let request = head.body(body).map_err(|_| NO_REQUEST)?;
    let mut answer = pin!(connection.sender.send_request(request));
    let mut output = Some(output);
    let mut coming: Option<Coming<'_>> = None;
    loop {
        // Has the runtime see what came meanwhile: taking a piece of the input may wait, and then nothing else
        // goes on.
        tokio::task::yield_now().await;
        let next = tokio::select! {
            biased;
            answered = &mut answer, if coming.is_none() => Next::Answer(answered),
            frame = frame_of(&mut coming), if coming.is_some() => Next::Frame(frame?),
            has_room = room_in(pieces.as_ref()), if pieces.is_some() => Next::Room(has_room),
            lost = &mut unwanted => Next::Unwanted(lost),
        };
        match next {
            Next::Answer(answered) => {
                let answered = answered.map_err(|error| lost_by(&error))?;
                let (head, body) = answered.into_parts();
                // Taken once, as there is one answer.
                let Some(output) = output.take() else {
                    return Err(Lost::Failed(NOT_HTTP));
                };
                let writer = reply::begin(output, &head, streams)?;
                coming = Some(Coming {
                    writer,
                    body,
                    streams,
                });
            }
            Next::Frame(Some(frame)) => {
                let frame = frame.map_err(|error| lost_by(&error))?;
                if let (Some(coming), Ok(bytes)) = (&mut coming, frame.into_data()) {
                    coming.writer.append(&bytes)?;
                }
            }
            // What of the request was not read until now, nobody wants.
            Next::Frame(None) => return Ok(pieces.is_none()),
            Next::Room(true) => {
                if let Some(more) = &mut pieces
                    && !more.pass_one()?
                {
                    pieces = None;
                }
            }
            Next::Room(false) => pieces = None,
            Next::Unwanted(lost) => return Err(lost),
        }
    }
}

/// The pieces of a record that goes on as it comes.
struct Pieces<'i, 'r> {
    reader: Reader<'i, 'r>,
    sender: mpsc::Sender<Bytes>,
}

impl Pieces<'_, '_> {
    /// Passes one on, waiting for it; `false` at the end of the record.
    fn pass_one(&mut self) -> Result<bool, Failure> {
        let piece = self.reader.fill_buf()?;
        let len = piece.len();
        if len == 0 {
            return Ok(false);
        }
        // There is room, as was waited for; or the request has failed, which its answer says.
        let _ = self.sender.try_send(Bytes::copy_from_slice(piece));
        self.reader.consume(len);
        Ok(true)
    }
}

/// Waits until the request takes a piece; `false` if it takes none any more.
async fn room_in(pieces: Option<&Pieces<'_, '_>>) -> bool {
    match pieces {
        Some(pieces) => pieces.sender.reserve().await.is_ok(),
        None => pending().await,
    }
}

/// An answer on its way to its port.
struct Coming<'o> {
    writer: PortWriter<'o>,
    body: Incoming,
    streams: bool,
}

/// The next part of the body; what has come before leaves first where that takes a while.
async fn frame_of(coming: &mut Option<Coming<'_>>) -> Result<Option<hyper::Result<Frame<Bytes>>>, Failure> {
    let Some(coming) = coming else {
        return pending().await;
    };
    if coming.streams {
        let mut frame = coming.body.frame();
        let there = poll_fn(|context| {
            Poll::Ready(match pin!(&mut frame).poll(context) {
                Poll::Ready(frame) => Some(frame),
                Poll::Pending => None,
            })
        });
        if let Some(frame) = there.await {
            return Ok(frame);
        }
        coming.writer.flush()?;
    }
    Ok(coming.body.frame().await)
}
