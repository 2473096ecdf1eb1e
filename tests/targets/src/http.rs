//! What is read of HTTP and of records' headers: any bytes of a function make a reply, and what a client
//! sends in headers comes to a function as it was.

use crate::script::Script;
use hacher_gateway::hostile::{self, Refusal};
use hacher_libos_net::fault::Notice;
use hacher_libos_net::headers::{self, CARRIED_MAX_BYTES, HEADERS_MAX_BYTES, Headers};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// Reads `bytes` as a record, as a fault notice, as the headers of a request, or as what a connection brings.
pub fn http(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    match choice % 5 {
        0 => record(bytes),
        1 => edited(bytes),
        2 => {
            if let Some(notice) = Notice::decode(bytes) {
                assert!(notice.reason.len() <= 240);
            }
        }
        3 => request(bytes),
        _ => stream(bytes),
    }
}

/// A record at egress.
fn record(bytes: &[u8]) {
    let status = hostile::reply_of_record(bytes.to_vec()).status().as_u16();
    assert!((200..600).contains(&status), "a function may not say {status}");
    if let Ok((encoded, body)) = headers::split(bytes) {
        assert!(encoded.len() <= HEADERS_MAX_BYTES);
        assert!(bytes.ends_with(body));
        let _ = Headers::new(encoded).count();
    }
}

/// Headers that are set and replaced in a record.
fn edited(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut plain = Vec::new();
    let len = usize::from(script.u16());
    headers::start(&mut plain, script.bytes(len));
    plain.extend_from_slice(b"the body");
    while !script.is_empty() {
        let (name_len, value_len) = (usize::from(script.u8()), usize::from(script.u16()) % 5000);
        let name = String::from_utf8_lossy(script.bytes(name_len)).into_owned();
        let value = String::from_utf8_lossy(script.bytes(value_len)).into_owned();
        if headers::set(&mut plain, &name, &value).is_ok() {
            let (encoded, body) = headers::split(&plain).expect("what was set can be read");
            assert_eq!(headers::find(encoded, &name), Some(value.as_str()));
            assert_eq!(body, b"the body");
        }
    }
}

/// The headers of a request, one a line.
fn request(bytes: &[u8]) {
    let mut sent = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(200) {
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            sent.append(name, value);
        }
    }
    if let Some(plain) = hostile::carried(&sent) {
        let (encoded, body) = headers::split(&plain).expect("what is carried can be read");
        assert!(body.is_empty() && encoded.len() <= CARRIED_MAX_BYTES);
        for (name, _) in Headers::new(encoded) {
            let is_own = name == headers::METHOD;
            assert!(
                is_own || sent.contains_key(name),
                "`{name}` was not in the request"
            );
        }
    }
}

/// A connection: where messages end does not depend on the pieces in which they come.
fn stream(bytes: &[u8]) {
    let whole = hostile::framed(bytes, bytes.len());
    assert!(whole.passed <= bytes.len());
    for piece in [1, 5] {
        let pieces = hostile::framed(bytes, piece);
        assert_eq!(
            (pieces.heads, pieces.refused),
            (whole.heads, whole.refused),
            "in pieces of {piece}"
        );
        // A body that is refused may have been passed on in part.
        let in_part = whole.refused == Some(Refusal::Body);
        assert!(pieces.passed == whole.passed || in_part, "in pieces of {piece}");
    }
}
