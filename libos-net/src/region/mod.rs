//! Shared memory, as Linux gives it.

pub mod mapping;
