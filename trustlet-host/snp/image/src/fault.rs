//! What a trustlet did that it may not, in words.

use crate::processor;
use crate::registers::Registers;
use core::fmt;

const PAGE_FAULT: u64 = 14;

/// An exception of a trustlet, or a place that it cannot be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An exception.
    Exception {
        /// Its vector.
        vector: u64,
        /// What the processor says of it.
        error: u64,
        /// Where the trustlet was.
        rip: u64,
        /// What it wanted to reach, of a page fault.
        address: u64,
    },
    /// It is at an address that is none.
    Nowhere,
}

impl Fault {
    /// The exception that a trustlet was left by.
    pub(crate) fn of(registers: &Registers) -> Self {
        Self::Exception {
            vector: registers.vector,
            error: registers.error,
            rip: registers.rip,
            address: processor::fault_address(),
        }
    }

    /// Whether it is a page fault on a page that is there.
    pub(crate) const fn is_forbidden(self) -> bool {
        matches!(self, Self::Exception { vector: PAGE_FAULT, error, .. } if error & 1 != 0)
    }

    /// Its vector.
    pub(crate) const fn vector(self) -> Option<u64> {
        match self {
            Self::Exception { vector, .. } => Some(vector),
            Self::Nowhere => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Exception {
            vector,
            error,
            rip,
            address,
        } = *self
        else {
            return formatter.write_str("it is at an address that is none");
        };
        let words = match vector {
            0 => "divide error",
            1 => "debug exception",
            3 => "breakpoint",
            4 => "overflow",
            5 => "bounds",
            6 => "undefined instruction",
            7 => "no floating point",
            11 => "segment not present",
            12 => "stack fault",
            13 => "general protection",
            PAGE_FAULT => "page fault",
            16 | 19 => "floating-point exception",
            17 => "alignment check",
            _ => "exception",
        };
        write!(formatter, "{words} ({vector}) at {rip:#x}")?;
        if vector == PAGE_FAULT {
            let what = match (error & 1 << 4 != 0, error & 1 << 1 != 0) {
                (true, _) => "running",
                (false, true) => "writing",
                (false, false) => "reading",
            };
            let why = if error & 1 == 0 {
                "nothing is there"
            } else {
                "not allowed"
            };
            write!(formatter, ", {what} {address:#x}: {why}")
        } else if error != 0 {
            write!(formatter, ", error {error:#x}")
        } else {
            Ok(())
        }
    }
}
