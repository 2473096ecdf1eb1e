//! The sealed form of a segment: ciphertext, as long as the plaintext, then a tag of 16 bytes.

/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;

/// The AEAD refused: the bytes, or their context, are not what was sealed; or a buffer is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the AEAD refused")]
pub struct Refused;
