//! The headers of a client that travel through a chain with its request.

use super::problem::Problem;
use hacher_libos_net::sdk::headers;
use hyper::{HeaderMap, StatusCode};

/// Headers that travel with a request through the chain and back, besides `ce-*` (CloudEvents, binary mode).
const CARRIED: [&str; 5] = [
    "content-type",
    "traceparent",
    "tracestate",
    "baggage",
    "idempotency-key",
];

/// Whether the header `name` travels.
pub(super) fn is_carried(name: &str) -> bool {
    CARRIED.contains(&name) || name.starts_with("ce-")
}

/// Puts the carried headers of a request into its record.
pub(super) fn carry(from: &HeaderMap, plain: &mut Vec<u8>) -> Result<(), Problem> {
    let too_long = || {
        let detail = format!(
            "the headers that a chain carries have at most {} bytes",
            headers::HEADERS_MAX_BYTES
        );
        Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers too large",
            detail,
        )
    };
    for (name, value) in from.iter().filter(|(name, _)| is_carried(name.as_str())) {
        // A value that is not visible ASCII has no meaning for any of these.
        if let Ok(value) = value.to_str() {
            headers::set(plain, name.as_str(), value).map_err(|_| too_long())?;
        }
    }
    Ok(())
}
