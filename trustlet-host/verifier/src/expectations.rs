//! What only the caller knows: which nonce it sent, what time it is, what else it has.

use crate::time::UnixTime;
use hacher_evidence::manifest::Purpose;

/// What the caller expects and brings.
#[derive(Debug, Clone, Copy)]
pub struct Expectations<'a> {
    /// The nonce that the evidence was asked for with. Of a bare report, the whole REPORT_DATA. `None` looks
    /// at neither, and says so; evidence without a nonce can be a replay, so it fails.
    pub nonce: Option<[u8; 64]>,
    /// Where the nonce comes from: [`Purpose::Nonce`] if the caller has chosen it, and [`Purpose::Session`]
    /// if it is computed from a connection, at both ends.
    pub purpose: Purpose,
    /// The key of the certificate that was met on the connection ([`crate::tls_key()`]); `None` compares
    /// with nothing.
    pub tls_key: Option<[u8; 32]>,
    /// The name of the chain that data is for: evidence of others, or of more, is refused. `None` takes any.
    pub chain: Option<&'a str>,
    /// The time at which certificates and lists have to be valid.
    pub time: UnixTime,
    /// Certificates in DER, in any order, besides those in the evidence.
    pub certificates: &'a [&'a [u8]],
    /// Revocation lists in DER.
    pub revocation_lists: &'a [&'a [u8]],
    /// Whether evidence of the emulated platform is accepted, which proves nothing about hardware.
    pub allow_emulated: bool,
}
