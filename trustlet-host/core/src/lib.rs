//! The monitor's core: its tables, policy, keys, digest and evidence ([`core`](mod@core)), the calls that ask
//! for something of it ([`calls`]), and the little that it needs of a machine ([`platform`]).
//!
//! Nothing here opens anything, starts anything, waits or reads a clock: whoever runs it on a machine brings
//! a platform, and says what time it is. `hacher-trustlet-host` does so on Linux.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub use hacher_evidence as evidence;

pub mod calls;
#[cfg(any(test, feature = "simulated"))]
pub mod conformance;
pub mod core;
pub mod hex;
pub mod ids;
pub mod platform;

#[cfg(any(test, feature = "simulated"))]
pub mod simulated;
