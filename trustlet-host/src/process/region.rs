//! Shared memory without a name, and the doorbell beside it (I1, I10).
//!
//! A region is a memfd: nothing of it is left anywhere once its last holder is gone. Its length is sealed, so
//! that no holder can make another one fault by truncating it. Who may write is decided by the descriptor
//! that is handed out: the kernel refuses to map an `O_RDONLY` descriptor writable, at first and later by
//! `mprotect`.

use hacher_libos_net::doorbell;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    MemfdFlags, Mode, OFlags, SealFlags, fchmod, fcntl_add_seals, ftruncate, memfd_create, open,
};
use rustix::io::Errno;
use std::io;

/// Anonymous shared memory of fixed length, as its creator holds it: readable and writable.
#[derive(Debug)]
pub struct Region {
    memfd: OwnedFd,
    len_bytes: u64,
}

impl Region {
    /// `len_bytes` zeros, backed by memory only where touched. `name` is shown in `/proc/PID/maps`.
    ///
    /// # Errors
    ///
    /// No descriptor or memory left, or `len_bytes` is beyond the largest file.
    pub fn create(name: &str, len_bytes: u64) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memfd = match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
            // Unknown before Linux 6.3.
            Err(Errno::INVAL) => memfd_create(name, flags)?,
            other => other?,
        };
        ftruncate(&memfd, len_bytes)?;
        // Whoever holds a read-only descriptor must not gain more by opening it again through /proc.
        fchmod(&memfd, Mode::RUSR)?;
        fcntl_add_seals(&memfd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self { memfd, len_bytes })
    }

    /// Length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// A new descriptor of the same memory that cannot be written or mapped writable.
    ///
    /// # Errors
    ///
    /// `/proc` is not mounted, or no descriptor is left.
    pub fn read_only(&self) -> io::Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", self.memfd.as_raw_fd());
        Ok(open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    }
}

impl AsFd for Region {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memfd.as_fd()
    }
}

impl From<Region> for OwnedFd {
    fn from(region: Region) -> Self {
        region.memfd
    }
}

/// What a consumer sleeps on, as its creator holds it: both ends, so that a ring never finds nobody there.
#[derive(Debug)]
pub struct Doorbell {
    own: OwnedFd,
    ringing: OwnedFd,
}

impl Doorbell {
    /// A doorbell that has not been rung.
    ///
    /// # Errors
    ///
    /// No descriptor left.
    pub fn create() -> io::Result<Self> {
        let (own, ringing) = doorbell::make()?;
        Ok(Self { own, ringing })
    }

    /// The end that its owner, and nobody else, is given.
    #[must_use]
    pub fn own(&self) -> BorrowedFd<'_> {
        self.own.as_fd()
    }

    /// The end that is rung.
    #[must_use]
    pub fn ringing(&self) -> BorrowedFd<'_> {
        self.ringing.as_fd()
    }

    /// An end that is rung, opened once more: what its holder makes of blocking mode is nobody else's.
    ///
    /// # Errors
    ///
    /// No descriptor left, or no `/proc`.
    pub fn ringing_apart(&self) -> io::Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", self.ringing.as_raw_fd());
        Ok(open(
            path,
            OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(unsafe_code, reason = "maps regions to see that it is refused")]

    use super::*;
    use rustix::io::{pwrite, read, write};
    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mprotect, munmap};
    use std::ptr::null_mut;

    #[test]
    fn a_reader_cannot_write_nor_map_for_writing() {
        let region = Region::create("outbox", 8192).unwrap();
        let reader = region.read_only().unwrap();
        assert_eq!(pwrite(&region, b"record", 0), Ok(6));
        let mut bytes = [0; 6];
        assert_eq!(read(&reader, &mut bytes), Ok(6));
        assert_eq!(&bytes, b"record");
        assert_eq!(write(&reader, b"x"), Err(Errno::BADF));
        let (both, shared) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let refused = unsafe { mmap(null_mut(), 8192, both, shared, &reader, 0) };
        assert_eq!(refused.unwrap_err(), Errno::ACCESS);
        // SAFETY: as above.
        let mapped = unsafe { mmap(null_mut(), 8192, ProtFlags::READ, shared, &reader, 0) }.unwrap();
        // SAFETY: the mapping is this test's own, and nothing refers to it.
        let upgraded = unsafe { mprotect(mapped, 8192, MprotectFlags::READ | MprotectFlags::WRITE) };
        assert_eq!(upgraded, Err(Errno::ACCESS));
        // SAFETY: as above; it is not used any more.
        unsafe { munmap(mapped, 8192) }.unwrap();
    }

    #[test]
    fn what_lies_in_a_region_is_not_executed() {
        use crate::process::fork::fork;
        let region = Region::create("outbox", 4096).unwrap();
        assert_eq!(pwrite(&region, b"#!/bin/true\n", 0), Ok(12));
        for fd in [region.read_only().unwrap(), region.into()] {
            // Of a copy, in whose place the program would be.
            let mut child = fork(0, || {
                let none = [std::ptr::null::<libc::c_char>()];
                // SAFETY: the path is NUL-terminated, and both arrays end with a null pointer.
                unsafe {
                    libc::syscall(
                        libc::SYS_execveat,
                        fd.as_raw_fd(),
                        c"".as_ptr(),
                        none.as_ptr(),
                        none.as_ptr(),
                        libc::AT_EMPTY_PATH,
                    )
                };
                io::Error::last_os_error().raw_os_error().unwrap_or(0)
            })
            .unwrap();
            let status = child
                .wait(rustix::process::WaitIdOptions::empty())
                .unwrap()
                .unwrap();
            assert_eq!(status.exit_status(), Some(libc::EACCES));
        }
    }

    #[test]
    fn nobody_changes_the_length_of_a_region() {
        let region = Region::create("outbox", 4096).unwrap();
        for len_bytes in [0, 8192] {
            assert_eq!(ftruncate(&region, len_bytes), Err(Errno::PERM));
        }
        assert_eq!(
            fcntl_add_seals(&region, SealFlags::FUTURE_WRITE),
            Err(Errno::PERM)
        );
        assert_eq!(region.len_bytes(), 4096);
    }

    #[test]
    fn an_end_that_was_opened_apart_blocks_or_not_by_itself() {
        use rustix::fs::{fcntl_getfl, fcntl_setfl};
        let doorbell = Doorbell::create().unwrap();
        let apart = doorbell.ringing_apart().unwrap();
        assert!(fcntl_getfl(&apart).unwrap().contains(OFlags::NONBLOCK));
        fcntl_setfl(&apart, OFlags::WRONLY).unwrap();
        assert!(
            fcntl_getfl(doorbell.ringing())
                .unwrap()
                .contains(OFlags::NONBLOCK)
        );
        // It is the same bell.
        assert_eq!(write(&apart, &[1]), Ok(1));
        assert_eq!(read(doorbell.own(), &mut [0; 8]), Ok(1));
    }

    #[test]
    fn a_doorbell_has_one_end_to_ring_and_one_to_hear() {
        let doorbell = Doorbell::create().unwrap();
        assert_eq!(write(doorbell.ringing(), &[1]), Ok(1));
        assert_eq!(write(doorbell.own(), &[1]), Err(Errno::BADF));
        assert_eq!(read(doorbell.ringing(), &mut [0; 8]), Err(Errno::BADF));
        assert_eq!(read(doorbell.own(), &mut [0; 8]), Ok(1));
    }
}
