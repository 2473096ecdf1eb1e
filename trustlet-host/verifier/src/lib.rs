//! Says whether evidence proves what a data owner demands before sending anything.
//!
//! ```
//! use hacher_verifier::{Expectations, Policy, Purpose, UnixTime, verify};
//!
//! let expectations = Expectations {
//!     nonce: Some([7; 64]),
//!     purpose: Purpose::Nonce,
//!     tls_key: None,
//!     chain: Some("thumbnails"),
//!     time: UnixTime::parse("2026-11-26T10:00:00Z").expect("a time"),
//!     certificates: &[],
//!     revocation_lists: &[],
//!     allow_emulated: false,
//! };
//! let verdict = verify(b"nothing of the kind", &Policy::default(), &expectations);
//! assert!(!verdict.passed());
//! for failure in verdict.failures() {
//!     println!("{}: {}", failure.name, failure.reason);
//! }
//! ```
//!
//! The crate is pure: no I/O, no clock but the time that it is given, no unsafe code; the same input has the
//! same verdict. Everything in evidence is written by somebody who may lie. It goes through these modules:
//!
//! 1. `verify`: the envelope, and which platform vouches;
//! 2. `snp`: the report, its certificates up to a pinned root of AMD, and the chip, TCB and guest it speaks
//!    of;
//! 3. `manifest_checks`: what the monitor says, bound to report and nonce by the report data;
//! 4. `connection_checks`: whether it is about what the caller asked for, and whom it met.
//!
//! Each thing that is looked at is a [`Check`] with its outcome and reason. None hides another: a verdict has
//! all that failed. What the policy does not demand is skipped, and the reason says so.
//!
//! No input makes it panic, recurse without bound, or take memory beyond a fixed multiple of the input.
#![forbid(unsafe_code)]

mod check;
mod connection_checks;
mod expectations;
mod hex;
mod manifest_checks;
mod policy;
mod snp;
mod time;
mod tls_key;
mod verdict;
mod verify;

#[cfg(test)]
mod tests;

pub use check::{Check, CheckName, Outcome};
pub use expectations::Expectations;
pub use hacher_evidence::manifest::Purpose;
pub use hacher_evidence::{Kind, Manifest};
pub use policy::{Digest, Launch, ManifestPolicy, Policy, SnpPolicy};
pub use snp::{
    ChipId, Generation, REPORT_BYTES, Report, ReportError, ReportSummary, SigningKey, Tcb, TcbFloor,
    certificate_table,
};
pub use time::UnixTime;
pub use tls_key::tls_key;
pub use verdict::{Summary, Verdict};
pub use verify::{verify, verify_report};
