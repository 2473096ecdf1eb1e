//! What trustlets of the monitor's image have in common: how they begin, the calls that they make of the
//! monitor, and the data path's machine made of these calls.
//!
//! The data path itself is `hacher-data-path`, as every trustlet on Linux runs it.

#![no_std]

extern crate alloc;

pub mod call;
pub mod channel;
pub mod function;
mod machine;
pub mod start;
