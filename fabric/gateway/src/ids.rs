//! Ids of requests, and of the traces that begin with them. Of requests: nobody who has seen any number of
//! them can compute another, because a function that knows the id of a request can answer it.

use hacher_libos_net::headers;
use hacher_libos_net::invocation::{GatewayLife, InvocationId};
use hacher_libos_net::span_id::SpanId;
use hyper::header::HeaderName;
use ring::rand::{SecureRandom, SystemRandom};
use std::io;

/// Names the request in logs, metrics and `run`.
pub(super) const INVOCATION_HEADER: HeaderName = HeaderName::from_static(headers::INVOCATION);

/// Random bytes of one id.
const RANDOM_BYTES: usize = 12;
/// Ids made at once, so that a request costs a small part of a system call. Few, because those not yet given
/// out are secret.
const BATCH: usize = 64;

/// Makes ids.
pub(super) struct Ids {
    system: SystemRandom,
    /// Random bytes of the next ids; what has been used is the id of some request.
    batch: [[u8; RANDOM_BYTES]; BATCH],
    /// How many of the batch are used.
    used: usize,
    life: GatewayLife,
    count: u16,
}

impl Ids {
    /// Begins to make ids, in this life of the gateway.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(life: GatewayLife) -> io::Result<Self> {
        let mut ids = Self {
            system: SystemRandom::new(),
            batch: [[0; RANDOM_BYTES]; BATCH],
            used: BATCH,
            life,
            count: 0,
        };
        ids.refill()?;
        // Not from zero: how many requests there have been is nobody's business.
        ids.count = ids
            .take()
            .and_then(|random| random.first_chunk().copied())
            .map_or(0, u16::from_le_bytes);
        Ok(ids)
    }

    /// An id that was never given before.
    pub(super) fn next(&mut self) -> InvocationId {
        let random = self.draw();
        let count = self.count;
        self.count = count.wrapping_add(1);
        InvocationId::unguessable(random, self.life, count)
    }

    /// The id of a span.
    pub(super) fn span(&mut self) -> SpanId {
        let [a, b, c, d, e, f, g, h, ..] = self.draw();
        SpanId::of_bits(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The ids of a new trace, and of a span.
    pub(super) fn trace(&mut self) -> (u128, SpanId) {
        let [a, b, c, d, e, f, g, h, ..] = self.draw();
        let high = u128::from(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        // Never 0, which is no trace.
        let low = u128::from(self.span().as_u64());
        (high << 64 | low, self.span())
    }

    /// Random bytes that nobody was given before.
    fn draw(&mut self) -> [u8; RANDOM_BYTES] {
        if self.used == BATCH {
            self.refill().expect(
                "the kernel's random number generator, once it has begun, does not fail (getrandom(2))",
            );
        }
        self.take().expect("a batch has just been made")
    }

    fn take(&mut self) -> Option<[u8; RANDOM_BYTES]> {
        let random = self.batch.get(self.used).copied()?;
        self.used += 1;
        Some(random)
    }

    fn refill(&mut self) -> io::Result<()> {
        self.system
            .fill(self.batch.as_flattened_mut())
            .map_err(|_| io::Error::other("there is no randomness"))?;
        self.used = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_share_no_random_bits_and_count_on() {
        let mut ids = Ids::new(GatewayLife::of_epoch(3)).unwrap();
        let made: Vec<InvocationId> = (0..70_000).map(|_| ids.next()).collect();
        // Any 48 of the random bits differ from one id to the next: about 9 pairs of 70,000 share 28 bits,
        // none 48.
        for shift in [32, 56, 80] {
            let parts: HashSet<u64> = made
                .iter()
                .map(|id| u64::try_from((id.as_u128() >> shift) & 0xffff_ffff_ffff).unwrap())
                .collect();
            assert!(parts.len() >= made.len() - 1, "bits from {shift} on repeat");
        }
        for pair in made.windows(2) {
            assert_eq!(pair[1].count(), (pair[0].count() + 1) % 65_536);
        }
    }
}
