//! Shared regions, and raw copies into and out of them.
//!
//! [`OwnRegion`] is a region that this process alone writes (I1); [`PeerRegion`] is written by another
//! process, which may be hostile (I2): its bytes are reached through atomics and raw copies only, and never
//! through a Rust reference to plain memory.
#![allow(
    unsafe_code,
    reason = "reaches memory shared between processes, and copies into and out of it"
)]

use crate::aead::sealed::Ciphertext;
use crate::machine::memory::{Memory, OwnMemory};
use crate::region::layout::LINE_BYTES;
use crate::region::ring::Slot;
use crate::sync::AtomicU64;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

/// A region that is in reach.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    len_bytes: usize,
    /// Goes with this.
    _memory: Box<dyn Memory>,
}

// SAFETY: a mapping is memory that belongs to no thread; all access to it is through atomics, or through raw
// copies whose exclusive owner the callers of `SealedSpan` and `PlainRegion` guarantee.
unsafe impl Send for Mapping {}
// SAFETY: as above; shared access hands out atomics and spans only.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(memory: Box<dyn Memory>) -> Self {
        let span = memory.span();
        Self {
            base: span.cast(),
            len_bytes: span.len(),
            _memory: memory,
        }
    }

    /// The address of `len_bytes` bytes at `at`, if they lie within the region and `align` divides `at`.
    #[inline]
    fn at(&self, at: usize, len_bytes: usize, align: usize) -> Option<NonNull<u8>> {
        let end = at.checked_add(len_bytes)?;
        if end > self.len_bytes || !at.is_multiple_of(align) {
            return None;
        }
        // SAFETY: `at` is within the mapping, as was just checked.
        Some(unsafe { self.base.add(at) })
    }

    #[inline]
    fn word(&self, at: usize) -> Option<&AtomicU64> {
        let word = self
            .at(at, size_of::<AtomicU64>(), align_of::<AtomicU64>())?
            .cast::<AtomicU64>();
        // SAFETY: in bounds and aligned (memory begins at a page); an atomic may be changed by
        // others. Lives as long as `self`, which keeps the mapping.
        Some(unsafe { word.as_ref() })
    }

    fn words(&self, at: usize, count: usize) -> Option<&[AtomicU64]> {
        let len_bytes = count.checked_mul(size_of::<AtomicU64>())?;
        let first = self
            .at(at, len_bytes, align_of::<AtomicU64>())?
            .cast::<AtomicU64>();
        // SAFETY: as in `word`, for each of them.
        Some(unsafe { core::slice::from_raw_parts(first.as_ptr(), count) })
    }

    fn slots(&self, at: usize, count: usize) -> Option<&[Slot]> {
        let len_bytes = count.checked_mul(size_of::<Slot>())?;
        let first = self.at(at, len_bytes, align_of::<Slot>())?.cast::<Slot>();
        // SAFETY: in bounds and aligned; a `Slot` consists of atomics only, for which every bit pattern is
        // valid and which others may change. Lives as long as `self`.
        Some(unsafe { core::slice::from_raw_parts(first.as_ptr(), count) })
    }
}

/// A region that this process writes and others read.
#[derive(Debug)]
pub struct OwnRegion(Mapping);

impl OwnRegion {
    /// The region in `memory`.
    #[must_use]
    pub fn new(memory: Box<dyn OwnMemory>) -> Self {
        Self(Mapping::new(memory))
    }

    /// The word at byte `at`, a multiple of 8.
    #[must_use]
    #[inline]
    pub fn word(&self, at: usize) -> Option<&AtomicU64> {
        self.0.word(at)
    }

    /// `count` words from byte `at`, a multiple of 8.
    #[must_use]
    pub fn words(&self, at: usize, count: usize) -> Option<&[AtomicU64]> {
        self.0.words(at, count)
    }

    /// `count` ring slots from byte `at`, a multiple of 64.
    #[must_use]
    pub fn slots(&self, at: usize, count: usize) -> Option<&[Slot]> {
        self.0.slots(at, count)
    }
}

/// An outbox: beside words and rings it holds what is sealed, and nothing else. No plaintext can be written
/// to it (I3): its spans take ciphertext from the cipher, or from another outbox.
#[derive(Debug)]
pub struct SealedRegion(OwnRegion);

impl SealedRegion {
    /// As [`OwnRegion::new`].
    #[must_use]
    pub fn new(memory: Box<dyn OwnMemory>) -> Self {
        Self(OwnRegion::new(memory))
    }

    /// `len_bytes` bytes from `at`, to be sealed into.
    #[must_use]
    pub fn span(&self, at: usize, len_bytes: usize) -> Option<SealedSpan<'_>> {
        let start = self.0.0.at(at, len_bytes, 1)?;
        Some(SealedSpan {
            start,
            len_bytes,
            region: PhantomData,
        })
    }
}

impl Deref for SealedRegion {
    type Target = OwnRegion;

    fn deref(&self) -> &OwnRegion {
        &self.0
    }
}

/// The region of a `mapped` edge, whose records lie there as they are: two processes have it mapped.
#[derive(Debug)]
pub struct PlainRegion(OwnRegion);

impl PlainRegion {
    /// As [`OwnRegion::new`].
    #[must_use]
    pub fn new(memory: Box<dyn OwnMemory>) -> Self {
        Self(OwnRegion::new(memory))
    }

    /// Overwrites what lies from `at` on with `bytes`; `false`, and nothing written, past the region's end.
    #[must_use]
    pub fn write(&self, at: usize, bytes: &[u8]) -> bool {
        let Some(start) = self.0.0.at(at, bytes.len(), 1) else {
            return false;
        };
        // SAFETY: in bounds, as was just checked; `bytes` is private memory and cannot overlap a shared
        // mapping; this process is the region's only writer (I1), and its reader in the other process copies
        // with raw reads.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), start.as_ptr(), bytes.len()) };
        true
    }
}

impl Deref for PlainRegion {
    type Target = OwnRegion;

    fn deref(&self) -> &OwnRegion {
        &self.0
    }
}

/// A region that another process writes and this one only reads.
#[derive(Debug)]
pub struct PeerRegion(Mapping);

impl PeerRegion {
    /// The region in `memory`.
    #[must_use]
    pub fn new(memory: Box<dyn Memory>) -> Self {
        Self(Mapping::new(memory))
    }

    /// The word at byte `at`, a multiple of 8. It must only be loaded, and relaxed: the memory is read-only.
    #[must_use]
    #[inline]
    pub fn word(&self, at: usize) -> Option<&AtomicU64> {
        self.0.word(at)
    }

    /// `count` ring slots from byte `at`, a multiple of 64. They must only be loaded.
    #[must_use]
    pub fn slots(&self, at: usize, count: usize) -> Option<&[Slot]> {
        self.0.slots(at, count)
    }

    /// `len_bytes` bytes from `at` of what is an outbox, to be handed on as they are.
    #[must_use]
    pub fn sealed(&self, at: usize, len_bytes: usize) -> Option<SealedBytes<'_>> {
        self.span(at, len_bytes).map(SealedBytes)
    }

    /// `len_bytes` bytes from `at`, to be read.
    #[must_use]
    pub fn span(&self, at: usize, len_bytes: usize) -> Option<PeerSpan<'_>> {
        let start = self.0.at(at, len_bytes, 1)?;
        Some(PeerSpan {
            start,
            len_bytes,
            region: PhantomData,
        })
    }
}

/// Bytes of a [`SealedRegion`] that the next segment is sealed into.
#[derive(Debug)]
pub struct SealedSpan<'a> {
    start: NonNull<u8>,
    len_bytes: usize,
    region: PhantomData<&'a SealedRegion>,
}

impl SealedSpan<'_> {
    /// Asks for the cache lines of the first `len_bytes` bytes, to be written: so that what readers of the
    /// last use still hold has been taken back from them before the next use begins. At most eight lines.
    #[inline]
    pub fn prefetch_for_write(&self, len_bytes: usize) {
        #[cfg(target_arch = "x86_64")]
        for at in (0..len_bytes.min(self.len_bytes).min(8 * LINE_BYTES)).step_by(LINE_BYTES) {
            let line = self.start.as_ptr().wrapping_add(at);
            // SAFETY: a prefetch changes nothing that the program could see, and does not fault whatever the
            // address; processors that do not know this one do nothing.
            unsafe {
                core::arch::asm!("prefetchw [{line}]", line = in(reg) line, options(nostack, preserves_flags));
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = len_bytes;
    }

    /// How many bytes.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// The first byte. Writes must stay within [`Self::len_bytes`], and be ciphertext.
    #[must_use]
    pub const fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Overwrites the beginning with what was sealed in private memory; `false`, and nothing written, if it
    /// does not fit.
    #[must_use]
    pub fn put(&mut self, sealed: Ciphertext<'_>) -> bool {
        let bytes = sealed.bytes();
        if bytes.len() > self.len_bytes {
            return false;
        }
        // SAFETY: fits, as was just checked; `bytes` is private memory and cannot overlap a shared mapping;
        // this process is the region's only writer (I1), and readers of it in other processes copy
        // with raw reads.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr(), bytes.len()) };
        true
    }
}

impl SealedSpan<'_> {
    /// Overwrites the beginning with what lies sealed in another outbox; `false`, and nothing written, if it
    /// does not fit.
    #[must_use]
    pub fn copy_sealed(&mut self, sealed: SealedBytes<'_>) -> bool {
        let SealedBytes(from) = sealed;
        if from.len_bytes > self.len_bytes {
            return false;
        }
        // SAFETY: fits, as was just checked; the two may overlap, as clones of one region in memory of this
        // process do; this process is the only writer of this one (I1). The source may change meanwhile: the
        // copy is then some mixture, which whoever opens it refuses.
        unsafe { core::ptr::copy(from.start.as_ptr(), self.start.as_ptr(), from.len_bytes) };
        true
    }
}

/// Bytes of a peer's outbox: a sealed segment, as far as its descriptor can be trusted.
#[derive(Debug, Clone, Copy)]
pub struct SealedBytes<'a>(PeerSpan<'a>);

/// Bytes of a [`PeerRegion`]; they may change at any time.
#[derive(Debug, Clone, Copy)]
pub struct PeerSpan<'a> {
    start: NonNull<u8>,
    len_bytes: usize,
    region: PhantomData<&'a PeerRegion>,
}

impl<'a> PeerSpan<'a> {
    /// A copy in private memory.
    pub(crate) fn of_private(copy: &'a [u8]) -> Self {
        Self {
            start: NonNull::from(copy).cast(),
            len_bytes: copy.len(),
            region: PhantomData,
        }
    }
}

impl PeerSpan<'_> {
    /// Asks for the first cache line and the last one, so that they are on their way while something else is
    /// done.
    #[inline]
    pub fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let first = self.start.as_ptr().cast::<i8>().cast_const();
            let last = first.wrapping_add(self.len_bytes.saturating_sub(1));
            // SAFETY: a prefetch reads nothing that the program could see, and does not fault whatever the
            // address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(first) };
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(last) };
        }
    }

    /// How many bytes.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// The first byte. Reads must stay within [`Self::len_bytes`] and expect the bytes to change.
    #[must_use]
    pub const fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// Copies the beginning to `bytes`, once; `false`, and nothing copied, if there are fewer bytes.
    #[must_use]
    pub fn copy_to(&self, bytes: &mut [u8]) -> bool {
        if bytes.len() > self.len_bytes {
            return false;
        }
        // SAFETY: fits, as was just checked; `bytes` is private memory and cannot overlap a shared mapping.
        // The source may change meanwhile; the copy is then some mixture, which the caller must
        // expect.
        unsafe { core::ptr::copy_nonoverlapping(self.start.as_ptr(), bytes.as_mut_ptr(), bytes.len()) };
        true
    }

    /// Appends a copy of all bytes to `into`.
    pub fn append_to(&self, into: &mut Vec<u8>) {
        into.reserve(self.len_bytes);
        let room = into.spare_capacity_mut().as_mut_ptr().cast::<u8>();
        // SAFETY: as many bytes as were reserved; private memory cannot overlap a shared mapping. The source
        // may change meanwhile; the copy is then some mixture, which the caller must expect.
        unsafe { core::ptr::copy_nonoverlapping(self.start.as_ptr(), room, self.len_bytes) };
        let len_bytes = into.len() + self.len_bytes;
        // SAFETY: the bytes up to there were just written, within the capacity.
        unsafe { into.set_len(len_bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::heap::Heap;

    #[test]
    fn a_peer_reads_what_the_owner_wrote() {
        let memory = Heap::new(8192);
        let own = PlainRegion::new(Box::new(memory.clone()));
        let peer = PeerRegion::new(Box::new(memory));
        assert!(own.write(100, b"hello"));
        let mut bytes = [0; 5];
        assert!(peer.span(100, 5).unwrap().copy_to(&mut bytes));
        assert_eq!(&bytes, b"hello");
        let mut appended = b"oh, ".to_vec();
        peer.span(100, 5).unwrap().append_to(&mut appended);
        assert_eq!(appended, b"oh, hello");
    }

    #[test]
    fn nothing_outside_the_region_or_out_of_line_is_reached() {
        let memory = Heap::new(4096);
        let own = OwnRegion::new(Box::new(memory.clone()));
        let sealed = SealedRegion::new(Box::new(memory.clone()));
        let plain = PlainRegion::new(Box::new(memory.clone()));
        assert!(sealed.span(4096, 1).is_none());
        assert!(sealed.span(usize::MAX, 2).is_none());
        assert!(!plain.write(4095, b"ab"));
        assert!(!plain.write(usize::MAX, b"ab"));
        assert!(own.word(4).is_none());
        assert!(own.word(4096).is_none());
        assert!(own.slots(32, 1).is_none());
        assert!(own.slots(0, 65).is_none());
        assert!(own.slots(64, usize::MAX).is_none());
        let peer = PeerRegion::new(Box::new(memory));
        let longer = peer.sealed(64, 3).unwrap();
        assert!(!sealed.span(0, 2).unwrap().copy_sealed(longer));
        assert!(peer.sealed(4096, 1).is_none());
        assert!(own.slots(0, 64).is_some());
    }
}
