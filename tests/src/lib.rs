//! Tests that need more than one crate, or a crate's sources. The tests are in `tests/`; here is what they
//! share: a service on a loopback port of its own, and functions to put into its chains.

pub mod activation;
pub mod database;
pub mod gateway_taken_over;
pub mod generated;
pub mod hostile;
pub mod image;
pub mod latency;
pub mod middle;
pub mod modelled;
pub mod ordinary;
pub mod process_memory;
pub mod programs;
mod runtime;
pub mod said_twice;
mod scrape;
pub mod served;
mod service;
pub mod silent_file_system;
pub mod soak;
pub mod streamed;
pub mod taken_over;
pub mod tenants;
mod trace;
mod until;

pub use runtime::runtime;
pub use scrape::Scrape;
pub use service::{Service, ServiceError, descendants, executable, function, functions, instances};
pub use trace::without_parent;
pub use until::{until, until_or_say};
