//! Names of headers that have a meaning of their own, and bounds; `docs/http.md` says which of them travel.

pub use hacher_libos_net::headers::{
    CAPTURE_PREFIX, CARRIED_MAX_BYTES, CONTENT_TYPE, ERROR_PREFIX, EXPLANATION, FORWARDED_FOR,
    HEADERS_MAX_BYTES, INVOCATION, METHOD, OF_THE_BODY, OF_THE_CONNECTION, OWN_PREFIX, PART_FUNCTION,
    PART_PORT, PARTS, PATH, QUERY, STATUS, STATUSES, is_inherited, is_single,
};
