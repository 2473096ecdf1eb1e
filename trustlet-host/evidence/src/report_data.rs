//! What a platform reports over: it binds a manifest to a client's nonce.

use crate::cryptography::Sha512;

/// Bytes of a nonce, as in the SVSM attestation protocol (AMD 58019).
pub const NONCE_BYTES: usize = 64;
/// Bytes of what a platform reports over: REPORT_DATA of AMD 56860.
pub const REPORT_DATA_BYTES: usize = 64;

/// What the platform reports over: SHA-512 of the nonce and then the manifest.
#[must_use]
pub fn report_data(nonce: &[u8; NONCE_BYTES], manifest: &[u8]) -> [u8; REPORT_DATA_BYTES] {
    let mut hash = Sha512::new();
    hash.update(nonce);
    hash.update(manifest);
    hash.finish()
}
