//! Random numbers: RDSEED, or RDRAND where there is no RDSEED. Without either the monitor does not start.

use crate::processor::{self, Features};

/// Tries before the processor's source is given up. Intel's manual asks for 10 with RDRAND; RDSEED may be
/// drained for longer.
const TRIES_MAX: u32 = 10_000;

/// The processor's source of randomness.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Random {
    source: fn() -> Option<u64>,
}

/// There is no randomness.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoRandomness;

impl Random {
    /// The source of this processor, if it has one that is not stuck.
    pub(crate) fn find(features: Features) -> Option<Self> {
        let source = if features.rdseed {
            processor::seed
        } else if features.rdrand {
            processor::random
        } else {
            return None;
        };
        let random = Self { source };
        // Processors are known whose source gives the same word for ever after they slept.
        let words = [random.word().ok()?, random.word().ok()?, random.word().ok()?];
        let is_stuck = words
            .windows(2)
            .all(|pair| matches!(pair, [first, second] if first == second));
        (!is_stuck).then_some(random)
    }

    fn word(self) -> Result<u64, NoRandomness> {
        (0..TRIES_MAX).find_map(|_| (self.source)()).ok_or(NoRandomness)
    }

    /// Fills `bytes`.
    pub(crate) fn fill(self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.word()?.to_le_bytes();
            for (byte, random) in chunk.iter_mut().zip(word) {
                *byte = random;
            }
        }
        Ok(())
    }
}
