//! Hashes and signatures, for whoever makes or reads evidence: by `ring`, or, where there is no operating
//! system that it knows, in Rust alone (`--cfg portable_crypto`). Both give the same bytes.

mod lengths;
#[cfg(any(test, portable_crypto))]
#[cfg_attr(
    not(portable_crypto),
    allow(unreachable_pub, reason = "without `portable_crypto`, there for tests alone")
)]
mod portable;
#[cfg(any(test, not(portable_crypto)))]
#[cfg_attr(
    portable_crypto,
    allow(unreachable_pub, reason = "with `portable_crypto`, there for tests alone")
)]
mod ring;

pub use lengths::{SEED_BYTES, SHA384_BYTES, SHA512_BYTES, SIGNATURE_BYTES};
#[cfg(portable_crypto)]
pub use portable::{Sha384, Sha512, SigningKey, verify};
#[cfg(not(portable_crypto))]
pub use ring::{Sha384, Sha512, SigningKey, verify};

/// The SHA-384 of these bytes.
#[must_use]
pub fn sha384(bytes: &[u8]) -> [u8; SHA384_BYTES] {
    let mut hash = Sha384::new();
    hash.update(bytes);
    hash.finish()
}

#[cfg(test)]
mod tests;
