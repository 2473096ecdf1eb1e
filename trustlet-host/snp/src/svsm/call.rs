//! A call, in registers.

/// The registers of a call and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Registers {
    /// Protocol and call; then the result code.
    pub rax: u64,
    /// The first argument or value.
    pub rcx: u64,
    /// The second.
    pub rdx: u64,
    /// The third.
    pub r8: u64,
}

/// Which call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// Of this protocol.
    pub protocol: u32,
    /// With this number.
    pub number: u32,
}

impl Call {
    /// As RAX: the protocol in the upper half.
    #[must_use]
    pub const fn rax(self) -> u64 {
        (self.protocol as u64) << 32 | self.number as u64
    }

    /// Which call RAX names.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a word")]
    pub const fn of_rax(rax: u64) -> Self {
        Self {
            protocol: (rax >> 32) as u32,
            number: rax as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_is_the_upper_half() {
        let call = Call {
            protocol: 10,
            number: 3,
        };
        assert_eq!(call.rax(), 0x0000_000a_0000_0003);
        assert_eq!(Call::of_rax(call.rax()), call);
    }
}
