//! Memory for `alloc`, out of one piece: blocks of powers of two, each kind with a list of those that are
//! free.
//!
//! What was freed is used again for the same kind of block and for no other, so a program takes at most
//! twice what it asked for of each kind at its peak, and nothing is ever searched for.
#![allow(unsafe_code, reason = "an allocator")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;

/// The smallest block: a free one holds the address of the next.
const BLOCK_MIN_BYTES: usize = 16;
/// Blocks are aligned to their length, up to this.
const ALIGN_MAX_BYTES: usize = 4096;
/// Kinds of blocks, by the power of two.
const KINDS: usize = 48;

struct Blocks {
    /// The first free one of each kind, or null.
    free: [*mut u8; KINDS],
    /// What was never used.
    next: *mut u8,
    left_bytes: usize,
}

impl Blocks {
    /// Bytes of the block for a layout; `None` if there is none so long, or so aligned.
    fn block_bytes(layout: Layout) -> Option<usize> {
        let bytes = layout
            .size()
            .max(layout.align())
            .max(BLOCK_MIN_BYTES)
            .checked_next_power_of_two()?;
        (layout.align() <= ALIGN_MAX_BYTES && bytes.ilog2() < KINDS as u32).then_some(bytes)
    }

    fn list(&mut self, block_bytes: usize) -> Option<&mut *mut u8> {
        self.free.get_mut(block_bytes.ilog2() as usize)
    }

    fn take(&mut self, layout: Layout) -> Option<*mut u8> {
        let block_bytes = Self::block_bytes(layout)?;
        let first = self.list(block_bytes)?;
        let block = *first;
        if block.is_null() {
            return self.take_unused(block_bytes);
        }
        // SAFETY: a free block begins with the address of the next, as `give_back` wrote it.
        *first = unsafe { block.cast::<*mut u8>().read() };
        Some(block)
    }

    fn take_unused(&mut self, block_bytes: usize) -> Option<*mut u8> {
        let skipped = self.next.align_offset(block_bytes.min(ALIGN_MAX_BYTES));
        self.left_bytes = self.left_bytes.checked_sub(skipped.checked_add(block_bytes)?)?;
        let block = self.next.wrapping_add(skipped);
        self.next = block.wrapping_add(block_bytes);
        Some(block)
    }

    /// # Safety
    /// The block was taken for this layout, and nobody uses it any more.
    unsafe fn give_back(&mut self, block: *mut u8, layout: Layout) {
        if let Some(first) = Self::block_bytes(layout).and_then(|bytes| self.list(bytes)) {
            // SAFETY: the caller's: the block is nobody's, and long and aligned enough for an address.
            unsafe { block.cast::<*mut u8>().write(*first) };
            *first = block;
        }
    }
}

/// The memory of a program that has one thread and is not interrupted by itself.
pub struct OneThreadHeap(UnsafeCell<Blocks>);

// SAFETY: whoever makes it a global allocator has one thread, and nothing that interrupts it allocates.
unsafe impl Sync for OneThreadHeap {}

impl OneThreadHeap {
    /// One that has no memory yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "made once, as a static")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(Blocks {
            free: [null_mut(); KINDS],
            next: null_mut(),
            left_bytes: 0,
        }))
    }

    /// Gives it memory, once.
    ///
    /// # Safety
    /// Nobody else uses these bytes, now or later, and it had none before.
    pub unsafe fn begin(&self, at: *mut u8, len_bytes: usize) {
        // SAFETY: one thread, which is here.
        let blocks = unsafe { &mut *self.0.get() };
        blocks.next = at;
        blocks.left_bytes = len_bytes;
    }
}

// SAFETY: each block is given to one at a time, as long and as aligned as asked for.
unsafe impl GlobalAlloc for OneThreadHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, which is here and not in another call.
        let blocks = unsafe { &mut *self.0.get() };
        blocks.take(layout).unwrap_or(null_mut())
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: one thread, which is here and not in another call.
        let blocks = unsafe { &mut *self.0.get() };
        // SAFETY: the caller's.
        unsafe { blocks.give_back(at, layout) };
    }
}
