//! The monitor: calls, policy, keys, measurement and isolation of trustlets.
//!
//! `hacher-fabric serve` becomes the monitor ([`service`]): the root of the process tree and parent of every
//! trustlet. It keeps the tables, the keys and the ledger of who writes what ([`core`]), answers calls of
//! fixed layout ([`calls`]) from a loader and from the daemon ([`client`]), and runs nothing itself that
//! parses text. The machine is behind two small traits, what the core needs of it ([`platform`]) and what the
//! event loop needs besides ([`machine`]); [`process`] isolates with what Linux has.

pub mod calls;
pub mod chosen;
pub mod client;
pub mod core;
pub mod evidence;
pub mod hex;
pub mod ids;
#[macro_use]
pub mod lines;
pub mod linux;
pub mod machine;
pub mod measure;
pub mod platform;
pub mod process;
pub mod scribe;
pub mod service;
pub mod socket_file;
mod version;
pub mod wall_clock;

#[cfg(any(test, feature = "simulated"))]
pub mod simulated;

pub use version::{VERSION, version_asked};
