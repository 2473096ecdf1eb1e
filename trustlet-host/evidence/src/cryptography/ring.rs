//! By `ring`.

use super::lengths::{SEED_BYTES, SHA384_BYTES, SHA512_BYTES, SIGNATURE_BYTES};
use crate::key::KEY_BYTES;
use ring::digest::{Context, SHA384, SHA512};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// A SHA-384 under way.
pub struct Sha384(Context);

impl Sha384 {
    /// Of nothing yet.
    #[allow(clippy::new_without_default, reason = "a hash is begun on purpose")]
    #[must_use]
    pub fn new() -> Self {
        Self(Context::new(&SHA384))
    }

    /// Goes on with these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all that came.
    #[must_use]
    pub fn finish(self) -> [u8; SHA384_BYTES] {
        let mut hash = [0; SHA384_BYTES];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

/// A SHA-512 under way.
pub struct Sha512(Context);

impl Sha512 {
    /// Of nothing yet.
    #[allow(clippy::new_without_default, reason = "a hash is begun on purpose")]
    #[must_use]
    pub fn new() -> Self {
        Self(Context::new(&SHA512))
    }

    /// Goes on with these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all that came.
    #[must_use]
    pub fn finish(self) -> [u8; SHA512_BYTES] {
        let mut hash = [0; SHA512_BYTES];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

/// Signs (Ed25519, RFC 8032).
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key that `seed` gives.
    #[allow(clippy::missing_panics_doc, reason = "no seed makes it panic")]
    #[must_use]
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a seed of Ed25519"))
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        bytes
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes.copy_from_slice(self.0.sign(message).as_ref());
        bytes
    }
}

/// Whether `signature` is one of `message` by the owner of `key` (Ed25519).
#[must_use]
pub fn verify(key: &[u8; KEY_BYTES], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key)
        .verify(message, signature)
        .is_ok()
}
