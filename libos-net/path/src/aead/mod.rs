//! Bulk sealing: AES-256-GCM from private memory to shared memory and back (I3), behind three byte-compatible
//! implementations. `aws-lc` transforms in one pass; `ring`, and `aes-gcm` where there is no operating system
//! (`--cfg portable_crypto`), work in place only and need a staging copy.
//!
//! [`Key`] is public to be measured by itself. It keeps no count of nonces: whoever seals records goes
//! through [`Sender`](crate::hop::Sender), which does (I4).

#[cfg(feature = "aws-lc")]
mod aws_lc;
mod expand;
pub mod keys;
pub(crate) mod sealed;
#[cfg(any(test, not(feature = "aws-lc")))]
mod staged;

#[cfg(feature = "aws-lc")]
pub use aws_lc::Key;
/// An expanded key and its staging buffer.
#[cfg(all(not(feature = "aws-lc"), not(portable_crypto)))]
pub type Key = staged::Staged<staged::ring::Cipher>;
/// An expanded key and its staging buffer.
#[cfg(all(not(feature = "aws-lc"), portable_crypto))]
pub type Key = staged::Staged<staged::portable::Cipher>;

pub use sealed::{Ciphertext, Refused};

/// Whether sealing and opening transform in one pass; otherwise each makes one staging copy.
pub const IS_ONE_PASS: bool = cfg!(feature = "aws-lc");
/// Which implementation seals, for reports.
pub const IMPLEMENTATION: &str = if cfg!(feature = "aws-lc") {
    "aws-lc, one pass"
} else if cfg!(portable_crypto) {
    "aes-gcm, staging copy"
} else {
    "ring, staging copy"
};

#[cfg(all(test, feature = "aws-lc"))]
mod tests;
#[cfg(all(test, feature = "aws-lc"))]
mod vectors;
