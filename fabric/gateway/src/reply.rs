//! The reply that a record at egress makes (docs/http.md has the table of headers), and what every reply has
//! to obey.

use super::carried::{Arity, arity};
use super::problem::Problem;
use super::record::Record;
use super::reply_body::ReplyBody;
use hacher_libos_net::headers::{self, Headers};
use hacher_libos_net::telemetry::RequestFailure;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};

/// A function sets this header on a record to choose the status of the reply.
const STATUS_HEADER: &str = "hacher-status";
/// What a body is that no function has described: a client that guesses could be made to guess wrong.
const UNDESCRIBED: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Headers of functions that reach the client besides those that travel in both directions. All others stay
/// inside: they would speak of the connection, which functions do not see.
const SINGLE: [&str; 7] = [
    "content-disposition",
    "content-location",
    "etag",
    "expires",
    "last-modified",
    "location",
    "retry-after",
];
const LISTS: [&str; 4] = ["cache-control", "content-language", "link", "vary"];

/// What goes back to the client.
pub(super) type Reply = Response<ReplyBody>;

impl Problem {
    /// The reply that says it.
    pub(super) fn response(self) -> Reply {
        self.response_with(ReplyBody::text)
    }
}

/// Whether and how header `name` of a record reaches the client.
fn leaves(name: &str) -> Option<Arity> {
    if name.starts_with(headers::ERROR_PREFIX) || SINGLE.contains(&name) {
        return Some(Arity::Single);
    }
    if LISTS.contains(&name) {
        return Some(Arity::List);
    }
    arity(name).filter(|_| name != "idempotency-key")
}

/// The reply that a record makes. The record is a function's: what HTTP does not allow, or cannot say, is
/// left out.
pub(super) fn of_record(record: Record) -> Reply {
    let first = record.first();
    let Ok((encoded, body)) = headers::split(first) else {
        return Problem::new(
            StatusCode::BAD_GATEWAY,
            "a function failed",
            "its record has malformed headers",
        )
        .failure(RequestFailure::Function)
        .response();
    };
    let body_at = first.len() - body.len();
    let mut status = StatusCode::OK;
    let mut reply_headers = HeaderMap::new();
    for (name, value) in Headers::new(encoded) {
        if name == STATUS_HEADER {
            status = chosen(value).unwrap_or(status);
        } else if let Some(arity) = leaves(name)
            && let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_bytes(value.as_bytes()),
            )
        {
            match arity {
                Arity::Single => drop(reply_headers.insert(name, value)),
                Arity::List => drop(reply_headers.append(name, value)),
            }
        }
    }
    let body = if has_content(status) {
        reply_headers.entry(CONTENT_TYPE).or_insert(UNDESCRIBED);
        ReplyBody::of_record(record, body_at)
    } else {
        ReplyBody::text("")
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = reply_headers;
    response
}

/// The status that a function wishes. Informational and redirecting ones would change what the reply means to
/// HTTP itself.
fn chosen(value: &str) -> Option<StatusCode> {
    let code = value.parse::<u16>().ok();
    let code = code.filter(|code| matches!(code, 200..300 | 400..600))?;
    StatusCode::from_u16(code).ok()
}

/// Whether a reply with this status may have content (RFC 9110, sections 15.3.5 and 15.3.6).
fn has_content(status: StatusCode) -> bool {
    status != StatusCode::NO_CONTENT && status != StatusCode::RESET_CONTENT
}

/// The reply to HEAD: what the reply to GET says of its content, without the content (RFC 9110, section
/// 9.3.2).
pub(super) fn without_content(reply: Reply) -> Reply {
    let (mut parts, body) = reply.into_parts();
    if has_content(parts.status) {
        parts
            .headers
            .insert(CONTENT_LENGTH, HeaderValue::from(body.len_bytes()));
    }
    Response::from_parts(parts, ReplyBody::text(""))
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::super::carried::carry;
    use super::*;
    use proptest::prelude::*;

    fn taken_in(plain: Vec<u8>) -> Record {
        Record::beginning_with(plain, &Budget::of_this_process().account(1 << 20))
    }

    fn record(fields: &[(&str, &str)], body: &[u8]) -> Record {
        let mut plain = vec![0, 0];
        for (name, value) in fields {
            headers::append(&mut plain, name, value).unwrap();
        }
        plain.extend_from_slice(body);
        taken_in(plain)
    }

    #[test]
    fn what_a_function_says_of_its_body_goes_out_and_what_speaks_of_the_connection_does_not() {
        let reply = of_record(record(
            &[
                ("content-type", "text/plain"),
                ("content-encoding", "gzip"),
                ("ce-id", "8"),
                ("ce-subject", "grün"),
                ("link", "<a>"),
                ("link", "<b>"),
                ("traceparent", "00-1"),
                ("idempotency-key", "k"),
                ("hacher-error-cause", "failed"),
                ("hacher-status", "201"),
                ("hacher-query", "q"),
                ("hacher-invocation", "forged"),
                ("content-length", "3"),
                ("transfer-encoding", "chunked"),
                ("connection", "close"),
                ("set-cookie", "a=b"),
            ],
            b"body",
        ));
        assert_eq!(reply.status(), 201);
        let mut found: Vec<_> = reply
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), core::str::from_utf8(value.as_bytes()).unwrap()))
            .collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                ("ce-id", "8"),
                ("ce-subject", "grün"),
                ("content-encoding", "gzip"),
                ("content-type", "text/plain"),
                ("hacher-error-cause", "failed"),
                ("link", "<a>"),
                ("link", "<b>"),
                ("traceparent", "00-1"),
            ]
        );
    }

    #[test]
    fn a_body_that_nobody_described_is_bytes_and_statuses_without_content_have_none() {
        let reply = of_record(record(&[], b"body"));
        assert_eq!(reply.headers()[CONTENT_TYPE], "application/octet-stream");
        for status in ["204", "205"] {
            let reply = of_record(record(&[("hacher-status", status)], b"body"));
            assert_eq!(reply.status().as_str(), status);
            assert_eq!(reply.body().len_bytes(), 0);
            assert!(reply.headers().get(CONTENT_TYPE).is_none());
        }
        for status in ["100", "101", "304", "600", "x", ""] {
            let reply = of_record(record(&[("hacher-status", status)], b"body"));
            assert_eq!(reply.status(), 200, "{status}");
        }
    }

    #[test]
    fn head_says_the_length_and_sends_nothing() {
        let reply = without_content(of_record(record(&[], b"body")));
        assert_eq!(reply.headers()[CONTENT_LENGTH], "4");
        assert_eq!(reply.body().len_bytes(), 0);
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_comes_back_as_headers_that_http_can_carry(
            fields in proptest::collection::vec(
                (
                    "(ce-[a-z0-9._~-]{0,6}|content-type|content-encoding|traceparent|tracestate|baggage|x_y|[a-z!#]{1,9})",
                    proptest::collection::vec(any::<u8>(), 0..40),
                ),
                0..12,
            ),
            query in proptest::option::of("[!-~]{0,20}"),
        ) {
            let mut from = HeaderMap::new();
            for (name, value) in &fields {
                // What hyper does not take never comes here.
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value)) {
                    from.append(name, value);
                }
            }
            let mut plain = vec![0, 0];
            match carry(&from, query.as_deref(), &mut plain) {
                Err(problem) => prop_assert!(problem.response().status().is_client_error()),
                Ok(()) => {
                    plain.extend_from_slice(b"body");
                    let (encoded, body) = headers::split(&plain).unwrap();
                    prop_assert_eq!(body, b"body");
                    let mut names: Vec<_> = Headers::new(encoded).map(|(name, _)| name).collect();
                    names.sort_unstable();
                    let count = names.len();
                    names.dedup();
                    prop_assert_eq!(names.len(), count, "each name once");
                    for (_, value) in of_record(taken_in(plain)).headers() {
                        prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)));
                    }
                }
            }
        }

        #[test]
        fn whatever_a_function_writes_makes_a_reply_that_http_can_carry(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            fields in proptest::collection::vec(
                ("(ce-[a-z]{0,3}|content-type|link|[\\x00-\\x7f]{1,8})", ".{0,12}"), 0..8
            ),
        ) {
            let _ = of_record(taken_in(bytes));
            // What the SDK would refuse to write, a hostile function writes all the same.
            let mut encoded = Vec::new();
            for (name, value) in &fields {
                encoded.push(u8::try_from(name.len()).unwrap());
                encoded.extend_from_slice(name.as_bytes());
                encoded.extend_from_slice(&u16::try_from(value.len()).unwrap().to_le_bytes());
                encoded.extend_from_slice(value.as_bytes());
            }
            let mut plain = Vec::new();
            headers::start(&mut plain, &encoded);
            plain.extend_from_slice(b"body");
            for (name, value) in of_record(taken_in(plain)).headers() {
                prop_assert!(leaves(name.as_str()).is_some() || name == "content-type");
                prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)));
            }
        }
    }
}
