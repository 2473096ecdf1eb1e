//! The evidence that was made last.

use crate::ids::ChainId;
use alloc::vec::Vec;
use hacher_evidence::NONCE_BYTES;

/// Evidence, and what it answers.
pub(super) struct LastEvidence {
    /// Of which chains.
    pub(super) chains: Vec<ChainId>,
    /// For which nonce.
    pub(super) nonce: [u8; NONCE_BYTES],
    /// Encoded.
    pub(super) bytes: Vec<u8>,
}
