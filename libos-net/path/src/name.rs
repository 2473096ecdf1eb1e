//! Names of chains, functions, ports and secrets: short, bounded, and of fixed size on the wire.

use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The longest name, in bytes. One byte of the 64 holds the length.
pub const NAME_MAX_BYTES: usize = 63;

/// A name of 1 to 63 bytes of UTF-8, stored inline so that it can cross the attach channel without
/// allocation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Name {
    len_bytes: u8,
    bytes: [u8; NAME_MAX_BYTES],
}

/// The text is empty or longer than [`NAME_MAX_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to {NAME_MAX_BYTES} bytes, this one has {len_bytes}")]
pub struct NameLength {
    len_bytes: usize,
}

impl Name {
    /// Stores `text`.
    ///
    /// # Errors
    /// [`NameLength`] when `text` is empty or too long.
    pub fn new(text: &str) -> Result<Self, NameLength> {
        let error = NameLength {
            len_bytes: text.len(),
        };
        let mut bytes = [0; NAME_MAX_BYTES];
        let room = bytes.get_mut(..text.len()).ok_or(error)?;
        room.copy_from_slice(text.as_bytes());
        let len_bytes = u8::try_from(text.len()).map_err(|_| error)?;
        if len_bytes == 0 {
            Err(error)
        } else {
            Ok(Self { len_bytes, bytes })
        }
    }

    /// Bytes that are no name, where one may be missing.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            len_bytes: 0,
            bytes: [0; NAME_MAX_BYTES],
        }
    }

    /// The text; empty if the bytes came from a peer and are not a name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.len_bytes))
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or("")
    }

    /// Whether the bytes, which may come from another process, are a name.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.as_str().is_empty()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

impl PartialEq<str> for Name {
    /// By bytes: what is no text equals none.
    fn eq(&self, other: &str) -> bool {
        self.bytes.get(..usize::from(self.len_bytes)) == Some(other.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_text() {
        assert_eq!(Name::new("decode").unwrap().as_str(), "decode");
        assert_eq!(Name::new(&"n".repeat(63)).unwrap().as_str().len(), 63);
    }

    #[test]
    fn empty_and_long_names_are_refused() {
        assert!(Name::new("").is_err());
        assert!(Name::new(&"n".repeat(64)).is_err());
    }

    #[test]
    fn bytes_of_a_peer_that_are_no_name_are_noticed() {
        let mut name = Name::new("x").unwrap();
        name.len_bytes = 200;
        assert!(!name.is_valid());
        name.len_bytes = 1;
        name.bytes[0] = 0xff;
        assert!(!name.is_valid());
    }
}
