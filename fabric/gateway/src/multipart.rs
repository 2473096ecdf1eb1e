//! The reply that several records make: `multipart/mixed` (RFC 2046, section 5.1) with a part for each, in
//! the order of the chain file. Pieces of records become pieces of the reply, so no body is copied.

use super::budget::Account;
use super::parts::Part;
use super::record::{Piece, Record};
use super::reply::{Head, NoReply, Origin, Reply, read_head};
use super::reply_body::ReplyBody;
use hacher_libos_net::headers::{PART_FUNCTION, PART_PORT, PARTS, STATUS};
use hacher_libos_net::name::Name;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, PRAGMA, SET_COOKIE, VARY,
};
use hyper::{HeaderMap, Response, StatusCode};
use ring::rand::{SecureRandom, SystemRandom};
use std::rc::Rc;

/// Random bytes of a boundary: nobody who writes a body can guess them, so no body holds it.
const BOUNDARY_BYTES: usize = 16;
/// What the reply has of its first part: it speaks of the request, as in every reply.
const OF_THE_REQUEST: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// By what a part may keep a cache from giving it to others.
const LIMIT_CACHING: [HeaderName; 5] = [CACHE_CONTROL, EXPIRES, PRAGMA, VARY, SET_COOKIE];

/// Why parts make no reply.
pub(super) enum Unsent {
    /// The record of this function cannot be sent.
    Part(Name, NoReply),
    /// There is no memory for what stands between the parts.
    NoRoom,
}

/// The reply that these parts make.
pub(super) fn of_parts(parts: Vec<Part>, account: &Rc<Account>) -> Result<Reply, Unsent> {
    let boundary = boundary();
    let mut reply = Outer::default();
    let mut joined = Record::empty(account);
    let mut separator = String::new();
    reply.parts = parts.len();
    for part in parts {
        let origin = Origin::of_port(&part.upstream);
        let Head {
            status,
            headers,
            body_at,
        } = match read_head(part.record.first(), origin) {
            Ok(head) => head,
            Err(fault) => return Err(Unsent::Part(part.upstream.function, fault)),
        };
        reply.add(status, &headers);
        let head = head_of(&part, status, &headers, &separator, &boundary);
        if !account.has_room(head.len() as u64) {
            return Err(Unsent::NoRoom);
        }
        joined.push(Piece::new(head, account));
        if super::reply::has_content(status) {
            joined.append_record(part.record, body_at);
        }
        separator = "\r\n".to_owned();
    }
    joined.push(Piece::new(
        format!("\r\n--{boundary}--\r\n").into_bytes(),
        account,
    ));
    Ok(reply.response(&boundary, ReplyBody::of_record(joined, 0)))
}

/// What the parts say of the whole reply.
#[derive(Default)]
struct Outer {
    /// The highest status that is an error.
    error: Option<StatusCode>,
    /// Of the request, as the first part has it.
    headers: Option<HeaderMap>,
    limits_caching: bool,
    /// How many there are.
    parts: usize,
}

impl Outer {
    fn add(&mut self, status: StatusCode, headers: &HeaderMap) {
        if status.as_u16() >= 400 {
            self.error = self.error.max(Some(status));
        }
        self.limits_caching |= LIMIT_CACHING.iter().any(|name| headers.contains_key(name));
        self.headers.get_or_insert_with(|| {
            let fields = headers.iter();
            let kept = fields.filter(|(name, _)| OF_THE_REQUEST.contains(&name.as_str()));
            kept.map(|(name, value)| (name.clone(), value.clone())).collect()
        });
    }

    fn response(self, boundary: &str, body: ReplyBody) -> Reply {
        let mut response = Response::new(body);
        *response.status_mut() = self.error.unwrap_or(StatusCode::OK);
        *response.headers_mut() = self.headers.unwrap_or_default();
        let content_type = format!("multipart/mixed; boundary={boundary}");
        if let Ok(content_type) = HeaderValue::from_str(&content_type) {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        // Only the gateway writes it: without it, the names in parts are a function's own words.
        let parts = HeaderValue::from(self.parts);
        response.headers_mut().insert(PARTS, parts);
        if self.limits_caching {
            // What a part says of caching, no cache sees: the reply must not be kept longer than any of them.
            let no_store = HeaderValue::from_static("no-store");
            response.headers_mut().insert(CACHE_CONTROL, no_store);
        }
        response
    }
}

/// The boundary and the headers of a part, behind what ends the one before.
fn head_of(part: &Part, status: StatusCode, headers: &HeaderMap, separator: &str, boundary: &str) -> Vec<u8> {
    let (function, port) = (&part.upstream.function, &part.upstream.port);
    let mut text = format!(
        "{separator}--{boundary}\r\n{PART_FUNCTION}: {function}\r\n{PART_PORT}: {port}\r\n{STATUS}: {}\r\n",
        status.as_u16()
    )
    .into_bytes();
    for (name, value) in headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        // Without a line break: a header's value cannot hold one.
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

fn boundary() -> String {
    let mut bytes = [0; BOUNDARY_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the kernel's random number generator, once it has begun, does not fail (getrandom(2))");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::budget::{Budget, reply_bytes};
    use super::*;
    use bytes::Buf;
    use core::pin::Pin;
    use core::task::{Context, Poll, Waker};
    use hacher_libos_net::headers;
    use hacher_libos_net::inlet::Upstream;
    use hyper::body::Body;

    fn part(account: &Rc<Account>, port: &str, member: u32, fields: &[(&str, &str)], body: &[u8]) -> Part {
        let mut plain = vec![0, 0];
        for (name, value) in fields {
            headers::append(&mut plain, name, value).unwrap();
        }
        let mut record = Record::beginning_with(plain, account);
        assert!(record.append(body));
        let upstream = Upstream {
            function: Name::new(["split", "score", "late"].get(member as usize).unwrap_or(&"more")).unwrap(),
            port: Name::new(port).unwrap(),
            function_index: member + 1,
            group: 0,
            group_width: 3,
            member,
            fault: false,
            streams: false,
        };
        Part { record, upstream }
    }

    fn written(mut body: ReplyBody) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Poll::Ready(Some(frame)) =
            Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()))
        {
            let mut data = frame.unwrap().into_data().unwrap_or_else(|_| panic!("data"));
            while data.has_remaining() {
                bytes.extend_from_slice(data.chunk());
                data.advance(data.chunk().len());
            }
        }
        bytes
    }

    #[test]
    fn each_record_is_a_part_with_its_own_status_headers_and_bytes() {
        let account = Budget::of_this_process().account(1 << 20);
        let long = vec![7; 150_000];
        let first = [
            ("content-type", "text/plain"),
            ("traceparent", "00-1"),
            ("hacher-status", "201"),
        ];
        let parts = vec![
            part(&account, "reject", 0, &first, b"one"),
            part(&account, "out", 1, &[("cache-control", "max-age=9")], &long),
            part(&account, "out", 2, &[("hacher-status", "204")], b"is left out"),
        ];
        let Ok(reply) = of_parts(parts, &account) else {
            panic!("there is room")
        };
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.headers()["traceparent"], "00-1");
        assert_eq!(reply.headers()[CACHE_CONTROL], "no-store");
        assert!(!reply.headers().contains_key(STATUS));
        let content_type = reply.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        let boundary = content_type.strip_prefix("multipart/mixed; boundary=").unwrap();
        let mut expected = format!(
            "--{boundary}\r\nhacher-function: split\r\nhacher-port: reject\r\nhacher-status: 201\r\n\
             content-type: text/plain\r\ntraceparent: 00-1\r\n\r\none\r\n--{boundary}\r\nhacher-function: score\r\n\
             hacher-port: out\r\nhacher-status: 200\r\ncache-control: max-age=9\r\n\
             content-type: application/octet-stream\r\n\r\n"
        )
        .into_bytes();
        expected.extend_from_slice(&long);
        expected.extend_from_slice(
            format!(
                "\r\n--{boundary}\r\nhacher-function: late\r\nhacher-port: out\r\nhacher-status: 204\r\n\r\n\
                 \r\n--{boundary}--\r\n"
            )
            .as_bytes(),
        );
        let body = reply.into_body();
        assert_eq!(body.known_bytes(), Some(expected.len()));
        assert!(account.is_used());
        assert!(written(body) == expected);
        assert!(!account.is_used(), "all of it is given back");
    }

    #[test]
    fn what_keeps_caches_from_one_part_keeps_them_from_the_reply() {
        let account = Budget::of_this_process().account(1 << 20);
        let cache_control = |fields: &[(&str, &str)]| {
            let parts = vec![
                part(&account, "out", 0, &[], b"one"),
                part(&account, "out", 1, fields, b"two"),
            ];
            let Ok(reply) = of_parts(parts, &account) else {
                panic!("there is room")
            };
            reply.headers().get(CACHE_CONTROL).cloned()
        };
        for field in [
            ("cache-control", "private"),
            ("expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("pragma", "no-cache"),
            ("vary", "accept-language"),
            ("set-cookie", "name=value"),
        ] {
            let told = cache_control(&[field]);
            assert_eq!(told, Some(HeaderValue::from_static("no-store")), "{field:?}");
        }
        assert_eq!(cache_control(&[("etag", "\"1\"")]), None);
    }

    #[test]
    fn many_parts_with_long_headers_hold_no_more_than_is_reserved_for_a_reply() {
        const PARTS: u32 = 32;
        let account = Budget::of_this_process().account(1 << 20);
        let value = "v".repeat(1000);
        let names: Vec<String> = (0..7).map(|at| format!("x-{at}")).collect();
        let fields: Vec<_> = names.iter().map(|name| (&**name, &*value)).collect();
        let body = vec![7; 10_000];
        let parts = (0..PARTS).map(|member| part(&account, "out", member, &fields, &body));
        let Ok(reply) = of_parts(parts.collect(), &account) else {
            panic!("there is room")
        };
        let max_reply_bytes = u64::from(PARTS) * body.len() as u64;
        let (held, one) = (account.used_bytes(), reply_bytes(max_reply_bytes, 1));
        assert!(held <= reply_bytes(max_reply_bytes, PARTS.into()), "{held} bytes");
        assert!(
            held > one,
            "a reply that joins none has {one} bytes, which these need"
        );
        drop(reply);
    }

    #[test]
    fn the_status_is_the_highest_error_of_a_part() {
        let account = Budget::of_this_process().account(1 << 20);
        for (statuses, expected) in [
            (["200", "302"], 200),
            (["404", "200"], 404),
            (["422", "503"], 503),
        ] {
            let parts = (0..)
                .zip(statuses)
                .map(|(member, status)| part(&account, "out", member, &[("hacher-status", status)], b""));
            let Ok(reply) = of_parts(parts.collect(), &account) else {
                panic!("there is room")
            };
            assert_eq!(reply.status().as_u16(), expected);
        }
    }

    #[test]
    fn a_part_that_makes_no_reply_is_named() {
        let account = Budget::of_this_process().account(1 << 20);
        let parts = vec![
            part(&account, "out", 0, &[], b"one"),
            part(&account, "out", 1, &[("connection", "close")], b"two"),
        ];
        let Err(Unsent::Part(function, fault)) = of_parts(parts, &account) else {
            panic!("it has a header of the connection")
        };
        assert_eq!(function.as_str(), "score");
        assert_eq!(fault, NoReply::OfTheConnection("connection"));
    }
}
