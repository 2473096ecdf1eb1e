//! The reply that a record at egress makes.

use super::carried::is_carried;
use super::problem::Problem;
use bytes::Bytes;
use hacher_libos_net::sdk::headers::{self, Headers};
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};

/// A function sets this header on a record to choose the status of the reply.
const STATUS_HEADER: &str = "hacher-status";

/// What goes back to the client.
pub(super) type Reply = Response<Full<Bytes>>;

/// The reply that a record at egress makes.
pub(super) fn of_record(plain: Vec<u8>) -> Reply {
    let Ok((encoded, body)) = headers::split(&plain) else {
        return Problem::new(
            StatusCode::BAD_GATEWAY,
            "a function failed",
            "its record has malformed headers",
        )
        .response();
    };
    let body_at = plain.len() - body.len();
    let mut status = StatusCode::OK;
    let mut reply_headers = HeaderMap::new();
    for (name, value) in Headers::new(encoded) {
        if name == STATUS_HEADER {
            // Informational and redirecting statuses would change what the reply means to HTTP itself.
            let wished = value
                .parse::<u16>()
                .ok()
                .filter(|status| matches!(status, 200..300 | 400..600));
            status = wished
                .and_then(|wished| StatusCode::from_u16(wished).ok())
                .unwrap_or(status);
        } else if (is_carried(name) || name.starts_with("hacher-error-"))
            && name != "idempotency-key"
            && let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value),
            )
        {
            reply_headers.insert(name, value);
        }
    }
    let mut response = Response::new(Full::new(Bytes::from(plain).slice(body_at..)));
    *response.status_mut() = status;
    *response.headers_mut() = reply_headers;
    response
}
