//! Lengths of keys, of points on P-256, and of what AES-256-GCM has besides.

use hacher_evidence::release::COORDINATE_BYTES;

/// All keys here, and what is agreed on.
pub(super) const KEY_BYTES: usize = 32;
/// A point that is not compressed.
pub(super) const POINT_BYTES: usize = 1 + 2 * COORDINATE_BYTES;
/// The cipher's nonce.
pub(super) const IV_BYTES: usize = 12;
/// The cipher's tag.
pub(super) const TAG_BYTES: usize = 16;
