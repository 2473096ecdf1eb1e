//! The body of a request as it comes, and what becomes of it within the chain's limit and the budget.

use super::endpoint::{Endpoint, NotSent};
use super::held;
use super::problem::{Problem, RETRY_AFTER_S};
use super::record::Record;
use bytes::Bytes;
use hacher_libos_net::layout::SEGMENT_BYTES;
use hacher_libos_net::telemetry::RequestRefusal;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;
use hyper::http::request::Parts;
use hyper::{StatusCode, Version};
use std::cell::Cell;
use std::future::ready;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;

/// A body that nobody will look at is read all the same if it is at most this long, so that its connection
/// can be used again.
const SKIPPED_MAX_BYTES: u64 = 64 << 10;
/// And if it comes within this time.
const SKIPPED_WITHIN: Duration = Duration::from_secs(1);

/// A body that is arriving.
pub(super) struct RequestBody {
    /// Nothing, once it was taken to be read beside the reply.
    incoming: Option<Incoming>,
    version: Version,
    /// Bytes that have come and were not taken.
    first: Option<Bytes>,
    is_awaited: bool,
    has_ended: Rc<Cell<bool>>,
    received_bytes: Rc<Cell<u64>>,
}

impl RequestBody {
    /// The body of a request with this head.
    pub(super) fn new(head: &Parts, incoming: Incoming) -> Self {
        Self {
            has_ended: Rc::new(Cell::new(incoming.is_end_stream())),
            is_awaited: head.headers.contains_key(EXPECT),
            version: head.version,
            first: None,
            received_bytes: Rc::default(),
            incoming: Some(incoming),
        }
    }

    /// Takes what is still to come, to be read beside the reply. What is left here knows how far that is.
    pub(super) fn take_rest(&mut self) -> Self {
        Self {
            incoming: self.incoming.take(),
            version: self.version,
            first: self.first.take(),
            is_awaited: self.is_awaited,
            has_ended: Rc::clone(&self.has_ended),
            received_bytes: Rc::clone(&self.received_bytes),
        }
    }

    /// Waits for the first bytes, or the end, and keeps them for [`Self::next`].
    pub(super) async fn arrives(&mut self) -> Result<(), CutShort> {
        self.first = self.next().await.transpose()?;
        Ok(())
    }

    /// The next bytes; `None` once the client has sent all of them.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, CutShort>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        loop {
            let incoming = self.incoming.as_mut()?;
            match incoming.frame().await {
                None if is_whole(incoming, self.version) => {
                    self.has_ended.set(true);
                    return None;
                }
                None | Some(Err(_)) => return Some(Err(CutShort)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        let received = self.received_bytes();
                        self.received_bytes
                            .set(received.saturating_add(data.len() as u64));
                        return Some(Ok(data));
                    }
                }
            }
        }
    }

    /// Bytes that have come so far.
    pub(super) fn received_bytes(&self) -> u64 {
        self.received_bytes.get()
    }

    /// The same, as it grows.
    pub(super) const fn received(&self) -> &Rc<Cell<u64>> {
        &self.received_bytes
    }

    /// Bytes that are announced; `None` if their number is not.
    pub(super) fn announced_bytes(&self) -> Option<u64> {
        self.incoming.as_ref()?.size_hint().exact()
    }

    /// Whether more is announced than one segment, or than a chain holds, or nothing: such a body is worth
    /// being handed on as it comes.
    pub(super) fn is_long(&self, held_max_bytes: u64) -> bool {
        self.announced_bytes()
            .is_none_or(|bytes| bytes > held_max_bytes.min(SEGMENT_BYTES as u64))
    }

    /// Reads to the end what is short and on its way, and drops it; `false` if something is left.
    pub(super) async fn skip(&mut self) -> bool {
        let Some(incoming) = &self.incoming else {
            return self.has_ended.get();
        };
        if self.has_ended.get() || incoming.is_end_stream() {
            return true;
        }
        // A client that waits for a word before it sends has got another word.
        if self.is_awaited
            || self
                .announced_bytes()
                .is_some_and(|bytes| bytes > SKIPPED_MAX_BYTES)
        {
            return false;
        }
        let read = async {
            let mut left = SKIPPED_MAX_BYTES;
            while let Some(Ok(data)) = self.next().await {
                left = left.saturating_sub(data.len() as u64);
                if left == 0 {
                    break;
                }
            }
        };
        let _ = timeout(SKIPPED_WITHIN, read).await;
        self.has_ended.get()
    }

    /// The next bytes, if they are here already.
    pub(super) async fn next_at_once(&mut self) -> Option<Option<Result<Bytes, CutShort>>> {
        tokio::select! {
            biased;
            next = self.next() => Some(next),
            () = ready(()) => None,
        }
    }
}

/// A body stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CutShort;

/// Whether a body that gives no more bytes has had its last one. hyper reports an HTTP/2 stream that its
/// client resets with NO_ERROR as one that has ended, but only END_STREAM ends a request (RFC 9113, section
/// 8.1). Over HTTP/1 a body that stops early is an error already.
fn is_whole(incoming: &Incoming, version: Version) -> bool {
    let has_ended = version != Version::HTTP_2 || incoming.is_end_stream();
    has_ended && incoming.size_hint().exact().is_none_or(|left| left == 0)
}

/// What becomes of a body as it comes.
pub(super) trait Intake {
    /// So many bytes are announced: what will not be taken is refused before it is sent. They are not
    /// charged.
    fn expect(&mut self, announced_bytes: u64) -> Result<(), Problem>;

    /// Takes what came next.
    fn take(&mut self, data: &[u8]) -> Result<(), Problem>;
}

/// A body that is taken into a record as it is.
pub(super) struct PlainBody<'a> {
    endpoint: &'a Endpoint,
    /// Its headers, and what came so far.
    record: Record,
    received_bytes: u64,
    /// How many are taken, all in all.
    limit_bytes: u64,
    /// What is held of it was paid for before.
    is_paid: bool,
}

impl<'a> PlainBody<'a> {
    /// One that comes behind these headers.
    pub(super) const fn new(endpoint: &'a Endpoint, headers: Record) -> Self {
        Self {
            endpoint,
            record: headers,
            received_bytes: 0,
            limit_bytes: endpoint.begin.max_body_bytes,
            is_paid: false,
        }
    }

    /// The same of any length: what limits a body limits what is held of it, and this one is handed on. Its
    /// record has an account of its own.
    pub(super) const fn flowing(mut self) -> Self {
        self.limit_bytes = u64::MAX;
        self.is_paid = true;
        self
    }

    /// All of it.
    pub(super) fn finish(self) -> Record {
        self.record
    }
}

impl Intake for PlainBody<'_> {
    fn expect(&mut self, announced_bytes: u64) -> Result<(), Problem> {
        let limit = self.limit_bytes;
        if announced_bytes > limit {
            return Err(too_large(Some(announced_bytes), limit));
        }
        if !self.endpoint.has_room_for_request(announced_bytes) {
            return Err(no_room());
        }
        Ok(())
    }

    fn take(&mut self, data: &[u8]) -> Result<(), Problem> {
        let limit = self.limit_bytes;
        self.received_bytes = self.received_bytes.saturating_add(data.len() as u64);
        if self.received_bytes > limit {
            return Err(too_large(None, limit));
        }
        let has_room = self.is_paid || self.endpoint.has_room_for_request(data.len() as u64);
        if !has_room || !self.record.append(data) {
            return Err(no_room());
        }
        Ok(())
    }
}

/// The body has more bytes than its chain takes.
pub(super) fn too_large(size: Option<u64>, limit: u64) -> Problem {
    let limit = held::limit(limit, "ingress.max_body", size);
    let size = size.map_or_else(|| "more".to_owned(), |size| format!("{size} bytes"));
    let detail = format!("the body has {size}; {limit}");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", detail)
        .refusal(RequestRefusal::BodyTooLarge)
}

/// A client takes too long to send its body.
pub(super) fn too_slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "the request is too slow",
        "the body did not arrive in time",
    )
    .refusal(RequestRefusal::BodyTooSlow)
}

/// A client has ended its body in the middle.
pub(super) fn broke_off() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "the request broke off",
        "the body did not arrive whole",
    )
    .refusal(RequestRefusal::BodyBrokeOff)
}

/// Why a request could not be handed to its chain.
pub(super) fn refused(not_sent: NotSent, size: usize) -> Problem {
    match not_sent {
        NotSent::Full => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the chain is busy",
            "there was no room before the deadline",
        )
        .refusal(RequestRefusal::Backlog)
        .retry_after(RETRY_AFTER_S),
        NotSent::TooLarge { outbox_bytes } => {
            let detail = format!("the request has {size} bytes, the outbox holds {outbox_bytes}");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", detail)
                .refusal(RequestRefusal::BodyTooLarge)
        }
        NotSent::Exhausted => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the gateway must be restarted",
            "the keys of this start are used up",
        )
        .refusal(RequestRefusal::KeysExhausted),
    }
}

/// All places among the chain's requests in flight are taken.
pub(super) fn shed(endpoint: &Endpoint) -> Problem {
    let detail = format!("{} requests are in flight already", endpoint.begin.in_flight);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests", detail)
        .refusal(RequestRefusal::InFlight)
        .retry_after(RETRY_AFTER_S)
}

/// The budget has no room for a request.
pub(super) fn no_room() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the gateway is busy",
        "its memory is taken by other requests",
    )
    .refusal(RequestRefusal::Memory)
    .retry_after(RETRY_AFTER_S)
}
