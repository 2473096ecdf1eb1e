//! What a function author uses: a handler gets an [`Input`](input::Input) and fills an
//! [`Output`](output::Output), or returns a [`Failure`](failure::Failure).

pub(crate) mod environment;
pub(crate) mod failure;
pub mod harness;
pub mod headers;
pub(crate) mod input;
pub(crate) mod output;
pub(crate) mod part;
pub(crate) mod place;
pub(crate) mod port_buffer;
pub(crate) mod renewal;
pub(crate) mod run;
pub(crate) mod secret;
pub(crate) mod start;
pub mod trace_parent;
pub(crate) mod view;
