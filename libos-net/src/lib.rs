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
//! [`harness`] runs the handler in a unit test. To see how a record travels, open [`hop`] first, in the crate
//! `hacher-data-path`, which holds all of its way that needs no operating system. Here is what Linux and a
//! function add: `attach` is the channel that brings a process its place, `region`, `wait` and `clock` are
//! memory, bells and time as Linux gives them, `trustlet` and `sdk` stand around each record.

#![cfg_attr(test, allow(clippy::expect_used, reason = "test code"))]

pub mod attach;
pub mod clock;
pub mod fault;
mod own_process;
mod region;
mod sdk;
pub mod system;
mod trustlet;
mod wait;

// What other crates use, under the name of its noun alone.
pub use hacher_data_path::aead::keys;
pub use hacher_data_path::fault::end;
pub use hacher_data_path::page::refused_call;
pub use hacher_data_path::record::{descriptor, invocation, refusal, span_id};
pub use hacher_data_path::region::{layout, memory, ring};
pub use hacher_data_path::{
    aead, carrier, error, hop, inlet, machine, name, park, seal, share, sync, waiting,
};
pub use region::mapping;
pub use wait::doorbell;

/// What a trustlet does to its own process.
pub mod process {
    pub use crate::own_process::{keep_freed_memory, lock_down, take_channel};
}

/// What an instance tells about itself in its page, and how others read it.
pub mod telemetry {
    pub use hacher_data_path::page::counter::{
        Counter, EvidenceOutcome, Gauge, Reject, RequestFailure, RequestOutcome, RequestRefusal,
    };
    pub use hacher_data_path::page::reader::{Histogram, PageReader, Running};
    pub use hacher_data_path::page::spans::{Span, SpanKind, SpansRead};
    pub use hacher_data_path::page::telemetry::{Outcome, Phase, Trace, bucket_bound_ns};
}

pub use hacher_data_path::fault::cause::Cause;
pub use sdk::failure::{Failure, with_causes};
pub use sdk::input::{Cancellation, Input, Position, Reader};
pub use sdk::output::{DEFAULT_PORT, ERROR_PORT, Output, PortWriter};
pub use sdk::part::Part;
pub use sdk::place::Placed;
pub use sdk::start::Start;
pub use sdk::view::View;
pub use sdk::{harness, headers, trace_parent};
pub use trustlet::event_loop::Trustlet;
pub use trustlet::serve::{INITIALISATION_FAILED, serve, serve_with};
