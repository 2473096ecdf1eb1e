//! One request to a chain: how much, sealed in, answered.

use super::carried::carry;
use super::endpoint::{Answer, Endpoint, NotSent, deadline};
use super::problem::Problem;
use super::reply::{self, Reply};
use hacher_libos_net::clock::Monotonic;
use hacher_libos_net::sdk::headers;
use hacher_libos_net::telemetry::{Counter, Phase};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout_at;

/// Names the request in logs, metrics and `run`.
const INVOCATION_HEADER: HeaderName = HeaderName::from_static("hacher-invocation");
/// What a client that is turned away should wait, in seconds.
pub(super) const RETRY_AFTER_S: u32 = 1;

/// Puts a request through its chain.
pub(super) async fn invoke(endpoint: Rc<Endpoint>, request: Request<Incoming>) -> Reply {
    let begun = Monotonic::now();
    let chain = endpoint.begin.chain.to_string();
    let Some(admission) = endpoint.admit() else {
        let detail = format!("{} requests are in flight already", endpoint.begin.in_flight);
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests", detail);
        return counted(
            &endpoint,
            problem.with("chain", chain).retry_after(RETRY_AFTER_S).response(),
        );
    };
    let until = deadline(&endpoint.begin);
    let reply = match collect(&endpoint, request, until).await {
        Err(problem) => problem.with("chain", chain).response(),
        Ok(plain) => {
            let mut waiting = endpoint.expect();
            let invocation = waiting.invocation;
            let reply = match endpoint.send(invocation, until, &plain).await {
                Err(not_sent) => {
                    waiting.give_up();
                    refused(not_sent, plain.len()).with("chain", chain).response()
                }
                Ok(()) => {
                    // The chain has it; its memory is better used for others.
                    drop(plain);
                    match waiting.answer(until).await {
                        None => late(&endpoint).with("chain", chain).response(),
                        Some(Answer::Fault { function, notice }) => {
                            Problem::of_notice(&chain, &function, &notice).response()
                        }
                        Some(Answer::Record(plain)) => reply::of_record(plain),
                    }
                }
            };
            with_invocation(reply, &invocation.to_string())
        }
    };
    drop(admission);
    endpoint.own.record(Phase::Run, Monotonic::now().ns_since(begun));
    counted(&endpoint, reply)
}

fn counted(endpoint: &Endpoint, reply: Reply) -> Reply {
    endpoint.own.count(
        match reply.status().as_u16() {
            200..300 => Counter::Replies2xx,
            400..500 => Counter::Replies4xx,
            _ => Counter::Replies5xx,
        },
        1,
    );
    reply
}

fn with_invocation(mut reply: Reply, invocation: &str) -> Reply {
    if let Ok(value) = HeaderValue::from_str(invocation) {
        reply.headers_mut().insert(INVOCATION_HEADER, value);
    }
    reply
}

/// Reads the body, at most as long as the chain allows, and puts the carried headers before it.
async fn collect(
    endpoint: &Endpoint,
    request: Request<Incoming>,
    until: tokio::time::Instant,
) -> Result<Vec<u8>, Problem> {
    let limit = endpoint.begin.max_body_bytes;
    let too_large = |size: Option<u64>| {
        let size = size.map_or_else(|| "more".to_owned(), |size| format!("{size} bytes"));
        let detail = format!("the body has {size}, this chain takes {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", detail)
    };
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(size) = announced.filter(|size| *size > limit) {
        return Err(too_large(Some(size)));
    }
    let (parts, body) = request.into_parts();
    let expected = usize::try_from(body.size_hint().lower().min(limit)).unwrap_or(0);
    let mut plain = Vec::with_capacity(expected + headers::HEADERS_MAX_BYTES.min(1024));
    headers::start(&mut plain, &[]);
    carry(&parts.headers, parts.uri.query(), &mut plain)?;
    let mut body = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    let read = async {
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                plain.extend_from_slice(&data);
            }
        }
        Ok::<_, Box<dyn core::error::Error + Send + Sync>>(())
    };
    match timeout_at(until, read).await {
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "the request is too slow",
            "the body did not arrive in time",
        )),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(None)),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "the request broke off",
            "the body did not arrive whole",
        )),
        Ok(Ok(())) => Ok(plain),
    }
}

fn refused(not_sent: NotSent, size: usize) -> Problem {
    match not_sent {
        NotSent::Full => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the chain is busy",
            "there was no room before the deadline",
        )
        .retry_after(RETRY_AFTER_S),
        NotSent::TooLarge { outbox_bytes } => {
            let detail = format!("the request has {size} bytes, the outbox holds {outbox_bytes}");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", detail)
        }
        NotSent::Exhausted => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the gateway must be restarted",
            "the keys of this start are used up",
        ),
    }
}

fn late(endpoint: &Endpoint) -> Problem {
    let limit = Duration::from_nanos(endpoint.begin.deadline_ns);
    let detail = format!("the chain did not answer within {limit:?}");
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "the deadline has passed", detail)
}
