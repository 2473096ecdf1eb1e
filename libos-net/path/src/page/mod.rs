//! What an instance says in its page: counters, durations and traces beside every step of a record's way,
//! what it runs now, and at the gateway which requests nobody waits for. Written by that instance alone (I1).

pub(crate) mod closed;
pub mod counter;
pub(crate) mod own;
pub mod reader;
pub mod refused_call;
pub mod spans;
pub mod telemetry;
