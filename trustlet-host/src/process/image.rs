//! The program of a trustlet: a sealed copy in memory, measured, and executed through the descriptor that was
//! measured.
//!
//! The file on disk can change between measuring and executing; the copy cannot: it is sealed before its
//! measurement is reported, and `execveat` runs that very descriptor. Its permission bits are "execute"
//! alone. A program that a process may execute but not read makes the kernel mark the process as not dumpable
//! from its first instruction (`would_dump` in the kernel's fs/exec.c), so that no process without privilege
//! can trace it, read its memory or list its descriptors, and the program need not be trusted to ask for
//! that.

use super::copy::{CopyError, copy, identity};
use super::file_identity::FileIdentity;
use super::headroom::explained;
use crate::linux::seals::add_seals;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, Mode, SealFlags, fchmod, fchown, memfd_create};
use rustix::io::Errno;
use rustix::process::{Gid, getegid, geteuid, getgroups};
use std::io;

pub use super::copy::Measurement;

/// A measured program. Any number of processes can be started from one.
#[derive(Debug)]
pub struct Image {
    memfd: OwnedFd,
    measurement: Measurement,
    len_bytes: u64,
}

/// Why a program could not become an [`Image`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// It could not be copied.
    #[error("cannot use the executable: {0}")]
    Copy(#[from] CopyError),
    /// The sealed copy could not be made.
    #[error("cannot make a sealed copy of the executable in memory: {0}")]
    Seal(#[source] io::Error),
    /// The kernel makes no executable memory at all.
    #[error("cannot make executable memory: {0} (is vm.memfd_noexec set to 2?)")]
    NotExecutable(#[source] io::Error),
}

impl Image {
    /// Copies `file` from its first byte, whatever its offset is, into sealed memory and measures what was
    /// copied. `name` is shown by the kernel, for instance by `ps`.
    ///
    /// # Errors
    ///
    /// The file is longer than `max_bytes`, cannot be read, or the kernel refuses executable sealed memory.
    pub fn load(name: &str, file: BorrowedFd<'_>, max_bytes: u64) -> Result<Self, ImageError> {
        Self::load_known(name, file, identity(file)?, max_bytes)
    }

    /// As [`Image::load`], of a file whose `identity` was taken before.
    pub(super) fn load_known(
        name: &str,
        file: BorrowedFd<'_>,
        identity: FileIdentity,
        max_bytes: u64,
    ) -> Result<Self, ImageError> {
        let memfd = executable_memfd(name).map_err(|errno| match errno {
            Errno::ACCESS => ImageError::NotExecutable(errno.into()),
            errno => ImageError::Seal(explained(errno)),
        })?;
        let copied = copy(file, identity, Some(memfd.as_fd()), max_bytes)?;
        seal(&memfd).map_err(|errno| ImageError::Seal(explained(errno)))?;
        Ok(Self {
            memfd,
            measurement: copied.measurement,
            len_bytes: copied.len_bytes,
        })
    }

    /// SHA-384 over exactly the bytes that will run.
    #[must_use]
    pub fn measurement(&self) -> &Measurement {
        &self.measurement
    }

    /// Length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The sealed memory. To be executed, and read by nobody but the monitor.
    pub(super) fn memfd(&self) -> BorrowedFd<'_> {
        self.memfd.as_fd()
    }
}

fn executable_memfd(name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create(name, flags | MemfdFlags::EXEC) {
        // Before Linux 6.3 every memfd was executable and the flag unknown.
        Err(Errno::INVAL) => memfd_create(name, flags),
        other => other,
    }
}

fn seal(memfd: &OwnedFd) -> rustix::io::Result<()> {
    fchmod(memfd, Mode::XUSR | Mode::XGRP | Mode::XOTH)?;
    if let Some(group) = unmapped_group() {
        // Not being able to is no error: see `unmapped_group`.
        let _ = fchown(memfd, None, Some(group));
    }
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK;
    match add_seals(memfd, seals | SealFlags::EXEC | SealFlags::SEAL) {
        // F_SEAL_EXEC exists since Linux 6.3.
        Err(Errno::INVAL) => add_seals(memfd, seals | SealFlags::SEAL),
        other => other,
    }
}

/// A group of an ordinary user that no trustlet's user namespace maps.
///
/// The kernel guards the memory of a process that is not dumpable by the innermost user namespace that maps
/// owner and group of its program. If that is the trustlet's own, any other process of the user who runs the
/// monitor may still look inside, because it runs as the owner of that namespace. Only the user's primary
/// group is mapped, so giving the image to a supplementary one closes that too, where the user has one. (Root
/// needs no such help: it owns the image, and is never mapped.)
fn unmapped_group() -> Option<Gid> {
    if geteuid().is_root() {
        return None;
    }
    let primary = getegid();
    getgroups().ok()?.into_iter().find(|&group| group != primary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::digest;
    use rustix::fs::fcntl_add_seals;
    use rustix::io::write;
    use std::io::{Seek, SeekFrom, Write};

    fn file(bytes: &[u8]) -> std::fs::File {
        let mut file = std::fs::File::from(memfd_create("input", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(bytes).unwrap();
        file.seek(SeekFrom::Start(3)).unwrap();
        file
    }

    #[test]
    fn the_measurement_is_that_of_the_bytes() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let image = Image::load("input", file(&bytes).as_fd(), 200_000).unwrap();
        assert_eq!(
            image.measurement().as_slice(),
            digest::digest(&digest::SHA384, &bytes).as_ref()
        );
        assert_eq!(image.len_bytes(), 200_000);
    }

    #[test]
    fn a_longer_file_than_allowed_is_refused() {
        let refused = Image::load("input", file(&[0; 101]).as_fd(), 100);
        assert!(matches!(
            refused,
            Err(ImageError::Copy(CopyError::TooLong { max_bytes: 100 }))
        ));
    }

    #[test]
    fn an_image_cannot_be_changed_any_more() {
        let image = Image::load("input", file(b"program").as_fd(), 100).unwrap();
        assert_eq!(write(image.memfd(), b"x"), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(image.memfd(), 0), Err(Errno::PERM));
        assert_eq!(
            fcntl_add_seals(image.memfd(), SealFlags::FUTURE_WRITE),
            Err(Errno::PERM)
        );
    }
}
