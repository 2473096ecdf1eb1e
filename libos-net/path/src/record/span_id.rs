//! The ids of spans: the runs and hops of a request that is traced (W3C Trace Context calls one *parent-id*).
//!
//! An id follows from what both ends know: the span before it, the request, the function, the attempt. So
//! nobody hands it on, a retry has another one than the attempt before it, and a redelivered attempt the
//! same. None of this is secret: of the request's id only the half goes in that logs name, as nobody may
//! compute the other half from an id that is exported.

use core::fmt;

/// The id of a span; never 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(u64);

/// Tells hops from runs; no chain has so many functions.
const HOP: u64 = 1 << 63;

impl SpanId {
    /// The one with this value; `None` for 0.
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if value == 0 { None } else { Some(Self(value)) }
    }

    /// The one that follows from these bits, whatever they are.
    #[must_use]
    pub const fn of_bits(bits: u64) -> Self {
        Self(if bits == 0 { 1 } else { bits })
    }

    /// Of attempt `attempt` of function number `function` on what `parent` sent, for the request whose id has
    /// this low half.
    #[must_use]
    pub const fn of_run(parent: Self, invocation: u64, function: u32, attempt: u32) -> Self {
        parent.followed_by(invocation, (function as u64) << 32 | attempt as u64)
    }

    /// Of the way of what `parent` sent, to an instance of function number `function` over its inbound ring
    /// `inbound`. All attempts at a record have this one way behind them.
    #[must_use]
    pub const fn of_hop(parent: Self, invocation: u64, function: u32, inbound: u32) -> Self {
        parent.followed_by(invocation, HOP | (function as u64) << 32 | inbound as u64)
    }

    const fn followed_by(self, invocation: u64, place: u64) -> Self {
        Self::of_bits(mix(mix(self.0 ^ mix(invocation)) ^ place))
    }

    /// The value.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// One step of SplitMix64: each bit of the input changes about half of those that come out.
const fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn runs_attempts_hops_and_requests_have_ids_of_their_own() {
        let mut ids = BTreeSet::new();
        let mut made = 0;
        for parent in [1, 2, u64::MAX].map(SpanId::of_bits) {
            for invocation in [0, 1, u64::MAX] {
                for function in 0..20 {
                    for place in 0..20 {
                        ids.insert(SpanId::of_run(parent, invocation, function, place));
                        ids.insert(SpanId::of_hop(parent, invocation, function, place));
                        made += 2;
                    }
                }
            }
        }
        assert_eq!(ids.len(), made);
    }

    #[test]
    fn no_id_is_zero() {
        assert_eq!(SpanId::new(0), None);
        assert_eq!(SpanId::of_bits(0).as_u64(), 1);
        assert_eq!(SpanId::of_bits(0xab).to_string(), "00000000000000ab");
    }
}
