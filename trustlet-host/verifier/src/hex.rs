//! Bytes as text.

use std::fmt;

/// Prints bytes in lower-case hexadecimal.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The first eight bytes, enough to tell measurements apart in a sentence.
pub(crate) fn short(bytes: &[u8]) -> String {
    format!("{}…", Hex(bytes.get(..8).unwrap_or(bytes)))
}
