//! A signal's number and name, as people are told of it.

use core::fmt;

/// SIGABRT, SIGKILL and SIGSEGV, alike on all architectures of Linux.
pub(super) const SIGABRT: u32 = 6;
pub(super) const SIGKILL: u32 = 9;
pub(super) const SIGSEGV: u32 = 11;

/// A signal, as people write it: `6 (SIGABRT)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub u32);

impl Signal {
    /// Its name; `None` for one that has none.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        // The numbers of x86-64, ARM and RISC-V.
        Some(match self.0 {
            1 => "SIGHUP",
            2 => "SIGINT",
            3 => "SIGQUIT",
            4 => "SIGILL",
            5 => "SIGTRAP",
            SIGABRT => "SIGABRT",
            7 => "SIGBUS",
            8 => "SIGFPE",
            SIGKILL => "SIGKILL",
            10 => "SIGUSR1",
            SIGSEGV => "SIGSEGV",
            12 => "SIGUSR2",
            13 => "SIGPIPE",
            14 => "SIGALRM",
            15 => "SIGTERM",
            24 => "SIGXCPU",
            25 => "SIGXFSZ",
            31 => "SIGSYS",
            _ => return None,
        })
    }

    /// Whether nothing but another process, or the kernel when memory is short, can have sent it.
    #[must_use]
    pub const fn comes_from_outside(self) -> bool {
        self.0 == SIGKILL
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(formatter, "{} ({name})", self.0),
            None => write!(formatter, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_names() {
        assert_eq!(Signal(6).to_string(), "6 (SIGABRT)");
        assert_eq!(Signal(63).to_string(), "63");
    }
}
