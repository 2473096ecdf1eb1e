//! The monitor: calls, policy, keys, measurement and isolation of trustlets.
//!
//! `hacher-fabric serve` becomes the monitor ([`service`]): the root of the process tree and parent of every
//! trustlet. It keeps the tables, the keys and the ledger of who writes what ([`core`]), answers calls of
//! fixed layout ([`calls`]) from a loader and from the daemon ([`client`]), and runs nothing itself that
//! parses text. The machine is behind two small traits, what the core needs of it ([`platform`]) and what the
//! event loop needs besides ([`machine`]); [`process`] isolates with what Linux has.

pub mod chosen;
pub mod client;
#[macro_use]
pub mod lines;
pub mod linux;
pub mod machine;
pub mod measure;
mod pace;
pub mod process;
pub mod scribe;
pub mod service;
pub mod socket_file;
mod version;
pub mod wall_clock;

// The core, under the names that it has there.
pub use hacher_monitor_core::{calls, core, evidence, hex, ids, platform};

pub use version::{VERSION, version_asked};
