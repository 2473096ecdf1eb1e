//! Public keys, as a manifest names them.

/// Bytes of a public key (Ed25519, X25519), and of the SHA-256 of one.
pub const KEY_BYTES: usize = 32;
