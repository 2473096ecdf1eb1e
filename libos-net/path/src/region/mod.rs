//! Where things lie in shared memory.

pub mod layout;
