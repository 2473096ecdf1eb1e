//! The life of a function's process around the data path: it takes records off its inlets, runs the handler
//! on them, and settles what becomes of them.

mod arriving;
mod attempt;
mod backoff;
pub(crate) mod event_loop;
mod giving_up;
mod job;
pub(crate) mod join;
mod sealing;
pub(crate) mod serve;
mod settle;
mod standstill;
pub(crate) mod stream;
mod suspects;
mod take;
mod tracing;
