//! Measurements, as a manifest names them.

/// Bytes of a measurement or a chain digest: a SHA-384.
pub const MEASUREMENT_BYTES: usize = 48;
/// A SHA-384.
pub type Measurement = [u8; MEASUREMENT_BYTES];
