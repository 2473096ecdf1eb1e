//! The Runtime API (version 2018-06-01): one request of the guest, and what it is answered.

use super::error_type;
use super::handover::{Handover, Piece};
use super::refusal::{Refusal, accepted};
use super::request_id::RequestId;
use super::route::Route;
use super::state::OutOfTurn;
use super::trailer_text::TrailerText;
use bytes::Bytes;
use core::convert::Infallible;
use http::header::{CONTENT_TYPE, HeaderMap, TRAILER};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use std::sync::Arc;
use tokio::sync::mpsc;

const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const MODE: &str = "lambda-runtime-function-response-mode";
/// Most bytes that are kept of a report of an error, to find its type; runtimes put messages before it.
const REPORT_MAX_BYTES: usize = 1 << 20;
/// Most bytes that are read of a body that goes nowhere, so that the guest comes to read the answer; beyond
/// it the connection is closed.
const DROPPED_MAX_BYTES: usize = 16 << 20;

type Answer = Response<Full<Bytes>>;

/// Answers one request.
///
/// # Errors
/// None: what cannot be done has an answer.
pub(super) async fn answer(
    handover: Arc<Handover>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let route = Route::of(request.method(), request.uri().path());
    let (head, body) = request.into_parts();
    let mut body = Body(body);
    let answered = match route {
        Route::Next => next(&handover).await,
        Route::Response(id) => response(&handover, id, &head.headers, &mut body).await,
        Route::Error(id) => error(&handover, id, &head.headers, &mut body).await,
        Route::InitError => init_error(&handover, &head.headers, &mut body).await,
        Route::Unknown(why) => Err(Refusal::Unknown(why)),
    };
    Ok(match answered {
        Ok(answer) => answer,
        Err(refusal) => {
            body.drop_rest().await;
            refusal.answer()
        }
    })
}

impl From<OutOfTurn> for Refusal {
    fn from(why: OutOfTurn) -> Self {
        Self::OutOfTurn(why)
    }
}

async fn next(handover: &Arc<Handover>) -> Result<Answer, Refusal> {
    let event = handover.poll()?.event().await;
    Ok(event.ok_or(OutOfTurn::AnotherPolls)?.into_answer())
}

async fn response(
    handover: &Handover,
    id: RequestId,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<Answer, Refusal> {
    if headers
        .get(MODE)
        .is_some_and(|mode| mode != "streaming" && mode != "buffered")
    {
        return Err(Refusal::Mode);
    }
    if let Some(pieces) = handover.answer(id)? {
        let end = match pass(headers, body, &pieces).await {
            Ok(()) => Piece::End,
            Err(Broken::Reported(error_type)) => Piece::Failed(error_type),
            Err(Broken::Unwanted) => {
                body.drop_rest().await;
                return Ok(accepted());
            }
            // The run finds its answer broken off, and nobody is there to read this one.
            Err(Broken::Connection) => return Ok(accepted()),
        };
        handover.end_answer(id);
        // A run that is over does not mind.
        let _ = pieces.send(end).await;
    } else {
        body.drop_rest().await;
    }
    Ok(accepted())
}

/// Why an answer does not come to its end.
enum Broken {
    /// The guest reports an error of this type.
    Reported(String),
    /// Its run is over.
    Unwanted,
    /// The guest has closed its connection, or sent something that is no body.
    Connection,
}

/// Passes a body on to its run, but for its end.
async fn pass(headers: &HeaderMap, body: &mut Body, pieces: &mpsc::Sender<Piece>) -> Result<(), Broken> {
    let send = async |piece| pieces.send(piece).await.map_err(|_| Broken::Unwanted);
    send(Piece::Head(headers.get(CONTENT_TYPE).cloned())).await?;
    let mut text = announces_errors(headers).then(TrailerText::default);
    while let Some(part) = body.next().await? {
        let bytes = match part {
            Part::Bytes(bytes) => bytes,
            Part::Trailers(trailers) => match reported(&trailers) {
                Some(error_type) => return Err(Broken::Reported(error_type)),
                None => continue,
            },
        };
        let bytes = match &mut text {
            Some(text) => text.take(bytes),
            None => bytes,
        };
        if !bytes.is_empty() {
            send(Piece::Bytes(bytes)).await?;
        }
    }
    match text.map(TrailerText::end) {
        Some(Ok(last)) if !last.is_empty() => send(Piece::Bytes(last)).await,
        Some(Err(error_type)) => Err(Broken::Reported(error_type)),
        _ => Ok(()),
    }
}

/// Whether the body may end in an error.
fn announces_errors(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(TRAILER).into_iter();
    let mut names = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    names.any(|name| name.trim().eq_ignore_ascii_case(ERROR_TYPE))
}

/// The type of the error that trailers report.
fn reported(trailers: &HeaderMap) -> Option<String> {
    let error_type = trailers.get(ERROR_TYPE)?;
    Some(error_type::harmless(&String::from_utf8_lossy(
        error_type.as_bytes(),
    )))
}

async fn error(
    handover: &Handover,
    id: RequestId,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<Answer, Refusal> {
    if let Some(pieces) = handover.answer(id)? {
        let error_type = body.error_type(headers).await;
        handover.end_answer(id);
        // A run that is over does not mind.
        let _ = pieces.send(Piece::Failed(error_type)).await;
    } else {
        body.drop_rest().await;
    }
    Ok(accepted())
}

async fn init_error(handover: &Handover, headers: &HeaderMap, body: &mut Body) -> Result<Answer, Refusal> {
    handover.begin_init_error()?;
    let error_type = body.error_type(headers).await;
    handover.fail_start(error_type);
    Ok(accepted())
}

/// The body of a request.
struct Body(Incoming);

enum Part {
    Bytes(Bytes),
    Trailers(HeaderMap),
}

impl Body {
    /// The next part, `None` at the end.
    async fn next(&mut self) -> Result<Option<Part>, Broken> {
        loop {
            let Some(frame) = self.0.frame().await else {
                return Ok(None);
            };
            let frame = frame.map_err(|_| Broken::Connection)?;
            match frame.into_data() {
                Ok(bytes) => return Ok(Some(Part::Bytes(bytes))),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return Ok(Some(Part::Trailers(trailers)));
                    }
                }
            }
        }
    }

    /// Reads all of it, and keeps its beginning.
    async fn beginning(&mut self, max_bytes: usize) -> Vec<u8> {
        let (mut kept, mut left) = (Vec::new(), DROPPED_MAX_BYTES);
        while let Ok(Some(part)) = self.next().await {
            if let Part::Bytes(bytes) = part {
                let room = max_bytes.saturating_sub(kept.len());
                kept.extend_from_slice(bytes.get(..room).unwrap_or(&bytes));
                left = left.saturating_sub(bytes.len());
            }
            if left == 0 {
                break;
            }
        }
        kept
    }

    async fn drop_rest(&mut self) {
        self.beginning(0).await;
    }

    /// The type of the error that it reports.
    async fn error_type(&mut self, headers: &HeaderMap) -> String {
        let report = self.beginning(REPORT_MAX_BYTES).await;
        let header = headers.get(ERROR_TYPE).and_then(|value| value.to_str().ok());
        error_type::of(header, &report)
    }
}
