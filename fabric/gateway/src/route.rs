//! Which resource a request is for, and what may be done with it.

use super::drain;
use super::endpoint::Endpoint;
use super::evidence::{Denied, Question};
use super::gateway::Gateway;
use super::location::Location;
use super::problem::RETRY_AFTER_S;
use super::problem::{Problem, Unread};
use super::reply::{self, Reply};
use super::reply_body::ReplyBody;
use super::request::{Arrival, invoke};
use super::request_body::RequestBody;
use super::screen::Exchange;
use super::sealed_reply;
use super::sealed_request::{Form, Terms, says_sealed};
use super::taken;
use super::tally::Tally;
use super::target::{self, CHAINS};
use super::turn::RequestTurn;
use hacher_libos_net::telemetry::{Counter, EvidenceOutcome, Reject, RequestRefusal};
use hacher_trustlet_host::evidence::envelope::MEDIA_TYPE;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::rc::Rc;

/// Chains that one reply names, so that it stays short whatever is served.
const NAMED_MAX: usize = 32;
/// What is allowed on any resource.
const ANYWHERE: &str = "GET, HEAD, OPTIONS, POST";

/// What the gateway has.
enum Resource {
    /// Whether the gateway runs.
    Health,
    /// Whether all chains serve.
    Readiness,
    /// Evidence of what runs here.
    Evidence,
    /// A chain.
    Chain(Location),
    /// The gateway as a whole: the target `*`.
    Server,
}

impl Resource {
    fn at(gateway: &Gateway, path: &str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Readiness),
            "/evidence" => Some(Self::Evidence),
            "*" => Some(Self::Server),
            _ => gateway.locate(path).map(Self::Chain),
        }
    }

    fn allowed(&self) -> HeaderValue {
        match self {
            Self::Health | Self::Readiness | Self::Evidence => HeaderValue::from_static("GET, HEAD, OPTIONS"),
            Self::Chain(location) => location.endpoint.taken.allow_header(),
            Self::Server => HeaderValue::from_static(ANYWHERE),
        }
    }

    /// Whether it answers this request. A sealed one says inside which method it has.
    fn answers(&self, request: &Request<()>) -> bool {
        match self {
            Self::Health | Self::Readiness | Self::Evidence => {
                matches!(*request.method(), Method::GET | Method::HEAD)
            }
            Self::Chain(location) => {
                let is_sealed = *request.method() == Method::POST && says_sealed(request.headers());
                is_sealed || location.endpoint.taken.answers(request.method())
            }
            Self::Server => false,
        }
    }
}

/// Answers a request.
pub(super) async fn answer(
    gateway: &Gateway,
    exchange: &Exchange,
    turn: &RequestTurn,
    request: &Request<()>,
    body: &mut RequestBody,
) -> Reply {
    let is_head = request.method() == Method::HEAD;
    let mut reply = if let Some(problem) = exchange.begin() {
        // Its head was refused, and nothing after it is read.
        turn.leave_unread();
        let mut reply = rejected(gateway, Reject::Malformed, problem.response());
        reply.extensions_mut().insert(Unread);
        reply
    } else {
        match target::judge(request, exchange.is_over_tls()) {
            Ok(()) => route(gateway, exchange, turn, request, body).await,
            Err(problem) => rejected(gateway, Reject::Malformed, problem.response()),
        }
    };
    if is_head {
        reply = reply::without_content(reply);
    }
    reply
}

async fn route(
    gateway: &Gateway,
    exchange: &Exchange,
    turn: &RequestTurn,
    request: &Request<()>,
    body: &mut RequestBody,
) -> Reply {
    if request.method() == Method::CONNECT {
        let allowed = HeaderValue::from_static(ANYWHERE);
        return rejected(gateway, Reject::Method, not_allowed(allowed));
    }
    if !is_known(request.method()) {
        let detail = "there is no such method";
        let problem = Problem::new(StatusCode::NOT_IMPLEMENTED, "method not implemented", detail);
        return rejected(gateway, Reject::Method, problem.response());
    }
    let path = match target::path_of(request.uri().path()) {
        Ok(path) => path,
        Err(problem) => return rejected(gateway, Reject::Malformed, problem.response()),
    };
    let Some(resource) = Resource::at(gateway, &path) else {
        return rejected(gateway, Reject::NotFound, unknown(gateway, &path));
    };
    if !resource.answers(request) {
        let allowed = resource.allowed();
        return if *request.method() == Method::OPTIONS {
            options(allowed)
        } else {
            rejected(gateway, Reject::Method, not_allowed(allowed))
        };
    }
    match resource {
        Resource::Health => text(StatusCode::OK, "ok\n"),
        Resource::Readiness => readiness(gateway),
        Resource::Evidence => evidence(gateway, exchange, turn, request.uri().query()).await,
        Resource::Chain(location) => {
            let terms = Terms::default();
            let arrival = Arrival {
                turn,
                request,
                body,
                location: &location,
                peer: exchange.peer(),
                terms: &terms,
            };
            of_chain(gateway, arrival).await
        }
        // Only OPTIONS may be asked of it.
        Resource::Server => rejected(
            gateway,
            Reject::Method,
            not_allowed(HeaderValue::from_static(ANYWHERE)),
        ),
    }
}

/// What a chain answers, sealed if it was asked so.
async fn of_chain(gateway: &Gateway, arrival: Arrival<'_>) -> Reply {
    let Arrival { turn, terms, .. } = arrival;
    let endpoint = Rc::clone(&arrival.location.endpoint);
    let tally = Tally::begin(&endpoint);
    let reply = if turn.is_spare() {
        crowded()
    } else if gateway.drain.refuses() {
        gateway.drain.refusal().response()
    } else if !endpoint.has_started() {
        not_started(&endpoint)
    } else {
        turn.admit();
        tokio::select! {
            biased;
            reply = invoke(gateway, Rc::clone(&endpoint), arrival) => reply,
            () = gateway.drain.cuts() => {
                turn.cut();
                drain::cut().response()
            }
        }
    };
    let mut reply = match terms.form.get() {
        Form::Whole => reply,
        Form::Head => reply::without_content(reply),
        Form::Options => options(endpoint.taken.allow_header()),
    };
    let status = reply.status().as_u16();
    match reply.body_mut() {
        body if body.is_flow() => body.tally(tally, status),
        _ => tally.end(&reply),
    }
    match terms.owed.take() {
        Some(owed) => sealed_reply::seal(reply, owed, &endpoint.account),
        None => reply,
    }
}

/// Evidence for what the query asks, if it is a question.
async fn evidence(gateway: &Gateway, exchange: &Exchange, turn: &RequestTurn, query: Option<&str>) -> Reply {
    if turn.is_spare() {
        return crowded();
    }
    let question = match Question::of_query(query.unwrap_or(""), exchange.binding()) {
        Ok(question) => question,
        Err(fault) => {
            let problem = Problem::new(StatusCode::BAD_REQUEST, "not a question for evidence", fault);
            return rejected(gateway, Reject::Malformed, problem.response());
        }
    };
    if let Some(chain) = question.named()
        && gateway.endpoint(chain).is_none()
    {
        return rejected(gateway, Reject::NotFound, unknown(gateway, CHAINS));
    }
    let answer = gateway.evidence.of(turn.client(), &question).await;
    let answer = answer.and_then(|kept| {
        let charge = gateway.evidence.charge_reply(kept.bytes.len());
        Ok((kept, charge.ok_or(Denied::NoRoom)?))
    });
    let outcome = answer
        .as_ref()
        .map_or_else(Denied::outcome, |_| EvidenceOutcome::Answered);
    gateway.count(Counter::Evidence(outcome));
    let (kept, charge) = match answer {
        Ok(answer) => answer,
        Err(denied) => return denied.problem().response(),
    };
    let mut body = ReplyBody::text(kept.bytes.clone());
    body.hold_charge(charge);
    let mut reply = Response::new(body);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    // Whoever keeps it would answer a question that nobody asked.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// Counts a request to no chain that is refused.
fn rejected(gateway: &Gateway, reason: Reject, reply: Reply) -> Reply {
    gateway.count(Counter::Rejected(reason));
    reply
}

/// Whether a method is registered (RFC 9110, section 9.1): others are not implemented, rather than not
/// allowed.
fn is_known(method: &Method) -> bool {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    known.contains(method)
}

fn options(allowed: HeaderValue) -> Reply {
    let mut reply = Response::new(ReplyBody::text(""));
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    headers.insert(ALLOW, allowed);
    reply
}

fn text(status: StatusCode, body: &'static str) -> Reply {
    let mut response = Response::new(ReplyBody::text(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn readiness(gateway: &Gateway) -> Reply {
    let endpoints = gateway.endpoints.borrow();
    let waiting: Vec<&str> = endpoints
        .iter()
        .filter(|(_, endpoint)| !endpoint.is_ready())
        .map(|(name, _)| name.as_str())
        .take(NAMED_MAX)
        .collect();
    let stops = gateway.drain.has_begun();
    if waiting.is_empty() && !stops {
        return text(StatusCode::OK, "ready\n");
    }
    let detail = if stops {
        "the service is stopping".to_owned()
    } else {
        waiting.join(", ")
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not ready", detail)
        .retry_after(RETRY_AFTER_S)
        .response()
}

fn not_allowed(allowed: HeaderValue) -> Reply {
    let detail = taken::only(allowed.to_str().unwrap_or_default());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", detail)
        .allow(allowed)
        .response()
}

fn unknown(gateway: &Gateway, path: &str) -> Reply {
    let endpoints = gateway.endpoints.borrow();
    let chains: Vec<&str> = endpoints.keys().map(String::as_str).take(NAMED_MAX).collect();
    let detail = if path.starts_with(CHAINS) {
        "there is no such chain"
    } else {
        "requests go to /chains/{name}, or to the route of a chain"
    };
    Problem::new(StatusCode::NOT_FOUND, "not found", detail)
        .with("chains", chains)
        .response()
}

/// Not all functions of the chain have served yet.
fn not_started(endpoint: &Endpoint) -> Reply {
    let chain = endpoint.begin.chain.to_string();
    let detail = "a function of this chain has not started yet";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the chain is not ready", detail)
        .refusal(RequestRefusal::NotReady)
        .with("chain", chain)
        .retry_after(RETRY_AFTER_S)
        .response()
}

/// All places for connections are taken, but for those where only health is answered.
fn crowded() -> Reply {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the gateway is busy",
        "all connections are in use",
    )
    .refusal(RequestRefusal::Connections)
    .retry_after(RETRY_AFTER_S)
    .response()
}
