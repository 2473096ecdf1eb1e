//! What the platform needs of a machine beside its pages.

use crate::hardware::Hardware;
use alloc::vec::Vec;
use hacher_monitor_core::evidence::REPORT_DATA_BYTES;
use hacher_monitor_core::platform::{LayerStatus, Measurement, PlatformError, PlatformReport};

/// A machine that trustlets run on.
pub trait Board: Hardware {
    /// Its name, part of the chain digest and of every report. No machine without SEV-SNP is called `snp`.
    fn backend(&self) -> &'static str;

    /// Whether hardware (SEV-SNP) keeps the guest's operating system from trustlets.
    fn is_snp(&self) -> bool;

    /// What keeps trustlets apart, and whether it is there.
    fn layers(&self) -> Vec<LayerStatus>;

    /// The bit of addresses that makes pages encrypted memory, or 0.
    fn encrypted(&self) -> u64;

    /// Fills `bytes` at random.
    ///
    /// # Errors
    /// When there is no randomness.
    fn random(&mut self, bytes: &mut [u8]) -> Result<(), PlatformError>;

    /// SHA-384.
    fn measure(&self, bytes: &[u8]) -> Measurement;

    /// Nanoseconds since the machine started.
    fn now_ns(&self) -> u64;

    /// A report over `data`.
    ///
    /// # Errors
    /// As [`hacher_monitor_core::platform::Platform::report`].
    fn report(&mut self, data: &[u8; REPORT_DATA_BYTES]) -> Result<PlatformReport, PlatformError>;
}
