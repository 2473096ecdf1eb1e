//! The identity of one request on its way through a chain.

use core::fmt;
use core::num::NonZeroU16;

/// Which life of the gateway a request came in. A gateway that is replaced takes nothing over from its
/// predecessor, so nobody can be answered any more whose request came in an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayLife(NonZeroU16);

impl GatewayLife {
    /// That of the gateway's process in this epoch. Distinct for 65,535 processes in a row, which no deadline
    /// outlasts.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a remainder by a number of 16 bits"
    )]
    pub const fn of_epoch(epoch: u32) -> Self {
        let number = (epoch % u16::MAX as u32) as u16;
        Self(NonZeroU16::MIN.saturating_add(number))
    }

    /// Its number; never 0.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0.get()
    }
}

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

    /// The id of request number `count` in this life of the gateway. Whoever knows the id of a request can
    /// answer it, so `random` is fresh for each: nobody can compute one id from others.
    #[must_use]
    pub const fn unguessable(random: [u8; 12], life: GatewayLife, count: u16) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = random;
        let [low, high] = count.to_le_bytes();
        let [life_low, life_high] = life.number().to_le_bytes();
        Self(u128::from_le_bytes([
            low, high, life_low, life_high, a, b, c, d, e, f, g, h, i, j, k, l,
        ]))
    }

    /// The value.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The gateway's running count of requests, modulo 65,536, in the low 16 bits. Consecutive, so it spreads
    /// evenly over instances and over tables.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low bits are what is asked for"
    )]
    pub const fn count(self) -> u64 {
        (self.0 as u16) as u64
    }

    /// The number of the gateway's life that it came in, in the 16 bits above the count; the bits above these
    /// are random.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "these bits are what is asked for")]
    pub(crate) const fn life_number(self) -> u16 {
        (self.0 >> 16) as u16
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
    fn an_id_keeps_all_random_bits_the_life_and_the_count() {
        let life = GatewayLife::of_epoch(0x5677);
        let id = InvocationId::unguessable([0xff; 12], life, 0x1234);
        assert_eq!((id.count(), id.life_number()), (0x1234, life.number()));
        assert_eq!(id.as_u128() >> 32, u128::MAX >> 32);
        assert_eq!(id.halves(), (0xffff_ffff_5678_1234, u64::MAX));
    }

    #[test]
    fn no_life_has_the_number_of_the_one_before_or_none() {
        for epoch in [0, 1, 65_533, 65_534, 65_535, u32::MAX - 1] {
            let (life, next) = (GatewayLife::of_epoch(epoch), GatewayLife::of_epoch(epoch + 1));
            assert_ne!(life, next, "{epoch}");
            assert_ne!(life.number(), 0);
        }
    }
}
