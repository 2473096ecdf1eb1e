//! Why a record is given up, as a word for programs and in words for people.

use super::signal::Signal;
use crate::attach::limits::FunctionLimits;
use core::fmt;

/// The longest timeout, the most memory and the most threads that a chain file can give a function.
const TIMEOUT_MAX_NS: u64 = 3600 * 1_000_000_000;
const MEMORY_MAX_BYTES: u64 = 1 << 40;
const THREADS_MAX: u64 = 256;

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
            Self::Died => "the trustlet was killed while it ran",
            Self::InputRefused => "the input failed authentication",
            Self::OutputTooLarge => "the output is larger than the outbox",
            Self::NoOutput => "the handler produced no output",
            Self::Backlogged => "a later function was too slow to take the output",
            Self::Exited => "the trustlet exited while it ran",
            Self::Signalled => "the trustlet was killed by a signal while it ran",
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

/// The limit that a function has run into: its value, its key in the chain file, and a value to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitHint<'f> {
    function: &'f str,
    key: &'static str,
    unit: Unit,
    limit: u64,
    max: u64,
}

/// What a limit is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Nanoseconds,
    Bytes,
    One,
}

impl Described {
    /// The key of the limit that it names, its unit, and the most that it can be.
    const fn limited_by(self) -> Option<(&'static str, Unit, u64)> {
        match self.cause {
            Cause::TimedOut => Some(("timeout", Unit::Nanoseconds, TIMEOUT_MAX_NS)),
            Cause::OutOfMemory => Some(("memory", Unit::Bytes, MEMORY_MAX_BYTES)),
            Cause::LimitReached if self.code == limit::THREADS => Some(("threads", Unit::One, THREADS_MAX)),
            _ => None,
        }
    }

    /// Which of these limits it names: nanoseconds, bytes or a number; 0 if it names none.
    #[must_use]
    pub fn limit_of(self, limits: &FunctionLimits) -> u64 {
        match self.limited_by() {
            Some((_, Unit::Nanoseconds, _)) => limits.timeout_ns,
            Some((_, Unit::Bytes, _)) => limits.memory_bytes,
            Some((_, Unit::One, _)) => limits.threads.into(),
            None => 0,
        }
    }

    /// What there is to say of the limit that it names, if it names one: `limit` as [`Self::limit_of`] gives
    /// it, of `function`.
    #[must_use]
    pub fn limit_hint(self, function: &str, limit: u64) -> Option<LimitHint<'_>> {
        let (key, unit, max) = self.limited_by().filter(|_| limit > 0)?;
        Some(LimitHint {
            function,
            key,
            unit,
            limit,
            max,
        })
    }
}

impl Unit {
    /// A value as chain files write it, in the largest unit that it is a whole number of.
    fn write(self, formatter: &mut fmt::Formatter<'_>, value: u64) -> fmt::Result {
        let units: &[(u64, &str)] = match self {
            Self::Nanoseconds => &[(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us")],
            Self::Bytes => &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")],
            Self::One => return write!(formatter, "{value}"),
        };
        let whole = units.iter().find(|(unit, _)| value.is_multiple_of(*unit));
        let (unit, name) = whole.or(units.last()).copied().unwrap_or((1, ""));
        write!(formatter, "\"{}{name}\"", value / unit)
    }
}

impl fmt::Display for LimitHint<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the limit is ")?;
        self.unit.write(formatter, self.limit)?;
        write!(formatter, " (`function.{}.{}`)", self.function, self.key)?;
        // How much would do, nobody knows: half of it did not.
        let more = self.limit.saturating_mul(2).min(self.max);
        if more <= self.limit {
            return formatter.write_str(", the most that it can be");
        }
        formatter.write_str(", try ")?;
        self.unit.write(formatter, more)
    }
}

impl fmt::Display for Described {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code;
        match self.cause {
            Cause::Exited => write!(formatter, "exited with code {code}"),
            Cause::Signalled if Signal(code).comes_from_outside() => write!(
                formatter,
                "killed by signal {}, which this service did not send: the machine may be out of memory",
                Signal(code)
            ),
            Cause::Signalled => write!(formatter, "killed by signal {}", Signal(code)),
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
    fn a_limit_is_told_with_its_key_and_a_value_to_try() {
        let limits = FunctionLimits {
            timeout_ns: 1_500_000_000,
            memory_bytes: 256 << 20,
            threads: 16,
            ..FunctionLimits::NONE
        };
        let told = |cause: Cause, code, limits: &FunctionLimits| {
            let described = cause.with(code);
            let hint = described.limit_hint("f", described.limit_of(limits));
            hint.map(|hint| hint.to_string())
        };
        for (cause, code, expected) in [
            (
                Cause::TimedOut,
                0,
                "the limit is \"1500ms\" (`function.f.timeout`), try \"3s\"",
            ),
            (
                Cause::OutOfMemory,
                0,
                "the limit is \"256MiB\" (`function.f.memory`), try \"512MiB\"",
            ),
            (
                Cause::LimitReached,
                limit::THREADS,
                "the limit is 16 (`function.f.threads`), try 32",
            ),
        ] {
            assert_eq!(told(cause, code, &limits).as_deref(), Some(expected));
        }
        assert_eq!(told(Cause::LimitReached, limit::DESCRIPTORS, &limits), None);
        assert_eq!(told(Cause::Panicked, 0, &limits), None);
        assert_eq!(told(Cause::TimedOut, 0, &FunctionLimits::NONE), None);
        let most = FunctionLimits {
            threads: 256,
            timeout_ns: 3_000_000_000_000,
            ..limits
        };
        assert_eq!(
            told(Cause::LimitReached, limit::THREADS, &most).as_deref(),
            Some("the limit is 256 (`function.f.threads`), the most that it can be")
        );
        assert!(
            told(Cause::TimedOut, 0, &most)
                .unwrap()
                .ends_with("try \"3600s\"")
        );
    }

    #[test]
    fn a_cause_is_told_with_its_code() {
        let told = |cause: Cause, code| cause.with(code).to_string();
        assert_eq!(told(Cause::Exited, 3), "exited with code 3");
        assert_eq!(told(Cause::Signalled, 6), "killed by signal 6 (SIGABRT)");
        assert!(told(Cause::Signalled, 9).contains("out of memory"));
        assert!(told(Cause::LimitReached, limit::THREADS).contains("threads"));
        assert_eq!(told(Cause::Panicked, 0), "the handler panicked");
    }
}
