//! What the fuzzers call: one function for each place where bytes of somebody else are read. A fuzzer
//! (`fuzz/`) makes the bytes; the tests of this package replay those that were worth keeping, through the
//! same functions.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is what a fuzzer looks for"
)]

mod attachment;
mod calling_area;
mod certificate;
mod chain_file;
mod data_path;
#[cfg(feature = "fabric")]
mod elf;
#[cfg(feature = "fabric")]
mod http;
mod manifest;
mod monitor_calls;
mod page;
mod page_tables;
mod policy;
mod report;
mod script;
mod sealed_request;

/// A target: it panics if it finds that something is wrong.
pub type Target = fn(&[u8]);

/// All targets, by the name of their corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("attachment", attachment),
    ("calling_area", calling_area),
    ("certificate", certificate),
    ("chain_file", chain_file),
    ("data_path", data_path),
    #[cfg(feature = "fabric")]
    ("elf", elf),
    #[cfg(feature = "fabric")]
    ("http", http),
    ("manifest", manifest),
    ("monitor_calls", monitor_calls),
    ("page", page),
    ("page_tables", page_tables),
    ("policy", policy),
    ("report", report),
    ("sealed_request", sealed_request),
];

pub use attachment::attachment;
pub use calling_area::calling_area;
pub use certificate::certificate;
pub use chain_file::chain_file;
pub use data_path::data_path;
#[cfg(feature = "fabric")]
pub use elf::elf;
#[cfg(feature = "fabric")]
pub use http::http;
pub use manifest::manifest;
pub use monitor_calls::monitor_calls;
pub use page::page;
pub use page_tables::page_tables;
pub use policy::policy;
pub use report::report;
pub use sealed_request::sealed_request;
