//! What runs inside a trustlet: the sealed data path of one buffer, and the SDK that function authors use.
//!
//! A function is a handler and one line of `main`:
//!
//! ```no_run
//! use hacher_libos_net::{Failure, Input, Output};
//!
//! fn shout(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
//!     let text = input.bytes()?.to_ascii_uppercase();
//!     output.send(&text)
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     hacher_libos_net::serve(shout)
//! }
//! ```
//!
//! [`harness`] runs the handler in a unit test. To see how a record travels, open [`hop`] first: it names
//! each step once, and the step's file bears the step's name (`reserve`, `seal`, `publish`, `peek`, `open`,
//! `release` in `peek`).

#![cfg_attr(test, allow(clippy::expect_used, reason = "test code"))]

pub mod aead;
mod ahead;
pub mod attach;
pub mod attachment;
pub mod clock;
mod counter;
pub mod descriptor;
pub mod doorbell;
pub mod end;
mod extents;
pub mod fault;
pub mod hop;
pub mod invocation;
mod join;
pub mod keys;
mod last_words;
pub mod layout;
mod mapped;
pub mod memory;
pub mod name;
mod open;
pub mod park;
pub mod peek;
mod placed;
mod port;
pub mod process;
pub mod publish;
pub mod refusal;
pub mod refused_call;
mod reserve;
mod rest;
pub mod ring;
pub mod sdk;
pub mod seal;
mod sequence;
mod serve;
pub mod share;
mod suspects;
pub mod sync;
pub mod telemetry;
mod wait;
#[cfg(feature = "wiring")]
pub mod wiring;

pub use sdk::failure::Failure;
pub use sdk::harness;
pub use sdk::input::{Input, Part, Reader};
pub use sdk::output::{Output, PortWriter};
pub use sdk::place::Placed;
pub use sdk::view::View;
pub use serve::serve;
