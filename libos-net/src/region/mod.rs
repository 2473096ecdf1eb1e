//! Shared memory with one writer: how it is mapped, what lies where in it, and the ring of descriptors by
//! which one side tells the other of a record (I1, I2).
//!
//! Everything else on a record's way is built on these three, and nothing here knows of keys, records or who
//! is at the other end.

pub mod memory;
pub mod ring;
