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
//! each step once. Each folder stands at one place of that way, and says which: `outlet` and `inlet` are the
//! two columns of [`hop`]; `region`, `record`, `aead` and `wait` are what both are made of; `attach` comes
//! before the first record, `trustlet` and `sdk` stand around each, `page` and `fault` tell of them.

#![cfg_attr(test, allow(clippy::expect_used, reason = "test code"))]

pub mod aead;
pub mod attach;
pub mod carrier;
pub mod clock;
pub mod fault;
pub mod hop;
pub mod inlet;
mod outlet;
mod page;
mod payload;
mod record;
mod region;
pub mod sdk;
pub mod sync;
mod trustlet;
mod wait;
#[cfg(feature = "wiring")]
pub mod wiring;

// What other crates use, under the name of its noun alone.
pub use fault::end;
pub use hacher_data_path::aead::keys;
pub use hacher_data_path::region::layout;
pub use hacher_data_path::wait::waiting;
pub use hacher_data_path::{name, share};
pub use outlet::seal;
pub use record::{descriptor, invocation, refusal};
pub use region::{memory, ring};
pub use trustlet::{process, refused_call};
pub use wait::{doorbell, park};

/// What an instance tells about itself in its page, and how others read it.
pub mod telemetry {
    pub use crate::page::counter::{Counter, Gauge, Reject, RequestFailure, RequestOutcome, RequestRefusal};
    pub use crate::page::reader::{Histogram, PageReader, Running};
    pub use crate::page::telemetry::{Outcome, Phase, Trace, bucket_bound_ns};
}

pub use sdk::failure::Failure;
pub use sdk::harness;
pub use sdk::input::{Input, Part, Reader};
pub use sdk::output::{Output, PortWriter};
pub use sdk::place::Placed;
pub use sdk::view::View;
pub use trustlet::serve::serve;
