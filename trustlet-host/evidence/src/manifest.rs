//! The manifest: what a monitor says of itself and of its chains, as text of one fact a line.
//!
//! ```text
//! hacher-manifest 1
//! purpose nonce|session|secret
//! secret REPOSITORY TYPE TAG                             of `purpose secret` alone
//! platform NAME
//! trust operating-system|hardware
//! layer NAME enforced|missing                            any number, by the bytes of their names
//! monitor VERSION HEX96
//! daemon HEX96
//! statement-key ed25519 HEX64
//! chain HEX96 VERSION NAME                               any number, in the monitor's order; of each:
//! request-key x25519 HEX64 | request-key none            `none` with `purpose secret` alone
//! gateway HEX96 shared|own logs dropped|forwarded
//! tls-key none | tls-key sha256 HEX64
//! function|carrier HEX96 NAME logs dropped|forwarded     any number, in the chain's order
//! edge FROM PORT TO sealed|mapped [across CARRIER]       any number, in the chain's order
//! ```
//!
//! Each line ends with one line feed, words are parted by one blank, hex digits are lower case: no two
//! manifests mean the same. A line says what it is by its first word, so the order is there to be checked,
//! and a reader needs no look ahead. `docs/evidence.md` has it in full.

mod decode;
mod encode;
mod facts;

pub use decode::ManifestError;
pub use facts::{
    Chain, EGRESS, Edge, Function, Gateway, INGRESS, Layer, Logs, Manifest, Protection, Purpose, Resource,
    Trust,
};

use alloc::vec::Vec;

/// The longest manifest. One chain with all that a chain can have (256 functions, 1,024 edges) takes a third
/// of it, and it bounds what a verifier of a stranger's evidence has to read.
pub const MANIFEST_MAX_BYTES: usize = decode::BYTES_MAX;

impl Manifest {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode::manifest(self)
    }

    /// Takes bytes apart, which may be anybody's.
    ///
    /// # Errors
    /// When they are not exactly what [`Manifest::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        decode::manifest(bytes)
    }
}
