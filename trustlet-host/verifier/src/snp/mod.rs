//! What is particular to AMD SEV-SNP: reports, the keys that sign them, and AMD's certificates for those.

mod certificate;
mod chain;
mod chip_checks;
mod endorsement;
pub(crate) mod generation;
mod guest_checks;
mod judge;
pub(crate) mod report;
mod revocation;
mod root;
mod signature;
pub(crate) mod tcb;
mod tcb_checks;

#[cfg(test)]
pub(crate) mod forged;
#[cfg(test)]
mod tests;

pub use certificate::certificate_table;
pub use generation::Generation;
pub use judge::ReportSummary;
pub(crate) use judge::judge;
pub use report::{ChipId, REPORT_BYTES, Report, ReportError, SigningKey};
pub(crate) use root::Roots;
pub use tcb::{Tcb, TcbFloor};
