//! The identity of one request on its way through a chain.

use core::fmt;

/// Which request a record belongs to: made by the gateway, the same in every function of the chain, and part
/// of the authenticated context of every record (I9).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InvocationId(u128);

impl InvocationId {
    /// The id with this value: 64 random bits of the gateway's start above a 64-bit count.
    #[must_use]
    pub const fn new(value: u128) -> Self {
        Self(value)
    }

    /// The value.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The gateway's running count of requests, in the low 64 bits. Consecutive, so it spreads evenly over
    /// instances and over tables.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half is what is asked for"
    )]
    pub const fn count(self) -> u64 {
        self.0 as u64
    }
}

impl fmt::Display for InvocationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Debug for InvocationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
