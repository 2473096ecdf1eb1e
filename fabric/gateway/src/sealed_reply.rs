//! A sealed reply: what a plain one would have been, its status and its headers inside. Outside it is always
//! a success of one media type, so whatever ends TLS in between learns its size and time.

use super::budget::Account;
use super::ids::INVOCATION_HEADER;
use super::problem::InnerStatus;
use super::reply::Reply;
use hacher_sealed_request::head::{encode, is_value};
use hacher_sealed_request::reply::{Owed, SALT_BYTES};
use hacher_sealed_request::segments::Sealer;
use hacher_sealed_request::{REPLY_MEDIA_TYPE, STATUS_FIELD};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};
use ring::rand::{SecureRandom, SystemRandom};
use std::rc::Rc;

/// The reply that is owed, made of what a plain request would be answered with.
pub(super) fn seal(reply: Reply, owed: Owed, account: &Rc<Account>) -> Reply {
    let (inner, body) = reply.into_parts();
    let mut salt = [0; SALT_BYTES];
    SystemRandom::new()
        .fill(&mut salt)
        .expect("the kernel's random number generator, once it has begun, does not fail (getrandom(2))");
    let (mut prefix, mut sealer) = owed.seal(&salt);
    let head = head_of(inner.status, &inner.headers);
    let is_all = body.len_bytes() == 0;
    seal_head(&mut sealer, &head, is_all, &mut prefix);
    let mut sealed = Response::new(body.sealed(prefix, sealer, account));
    *sealed.extensions_mut() = inner.extensions;
    sealed.extensions_mut().insert(InnerStatus(inner.status));
    let headers = sealed.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(REPLY_MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(invocation) = inner.headers.get(INVOCATION_HEADER) {
        headers.insert(INVOCATION_HEADER, invocation.clone());
    }
    sealed
}

fn seal_head(sealer: &mut Sealer, head: &[u8], is_all: bool, sealed: &mut Vec<u8>) {
    let done = if is_all {
        sealer.end(head, sealed)
    } else {
        sealer.seal(head, sealed)
    };
    done.expect("a stream that begins has all its segments");
}

/// Status and headers. What cannot be said in a line of a head, a control character that a function has put
/// into a value, is left out.
fn head_of(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let fields = headers.iter().filter_map(|(name, value)| {
        let value = str::from_utf8(value.as_bytes()).ok()?;
        is_value(value).then_some((name.as_str(), value))
    });
    let status = status.as_str().to_owned();
    let all = core::iter::once((STATUS_FIELD, status.as_str())).chain(fields);
    encode(all)
        .unwrap_or_else(|_| encode([(STATUS_FIELD, status.as_str())]).expect("a status is three digits"))
}
