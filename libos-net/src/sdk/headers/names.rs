//! The names that have a meaning of their own: the contract between clients, gateway and functions, all of it
//! in `docs/http.md`. Whatever begins with [`OWN_PREFIX`] is the system's: the gateway strips it from what
//! clients send, and the SDK refuses to set it, but for what is named here.

use std::borrow::Cow;

/// Name of the header that says what the body is (RFC 9110, section 8.3).
pub const CONTENT_TYPE: &str = "content-type";

/// How all headers begin whose meaning is the system's.
pub const OWN_PREFIX: &str = "hacher-";

/// The status of the reply that a record makes: three digits, in [`STATUSES`]. Not inherited.
pub const STATUS: &str = "hacher-status";

/// Which statuses a function may choose: no informational ones, which are no answer yet.
pub const STATUSES: core::ops::RangeInclusive<u16> = 200..=599;

/// Which request a reply answers: 16 hexadecimal digits. The gateway sets it on each reply of a chain.
pub const INVOCATION: &str = "hacher-invocation";

/// The method of the request, such as `POST`. The gateway sets it on each request; a client's own is dropped.
pub const METHOD: &str = "hacher-method";

/// The path of the request below `/chains/NAME`, beginning with `/`, percent-encoded but for what needs not
/// be; the whole path where the chain's `route` led here. Missing if nothing stands behind the chain's name.
pub const PATH: &str = "hacher-path";

/// How the names begin of what the chain's `route` captures: `{size}` is `hacher-capture-size`, decoded. What
/// `{*rest}` captures is encoded as [`PATH`] is.
pub const CAPTURE_PREFIX: &str = "hacher-capture-";

/// Where the request came from, as a list: what the client said of itself or of those before it, and last the
/// address of the connection to the gateway, which nobody can make up. Not inherited.
pub const FORWARDED_FOR: &str = "x-forwarded-for";

/// Name of the header that holds the query of the request's target (RFC 3986, section 3.4), as the client
/// encoded it.
pub const QUERY: &str = "hacher-query";

/// How the names begin that explain why a record is on an `error` port. They stay with what is made of that
/// record.
pub const ERROR_PREFIX: &str = "hacher-error-";

/// Headers that say why a record was given up, on its way to the `error` port. They have room of their own,
/// so that whatever clients and functions have set, they fit.
pub const EXPLANATION: [&str; 4] = [
    "hacher-error-function",
    "hacher-error-cause",
    "hacher-error-reason",
    "hacher-error-attempts",
];

/// How many parts a reply has that joins several. The gateway alone writes it: without it, a body of
/// `multipart/mixed` is some function's own, with whatever names of functions in it.
pub const PARTS: &str = "hacher-parts";

/// Which function has sent a part of a reply that joins several. The gateway writes it into the part.
pub const PART_FUNCTION: &str = "hacher-function";

/// By which of its ports.
pub const PART_PORT: &str = "hacher-port";

/// Headers that speak of the whole request, not of one body: every record that a request causes has them.
const OF_THE_REQUEST: [&str; 7] = [
    "traceparent",
    "tracestate",
    "baggage",
    "idempotency-key",
    METHOD,
    PATH,
    QUERY,
];

/// Headers that say how the bytes of a body are to be read.
pub const OF_THE_BODY: [&str; 2] = [CONTENT_TYPE, "content-encoding"];

/// Headers that speak of one connection (RFC 9110, section 7.6.1, and those that RFC 2616 named besides), the
/// length, which its framing says, and where else the gateway's origin is served (RFC 7838), which is not for
/// one chain to say. They never travel with a record.
pub const OF_THE_CONNECTION: [&str; 14] = [
    "alt-svc",
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

/// Headers that may stand in a message once, beside those of [`OWN_PREFIX`] and `ce-*`.
const SINGLE: [&str; 28] = [
    "age",
    "authorization",
    "content-disposition",
    "content-location",
    "content-range",
    CONTENT_TYPE,
    "date",
    "etag",
    "expires",
    "from",
    "host",
    "idempotency-key",
    "if-modified-since",
    "if-range",
    "if-unmodified-since",
    "last-event-id",
    "last-modified",
    "location",
    "max-forwards",
    "origin",
    "range",
    "referer",
    "retry-after",
    "server",
    "strict-transport-security",
    "traceparent",
    "user-agent",
    "x-request-id",
];

/// Whether a record that a function makes starts with header `name` of its input. What describes the input's
/// own body (its type, its coding, which event it is) does not: the function made another body.
#[must_use]
pub fn is_inherited(name: &str) -> bool {
    is_inherited_name(name.as_bytes())
}

pub(super) fn is_inherited_name(name: &[u8]) -> bool {
    OF_THE_REQUEST.iter().any(|known| known.as_bytes() == name)
        || name.starts_with(ERROR_PREFIX.as_bytes())
        || name.starts_with(CAPTURE_PREFIX.as_bytes())
}

/// Whether header `name` has one value; a second has no meaning that two readers would agree on. All others
/// are lists (RFC 9110, section 5.3), or stand on lines of their own, as `set-cookie` does.
#[must_use]
pub fn is_single(name: &str) -> bool {
    SINGLE.contains(&name) || name.starts_with("ce-") || name.starts_with(OWN_PREFIX)
}

/// The status that `value` of [`STATUS`] says; `None` if it is none that a function may choose.
#[must_use]
pub fn status_of(value: &str) -> Option<u16> {
    let is_code = value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_digit());
    let code = value.parse().ok().filter(|_| is_code)?;
    STATUSES.contains(&code).then_some(code)
}

/// The name as records have it.
pub(in crate::sdk) fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}
