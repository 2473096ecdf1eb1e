//! Regions as Linux gives them: mappings of sealed memfds, which can neither shrink nor grow.
#![allow(unsafe_code, reason = "maps memory shared between processes")]

use crate::system::SystemFailure;
use core::ptr::NonNull;
use hacher_data_path::machine::memory::{Memory, OwnMemory};
use hacher_data_path::place::machine::Backing;
use hacher_data_path::region::memory::{OwnRegion, PeerRegion, PlainRegion, SealedRegion};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// A region could not be mapped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// Whoever made it misbehaved.
    #[error(transparent)]
    Short(#[from] ShortRegion),
    /// The kernel refused.
    #[error("a region of {len_bytes} bytes could not be mapped: {source}")]
    System {
        /// Bytes that were to be mapped.
        len_bytes: usize,
        /// Why not.
        source: SystemFailure,
    },
}

impl MapError {
    /// Whether the same region can be mapped later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Short(_) => false,
            Self::System { source, .. } => source.is_transient(),
        }
    }
}

/// A descriptor refers to fewer bytes than the layout needs; touching the rest would kill the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a region has {found} bytes where its layout needs {needed}")]
pub struct ShortRegion {
    /// Bytes that the layout needs.
    pub needed: u64,
    /// Bytes that there are.
    pub found: u64,
}

/// Maps `len_bytes` of `fd` as a region that this process writes and others read.
///
/// # Errors
/// [`MapError`].
pub fn own(fd: impl AsFd, len_bytes: usize) -> Result<OwnRegion, MapError> {
    Ok(OwnRegion::new(Box::new(OwnMapping::new(fd, len_bytes)?)))
}

/// As [`own`], for an outbox.
///
/// # Errors
/// [`MapError`].
pub fn sealed(fd: impl AsFd, len_bytes: usize) -> Result<SealedRegion, MapError> {
    Ok(SealedRegion::new(Box::new(OwnMapping::new(fd, len_bytes)?)))
}

/// As [`own`], for the region of a mapped edge.
///
/// # Errors
/// [`MapError`].
pub fn plain(fd: impl AsFd, len_bytes: usize) -> Result<PlainRegion, MapError> {
    Ok(PlainRegion::new(Box::new(OwnMapping::new(fd, len_bytes)?)))
}

/// Maps `len_bytes` of `fd` as a region that another process writes and this one only reads.
///
/// # Errors
/// [`MapError`].
pub fn peer(fd: impl AsFd, len_bytes: usize) -> Result<PeerRegion, MapError> {
    Ok(PeerRegion::new(Box::new(Mapping::new(
        fd.as_fd(),
        len_bytes,
        ProtFlags::READ,
    )?)))
}

/// A mapping; undone when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: a mapping is memory that belongs to no thread, and nothing here touches it.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `len_bytes` of `fd`, readable.
    ///
    /// # Errors
    /// [`MapError`].
    pub(crate) fn readable(fd: impl AsFd, len_bytes: usize) -> Result<Self, MapError> {
        Self::new(fd.as_fd(), len_bytes, ProtFlags::READ)
    }

    fn new(fd: BorrowedFd<'_>, len_bytes: usize, protection: ProtFlags) -> Result<Self, MapError> {
        let os = |errno: Errno| MapError::System {
            len_bytes,
            source: errno.into(),
        };
        let found = u64::try_from(rustix::fs::fstat(fd).map_err(os)?.st_size).unwrap_or(0);
        let needed = len_bytes as u64;
        if found < needed {
            return Err(ShortRegion { needed, found }.into());
        }
        // SAFETY: a fresh mapping at an address of the kernel's choice disturbs no other memory.
        let base = unsafe {
            mmap(
                core::ptr::null_mut(),
                len_bytes,
                protection,
                MapFlags::SHARED,
                fd,
                0,
            )
        }
        .map_err(os)?;
        let base = NonNull::new(base.cast::<u8>()).ok_or(os(Errno::NOMEM))?;
        let mapping = Self { base, len_bytes };
        // A forked copy of this process would be a second writer (I1), with the same keys and the same next
        // nonce (I4).
        mapping.advise(Advice::LinuxDontFork).map_err(os)?;
        Ok(mapping)
    }

    /// Passes advice on how to back the whole mapping with memory. Not for advice that changes its contents.
    fn advise(&self, advice: Advice) -> Result<(), Errno> {
        // SAFETY: the range is this mapping, which lives as long as `self`; the kinds of advice in use decide
        // only which pages back it and when, and who inherits it, and leave its bytes alone.
        unsafe { madvise(self.base.as_ptr().cast(), self.len_bytes, advice) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `mmap` returned, unmapped once; whoever uses it keeps this.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len_bytes) };
    }
}

// SAFETY: what `mmap` returned begins at a page and is readable until it is unmapped, when this is dropped; a
// memfd that is sealed against shrinking keeps its bytes, as `Mapping::new` has seen that there are enough.
unsafe impl Memory for Mapping {
    fn span(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.base, self.len_bytes)
    }
}

/// A mapping that can be written.
#[derive(Debug)]
pub(crate) struct OwnMapping(Mapping);

impl OwnMapping {
    /// `len_bytes` of `fd`, readable and writable.
    ///
    /// # Errors
    /// [`MapError`].
    pub(crate) fn new(fd: impl AsFd, len_bytes: usize) -> Result<Self, MapError> {
        Mapping::new(fd.as_fd(), len_bytes, ProtFlags::READ | ProtFlags::WRITE).map(Self)
    }

    /// Has it backed.
    ///
    /// # Errors
    /// [`MapError::System`] when there is not enough memory to have all of it backed now.
    pub(crate) fn back(&self, backing: Backing) -> Result<(), MapError> {
        if backing.huge_pages {
            self.use_huge_pages();
        }
        if backing.prefault {
            self.prefault()?;
        }
        Ok(())
    }

    /// Asks for huge pages. Without effect where the kernel has none for shared memory, which whoever asked
    /// was told by the loader: the region works all the same.
    fn use_huge_pages(&self) {
        let _ = self.0.advise(Advice::LinuxHugepage);
    }

    /// Has all of it backed by memory now, so that no write to it has to wait for that later. Without
    /// effect before Linux 5.14.
    fn prefault(&self) -> Result<(), MapError> {
        match self.0.advise(Advice::LinuxPopulateWrite) {
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(MapError::System {
                len_bytes: self.0.len_bytes,
                source: errno.into(),
            }),
        }
    }
}

// SAFETY: as for the mapping in it.
unsafe impl Memory for OwnMapping {
    fn span(&self) -> NonNull<[u8]> {
        self.0.span()
    }
}

// SAFETY: mapped for writing, above.
unsafe impl OwnMemory for OwnMapping {}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::Ordering;
    use hacher_skipped::skipped;
    use rustix::fd::OwnedFd;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    fn region(len: u64) -> OwnedFd {
        let fd = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&fd, len).unwrap();
        fd
    }

    #[test]
    fn a_prefaulted_region_is_backed_before_it_is_written_and_still_zero() {
        const LEN_BYTES: usize = 64 * 1024;
        let memfd = region(LEN_BYTES as u64);
        let backed_bytes = || rustix::fs::fstat(&memfd).unwrap().st_blocks * 512;
        let mapping = OwnMapping::new(&memfd, LEN_BYTES).unwrap();
        mapping
            .back(Backing {
                huge_pages: true,
                prefault: false,
            })
            .unwrap();
        assert_eq!(backed_bytes(), 0);
        mapping
            .back(Backing {
                huge_pages: false,
                prefault: true,
            })
            .unwrap();
        if backed_bytes() == 0 {
            skipped!("this kernel cannot back memory beforehand");
            return;
        }
        assert_eq!(backed_bytes(), LEN_BYTES as i64);
        let region = OwnRegion::new(Box::new(mapping));
        assert_eq!(region.word(LEN_BYTES - 8).unwrap().load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_peer_reads_what_the_owner_wrote_and_a_dropped_mapping_is_gone() {
        let fd = region(8192);
        let own = plain(&fd, 8192).unwrap();
        let peer = peer(&fd, 8192).unwrap();
        assert!(own.write(100, b"hello"));
        drop(own);
        let mut bytes = [0; 5];
        assert!(peer.span(100, 5).unwrap().copy_to(&mut bytes));
        assert_eq!(&bytes, b"hello");
    }

    #[test]
    fn a_region_shorter_than_its_layout_is_refused() {
        assert!(matches!(own(region(100), 4096), Err(MapError::Short(_))));
        assert!(matches!(peer(region(100), 4096), Err(MapError::Short(_))));
    }
}
