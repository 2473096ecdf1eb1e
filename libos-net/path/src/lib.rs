//! The data path of one buffer, and how an instance is attached to it: what needs no operating system.
//!
//! Nothing here maps memory, opens anything, sleeps or reads a clock: whoever runs it on a machine brings
//! these. `hacher-libos-net` does so on Linux, and passes on what is here.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(test, allow(clippy::expect_used, reason = "test code"))]

extern crate alloc;

pub mod aead;
pub mod attach;
pub mod clock;
pub mod fault;
pub mod name;
pub mod region;
pub mod share;
pub mod wait;
