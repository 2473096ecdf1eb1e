//! Result codes, numbered as the SVSM calling convention does (AMD 58019): 0 is success, the common errors
//! follow 0x8000_0000, and those of this protocol follow 0x8000_1000.

use core::fmt;

macro_rules! result_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal;)+) => {
        /// What became of a call.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum ResultCode {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl ResultCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u32 {
                match self {
                    $(Self::$name => $number,)+
                }
            }

            /// The code with this number; `None` for one that this version does not know.
            #[must_use]
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// What it means, in words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

result_codes! {
    /// The call did what it says.
    Success = 0, "success";
    /// The protocol is not this one.
    UnsupportedProtocol = 0x8000_0001, "the monitor does not speak this protocol";
    /// The protocol has no such call.
    UnsupportedCall = 0x8000_0002, "the monitor has no such call";
    /// A descriptor is missing, or is not what the call needs.
    InvalidAddress = 0x8000_0003, "a descriptor is missing, or is not what the call needs";
    /// The message or its operand has the wrong shape.
    InvalidFormat = 0x8000_0004, "the message has the wrong shape";
    /// An argument is out of its range or names nothing.
    InvalidParameter = 0x8000_0005, "an argument is out of its range or names nothing";
    /// The call makes no sense in the present state.
    InvalidRequest = 0x8000_0006, "the call is not possible in the present state";
    /// Try again later.
    Busy = 0x8000_0007, "the monitor is busy";
    /// Whoever called may not make this call.
    NotPermitted = 0x8000_1000, "this caller may not make this call";
    /// The chain is sealed; nothing can be added.
    Sealed = 0x8000_1001, "the chain is sealed";
    /// The chain is not sealed, so it cannot run.
    NotSealed = 0x8000_1002, "the chain is not sealed";
    /// There is one of this name already.
    NameTaken = 0x8000_1003, "the name is taken";
    /// A table is full.
    LimitReached = 0x8000_1004, "a limit is reached";
    /// The instance's regions have a live writer.
    SlotLive = 0x8000_1005, "the instance has a live process";
    /// There is no process to delete.
    NotRunning = 0x8000_1006, "the instance has no live process";
    /// The caller means another process than the present one.
    Stale = 0x8000_1007, "the instance has been replaced meanwhile";
    /// The executable or library cannot be used.
    BadImage = 0x8000_1008, "the executable or library cannot be used";
    /// The secret cannot be read or is too long.
    BadSecret = 0x8000_1009, "the secret cannot be read or is too long";
    /// The functions and edges do not make a chain.
    BadGraph = 0x8000_100a, "the functions and edges do not make a chain";
    /// The platform could not do it.
    Platform = 0x8000_100b, "the platform could not do it";
}

impl fmt::Display for ResultCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({:#010x})", self.text(), self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_numbers_are_one_to_one() {
        for &code in ResultCode::ALL {
            assert_eq!(ResultCode::from_number(code.number()), Some(code));
            assert!(!code.text().is_empty());
        }
        assert_eq!(ResultCode::from_number(1), None);
        assert_eq!(ResultCode::from_number(0x8000_1fff), None);
    }
}
