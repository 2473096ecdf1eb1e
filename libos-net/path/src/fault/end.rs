//! How a process of an instance ended, and what that says of the record that it ran: told by whoever reaped
//! it (the wait status, and whether the end was asked for), refined by the last words that the process left
//! in its instance page.

use super::cause::{Cause, limit};
pub use super::signal::Signal;
use super::signal::{SIGABRT, SIGSEGV};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// By itself, with this exit code.
    Exited(u32),
    /// By this signal, which the service did not send.
    Signalled(u32),
    /// The service ended it, because its run took longer than the function's timeout.
    Overran,
    /// The service ended it, because nobody waited for what it ran any more.
    Unwanted,
    /// The service ended it for another reason: it stops, or the process broke a rule.
    Ended,
    /// The kernel ended it for the service, because it and what it had started took more memory than they may
    /// have together.
    OutOfMemory,
}

impl End {
    /// As a kind and a code, for messages. Kind 0 is none.
    #[must_use]
    pub const fn encode(self) -> (u32, u32) {
        match self {
            Self::Exited(code) => (1, code),
            Self::Signalled(number) => (2, number),
            Self::Overran => (3, 0),
            Self::Unwanted => (4, 0),
            Self::Ended => (5, 0),
            Self::OutOfMemory => (6, 0),
        }
    }

    /// The end that a message carries; `None` if it carries none.
    #[must_use]
    pub const fn decode(kind: u32, code: u32) -> Option<Self> {
        Some(match kind {
            1 => Self::Exited(code),
            2 => Self::Signalled(code),
            3 => Self::Overran,
            4 => Self::Unwanted,
            5 => Self::Ended,
            6 => Self::OutOfMemory,
            _ => return None,
        })
    }

    /// Why a run is given up that ended so; `words`: what the process said last.
    ///
    /// The words only refine an abort. The first process of a pid namespace cannot be ended by its own
    /// SIGABRT, so the C library's `abort` ends it by SIGSEGV in the end.
    #[must_use]
    pub const fn cause(self, words: Option<LastWords>) -> (Cause, u32) {
        match (self, words) {
            (Self::Signalled(SIGABRT | SIGSEGV), Some(words)) => words.cause(),
            (Self::Exited(code), _) => (Cause::Exited, code),
            (Self::Signalled(number), _) => (Cause::Signalled, number),
            (Self::Overran, _) => (Cause::TimedOut, 0),
            (Self::Unwanted, _) => (Cause::Unwanted, 0),
            (Self::Ended, _) => (Cause::Died, 0),
            (Self::OutOfMemory, _) => (Cause::OutOfMemory, 0),
        }
    }
}

/// What a process that aborts says in its instance page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LastWords {
    /// It called `abort`.
    Aborted,
    /// It panicked, and does not unwind.
    Panicked,
    /// An allocation failed.
    OutOfMemory,
    /// A stack overflowed.
    StackOverflow,
    /// No thread could be started.
    OutOfThreads,
    /// No descriptor could be opened.
    OutOfDescriptors,
}

impl LastWords {
    const ALL: [Self; 6] = [
        Self::Aborted,
        Self::Panicked,
        Self::OutOfMemory,
        Self::StackOverflow,
        Self::OutOfThreads,
        Self::OutOfDescriptors,
    ];

    /// As the word of the page; 0 is none.
    #[must_use]
    pub const fn word(self) -> u64 {
        match self {
            Self::Aborted => 1,
            Self::Panicked => 2,
            Self::OutOfMemory => 3,
            Self::StackOverflow => 4,
            Self::OutOfThreads => 5,
            Self::OutOfDescriptors => 6,
        }
    }

    /// What the word of a page says; `None` for anything that is none of these.
    #[must_use]
    pub fn from_word(word: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|words| words.word() == word)
    }

    /// Why a run is given up that ended so.
    #[must_use]
    pub const fn cause(self) -> (Cause, u32) {
        match self {
            Self::Aborted => (Cause::Signalled, SIGABRT),
            Self::Panicked => (Cause::Panicked, 0),
            Self::OutOfMemory => (Cause::OutOfMemory, 0),
            Self::StackOverflow => (Cause::StackOverflow, 0),
            Self::OutOfThreads => (Cause::LimitReached, limit::THREADS),
            Self::OutOfDescriptors => (Cause::LimitReached, limit::DESCRIPTORS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::signal::SIGKILL;

    #[test]
    fn an_end_arrives_as_it_was_sent() {
        for end in [
            End::Exited(3),
            End::Signalled(9),
            End::Overran,
            End::Unwanted,
            End::Ended,
            End::OutOfMemory,
        ] {
            let (kind, code) = end.encode();
            assert_eq!(End::decode(kind, code), Some(end));
        }
        assert_eq!(End::decode(0, 0), None);
        assert_eq!(End::decode(u32::MAX, 0), None);
    }

    #[test]
    fn last_words_explain_an_abort_and_nothing_else() {
        for words in LastWords::ALL {
            assert_eq!(LastWords::from_word(words.word()), Some(words));
            assert_eq!(End::Signalled(SIGABRT).cause(Some(words)), words.cause());
            assert_eq!(End::Signalled(SIGSEGV).cause(Some(words)), words.cause());
            assert_eq!(
                End::Signalled(SIGKILL).cause(Some(words)),
                (Cause::Signalled, SIGKILL)
            );
            assert_eq!(End::Exited(3).cause(Some(words)), (Cause::Exited, 3));
            assert_eq!(End::Overran.cause(Some(words)), (Cause::TimedOut, 0));
            assert_eq!(End::OutOfMemory.cause(Some(words)), (Cause::OutOfMemory, 0));
        }
        assert_eq!(LastWords::from_word(0), None);
        assert_eq!(LastWords::from_word(u64::MAX), None);
        assert_eq!(End::Signalled(SIGSEGV).cause(None), (Cause::Signalled, SIGSEGV));
    }
}
