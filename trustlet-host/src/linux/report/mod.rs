//! Reports of the hardware, as Linux in an SEV-SNP guest offers them.
//!
//! ```text
//! tsm         configfs-tsm, the interface for all kinds of confidential guests (Linux 6.7)
//! sev_guest   /dev/sev-guest, the older one for SEV-SNP alone
//! source      which of them a machine has
//! queue       who waits for it
//! reporter    asks it, and never waits long
//! ```
//!
//! Whoever answers is not trusted with anything: what it says is for a verifier to judge. Here it is bounded,
//! and has to be an answer to what was asked.

mod error;
mod queue;
mod reporter;
mod sev_guest;
mod source;
mod tsm;

pub use error::ReportError;
pub(crate) use reporter::Reporter;
pub use source::{Source, SourceFault};
