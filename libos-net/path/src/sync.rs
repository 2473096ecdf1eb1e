//! The atomics of ring and parking. The loom tests compile the same two files against loom's atomics.

pub use core::sync::atomic::{AtomicU64, Ordering, fence};
