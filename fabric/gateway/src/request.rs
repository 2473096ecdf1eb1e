//! One request to a chain: taken in, sealed, answered.

use super::budget::REQUEST_BYTES;
use super::carried::{Asked, HEAD_EXPECTED_BYTES, carry};
use super::endpoint::{Answer, Endpoint, NotSent, deadline};
use super::gateway::Gateway;
use super::ids::INVOCATION_HEADER;
use super::location::Location;
use super::problem::{Problem, RETRY_AFTER_S};
use super::record::Record;
use super::reply::{self, Origin, Reply};
use super::request_body::{PlainBody, RequestBody, no_room, shed};
use super::sealed_request::{SealedRequest, is_sealed};
use super::turn::RequestTurn;
use hacher_libos_net::headers;
use hacher_libos_net::inlet::Upstream;
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::telemetry::{RequestFailure, RequestRefusal};
use hacher_sealed_request::reply::Owed;
use hyper::header::HeaderValue;
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Request, StatusCode};
use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// The port by which a failed input leaves, in every chain.
const ERROR_PORT: &str = "error";

/// A request to a chain that arrives.
pub(super) struct Arrival<'a> {
    /// What is in progress for it.
    pub(super) turn: &'a RequestTurn,
    /// Its head.
    pub(super) request: &'a Request<()>,
    /// Where its target leads.
    pub(super) location: &'a Location,
    /// Where its connection comes from.
    pub(super) peer: Option<IpAddr>,
    /// Its body.
    pub(super) body: &'a mut RequestBody,
    /// What seals the reply, from the moment on at which a sealed request was opened and is no replay.
    pub(super) owed: &'a Cell<Option<Owed>>,
}

/// Puts a request through its chain.
pub(super) async fn invoke(gateway: &Gateway, endpoint: Rc<Endpoint>, arrival: Arrival<'_>) -> Reply {
    let chain = endpoint.begin.chain.to_string();
    if !endpoint.has_place() {
        // Said before its body is sent, and once more behind it, if others were faster.
        return shed(&endpoint).with("chain", chain).response();
    }
    let until = deadline(&endpoint.begin);
    match endpoint.charge_request(REQUEST_BYTES + head_bytes(arrival.request)) {
        None => no_room().with("chain", chain).response(),
        Some(mut head) => {
            let mut reply = exchange(gateway, &endpoint, &chain, arrival, until).await;
            if reply.body().is_uncharged() {
                let bytes = reply.body().len_bytes() as u64 + fields_bytes(reply.headers());
                head.set(REQUEST_BYTES.max(bytes));
                reply.body_mut().hold_charge(head);
            }
            reply
        }
    }
}

/// What a head holds while its request is answered.
fn head_bytes(request: &Request<()>) -> u64 {
    let path = request
        .uri()
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    path as u64 + fields_bytes(request.headers())
}

/// What headers hold.
pub(super) fn fields_bytes(headers: &HeaderMap) -> u64 {
    // A place in the map, beside the bytes of name and value.
    const FIELD_BYTES: usize = 128;
    let fields = headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
    fields.sum::<usize>() as u64
}

/// Takes a request in, and answers it.
async fn exchange(
    gateway: &Gateway,
    endpoint: &Rc<Endpoint>,
    chain: &str,
    arrival: Arrival<'_>,
    until: tokio::time::Instant,
) -> Reply {
    let record = match take_in(endpoint, arrival, until).await {
        Ok(record) => record,
        Err(problem) => return problem.with("chain", chain).response(),
    };
    // Not before: whoever uploads slowly, or nothing at all, takes no place from requests that are there.
    let Some(admission) = endpoint.admit(&gateway.in_flight) else {
        return shed(endpoint).with("chain", chain).response();
    };
    let reply = put_through(endpoint, chain, record, until).await;
    drop(admission);
    reply
}

/// The record that a request makes, once all of it is here.
async fn take_in(
    endpoint: &Endpoint,
    arrival: Arrival<'_>,
    until: tokio::time::Instant,
) -> Result<Record, Problem> {
    let Arrival {
        turn,
        request,
        location,
        peer,
        body,
        owed,
    } = arrival;
    if is_sealed(request, location)? {
        let mut sealed = SealedRequest::new(endpoint, peer, owed)?;
        body.collect(turn, &mut sealed, until).await?;
        return sealed.finish();
    }
    let mut head = Vec::with_capacity(HEAD_EXPECTED_BYTES);
    headers::start(&mut head, &[]);
    let uri = request.uri();
    let asked = Asked {
        method: request.method().as_str(),
        path: &location.path,
        query: uri.query(),
        captures: &location.captures,
        authority: uri.authority().map(Authority::as_str),
        peer,
    };
    carry(request.headers(), asked, endpoint.taken.headers(), &mut head)?;
    let mut plain = PlainBody::new(endpoint, Record::beginning_with(head, &endpoint.account));
    body.collect(turn, &mut plain, until).await?;
    Ok(plain.finish())
}

/// Sends a whole request into its chain, and makes a reply of what comes back.
async fn put_through(
    endpoint: &Rc<Endpoint>,
    chain: &str,
    record: Record,
    until: tokio::time::Instant,
) -> Reply {
    let size = record.len_bytes();
    let mut waiting = endpoint.expect();
    let invocation = waiting.invocation;
    let reply = match endpoint.send(invocation, until, record).await {
        Err(not_sent) => {
            waiting.give_up();
            refused(not_sent, size).with("chain", chain).response()
        }
        Ok(()) => match waiting.answer(until).await {
            None => late(endpoint).with("chain", chain).response(),
            Some(Answer::Fault { function, notice }) => {
                Problem::of_notice(chain, &function, &notice).response()
            }
            Some(Answer::TooLarge {
                function,
                at_least_bytes,
            }) => too_large_a_reply(endpoint, chain, &function, at_least_bytes).response(),
            Some(Answer::NoRoom) => no_room()
                .failure(RequestFailure::ReplyMemory)
                .with("chain", chain)
                .response(),
            Some(Answer::Record { record, upstream }) => of_record(chain, record, &upstream),
        },
    };
    with_invocation(reply, invocation)
}

/// The reply that a record makes.
fn of_record(chain: &str, record: Record, upstream: &Upstream) -> Reply {
    let origin = if upstream.port == *ERROR_PORT {
        Origin::FailedInput
    } else {
        Origin::Made
    };
    reply::of_record(record, origin).unwrap_or_else(|fault| {
        let function = upstream.function.to_string();
        Problem::of_no_reply(&function, &fault)
            .with("chain", chain)
            .response()
    })
}

/// Says the low half of the id: that is what logs, traces and `status` know, and nobody can answer a request
/// of which he knows half.
fn with_invocation(mut reply: Reply, invocation: InvocationId) -> Reply {
    if let Ok(value) = HeaderValue::from_str(&format!("{:016x}", invocation.halves().0)) {
        reply.headers_mut().insert(INVOCATION_HEADER, value);
    }
    reply
}

fn refused(not_sent: NotSent, size: usize) -> Problem {
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

fn too_large_a_reply(endpoint: &Endpoint, chain: &str, function: &str, at_least_bytes: u64) -> Problem {
    let limit = endpoint.begin.max_reply_bytes;
    let detail = format!(
        "function `{function}` sent at least {at_least_bytes} bytes, max_reply of this chain is {limit} bytes"
    );
    Problem::new(StatusCode::BAD_GATEWAY, "the reply is too large", detail)
        .failure(RequestFailure::ReplyTooLarge)
        .with("chain", chain)
        .with("function", function)
        .with("cause", "reply_too_large")
}

fn late(endpoint: &Endpoint) -> Problem {
    let limit = Duration::from_nanos(endpoint.begin.deadline_ns);
    let detail = format!("the chain did not answer within {limit:?}");
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "the deadline has passed", detail)
        .failure(RequestFailure::Deadline)
}
