//! The body of a request: read piece by piece, within the chain's limit, its deadline, the budget, and a
//! least speed.

use super::endpoint::Endpoint;
use super::problem::{Problem, RETRY_AFTER_S};
use super::record::Record;
use super::turn::RequestTurn;
use bytes::Bytes;
use hacher_libos_net::layout::SEGMENT_BYTES;
use hacher_libos_net::telemetry::RequestRefusal;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;
use hyper::{HeaderMap, StatusCode};
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Within so long at least so much of a body arrives; the deadline is the other limit.
const WINDOW: Duration = Duration::from_secs(10);
const WINDOW_MIN_BYTES: usize = 10 << 10;
/// A body that nobody will look at is read all the same if it is at most this long, so that its connection
/// can be used again.
const SKIPPED_MAX_BYTES: u64 = 64 << 10;
/// And if it comes within this time.
const SKIPPED_WITHIN: Duration = Duration::from_secs(1);

/// A body that is arriving.
pub(super) struct RequestBody {
    incoming: Incoming,
    is_awaited: bool,
    has_ended: bool,
    received_bytes: u64,
}

impl RequestBody {
    /// The body of a request with these headers.
    pub(super) fn new(headers: &HeaderMap, incoming: Incoming) -> Self {
        Self {
            has_ended: incoming.is_end_stream(),
            is_awaited: headers.contains_key(EXPECT),
            received_bytes: 0,
            incoming,
        }
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            match self.incoming.frame().await {
                None => {
                    self.has_ended = true;
                    return None;
                }
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.received_bytes = self.received_bytes.saturating_add(data.len() as u64);
                        return Some(Ok(data));
                    }
                }
            }
        }
    }

    /// Bytes that have come so far.
    pub(super) const fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Bytes that are announced; `None` if their number is not.
    fn announced_bytes(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// Reads to the end what is short and on its way, and drops it; `false` if something is left.
    pub(super) async fn skip(&mut self) -> bool {
        if self.has_ended || self.incoming.is_end_stream() {
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
        self.has_ended
    }

    /// Has `intake` take the body as it comes.
    pub(super) async fn collect(
        &mut self,
        turn: &RequestTurn,
        intake: &mut impl Intake,
        until: Instant,
    ) -> Result<(), Problem> {
        if let Some(announced) = self.announced_bytes() {
            intake.expect(announced)?;
        }
        let upload = turn.uploads();
        let mut received = 0_usize;
        let mut window_at = 0_usize;
        let mut window = pin!(sleep_until(until.min(Instant::now() + WINDOW)));
        loop {
            let next = tokio::select! {
                biased;
                next = self.next() => next,
                () = window.as_mut() => {
                    let now = Instant::now();
                    if now >= until || received - window_at < WINDOW_MIN_BYTES {
                        return Err(too_slow());
                    }
                    window_at = received;
                    window.as_mut().reset(until.min(now + WINDOW));
                    continue;
                }
            };
            let data = match next {
                None => break,
                Some(Ok(data)) => data,
                Some(Err(_)) => return Err(broke_off()),
            };
            if received > SEGMENT_BYTES {
                turn.pace(data.len()).await;
            }
            received += data.len();
            intake.take(&data)?;
        }
        drop(upload);
        Ok(())
    }
}

/// What becomes of a body as it comes.
pub(super) trait Intake {
    /// So many bytes are announced: what will not be taken is refused before it is sent. They are not charged.
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
}

impl<'a> PlainBody<'a> {
    /// One that comes behind these headers.
    pub(super) const fn new(endpoint: &'a Endpoint, headers: Record) -> Self {
        Self {
            endpoint,
            record: headers,
            received_bytes: 0,
        }
    }

    /// All of it.
    pub(super) fn finish(self) -> Record {
        self.record
    }
}

impl Intake for PlainBody<'_> {
    fn expect(&mut self, announced_bytes: u64) -> Result<(), Problem> {
        let limit = self.endpoint.begin.max_body_bytes;
        if announced_bytes > limit {
            return Err(too_large(Some(announced_bytes), limit));
        }
        if !self.endpoint.has_room_for_request(announced_bytes) {
            return Err(no_room());
        }
        Ok(())
    }

    fn take(&mut self, data: &[u8]) -> Result<(), Problem> {
        let limit = self.endpoint.begin.max_body_bytes;
        self.received_bytes = self.received_bytes.saturating_add(data.len() as u64);
        if self.received_bytes > limit {
            return Err(too_large(None, limit));
        }
        if !self.endpoint.has_room_for_request(data.len() as u64) || !self.record.append(data) {
            return Err(no_room());
        }
        Ok(())
    }
}

/// The body has more bytes than its chain takes.
pub(super) fn too_large(size: Option<u64>, limit: u64) -> Problem {
    let size = size.map_or_else(|| "more".to_owned(), |size| format!("{size} bytes"));
    let detail = format!("the body has {size}, this chain takes {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", detail)
        .refusal(RequestRefusal::BodyTooLarge)
}

fn too_slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "the request is too slow",
        "the body did not arrive in time",
    )
    .refusal(RequestRefusal::BodyTooSlow)
}

fn broke_off() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "the request broke off",
        "the body did not arrive whole",
    )
    .refusal(RequestRefusal::BodyBrokeOff)
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
