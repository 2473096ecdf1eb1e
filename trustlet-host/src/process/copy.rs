//! Copies of files: measured while they are made, bounded, and refused if the file changes meanwhile.

use super::file_identity::FileIdentity;
use super::headroom::explained;
use ring::digest;
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, pread, write};
use std::io;

/// SHA-384 over the bytes of a file.
pub type Measurement = [u8; 48];

const COPY_BYTES: usize = 64 * 1024;

/// Why a file could not be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// It is longer than may be.
    #[error("it is longer than {max_bytes} bytes")]
    TooLong {
        /// The caller's bound.
        max_bytes: u64,
    },
    /// It cannot be read, or is no regular file.
    #[error("it cannot be read: {0}")]
    Read(#[source] io::Error),
    /// There is no room for the copy.
    #[error("it cannot be copied: {0}")]
    Write(#[source] io::Error),
    /// It was written to meanwhile.
    #[error("it changed while it was read")]
    Changed,
}

impl CopyError {
    pub(super) fn read(errno: Errno) -> Self {
        Self::Read(errno.into())
    }

    pub(super) fn write(errno: Errno) -> Self {
        Self::Write(explained(errno))
    }
}

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copied {
    /// The file, in the state in which it was copied.
    pub(super) identity: FileIdentity,
    /// Over the bytes of the copy.
    pub(super) measurement: Measurement,
    pub(super) len_bytes: u64,
}

/// Copies `file` from its first byte, whatever its offset is, to where `sink` stands, or nowhere, and measures
/// what was copied. The file is to be what it was when its `identity` was taken, also afterwards.
pub(super) fn copy(
    file: BorrowedFd<'_>,
    identity: FileIdentity,
    sink: Option<BorrowedFd<'_>>,
    max_bytes: u64,
) -> Result<Copied, CopyError> {
    let mut context = digest::Context::new(&digest::SHA384);
    let mut buffer = vec![0_u8; COPY_BYTES];
    let mut len_bytes = 0_u64;
    loop {
        let count = match pread(file, buffer.as_mut_slice(), len_bytes) {
            Ok(0) => break,
            Err(Errno::INTR) => continue,
            other => other.map_err(CopyError::read)?,
        };
        len_bytes += count as u64;
        if len_bytes > max_bytes {
            return Err(CopyError::TooLong { max_bytes });
        }
        let (copied, _) = buffer.split_at(count);
        context.update(copied);
        if let Some(sink) = sink {
            write_all(sink, copied).map_err(CopyError::write)?;
        }
    }
    if !FileIdentity::of(file)
        .map_err(CopyError::read)?
        .has_content_of(&identity)
    {
        return Err(CopyError::Changed);
    }
    let mut measurement = [0; 48];
    measurement.copy_from_slice(context.finish().as_ref());
    Ok(Copied {
        identity,
        measurement,
        len_bytes,
    })
}

/// Writes all of `bytes` to `sink`, however many calls that takes.
fn write_all(sink: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match write(sink, bytes) {
            Ok(count) => bytes = bytes.split_at(count).1,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;
    use std::fs::File;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::memfd_create("input", flags).unwrap());
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_copy_is_measured_from_the_first_byte_to_the_last_and_no_further_than_its_bound() {
        let input = file(&[7; 100_000]);
        let identity = FileIdentity::of(input.as_fd()).unwrap();
        let sink = file(b"");
        let copied = copy(input.as_fd(), identity, Some(sink.as_fd()), 100_000).unwrap();
        assert_eq!((copied.len_bytes, copied.identity), (100_000, identity));
        let whole = digest::digest(&digest::SHA384, &[7; 100_000]);
        assert_eq!(copied.measurement.as_slice(), whole.as_ref());
        assert_eq!(sink.metadata().unwrap().len(), 100_000);
        let refused = copy(input.as_fd(), identity, None, 99_999);
        assert!(matches!(refused, Err(CopyError::TooLong { max_bytes: 99_999 })));
    }

    #[test]
    fn a_file_that_gets_a_further_name_while_it_is_copied_has_not_changed() {
        let folder = std::env::temp_dir();
        let path = |name: &str| folder.join(format!("hacher-copy-{}-{name}", std::process::id()));
        std::fs::write(path("one"), "content").unwrap();
        let input = File::open(path("one")).unwrap();
        let identity = FileIdentity::of(input.as_fd()).unwrap();
        std::fs::hard_link(path("one"), path("other")).unwrap();
        let copied = copy(input.as_fd(), identity, None, 100);
        for name in ["one", "other"] {
            std::fs::remove_file(path(name)).unwrap();
        }
        assert_eq!(copied.unwrap().len_bytes, 7);
    }

    #[test]
    fn a_file_that_changes_while_it_is_copied_is_refused() {
        let mut input = file(b"before");
        let identity = FileIdentity::of(input.as_fd()).unwrap();
        input.write_all(b", and after").unwrap();
        let refused = copy(input.as_fd(), identity, None, 100);
        assert!(matches!(refused, Err(CopyError::Changed)));
    }
}
