//! Shared memory with one writer: where things lie in it, how it is reached, and the ring of descriptors in
//! it. All else on a record's way is built on these, and nothing here knows of keys, records or who
//! is at the other end.

pub mod heap;
pub mod layout;
pub mod memory;
pub mod ring;
