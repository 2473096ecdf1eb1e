//! The reply that a record at egress makes (docs/http.md has the table of headers), and what every reply has
//! to obey.

use super::problem::Problem;
use super::record::Record;
use super::reply_body::ReplyBody;
use hacher_libos_net::headers::{self, Headers, STATUS};
use hacher_libos_net::inlet::Upstream;
use hacher_libos_net::telemetry::RequestFailure;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};

/// What a body is that no function has described: a client that guesses could be made to guess wrong.
const UNDESCRIBED: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Headers that records have of their request, and that say nothing to who sent it.
const OF_THE_REQUEST: [&str; 1] = ["idempotency-key"];
/// What a failed input tells of itself, beside CloudEvents attributes and why it failed: nobody made it a
/// reply, and other headers that it has came with the request.
const OF_AN_INPUT: [&str; 5] = [
    "content-type",
    "content-encoding",
    "traceparent",
    "tracestate",
    "baggage",
];

/// The port by which a failed input leaves, in every chain.
const ERROR_PORT: &str = "error";

/// What goes back to the client.
pub(super) type Reply = Response<ReplyBody>;

/// Whose a record at egress is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A function made it.
    Made,
    /// It is the input of a function that gave up, from its `error` port.
    FailedInput,
}

impl Origin {
    /// By the port that it has left by.
    pub(super) fn of_port(upstream: &Upstream) -> Self {
        if upstream.port == *ERROR_PORT {
            Self::FailedInput
        } else {
            Self::Made
        }
    }
}

/// Why a record makes no reply. The SDK refuses all of these, so a function that does not keep to it wrote
/// them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoReply {
    /// Its headers cannot be read.
    #[error("its record has malformed headers")]
    Malformed,
    /// A status outside of [`headers::STATUSES`].
    #[error("it set a status outside 200 to 599")]
    Status,
    /// A header that is the gateway's to write.
    #[error("it set `{0}`, which speaks of the connection or its framing")]
    OfTheConnection(&'static str),
    /// A second value of a header that has one.
    #[error("it set `{0}` twice, which stands once")]
    Repeated(String),
    /// No header of HTTP.
    #[error("it set a header whose name or value HTTP cannot carry")]
    Header,
}

impl Problem {
    /// The reply that says it.
    pub(super) fn response(self) -> Reply {
        self.response_with(ReplyBody::text)
    }

    /// Says that the record of `function` makes no reply.
    pub(super) fn of_no_reply(function: &str, fault: &NoReply) -> Self {
        let detail = format!("the reply of function `{function}` cannot be sent: {fault}");
        Self::new(StatusCode::BAD_GATEWAY, "a function failed", detail)
            .failure(RequestFailure::Function)
            .with("function", function)
            .with("cause", "malformed_reply")
    }
}

/// Whether header `name` of a record goes out. All do that a function sets, but for the system's own.
fn leaves(name: &str, origin: Origin) -> bool {
    match origin {
        _ if name.starts_with(headers::OWN_PREFIX) => headers::EXPLANATION.contains(&name),
        Origin::Made => !OF_THE_REQUEST.contains(&name),
        Origin::FailedInput => OF_AN_INPUT.contains(&name) || name.starts_with("ce-"),
    }
}

/// What a record says of the reply that it makes, or of its part in one.
pub(super) struct Head {
    pub(super) status: StatusCode,
    /// Those that go out.
    pub(super) headers: HeaderMap,
    /// Where its body begins.
    pub(super) body_at: usize,
}

/// Reads the headers of a record, whose first piece this is.
pub(super) fn read_head(first: &[u8], origin: Origin) -> Result<Head, NoReply> {
    let (encoded, body) = headers::split(first).map_err(|_| NoReply::Malformed)?;
    let body_at = first.len() - body.len();
    let mut status = None;
    let mut reply_headers = HeaderMap::new();
    for (name, value) in Headers::new(encoded) {
        if origin == Origin::FailedInput && !leaves(name, origin) {
            // Also a status: it was for a reply that this function did not make.
            continue;
        }
        if name == STATUS {
            let code = headers::status_of(value).ok_or(NoReply::Status)?;
            let code = StatusCode::from_u16(code).map_err(|_| NoReply::Status)?;
            if status.replace(code).is_some() {
                return Err(NoReply::Repeated(STATUS.to_owned()));
            }
        } else if let Some(name) = headers::OF_THE_CONNECTION.iter().find(|known| **known == name) {
            return Err(NoReply::OfTheConnection(name));
        } else if leaves(name, origin) {
            let is_single = headers::is_single(name);
            let name = HeaderName::from_lowercase(name.as_bytes()).map_err(|_| NoReply::Header)?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| NoReply::Header)?;
            if is_single && origin == Origin::Made && reply_headers.contains_key(&name) {
                return Err(NoReply::Repeated(name.as_str().to_owned()));
            }
            if is_single {
                reply_headers.insert(name, value);
            } else {
                reply_headers.append(name, value);
            }
        }
    }
    let status = status.unwrap_or(StatusCode::OK);
    if has_content(status) {
        reply_headers.entry(CONTENT_TYPE).or_insert(UNDESCRIBED);
    }
    Ok(Head {
        status,
        headers: reply_headers,
        body_at,
    })
}

/// The reply that a record makes.
pub(super) fn of_record(record: Record, origin: Origin) -> Result<Reply, NoReply> {
    let Head {
        status,
        headers,
        body_at,
    } = read_head(record.first(), origin)?;
    let body = if has_content(status) {
        ReplyBody::of_record(record, body_at)
    } else {
        ReplyBody::text("")
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Whether a reply with this status may have content (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5).
pub(super) fn has_content(status: StatusCode) -> bool {
    let without = [
        StatusCode::NO_CONTENT,
        StatusCode::RESET_CONTENT,
        StatusCode::NOT_MODIFIED,
    ];
    !without.contains(&status)
}

/// The reply to HEAD: what the reply to GET says of its content, without the content (RFC 9110, section
/// 9.3.2).
pub(super) fn without_content(reply: Reply) -> Reply {
    let (mut parts, body) = reply.into_parts();
    if has_content(parts.status)
        && let Some(bytes) = body.known_bytes()
    {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    Response::from_parts(parts, ReplyBody::text(""))
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::super::carried::{Asked, carry};
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

    fn sent(fields: &[(&str, &str)], origin: Origin) -> Vec<(String, String)> {
        let reply = of_record(record(fields, b"body"), origin).unwrap();
        let text = |value: &HeaderValue| core::str::from_utf8(value.as_bytes()).unwrap().to_owned();
        let headers = reply.headers().iter();
        let mut found: Vec<_> = headers
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect();
        found.sort_unstable();
        found
    }

    fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        fields.iter().map(owned).collect()
    }

    const SET: [(&str, &str); 16] = [
        ("content-type", "text/plain"),
        ("content-encoding", "gzip"),
        ("ce-id", "8"),
        ("ce-subject", "gr\u{fc}n"),
        ("link", "<a>"),
        ("link", "<b>"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("access-control-allow-origin", "*"),
        ("x-own", "1"),
        ("traceparent", "00-1"),
        ("idempotency-key", "k"),
        ("hacher-error-cause", "failed"),
        ("hacher-status", "201"),
        ("hacher-query", "q"),
        ("hacher-invocation", "forged"),
    ];

    #[test]
    fn all_headers_that_a_function_sets_go_out_but_for_the_systems_own() {
        assert_eq!(
            of_record(record(&SET, b"body"), Origin::Made).unwrap().status(),
            201
        );
        let expected = [
            ("access-control-allow-origin", "*"),
            ("ce-id", "8"),
            ("ce-subject", "gr\u{fc}n"),
            ("content-encoding", "gzip"),
            ("content-type", "text/plain"),
            ("hacher-error-cause", "failed"),
            ("link", "<a>"),
            ("link", "<b>"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("traceparent", "00-1"),
            ("x-own", "1"),
        ];
        assert_eq!(sent(&SET, Origin::Made), pairs(&expected));
    }

    #[test]
    fn a_failed_input_tells_nobody_the_headers_of_its_request() {
        let secret = [
            ("authorization", "secret"),
            ("cookie", "secret"),
            ("accept", "text/plain"),
        ];
        let expected = [
            ("ce-id", "8"),
            ("ce-subject", "gr\u{fc}n"),
            ("content-encoding", "gzip"),
            ("content-type", "text/plain"),
            ("hacher-error-cause", "failed"),
            ("traceparent", "00-1"),
        ];
        assert_eq!(
            sent(&[&SET[..], &secret].concat(), Origin::FailedInput),
            pairs(&expected)
        );
        // Nor does a status, or what no reply may have: the function that failed has set neither.
        for field in [
            ("hacher-status", "201"),
            ("hacher-status", "999"),
            ("connection", "close"),
        ] {
            let reply = of_record(record(&[field], b"body"), Origin::FailedInput).unwrap();
            assert_eq!((reply.status().as_u16(), reply.body().len_bytes()), (200, 4));
        }
    }

    #[test]
    fn a_body_that_nobody_described_is_bytes_and_statuses_without_content_have_none() {
        let reply = of_record(record(&[], b"body"), Origin::Made).unwrap();
        assert_eq!(reply.headers()[CONTENT_TYPE], "application/octet-stream");
        for status in ["204", "205", "304"] {
            let reply = of_record(record(&[("hacher-status", status)], b"body"), Origin::Made).unwrap();
            assert_eq!(reply.status().as_str(), status);
            assert_eq!(reply.body().len_bytes(), 0);
            assert!(reply.headers().get(CONTENT_TYPE).is_none());
        }
    }

    #[test]
    fn what_the_sdk_refuses_makes_no_reply_if_a_function_writes_it_all_the_same() {
        for status in ["100", "101", "199", "600", "x", "", "0200", "+20", "2 0", "1000"] {
            let reply = of_record(record(&[("hacher-status", status)], b"body"), Origin::Made);
            assert_eq!(reply.err(), Some(NoReply::Status), "{status}");
        }
        for name in headers::OF_THE_CONNECTION {
            let reply = of_record(record(&[(name, "1")], b"body"), Origin::Made);
            assert_eq!(reply.err(), Some(NoReply::OfTheConnection(name)));
        }
    }

    #[test]
    fn what_stands_once_and_stands_twice_makes_no_reply() {
        for (name, value) in [("hacher-status", "201"), ("content-type", "a/b"), ("ce-id", "7")] {
            let twice = [(name, value), ("link", "<a>"), (name, value)];
            let reply = of_record(record(&twice, b"body"), Origin::Made);
            assert_eq!(reply.err(), Some(NoReply::Repeated(name.to_owned())));
        }
    }

    #[test]
    fn head_says_the_length_and_sends_nothing() {
        let reply = without_content(of_record(record(&[], b"body"), Origin::Made).unwrap());
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
            let asked = Asked {
                method: "POST",
                path: "",
                query: query.as_deref(),
                captures: &[],
                authority: None,
                peer: None,
            };
            match carry(&from, asked, &[], &mut plain) {
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
                    for (_, value) in of_record(taken_in(plain), Origin::Made).unwrap().headers() {
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
            let _ = of_record(taken_in(bytes), Origin::Made);
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
            if let Ok(reply) = of_record(taken_in(plain), Origin::Made) {
                for (name, value) in reply.headers() {
                    prop_assert!(leaves(name.as_str(), Origin::Made));
                    prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)));
                }
            }
        }
    }
}
