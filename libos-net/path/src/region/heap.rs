//! Memory of this process, for two ends in one address space: tests, and machines without an operating
//! system.
#![allow(unsafe_code, reason = "vouches for memory that it has made of atomics")]

use super::layout::PAGE_BYTES;
use crate::machine::memory::{Memory, OwnMemory};
use crate::sync::AtomicU64;
use alloc::sync::Arc;
use core::fmt;
use core::ptr::NonNull;

const PAGE_WORDS: usize = PAGE_BYTES / size_of::<u64>();

#[repr(C, align(4096))]
struct Page([AtomicU64; PAGE_WORDS]);

/// Zeroed pages on the heap. Clones are the same memory.
#[derive(Clone)]
pub struct Heap(Arc<[Page]>);

impl Heap {
    /// At least `len_bytes` bytes.
    #[must_use]
    pub fn new(len_bytes: usize) -> Self {
        let page = || Page(core::array::from_fn(|_| AtomicU64::new(0)));
        Self((0..len_bytes.div_ceil(PAGE_BYTES)).map(|_| page()).collect())
    }
}

impl fmt::Debug for Heap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} pages on the heap", self.0.len())
    }
}

// SAFETY: pages that are aligned as such, and stay where they are until the last clone goes; as they are made
// of atomics, they can be written through a shared reference, and nobody else can get at them.
unsafe impl Memory for Heap {
    fn span(&self) -> NonNull<[u8]> {
        let pages = NonNull::from(&*self.0);
        NonNull::slice_from_raw_parts(pages.cast::<u8>(), pages.len() * PAGE_BYTES)
    }
}

// SAFETY: as above.
unsafe impl OwnMemory for Heap {}
