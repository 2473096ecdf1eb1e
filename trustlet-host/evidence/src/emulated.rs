//! Reports of a platform without hardware that vouches for it: signed with a key that the monitor made when
//! it started.
//!
//! They bind a manifest to a nonce, so that everything around attestation works on any machine. They do
//! **not** prove anything about the machine: whoever controls its operating system can sign what they like.
//! So they have a type of their own and never look like a hardware report, and a verifier refuses them unless
//! it is told to take them.
//!
//! ```text
//! 24 bytes  "hacher-emulated-report-1"
//! 64 bytes  what it is over
//! 32 bytes  Ed25519 public key of the emulated root
//! 64 bytes  Ed25519 signature (RFC 8032) over everything before it
//! ```

use crate::cryptography::{self, SIGNATURE_BYTES, SigningKey};
use crate::key::KEY_BYTES;
use crate::report_data::REPORT_DATA_BYTES;
use alloc::vec::Vec;

/// Starts every emulated report.
pub const TYPE_TAG: &[u8; 24] = b"hacher-emulated-report-1";
/// Bytes of an emulated report.
pub const REPORT_BYTES: usize = TYPE_TAG.len() + REPORT_DATA_BYTES + KEY_BYTES + SIGNATURE_BYTES;

/// Why an emulated report is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatedError {
    /// Of another type, or of another length.
    #[error("this is not a report of the type hacher-emulated-report-1")]
    Malformed,
    /// Changed after it was signed.
    #[error("the signature of the emulated report is wrong")]
    Signature,
    /// Made for another nonce or manifest, or replayed.
    #[error("the emulated report is over another nonce or another manifest")]
    ReportData,
}

/// Signs emulated reports. It lives as long as the monitor, and its key never leaves it.
pub struct EmulatedRoot(SigningKey);

impl EmulatedRoot {
    /// A root with the key that `seed` gives.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_seed(seed))
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> [u8; KEY_BYTES] {
        self.0.public_key()
    }

    /// A report over `data`.
    #[must_use]
    pub fn report(&self, data: &[u8; REPORT_DATA_BYTES]) -> Vec<u8> {
        let mut report = Vec::with_capacity(REPORT_BYTES);
        report.extend_from_slice(TYPE_TAG);
        report.extend_from_slice(data);
        report.extend_from_slice(&self.public_key());
        let signature = self.0.sign(&report);
        report.extend_from_slice(&signature);
        report
    }
}

/// Checks that a report is over `data`: the key of the root that signed it, which proves nothing by itself.
///
/// # Errors
/// Why it is refused.
pub fn verify(report: &[u8], data: &[u8; REPORT_DATA_BYTES]) -> Result<[u8; KEY_BYTES], EmulatedError> {
    let report: &[u8; REPORT_BYTES] = report.try_into().map_err(|_| EmulatedError::Malformed)?;
    let (signed, signature) = report.split_at(REPORT_BYTES - SIGNATURE_BYTES);
    let said = signed.strip_prefix(TYPE_TAG).ok_or(EmulatedError::Malformed)?;
    let (reported, key) = said
        .split_first_chunk::<REPORT_DATA_BYTES>()
        .ok_or(EmulatedError::Malformed)?;
    let key: &[u8; KEY_BYTES] = key.try_into().map_err(|_| EmulatedError::Malformed)?;
    if !cryptography::verify(key, signed, signature) {
        return Err(EmulatedError::Signature);
    }
    if reported != data {
        return Err(EmulatedError::ReportData);
    }
    Ok(*key)
}
