//! Errors as problem details (RFC 9457). They name chain, function, attempts and cause; never payload.

use super::held;
use hacher_libos_net::end::Signal;
use hacher_libos_net::fault::{Cause, Notice, limit};
use hacher_libos_net::telemetry::{RequestFailure, RequestRefusal};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

/// What a client that is turned away should wait, in seconds.
pub(crate) const RETRY_AFTER_S: u32 = 1;

/// The type of a problem that its status says all of (RFC 9457, section 4.2.1).
const UNTYPED: &str = "about:blank";

/// Why the gateway answered a request with an error of its own; travels with the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// No function saw it.
    Refused(RequestRefusal),
    /// It had been handed to the chain.
    Failed(RequestFailure),
}

/// Goes beside a response: what the problem is, in few words, for the access log.
#[derive(Debug, Clone)]
pub(super) struct ProblemCause(pub(super) String);

/// Goes beside a response that is sealed: the status inside, for the access log.
#[derive(Debug, Clone, Copy)]
pub(super) struct InnerStatus(pub(super) StatusCode);

/// Goes beside a response to a head that was refused unread: what stands for it has another method and path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unread;

/// A problem in the making.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    members: Map<String, Value>,
    retry_after_s: Option<u32>,
    allow: Option<Box<HeaderValue>>,
    reason: Option<Reason>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind: UNTYPED,
            title,
            detail: detail.into(),
            members: Map::new(),
            retry_after_s: None,
            allow: None,
            reason: None,
        }
    }

    /// Says of which type it is, for programs that do something about it.
    pub(crate) fn of_type(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// A further member.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Says that trying again later may help.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Says which methods are answered (RFC 9110, section 15.5.6).
    pub(crate) fn allow(mut self, methods: HeaderValue) -> Self {
        self.allow = Some(Box::new(methods));
        self
    }

    /// Says why a request to a chain is refused.
    pub(crate) fn refusal(mut self, reason: RequestRefusal) -> Self {
        self.reason = Some(Reason::Refused(reason));
        self
    }

    /// Says why a request failed that had been handed to its chain.
    pub(crate) fn failure(mut self, reason: RequestFailure) -> Self {
        self.reason = Some(Reason::Failed(reason));
        self
    }

    /// What a function said when it gave up.
    pub(crate) fn of_notice(chain: &str, function: &str, notice: &Notice) -> Self {
        let plural = if notice.attempts == 1 { "" } else { "s" };
        let cause = notice.cause.with(notice.code);
        let mut detail = format!(
            "function `{function}` failed after {} attempt{plural}",
            notice.attempts
        );
        let says_why = notice.cause == Cause::Failed && !notice.reason.is_empty();
        detail = match says_why {
            true => format!("{detail}: {}", notice.reason),
            false => format!("{detail}: {cause}"),
        };
        if let Some(hint) = cause.limit_hint(function, notice.cause_limit) {
            detail = format!("{detail}; {hint}");
        }
        if let Some((size, limit)) = notice.sizes_bytes {
            let limit = held::limit(limit, &format!("function.{function}.outbox"), Some(size));
            detail = format!("{detail}: at least {size} bytes; {limit}");
        }
        if let Some(kept_back) = notice.kept_back {
            detail = format!(
                "{detail}; the record could not leave by the `error` port: {}",
                kept_back.text()
            );
        }
        let mut problem = Self::new(StatusCode::BAD_GATEWAY, "a function failed", detail)
            .failure(RequestFailure::Function)
            .with("chain", chain)
            .with("function", function)
            .with("attempts", notice.attempts)
            .with("cause", notice.cause.word());
        problem = match notice.cause {
            Cause::Exited => problem.with("exit_code", notice.code),
            Cause::Signalled => {
                let problem = problem.with("signal", notice.code);
                match Signal(notice.code).name() {
                    Some(name) => problem.with("signal_name", name),
                    None => problem,
                }
            }
            Cause::LimitReached => problem.with("limit", limit::word(notice.code)),
            _ => problem,
        };
        if !notice.reason.is_empty() {
            problem = problem.with("reason", notice.reason.as_str());
            if !says_why {
                problem.detail = format!("{}: {}", problem.detail, notice.reason);
            }
        }
        problem
    }

    /// The response, with a body made of its text.
    pub(super) fn response_with<B>(self, body: impl FnOnce(String) -> B) -> Response<B> {
        let cause = self.members.get("cause").and_then(Value::as_str);
        let cause = cause.unwrap_or(self.title).to_owned();
        let mut text = json!({
            "type": self.kind, "title": self.title, "status": self.status.as_u16(), "detail": self.detail,
        });
        if let Some(object) = text.as_object_mut() {
            object.extend(self.members);
        }
        let mut response = Response::new(body(text.to_string()));
        *response.status_mut() = self.status;
        response.extensions_mut().insert(ProblemCause(cause));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, *methods);
        }
        if let Some(reason) = self.reason {
            response.extensions_mut().insert(reason);
        }
        response
    }
}
