//! The identity of one request on its way through a chain.

use core::fmt;

/// Which request a record belongs to: made by the gateway, the same in every function of the chain, and part
/// of the authenticated context of every record (I9).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InvocationId(u128);

impl InvocationId {
    /// The id with this value.
    #[must_use]
    pub const fn new(value: u128) -> Self {
        Self(value)
    }

    /// The id of the gateway's request number `count`. Whoever knows the id of a request can answer it, so
    /// `random` is fresh for each: nobody can compute one id from others.
    #[must_use]
    pub const fn unguessable(random: [u8; 14], count: u16) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = random;
        let [low, high] = count.to_le_bytes();
        Self(u128::from_le_bytes([
            low, high, a, b, c, d, e, f, g, h, i, j, k, l, m, n,
        ]))
    }

    /// The value.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The gateway's running count of requests, modulo 65,536, in the low 16 bits. Consecutive, so it spreads evenly
    /// over instances and over tables; the bits above it are random.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low bits are what is asked for"
    )]
    pub const fn count(self) -> u64 {
        (self.0 as u16) as u64
    }

    /// The low and the high half of the value.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes the value apart")]
    pub const fn halves(self) -> (u64, u64) {
        (self.0 as u64, (self.0 >> 64) as u64)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_all_random_bits_and_the_count() {
        let id = InvocationId::unguessable([0xff; 14], 0x1234);
        assert_eq!(id.count(), 0x1234);
        assert_eq!(id.as_u128() >> 16, u128::MAX >> 16);
        assert_eq!(id.halves(), (0xffff_ffff_ffff_1234, u64::MAX));
    }
}
