//! A machine for tests: memory, the reverse map with four levels, page tables as processors walk them, and
//! what processors remember of translations, permissions and tables. It follows APM volume 2, sections 5.3
//! and 15.36, for pages of 4 KiB. It has no pages of 2 MiB, no reserved bits, and of the results of
//! `RMPADJUST` only success and lack of permission; what else a processor may refuse, a test says.
#![allow(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "plays the machine for tests, which want a panic where they use it in a way that it does not have"
)]

mod machine;
mod processor;

pub use machine::{ENCRYPTED, Fault, Kind, Machine};
pub use processor::{Processor, Ring};

#[cfg(test)]
mod tests;
