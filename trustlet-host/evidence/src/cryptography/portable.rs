//! By `sha2` and `ed25519-dalek`, which need no operating system.

use super::lengths::{SEED_BYTES, SHA384_BYTES, SHA512_BYTES, SIGNATURE_BYTES};
use crate::key::KEY_BYTES;
use ed25519_dalek::{Signature, Signer, Verifier, VerifyingKey};
use sha2::Digest;

/// A SHA-384 under way.
pub struct Sha384(sha2::Sha384);

impl Sha384 {
    /// Of nothing yet.
    #[allow(clippy::new_without_default, reason = "a hash is begun on purpose")]
    #[must_use]
    pub fn new() -> Self {
        Self(sha2::Sha384::new())
    }

    /// Goes on with these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all that came.
    #[must_use]
    pub fn finish(self) -> [u8; SHA384_BYTES] {
        self.0.finalize().into()
    }
}

/// A SHA-512 under way.
pub struct Sha512(sha2::Sha512);

impl Sha512 {
    /// Of nothing yet.
    #[allow(clippy::new_without_default, reason = "a hash is begun on purpose")]
    #[must_use]
    pub fn new() -> Self {
        Self(sha2::Sha512::new())
    }

    /// Goes on with these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all that came.
    #[must_use]
    pub fn finish(self) -> [u8; SHA512_BYTES] {
        self.0.finalize().into()
    }
}

/// Signs (Ed25519, RFC 8032); wiped when dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key that `seed` gives.
    #[must_use]
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> [u8; KEY_BYTES] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message).to_bytes()
    }
}

/// Whether `signature` is one of `message` by the owner of `key` (Ed25519).
#[must_use]
pub fn verify(key: &[u8; KEY_BYTES], message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(key), Signature::from_slice(signature)) else {
        return false;
    };
    key.verify(message, &signature).is_ok()
}
