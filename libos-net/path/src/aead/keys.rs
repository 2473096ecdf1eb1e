//! From a port's secret to the key of one AEAD context (I4, I9).
//!
//! ```text
//! port secret     random, made by the monitor, one for each output port of a sealed chain; consumers hold it
//!   epoch secret  HKDF-Expand(port secret, chain digest, chain epoch, port, instance, instance epoch);
//!                 the producer holds the one of its present epoch, and no other
//!     key         HKDF-Expand(epoch secret, generation): AES-256-GCM; the next generation long before the
//!                 limits of the AEAD
//! ```
//!
//! So a replaced producer seals under a new key without a word to its consumers, and a consumer can open what
//! a dead producer left behind. The chain digest is bound through the derivation: a record of any other
//! chain, or of another sealing of this chain, does not open.

use super::expand::expand_into;
use crate::attach::message::SECRET_BYTES;
use zeroize::Zeroize;

/// 32 secret bytes; wiped when dropped, never printed.
pub struct SecretBytes([u8; SECRET_BYTES]);

impl SecretBytes {
    /// Takes these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be put on the attach channel or into an AEAD context.
    #[must_use]
    pub const fn expose(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The producer whose records a key seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyContext<'a> {
    /// SHA-384 over the canonical plan.
    pub chain_digest: &'a [u8; 48],
    /// Which sealing of the chain.
    pub chain_epoch: u64,
    /// The port's number in the chain.
    pub port: u32,
    /// The producing instance's number in the chain.
    pub instance: u32,
}

/// 32 bytes that depend on each byte of `secret` and `info`.
pub(super) fn expand(secret: &SecretBytes, info: &[&[u8]]) -> SecretBytes {
    let mut bytes = [0; SECRET_BYTES];
    expand_into(secret.expose(), info, &mut bytes);
    SecretBytes::new(bytes)
}

/// The secret of one instance epoch of one port.
#[must_use]
pub fn epoch_secret(port_secret: &SecretBytes, context: KeyContext<'_>, instance_epoch: u32) -> SecretBytes {
    expand(
        port_secret,
        &[
            b"hacher v1 epoch",
            context.chain_digest,
            &context.chain_epoch.to_le_bytes(),
            &context.port.to_le_bytes(),
            &context.instance.to_le_bytes(),
            &instance_epoch.to_le_bytes(),
        ],
    )
}

/// The AES-256-GCM key of one generation of an epoch.
#[must_use]
pub fn generation_key(epoch_secret: &SecretBytes, generation: u16) -> SecretBytes {
    expand(epoch_secret, &[b"hacher v1 key", &generation.to_le_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: [u8; 48] = [7; 48];
    const CONTEXT: KeyContext<'static> = KeyContext {
        chain_digest: &DIGEST,
        chain_epoch: 1,
        port: 2,
        instance: 3,
    };

    #[test]
    fn every_part_of_the_context_changes_the_key() {
        let secret = SecretBytes::new([1; 32]);
        let other_digest = [8; 48];
        let keys = [
            epoch_secret(&secret, CONTEXT, 1),
            epoch_secret(&secret, CONTEXT, 2),
            epoch_secret(
                &secret,
                KeyContext {
                    chain_digest: &other_digest,
                    ..CONTEXT
                },
                1,
            ),
            epoch_secret(
                &secret,
                KeyContext {
                    chain_epoch: 2,
                    ..CONTEXT
                },
                1,
            ),
            epoch_secret(&secret, KeyContext { port: 3, ..CONTEXT }, 1),
            epoch_secret(
                &secret,
                KeyContext {
                    instance: 4,
                    ..CONTEXT
                },
                1,
            ),
            epoch_secret(&SecretBytes::new([2; 32]), CONTEXT, 1),
            generation_key(&epoch_secret(&secret, CONTEXT, 1), 0),
            generation_key(&epoch_secret(&secret, CONTEXT, 1), 1),
        ];
        for (i, left) in keys.iter().enumerate() {
            for right in &keys[i + 1..] {
                assert_ne!(left.expose(), right.expose());
            }
        }
    }
}
