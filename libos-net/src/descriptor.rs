//! One segment's descriptor.

/// Plaintext bytes of a full segment. Every segment of a record but the last is full.
pub const SEGMENT_BYTES: usize = 64 * 1024;
