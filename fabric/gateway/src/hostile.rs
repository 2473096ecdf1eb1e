//! The gateway's readers of what a client or a function chose, for those who try them with any bytes.

use super::budget::Budget;
use super::carried::Asked;
use super::framing::{Framing, Refused};
use super::problem::Problem;
use super::record::Record;
use super::reply::Origin;
use super::{carried, reply};
use bytes::{BufMut, Bytes};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use hacher_libos_net::headers;
use http_body_util::Full;
use hyper::body::Body;
use hyper::{HeaderMap, Response, StatusCode};

/// How far a stream of HTTP/1 is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framed {
    /// Heads of requests.
    pub heads: u64,
    /// Bytes that are passed on.
    pub passed: usize,
    /// Why no more of it is.
    pub refused: Option<Refusal>,
}

/// Why a stream is read no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A head is answered with this status.
    Head(StatusCode),
    /// A body is not framed as it says.
    Body,
}

/// Judges the framing of a stream that comes in pieces of `piece` bytes.
#[must_use]
pub fn framed(stream: &[u8], piece: usize) -> Framed {
    let mut framing = Framing::new();
    let mut framed = Framed {
        heads: 0,
        passed: 0,
        refused: None,
    };
    let mut come = 0;
    while come < stream.len() && framed.refused.is_none() {
        come = come.saturating_add(piece.max(1)).min(stream.len());
        let judged = framing.judge(stream.get(framed.passed..come).unwrap_or(&[]));
        framed.heads += judged.heads;
        framed.passed += judged.passed;
        framed.refused = judged.refused.map(|refused| match refused {
            Refused::Head(problem) => Refusal::Head(problem.response().status()),
            Refused::Body(_) => Refusal::Body,
        });
    }
    framed
}

/// What a client is told of a record at egress that a function made.
#[must_use]
pub fn reply_of_record(plain: Vec<u8>) -> Response<Full<Bytes>> {
    let length = plain.len() as u64;
    let account = Budget::of_this_process().account(length);
    let reply = reply::of_record(Record::beginning_with(plain, &account), Origin::Made);
    let reply = reply.unwrap_or_else(|fault| Problem::of_no_reply("hostile", &fault).response());
    let (parts, mut body) = reply.into_parts();
    let mut bytes = Vec::new();
    // It never waits: all of it is here.
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) {
        if let Ok(data) = frame.into_data() {
            bytes.put(data);
        }
    }
    Response::from_parts(parts, Full::new(Bytes::from(bytes)))
}

/// What a request's record begins with; `None` if its headers are refused.
#[must_use]
pub fn carried(sent: &HeaderMap) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    headers::start(&mut plain, &[]);
    carried::carry(sent, Asked::POST, &[], &mut plain)
        .ok()
        .map(|()| plain)
}
