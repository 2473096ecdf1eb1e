//! What a command fails with.

use std::io;

/// Exit code of a command that was understood and failed.
pub const FAILED: u8 = 1;

/// Exit code of a command that was not understood.
const MISUSED: u8 = 2;

/// Exit code of a command that was told what to expect and met something else: nothing was sent, or what came
/// back is nobody's word.
const UNTRUSTED: u8 = 4;

/// Exit code of a command whose reader has gone, as shells show that of one that SIGPIPE has ended.
const READER_GONE: u8 = 141;

/// A command that failed, with what to tell the person who gave it.
#[derive(Debug)]
pub struct Failed {
    pub(crate) message: String,
    pub(crate) code: u8,
}

impl Failed {
    /// A failure with this message, without a full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: FAILED,
        }
    }

    /// Arguments that are each well formed, and together no command.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: MISUSED,
        }
    }

    /// The same failure, because something was not what was demanded, or not authentic.
    #[must_use]
    pub fn untrusted(self) -> Self {
        Self {
            code: UNTRUSTED,
            ..self
        }
    }

    /// The same failure, with what else is known of it.
    #[must_use]
    pub fn with_details(self, details: &str) -> Self {
        let message = [self.message.as_str(), details.trim()].map(str::trim);
        let message = message.into_iter().filter(|part| !part.is_empty());
        Self {
            message: message.collect::<Vec<_>>().join("\n"),
            code: self.code,
        }
    }

    /// A failure that has been reported already.
    #[must_use]
    pub const fn reported() -> Self {
        Self {
            message: String::new(),
            code: FAILED,
        }
    }

    /// Output that could not be written. Whoever has closed its reading end wants no more of it, nor a
    /// message.
    #[must_use]
    pub fn unwritten(what: &str, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                message: String::new(),
                code: READER_GONE,
            };
        }
        Self::new(format!("cannot write to {what}: {error}"))
    }
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}
