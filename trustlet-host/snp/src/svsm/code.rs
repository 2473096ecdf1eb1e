//! Result codes.
//!
//! Linux repeats a call without end, and with interrupts off, if it is answered with [`Code::Incomplete`] or
//! [`Code::Busy`]. So the first is for calls that come to an end when repeated, and the second is not used.

use crate::ledger::Refused;
use crate::rmp::RmpError;

/// What a call is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// It was done.
    Success,
    /// Part of it was done; the same call goes on with the rest.
    Incomplete,
    /// There is no such protocol.
    UnsupportedProtocol,
    /// The protocol has no such call.
    UnsupportedCall,
    /// An address is not of the caller's memory.
    InvalidAddress,
    /// An operand is not of the form that it should have.
    InvalidFormat,
    /// An argument has no meaning.
    InvalidParameter,
    /// It cannot be done in this state.
    InvalidRequest,
    /// It cannot be done now. The monitor does not answer so: callers repeat the call for ever.
    Busy,
    /// An error of the protocol, by its number.
    Protocol(u16),
}

/// The first of the errors that mean something in one protocol only.
const PROTOCOL_BASE: u64 = 0x8000_1000;
/// What `PVALIDATE` says by its carry flag, as an error of the core protocol: the number that coconut-svsm
/// uses.
const UNCHANGED: u16 = 0x10;
/// A processor runs from the state that shall be given up (`FAIL_INUSE`).
const IN_USE: u16 = 3;

impl Code {
    /// As RAX.
    #[must_use]
    pub const fn rax(self) -> u64 {
        match self {
            Self::Success => 0,
            Self::Incomplete => 0x8000_0000,
            Self::UnsupportedProtocol => 0x8000_0001,
            Self::UnsupportedCall => 0x8000_0002,
            Self::InvalidAddress => 0x8000_0003,
            Self::InvalidFormat => 0x8000_0004,
            Self::InvalidParameter => 0x8000_0005,
            Self::InvalidRequest => 0x8000_0006,
            Self::Busy => 0x8000_0007,
            Self::Protocol(number) => PROTOCOL_BASE + number as u64,
        }
    }

    /// What RAX says; `None` if no code is written so.
    #[must_use]
    pub fn of_rax(rax: u64) -> Option<Self> {
        Some(match rax {
            0 => Self::Success,
            0x8000_0000 => Self::Incomplete,
            0x8000_0001 => Self::UnsupportedProtocol,
            0x8000_0002 => Self::UnsupportedCall,
            0x8000_0003 => Self::InvalidAddress,
            0x8000_0004 => Self::InvalidFormat,
            0x8000_0005 => Self::InvalidParameter,
            0x8000_0006 => Self::InvalidRequest,
            0x8000_0007 => Self::Busy,
            _ => Self::Protocol(u16::try_from(rax.checked_sub(PROTOCOL_BASE)?).ok()?),
        })
    }
}

impl From<Refused> for Code {
    /// As an error of the core protocol.
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoSuchPage => Self::InvalidAddress,
            Refused::InUse | Refused::NotTaken | Refused::Mapped | Refused::NoMemory => Self::InvalidRequest,
            Refused::NoState => Self::InvalidParameter,
            Refused::Running => Self::Protocol(IN_USE),
            Refused::Processor(RmpError::Input) => Self::Protocol(1),
            Refused::Processor(RmpError::Permission) => Self::Protocol(2),
            Refused::Processor(RmpError::Size) => Self::Protocol(6),
            Refused::Processor(RmpError::Unchanged) => Self::Protocol(UNCHANGED),
            Refused::Processor(RmpError::Unknown(_)) => Self::InvalidRequest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_as_it_is_written() {
        let codes = (0x8000_0000..0x8000_0008)
            .chain(0x8000_1000..0x8001_1000)
            .chain([0]);
        for rax in codes {
            assert_eq!(Code::of_rax(rax).unwrap().rax(), rax, "{rax:#x}");
        }
        for rax in [1, 0x7fff_ffff, 0x8000_0008, 0x8000_0fff, 0x8001_1000, u64::MAX] {
            assert_eq!(Code::of_rax(rax), None, "{rax:#x}");
        }
    }

    #[test]
    fn linux_finds_the_code_that_makes_it_try_again_with_small_pages() {
        // SVSM_PVALIDATE_FAIL_SIZEMISMATCH of arch/x86/include/asm/sev.h
        assert_eq!(Code::from(Refused::Processor(RmpError::Size)).rax(), 0x8000_1006);
    }
}
