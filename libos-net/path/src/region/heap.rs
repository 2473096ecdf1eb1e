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

    /// Some of its pages, of which there have to be as many; they are the same memory.
    #[must_use]
    pub fn part(&self, first_page: usize, pages: usize) -> Option<Part> {
        let end = first_page.checked_add(pages)?;
        self.0.get(first_page..end)?;
        Some(Part {
            heap: self.clone(),
            first_page,
            pages,
        })
    }
}

/// Some pages of a [`Heap`].
#[derive(Debug, Clone)]
pub struct Part {
    heap: Heap,
    first_page: usize,
    pages: usize,
}

impl fmt::Debug for Heap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} pages on the heap", self.0.len())
    }
}

// SAFETY: pages that are aligned as such, and stay where they are until the last clone goes; as they are made
// of atomics, they can be written through shared references, by all clones and parts: that one alone writes
// is the duty of whoever hands them out.
unsafe impl Memory for Heap {
    fn span(&self) -> NonNull<[u8]> {
        let pages = NonNull::from(&*self.0);
        NonNull::slice_from_raw_parts(pages.cast::<u8>(), pages.len() * PAGE_BYTES)
    }
}

// SAFETY: as above.
unsafe impl OwnMemory for Heap {}

// SAFETY: as above, for those of the pages that `Heap::part` has found to be there.
unsafe impl Memory for Part {
    fn span(&self) -> NonNull<[u8]> {
        let pages = self.heap.0.get(self.first_page..self.first_page + self.pages);
        let pages = NonNull::from(pages.expect("pages that are there"));
        NonNull::slice_from_raw_parts(pages.cast::<u8>(), pages.len() * PAGE_BYTES)
    }
}

// SAFETY: as above.
unsafe impl OwnMemory for Part {}
