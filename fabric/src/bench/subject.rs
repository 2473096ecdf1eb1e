//! What can be measured: one way of moving payloads over some hops.

use crate::command::Failed;

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

    /// Moves `samples` payloads of `payload_bytes` bytes over `hops` hops, one after another, and says for each how many
    /// nanoseconds it took. For a subject that only knows round trips of two equal hops, `hops` is 1 and half of the round
    /// trip counts; a request and its short reply count as one hop, whole.
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

/// Reads every byte, and makes one number of them: what each receiver does with a payload. Sums of little-endian words,
/// which compilers turn into vector code, so that reading costs little more than fetching.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words
        .iter()
        .fold(0u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    rest.iter()
        .fold(words, |sum, byte| sum.wrapping_add(u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
