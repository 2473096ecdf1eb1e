//! What a function author uses: a handler gets an [`Input`](input::Input) and fills an
//! [`Output`](output::Output), or returns a [`Failure`](failure::Failure).

pub mod failure;
pub mod harness;
pub mod headers;
pub mod input;
pub mod output;
pub mod place;
pub(crate) mod port_buffer;
pub(crate) mod run;
pub mod view;
