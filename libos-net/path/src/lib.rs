//! The data path of one buffer, and how an instance is attached to it: what needs no operating system.
//!
//! To see how a record travels, open [`hop`] first: it names each step once. Each folder stands at one place
//! of that way, and says which: `outlet` and `inlet` are the two columns of [`hop`], `payload` is what is
//! done with what came; `region`, `record`, `aead` and `wait` are what they are made of; `page` and `fault`
//! tell of them; `attach` is what the monitor says before the first record, `place` what is made of that, and
//! `carrier` a place without a key.
//!
//! Nothing here maps memory, opens anything, sleeps or reads a clock: whoever runs it gives it these, as
//! [`machine`] says. `hacher-libos-net` does so on Linux, and passes on what is here.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(test, allow(clippy::expect_used, reason = "test code"))]

extern crate alloc;

pub mod aead;
pub mod attach;
pub mod carrier;
pub mod error;
pub mod fault;
pub mod hop;
pub mod inlet;
pub mod machine;
pub mod name;
mod outlet;
pub mod page;
mod payload;
pub mod place;
mod receiver;
pub mod record;
pub mod region;
pub mod share;
#[cfg(any(test, feature = "simulated"))]
pub mod simulated;
pub mod sync;
mod wait;

pub use outlet::seal;
pub use wait::{park, waiting};
