//! Evidence: what a monitor says of itself and of the chains that it serves (the *manifest*), and what vouches
//! for it (a *report* of the platform). The monitor makes it, a verifier takes it apart; both use this crate,
//! and `docs/evidence.md` specifies every byte, so that others need not.
//!
//! A client sends 64 bytes that nobody has used before, the *nonce*. The platform reports over
//! [`report_data`] of nonce and manifest, as the SVSM attestation protocol has it (AMD 58019), so whoever sees
//! the manifest only, or answers with an older report, is found out. The nonce is not part of the evidence:
//! who verifies knows it.
//!
//! ```text
//! word       one name
//! manifest   the facts, one a line, and their one encoding; decode: back, or refused
//! envelope   report, certificates and manifest in one message
//! emulated   reports without hardware, of a type of their own
//! ```
//!
//! Nothing here decides whether evidence is good enough; a verifier does.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod emulated;
pub mod envelope;
pub mod manifest;
pub mod word;

pub use envelope::{Evidence, EvidenceError, Kind};
pub use manifest::{Manifest, ManifestError};
pub use word::Word;

use ring::digest::{Context, SHA512};

/// Bytes of a nonce, as in the SVSM attestation protocol (AMD 58019).
pub const NONCE_BYTES: usize = 64;
/// Bytes of what a platform reports over: REPORT_DATA of AMD 56860.
pub const REPORT_DATA_BYTES: usize = 64;
/// Bytes of a measurement or a chain digest: a SHA-384.
pub const MEASUREMENT_BYTES: usize = 48;
/// A SHA-384.
pub type Measurement = [u8; MEASUREMENT_BYTES];
/// Bytes of a public key, and of the SHA-256 of one.
pub const KEY_BYTES: usize = 32;

/// What the platform reports over: SHA-512 of the nonce and then the manifest.
#[must_use]
pub fn report_data(nonce: &[u8; NONCE_BYTES], manifest: &[u8]) -> [u8; REPORT_DATA_BYTES] {
    let mut context = Context::new(&SHA512);
    context.update(nonce);
    context.update(manifest);
    let mut data = [0; REPORT_DATA_BYTES];
    data.copy_from_slice(context.finish().as_ref());
    data
}
