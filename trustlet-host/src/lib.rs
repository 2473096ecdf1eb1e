//! The monitor: calls, policy, keys, measurement and isolation of trustlets.
//!
//! `hacher-fabric serve` becomes the monitor ([`service`]): the root of the process tree and parent of every
//! trustlet. It keeps the tables, the keys and the ledger of who writes what ([`core`]), answers calls of
//! fixed layout ([`calls`]) from a loader and from the daemon ([`client`]), and runs nothing itself that
//! parses text. The machine is behind a small trait ([`platform`]); [`machine`] is the one that isolates with
//! what Linux has ([`process`]).

pub mod calls;
pub mod client;
pub mod core;
pub mod evidence;
pub mod ids;
pub mod lines;
pub mod machine;
pub mod measure;
pub mod platform;
pub mod process;
pub mod scribe;
pub mod service;
pub mod socket_file;
pub mod wall_clock;

#[cfg(any(test, feature = "simulated"))]
pub mod simulated;

/// Version and build of an executable. Executables of one build agree on every call, message and layout
/// between processes; those of different builds must not be mixed.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (build ", env!("HACHER_BUILD"), ")");
