//! The sealed form of a segment: ciphertext, as long as the plaintext, then a tag of 16 bytes.

/// Bytes in private memory that the cipher has made: only the modules beside this one can say so of some.
#[derive(Clone, Copy)]
pub struct Ciphertext<'a>(&'a [u8]);

impl<'a> Ciphertext<'a> {
    #[cfg(any(test, not(feature = "aws-lc")))]
    pub(super) const fn of(sealed: &'a [u8]) -> Self {
        Self(sealed)
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// The AEAD refused: the bytes, or their context, are not what was sealed; or a buffer is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the AEAD refused")]
pub struct Refused;
