//! A name in a manifest.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

/// The longest word, in bytes: that of a name of the chain language.
pub const WORD_MAX_BYTES: usize = 63;

/// 1 to 63 visible ASCII characters, none of them a blank: what stands between two blanks of a line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(String);

/// The text has a character that no word has, or is empty or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a word has 1 to {WORD_MAX_BYTES} visible ASCII characters")]
pub struct NotAWord;

impl Word {
    /// A word of this text.
    ///
    /// # Errors
    /// [`NotAWord`].
    pub fn new(text: &str) -> Result<Self, NotAWord> {
        let is_word =
            (1..=WORD_MAX_BYTES).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic());
        is_word.then(|| Self(text.to_owned())).ok_or(NotAWord)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}
