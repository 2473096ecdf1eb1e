//! The life of a function's process around the data path: it takes records off its inlets, runs the handler on
//! them, and settles what becomes of them; and what it does to itself and says when it dies.

pub(crate) mod join;
pub(crate) mod last_words;
pub mod process;
pub mod refused_call;
pub(crate) mod serve;
pub mod share;
pub(crate) mod suspects;
