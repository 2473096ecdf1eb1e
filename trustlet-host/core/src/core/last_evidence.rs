//! The evidence that was made last.

use crate::ids::ChainId;
use alloc::vec::Vec;
use hacher_evidence::NONCE_BYTES;
use hacher_evidence::manifest::Purpose;

/// Evidence, and what it answers.
pub(super) struct LastEvidence {
    /// Of which chains.
    pub(super) chains: Vec<ChainId>,
    /// Where the nonce comes from.
    pub(super) purpose: Purpose,
    /// For which nonce.
    pub(super) nonce: [u8; NONCE_BYTES],
    /// Encoded.
    pub(super) bytes: Vec<u8>,
}

impl LastEvidence {
    /// Whether this is what is asked for.
    pub(super) fn answers(&self, chains: &[ChainId], purpose: Purpose, nonce: &[u8; NONCE_BYTES]) -> bool {
        self.chains == chains && self.purpose == purpose && self.nonce == *nonce
    }
}
