//! What can be measured: one way of moving payloads over some hops.

use hacher_fabric::failed::Failed;

/// How the hops of a subject are laid over the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// All processes on one core.
    Packed,
    /// Neighbours on different cores, each pinned.
    Spread,
    /// Left to the scheduler.
    Floating,
    /// As the fabric chooses by itself.
    Auto,
}

impl Place {
    /// The word for it in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Packed => "packed",
            Self::Spread => "spread",
            Self::Floating => "floating",
            Self::Auto => "auto",
        }
    }
}

/// The cores that a run measures on, chosen once, so that all subjects share them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores {
    /// Everything that is packed runs here, and one end of everything that is spread.
    pub home: u32,
    /// The other end; `None` on a machine with one core.
    pub away: Option<u32>,
}

/// What a report says about a subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// A short name: `fabric`, `http`, `https`, `eventfd-wake`, ...
    pub transport: &'static str,
    /// `sealed`, `mapped`, `tls1.3`, `mtls`, or `none`.
    pub protection: &'static str,
    /// How it is laid over the cores.
    pub placement: Place,
    /// Whether each receiver reads the payload.
    pub touched: bool,
}

/// One way of moving payloads, started and ready. Its processes end when it is dropped.
pub trait Subject {
    /// What it is.
    fn identity(&self) -> Identity;

    /// The only number of hops that it was started for; `None` if it takes any.
    fn hops(&self) -> Option<u32> {
        None
    }

    /// Moves `samples` payloads of `payload_bytes` bytes over `hops` hops, one after another, and says for
    /// each how many nanoseconds it took. For a subject that only knows round trips of two equal hops,
    /// `hops` is 1 and half of the round trip counts; a request and its short reply count as one hop,
    /// whole.
    ///
    /// # Errors
    /// When something fails that should not; the run then ends with that message.
    fn measure(
        &mut self,
        payload_bytes: usize,
        hops: u32,
        samples: u32,
        record: &mut dyn FnMut(u64),
    ) -> Result<(), Failed>;
}

/// What became of starting a subject.
pub enum Started {
    /// It is ready.
    Ready(Box<dyn Subject>),
    /// This machine lacks what it takes; says what, for the report.
    LeftOut(String),
}

/// A payload without a pattern that a cipher or a copy could profit from.
#[must_use]
pub fn payload(len_bytes: usize) -> Vec<u8> {
    // Weyl's sequence, mixed: cheap, and not compressible.
    let mut state = 0u64;
    let mut bytes = Vec::with_capacity(len_bytes + 8);
    while bytes.len() < len_bytes {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        bytes.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    bytes.truncate(len_bytes);
    bytes
}

/// Reads every byte, and makes one number of them: what each receiver does with a payload.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut checksum = Checksum::default();
    checksum.update(bytes);
    checksum.finish()
}

/// The checksum of bytes that come in pieces: the sum of their little-endian words. Compilers turn that into
/// vector code, so that reading costs little more than fetching.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checksum {
    sum: u64,
    /// Bytes so far, as far as they matter: modulo 8.
    phase: u32,
}

impl Checksum {
    /// Goes on with these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let to_align = usize::try_from((8 - self.phase) % 8)
            .unwrap_or(0)
            .min(bytes.len());
        let (head, rest) = bytes.split_at(to_align);
        self.bytes(head);
        // Eight sums side by side: one would wait for itself at every word.
        let (lines, rest) = rest.as_chunks::<64>();
        let mut sums = [0_u64; 8];
        for line in lines {
            let (words, _) = line.as_chunks::<8>();
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum = sum.wrapping_add(u64::from_le_bytes(*word));
            }
        }
        let (words, tail) = rest.as_chunks::<8>();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        self.sum = sums.into_iter().chain(words).fold(self.sum, u64::wrapping_add);
        self.bytes(tail);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.sum = self.sum.wrapping_add(u64::from(*byte) << (8 * self.phase));
            self.phase = (self.phase + 1) % 8;
        }
    }

    /// The checksum.
    #[must_use]
    pub const fn finish(self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_does_not_depend_on_the_pieces() {
        let bytes = payload(1000);
        for piece in [1, 3, 8, 13, 64, 999] {
            let mut checksum = Checksum::default();
            bytes.chunks(piece).for_each(|piece| checksum.update(piece));
            assert_eq!(checksum.finish(), super::checksum(&bytes));
        }
    }

    #[test]
    fn a_checksum_depends_on_every_byte() {
        for len in [0, 1, 7, 8, 9, 64, 1000] {
            let bytes = payload(len);
            assert_eq!(bytes.len(), len);
            for at in 0..len {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                assert_ne!(checksum(&bytes), checksum(&changed), "byte {at} of {len}");
            }
        }
    }
}
