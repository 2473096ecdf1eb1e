//! One request to a chain: taken in, sealed, answered.

use super::budget::{Account, Charge, REQUEST_BYTES, UPLOAD_BYTES};
use super::carried::{Asked, HEAD_EXPECTED_BYTES, carry};
use super::client::Client;
use super::collecting::{arrives, begin, collect};
use super::endpoint::{Admission, Answer, Endpoint, Waiting, deadline};
use super::gateway::Gateway;
use super::held;
use super::ids::INVOCATION_HEADER;
use super::location::Location;
use super::multipart::{self, Unsent};
use super::parts::Part;
use super::problem::Problem;
use super::progress::Progress;
use super::record::Record;
use super::reply::{self, NoReply, Origin, Reply};
use super::request_body::{PlainBody, RequestBody, no_room, refused, shed, too_slow};
use super::sealed_request::{SealedRequest, Terms, is_sealed};
use super::traced::put_trace;
use super::turn::{BodyTurn, RequestTurn};
use super::upload::{Upload, Uploading};
use hacher_libos_net::headers;
use hacher_libos_net::inlet::Upstream;
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::name::Name;
use hacher_libos_net::telemetry::RequestFailure;
use hacher_libos_net::trace_parent::digits_of;
use hyper::header::HeaderValue;
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Request, StatusCode, Version};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

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
    /// What a sealed request says of its reply.
    pub(super) terms: &'a Terms,
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
        Some(head) => {
            let reply = exchange(gateway, &endpoint, &chain, arrival, until).await;
            charged(reply, head, &chain)
        }
    }
}

/// A reply that holds `head`, for its headers and the memory of a text, until its last byte was written.
fn charged(mut reply: Reply, mut head: Charge, chain: &str) -> Reply {
    let text = reply.body().is_uncharged().then(|| reply.body().len_bytes());
    let bytes = text.unwrap_or(0) as u64 + fields_bytes(reply.headers());
    if !head.try_set(REQUEST_BYTES.max(bytes)) {
        let invocation = reply.headers_mut().remove(INVOCATION_HEADER);
        reply = no_room()
            .failure(RequestFailure::ReplyMemory)
            .with("chain", chain)
            .response();
        reply
            .headers_mut()
            .extend(invocation.map(|id| (INVOCATION_HEADER, id)));
        // Smaller than what was charged when the request came.
        head.set(REQUEST_BYTES);
    }
    reply.body_mut().hold_charge(head);
    reply
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
    let turn = arrival.turn;
    let progress =
        may_flow(&arrival).then(|| Progress::new(Duration::from_nanos(endpoint.begin.deadline_ns)));
    let client = arrival.turn.client();
    let taken_in = match take_in(endpoint, arrival, until, progress.is_some()).await {
        Ok(taken_in) => taken_in,
        Err(problem) => return problem.with("chain", chain).response(),
    };
    // Not before: whoever uploads slowly, or nothing at all, takes no place from requests that are there.
    let Some(admission) = endpoint.admit(&gateway.daemon_bell) else {
        return shed(endpoint).with("chain", chain).response();
    };
    let waiting = endpoint.expect(progress.clone());
    let invocation = waiting.invocation;
    turn.note_invocation(invocation);
    let reply = match (taken_in, progress) {
        (TakenIn::Begun(record, rest), Some(progress)) => {
            let uploading = Uploading {
                endpoint: Rc::clone(endpoint),
                invocation,
                record,
                body: rest.body,
                turn: rest.turn,
                client,
                progress: Rc::clone(&progress),
            };
            let upload = Upload::begin(uploading);
            pass_through(endpoint, chain, waiting, upload, &progress, admission).await
        }
        (TakenIn::Whole(record) | TakenIn::Begun(record, _), _) => {
            let asking = Asking {
                waiting,
                client,
                admission,
            };
            put_through(endpoint, chain, asking, record, until).await
        }
    };
    with_invocation(reply, invocation)
}

/// What was taken in of a request before it takes a place.
pub(super) enum TakenIn {
    /// All of it.
    Whole(Record),
    /// The beginning, as the rest is handed on as it arrives.
    Begun(Record, Rest),
}

/// What is needed to read the rest of a body.
pub(super) struct Rest {
    body: RequestBody,
    turn: BodyTurn,
}

/// A request that has a place.
struct Asking {
    waiting: Waiting,
    client: Client,
    admission: Admission,
}

/// What a request takes until the end of its reply.
struct Ongoing {
    _admission: Admission,
    /// The rest of its body.
    _upload: Option<Upload>,
}

/// Whether a client can tell a reply that was broken off from a whole one: over HTTP/1.0 it could not.
fn may_flow(arrival: &Arrival<'_>) -> bool {
    arrival.request.version() > Version::HTTP_10
        && is_sealed(arrival.request, arrival.location).is_ok_and(|sealed| !sealed)
}

/// The record that a request makes, once all of it is here; or once its beginning is, if the rest may be
/// handed on as it arrives.
async fn take_in(
    endpoint: &Endpoint,
    arrival: Arrival<'_>,
    until: tokio::time::Instant,
    may_flow: bool,
) -> Result<TakenIn, Problem> {
    let Arrival {
        turn,
        request,
        location,
        peer,
        body,
        terms,
    } = arrival;
    if is_sealed(request, location)? {
        let mut sealed = SealedRequest::new(endpoint, peer, terms, turn.traced())?;
        collect(body, &turn.body(), &mut sealed, until).await?;
        return sealed.finish().map(TakenIn::Whole);
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
    turn.traced()
        .set(put_trace(request.headers(), endpoint, false, &mut head)?);
    if may_flow && body.is_long(endpoint.begin.max_body_bytes) && endpoint.takes_streams() {
        return take_in_beginning(endpoint, body, turn.body(), head, until).await;
    }
    let mut plain = PlainBody::new(endpoint, Record::beginning_with(head, &endpoint.account));
    collect(body, &turn.body(), &mut plain, until).await?;
    Ok(TakenIn::Whole(plain.finish()))
}

/// The record that begins with `head` and a long body, as soon as the body's beginning is here: its rest may
/// be handed on as it arrives.
pub(super) async fn take_in_beginning(
    endpoint: &Endpoint,
    body: &mut RequestBody,
    turn: BodyTurn,
    head: Vec<u8>,
    until: tokio::time::Instant,
) -> Result<TakenIn, Problem> {
    arrives(body, &turn, until).await?;
    // All that it may ever hold is asked for here: what others do later does not end it in the middle.
    let held = endpoint.charge_request(UPLOAD_BYTES).ok_or_else(no_room)?;
    let record = Record::beginning_with(head, &Account::of(held));
    let mut plain = PlainBody::new(endpoint, record).flowing();
    if begin(body, &turn, &mut plain, until).await? {
        return Ok(TakenIn::Whole(plain.finish()));
    }
    let rest = Rest {
        body: body.take_rest(),
        turn,
    };
    Ok(TakenIn::Begun(plain.finish(), rest))
}

/// Makes a reply of what comes back for a request while its body is handed on.
async fn pass_through(
    endpoint: &Rc<Endpoint>,
    chain: &str,
    mut waiting: Waiting,
    mut upload: Upload,
    progress: &Progress,
    admission: Admission,
) -> Reply {
    let answer = tokio::select! {
        biased;
        answer = waiting.answer(progress.is_over()) => match answer {
            // Nothing has moved as the client has not sent the rest.
            None | Some(Answer::Late { .. } | Answer::Fault { .. }) if progress.is_client_late() => {
                return too_slow().with("chain", chain).response();
            }
            answer => answer,
        },
        problem = upload.fails() => {
            waiting.give_up();
            return problem.with("chain", chain).response();
        }
    };
    let ongoing = Ongoing {
        _admission: admission,
        _upload: Some(upload),
    };
    reply_of(endpoint, chain, answer, ongoing)
}

/// Sends a whole request into its chain, and makes a reply of what comes back.
async fn put_through(
    endpoint: &Rc<Endpoint>,
    chain: &str,
    asking: Asking,
    record: Record,
    until: tokio::time::Instant,
) -> Reply {
    let size = record.len_bytes();
    let Asking {
        mut waiting,
        client,
        admission,
    } = asking;
    if let Err(not_sent) = endpoint.send(waiting.invocation, client, until, record).await {
        waiting.give_up();
        return refused(not_sent, size).with("chain", chain).response();
    }
    let answer = waiting.answer(tokio::time::sleep_until(until)).await;
    let ongoing = Ongoing {
        _admission: admission,
        _upload: None,
    };
    reply_of(endpoint, chain, answer, ongoing)
}

/// The reply that an answer makes; `None` came too late.
fn reply_of(endpoint: &Rc<Endpoint>, chain: &str, answer: Option<Answer>, ongoing: Ongoing) -> Reply {
    match answer {
        None => late(endpoint, &[]).with("chain", chain).response(),
        Some(Answer::Late { here }) => late(endpoint, &here).with("chain", chain).response(),
        Some(Answer::Fault { function, notice }) => Problem::of_notice(chain, &function, &notice).response(),
        Some(Answer::TooLarge {
            function,
            at_least_bytes,
            is_joined,
        }) => too_large_a_reply(endpoint, chain, &function, at_least_bytes, is_joined).response(),
        Some(Answer::NoRoom) => no_room_for_reply(chain),
        Some(Answer::Record { record, upstream }) => of_record(chain, record, &upstream),
        Some(Answer::Joined(parts)) => of_parts(endpoint, chain, parts),
        Some(Answer::Flow {
            beginning,
            mut rest,
            upstream,
        }) => {
            let mut reply = of_record(chain, beginning, &upstream);
            rest.hold(ongoing);
            // What has no content, or is a problem, is all of the reply.
            let _ = reply.body_mut().flows_on(rest);
            reply
        }
    }
}

/// The reply that a record makes.
fn of_record(chain: &str, record: Record, upstream: &Upstream) -> Reply {
    reply::of_record(record, Origin::of_port(upstream))
        .unwrap_or_else(|fault| no_reply(chain, &upstream.function, &fault))
}

/// The reply that several records make.
fn of_parts(endpoint: &Endpoint, chain: &str, parts: Vec<Part>) -> Reply {
    multipart::of_parts(parts, &endpoint.account).unwrap_or_else(|unsent| match unsent {
        Unsent::Part(function, fault) => no_reply(chain, &function, &fault),
        Unsent::NoRoom => no_room_for_reply(chain),
    })
}

fn no_reply(chain: &str, function: &Name, fault: &NoReply) -> Reply {
    Problem::of_no_reply(function.as_str(), fault)
        .with("chain", chain)
        .response()
}

fn no_room_for_reply(chain: &str) -> Reply {
    no_room()
        .failure(RequestFailure::ReplyMemory)
        .with("chain", chain)
        .response()
}

/// Says the low half of the id: that is what logs, traces and `status` know, and nobody can answer a request
/// of which he knows half.
fn with_invocation(mut reply: Reply, invocation: InvocationId) -> Reply {
    if let Ok(value) = HeaderValue::from_bytes(&digits_of(invocation.halves().0)) {
        reply.headers_mut().insert(INVOCATION_HEADER, value);
    }
    reply
}

fn too_large_a_reply(
    endpoint: &Endpoint,
    chain: &str,
    function: &str,
    at_least_bytes: u64,
    is_joined: bool,
) -> Problem {
    let limit = held::limit(
        endpoint.begin.max_reply_bytes,
        "ingress.max_reply",
        Some(at_least_bytes),
    );
    let what = match is_joined {
        true => format!("the parts of the reply, with that of function `{function}`, have"),
        false => format!("function `{function}` sent"),
    };
    let detail = format!("{what} at least {at_least_bytes} bytes; {limit}");
    Problem::new(StatusCode::BAD_GATEWAY, "the reply is too large", detail)
        .failure(RequestFailure::ReplyTooLarge)
        .with("chain", chain)
        .with("function", function)
        .with("cause", "reply_too_large")
}

/// `here` are the parts of a joined reply that have come.
fn late(endpoint: &Endpoint, here: &[String]) -> Problem {
    let limit = Duration::from_nanos(endpoint.begin.deadline_ns);
    let detail = match here {
        [] => format!("the chain did not answer within {limit:?}"),
        here => format!(
            "the chain did not answer within {limit:?}: of the parts of the reply, only `{}` came",
            here.join("`, `")
        ),
    };
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "the deadline has passed", detail)
        .failure(RequestFailure::Deadline)
}
