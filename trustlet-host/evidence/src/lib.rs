//! Evidence: what a monitor says of itself and of the chains that it serves (the *manifest*), and what
//! vouches for it (a *report* of the platform). The monitor makes it, a verifier takes it apart; both use
//! this crate, and `docs/evidence.md` specifies every byte, so that others need not.
//!
//! A client sends 64 bytes that nobody has used before, the *nonce*. The platform reports over
//! [`report_data()`] of nonce and manifest, as the SVSM attestation protocol has it (AMD 58019), so whoever
//! sees the manifest only, or answers with an older report, is found out. The nonce is not part of the
//! evidence: who verifies knows it.
//!
//! ```text
//! word, key, measurement   what a line names
//! cryptography             hashes and signatures
//! manifest                 the facts, one a line, and their one encoding; back, or refused
//! report_data              what a platform reports over
//! session                  the nonce that binds evidence to a connection
//! release                  what evidence for a key broker is over
//! envelope                 report, certificates and manifest in one message
//! emulated                 reports without hardware, of a type of their own
//! ```
//!
//! Nothing here decides whether evidence is good enough; a verifier does.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cryptography;
pub mod emulated;
pub mod envelope;
pub mod key;
pub mod manifest;
pub mod measurement;
pub mod release;
pub mod report_data;
pub mod session;
pub mod word;

pub use envelope::{Evidence, EvidenceError, Kind};
pub use key::KEY_BYTES;
pub use manifest::{Manifest, ManifestError};
pub use measurement::{MEASUREMENT_BYTES, Measurement};
pub use report_data::{NONCE_BYTES, REPORT_DATA_BYTES, report_data};
pub use word::Word;
