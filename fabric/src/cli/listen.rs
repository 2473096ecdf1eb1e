//! Where the gateway listens unless told otherwise.

/// As an address.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
/// The port of that.
pub(super) const DEFAULT_LISTEN_PORT: u16 = 8080;
