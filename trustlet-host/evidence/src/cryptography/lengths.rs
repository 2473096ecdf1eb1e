//! Lengths of hashes, keys and signatures.

/// Bytes of a SHA-384.
pub const SHA384_BYTES: usize = 48;
/// Bytes of a SHA-512.
pub const SHA512_BYTES: usize = 64;
/// Bytes that an Ed25519 key is made of.
pub const SEED_BYTES: usize = 32;
/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;
