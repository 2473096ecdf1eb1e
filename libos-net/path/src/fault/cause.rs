//! Why a record is given up, as a word for programs and in words for people.

use super::signal::Signal;
use core::fmt;

/// Why a record was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The handler said so.
    Failed,
    /// The handler panicked.
    Panicked,
    /// The handler took longer than its timeout allows, and its trustlet was replaced.
    TimedOut,
    /// The trustlet ended while it ran, and nobody knows how; or the service ended it, as it broke a rule.
    Died,
    /// The input was refused: it is not what its producer sealed.
    InputRefused,
    /// The output is larger than the outbox.
    OutputTooLarge,
    /// The handler produced no output.
    NoOutput,
    /// The output could not leave before the deadline, as a consumer was too slow.
    Backlogged,
    /// The trustlet exited while it ran. The code is the exit code.
    Exited,
    /// A signal ended the trustlet while it ran. The code is its number.
    Signalled,
    /// The handler used up its memory.
    OutOfMemory,
    /// The handler overflowed a stack.
    StackOverflow,
    /// The handler reached another limit. The code is one of [`limit`].
    LimitReached,
    /// The run was ended because nobody waited for it any more.
    Unwanted,
}

/// Codes of [`Cause::LimitReached`].
pub mod limit {
    /// Threads.
    pub const THREADS: u32 = 1;
    /// Open descriptors.
    pub const DESCRIPTORS: u32 = 2;

    /// The limit as a word for programs.
    #[must_use]
    pub const fn word(code: u32) -> &'static str {
        match code {
            THREADS => "threads",
            DESCRIPTORS => "descriptors",
            _ => "unknown",
        }
    }
}

impl Cause {
    /// All causes, in the order of their codes.
    pub const ALL: [Self; 14] = [
        Self::Failed,
        Self::Panicked,
        Self::TimedOut,
        Self::Died,
        Self::InputRefused,
        Self::OutputTooLarge,
        Self::NoOutput,
        Self::Backlogged,
        Self::Exited,
        Self::Signalled,
        Self::OutOfMemory,
        Self::StackOverflow,
        Self::LimitReached,
        Self::Unwanted,
    ];

    /// The cause as a word for programs: in replies, metrics and `status`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::Died => "died",
            Self::InputRefused => "input_refused",
            Self::OutputTooLarge => "output_too_large",
            Self::NoOutput => "no_output",
            Self::Backlogged => "backlogged",
            Self::Exited => "exited",
            Self::Signalled => "signalled",
            Self::OutOfMemory => "out_of_memory",
            Self::StackOverflow => "stack_overflow",
            Self::LimitReached => "limit_reached",
            Self::Unwanted => "unwanted",
        }
    }

    /// The cause in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Failed => "the handler failed",
            Self::Panicked => "the handler panicked",
            Self::TimedOut => "the handler took longer than its timeout",
            Self::Died => "the trustlet was ended while it ran",
            Self::InputRefused => "the input failed authentication",
            Self::OutputTooLarge => "the output is larger than the outbox",
            Self::NoOutput => "the handler produced no output",
            Self::Backlogged => "a later function was too slow to take the output",
            Self::Exited => "the trustlet exited while it ran",
            Self::Signalled => "a signal ended the trustlet while it ran",
            Self::OutOfMemory => "the handler used up its memory",
            Self::StackOverflow => "the handler overflowed its stack",
            Self::LimitReached => "the handler reached a limit",
            Self::Unwanted => "nobody waited for the run any more",
        }
    }

    /// The cause with its code, in words.
    #[must_use]
    pub const fn with(self, code: u32) -> Described {
        Described { cause: self, code }
    }

    /// Its number, for messages and pages.
    #[must_use]
    pub fn code(self) -> u32 {
        let index = Self::ALL.iter().position(|cause| *cause == self).unwrap_or(0);
        u32::try_from(index).unwrap_or(0)
    }
}

/// A cause with its code, to be shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described {
    cause: Cause,
    code: u32,
}

impl fmt::Display for Described {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code;
        match self.cause {
            Cause::Exited => write!(formatter, "the trustlet exited with code {code}"),
            Cause::Signalled if Signal(code).comes_from_outside() => write!(
                formatter,
                "signal {} ended the trustlet; this service did not send it, so the machine may be out of memory",
                Signal(code)
            ),
            Cause::Signalled => write!(formatter, "signal {} ended the trustlet", Signal(code)),
            Cause::LimitReached if code == limit::THREADS => {
                formatter.write_str("the handler reached its limit on threads")
            }
            Cause::LimitReached if code == limit::DESCRIPTORS => {
                formatter.write_str("the handler reached its limit on open descriptors")
            }
            cause => formatter.write_str(cause.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_with_its_code() {
        let told = |cause: Cause, code| cause.with(code).to_string();
        assert_eq!(told(Cause::Exited, 3), "the trustlet exited with code 3");
        assert_eq!(told(Cause::Signalled, 6), "signal 6 (SIGABRT) ended the trustlet");
        assert!(told(Cause::Signalled, 9).contains("out of memory"));
        assert!(told(Cause::LimitReached, limit::THREADS).contains("threads"));
        assert_eq!(told(Cause::Panicked, 0), "the handler panicked");
    }
}
