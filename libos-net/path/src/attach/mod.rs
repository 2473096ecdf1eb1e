//! How an instance gets its place in a chain, before the first record: what the monitor tells it.

pub mod contradiction;
pub mod limits;
pub mod message;
