//! How a floor is measured.

use hacher_fabric::failed::Failed;

/// What is done over and over.
pub(super) trait Probe {
    /// Gets ready for payloads of this size, and touches all memory that will be used.
    fn prepare(&mut self, payload_bytes: usize) -> Result<(), Failed>;

    /// Does it, and says how many nanoseconds it took once, one way.
    fn sample(&mut self) -> Result<u64, Failed>;

    /// Comes to rest, so that other measurements are not disturbed.
    fn rest(&mut self) {}
}
