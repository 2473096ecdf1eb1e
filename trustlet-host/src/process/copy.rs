//! Copies of files: measured while they are made, bounded, and refused if the file changes meanwhile.

use super::file_identity::FileIdentity;
use super::headroom::explained;
use crate::linux::unhurried::{PATIENCE, Steps, asked};
use ring::digest;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::fstatfs;
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
    /// Each process has a copy of its own.
    #[error(
        "each process has copies of its own here, so the files of a function have at most {max_bytes} bytes together \
         (Linux 6.15 or later shares them)"
    )]
    Unshared {
        /// The bound.
        max_bytes: u64,
    },
    /// The kernel makes up what it holds whenever it is read.
    #[error("it lies in a file system of the kernel, whose files have no content of their own")]
    MadeUp,
    /// It cannot be read, or is no regular file.
    #[error("it cannot be read: {0}")]
    Read(#[source] io::Error),
    /// There is no room for the copy.
    #[error("it cannot be copied: {0}")]
    Write(#[source] io::Error),
    /// It was written to meanwhile.
    #[error("it changed while it was read")]
    Changed,
    /// The file system that it lies in keeps whoever asks waiting.
    #[error("its file system has not answered for {} s", PATIENCE.as_secs())]
    Unanswered,
    /// The monitor is asked to stop.
    #[error("the monitor was asked to stop meanwhile")]
    Stopped,
}

impl CopyError {
    pub(super) fn read(errno: Errno) -> Self {
        Self::Read(errno.into())
    }

    pub(super) fn write(errno: Errno) -> Self {
        Self::Write(explained(errno))
    }

    /// Of [`asked`].
    pub(crate) fn unanswered(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::TIMEDOUT) => Self::Unanswered,
            Some(Errno::CANCELED) => Self::Stopped,
            Some(errno) => Self::Read(explained(errno)),
            None => Self::Read(error),
        }
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

/// Which file it is that `file` leads to, and in which state.
pub(super) fn identity(file: BorrowedFd<'_>) -> Result<FileIdentity, CopyError> {
    let file = file.try_clone_to_owned().map_err(CopyError::Read)?;
    asked(PATIENCE, move |_| FileIdentity::of(file.as_fd()))
        .map_err(CopyError::unanswered)?
        .map_err(CopyError::read)
}

/// Copies `file` from its first byte, whatever its offset is, to where `sink` stands, or nowhere, and
/// measures what was copied. The file is to be what it was when its `identity` was taken, also afterwards.
pub(super) fn copy(
    file: BorrowedFd<'_>,
    identity: FileIdentity,
    sink: Option<BorrowedFd<'_>>,
    max_bytes: u64,
) -> Result<Copied, CopyError> {
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned();
    let file = own(file).map_err(CopyError::Read)?;
    let sink = sink.map(own).transpose().map_err(CopyError::Write)?;
    asked(PATIENCE, move |steps| {
        copy_by_steps(
            file.as_fd(),
            identity,
            sink.as_ref().map(AsFd::as_fd),
            max_bytes,
            steps,
        )
    })
    .map_err(CopyError::unanswered)?
}

fn copy_by_steps(
    file: BorrowedFd<'_>,
    identity: FileIdentity,
    sink: Option<BorrowedFd<'_>>,
    max_bytes: u64,
    steps: &Steps,
) -> Result<Copied, CopyError> {
    if is_made_up(file).map_err(CopyError::read)? {
        return Err(CopyError::MadeUp);
    }
    let announced_bytes = identity.len_bytes();
    if announced_bytes > max_bytes {
        return Err(CopyError::TooLong { max_bytes });
    }
    let mut context = digest::Context::new(&digest::SHA384);
    let mut buffer = vec![0_u8; COPY_BYTES];
    let mut len_bytes = 0_u64;
    // No further: a file that is longer than it says may have no end, or wait for somebody at its end.
    while len_bytes < announced_bytes {
        let left_bytes = usize::try_from(announced_bytes - len_bytes).unwrap_or(COPY_BYTES);
        let (room, _) = buffer.split_at_mut(left_bytes.min(COPY_BYTES));
        let count = match pread(file, room, len_bytes) {
            Ok(0) => return Err(CopyError::Changed),
            Err(Errno::INTR) => continue,
            other => other.map_err(CopyError::read)?,
        };
        steps.count();
        len_bytes += count as u64;
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

/// Whether a file lies in one of the kernel's own file systems, which make up what it holds whenever it is
/// read.
///
/// # Errors
/// When the kernel does not say.
pub fn is_made_up(file: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    // Of linux/magic.h: procfs, sysfs, debugfs, tracefs, securityfs.
    const KINDS: [i128; 5] = [0x9fa0, 0x6265_6572, 0x6462_6720, 0x7472_6163, 0x7363_6673];
    let kind = i128::from(fstatfs(file)?.f_type);
    Ok(KINDS.contains(&kind))
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
    use hacher_skipped::skipped;
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

    #[test]
    fn what_the_kernel_makes_up_is_not_read() {
        // Reading the first would wait for the kernel to say something.
        for path in ["/proc/kmsg", "/proc/version", "/sys/kernel/uevent_seqnum"] {
            let Ok(file) = File::open(path) else {
                skipped!("{path} cannot be opened");
                continue;
            };
            let identity = FileIdentity::of(file.as_fd()).unwrap();
            let copied = copy(file.as_fd(), identity, None, 100);
            assert!(matches!(copied, Err(CopyError::MadeUp)), "{path}: {copied:?}");
        }
    }

    #[test]
    fn nothing_is_read_past_what_a_file_said_and_less_is_no_copy() {
        let file = file(&[7; 300]);
        let identity = FileIdentity::of(file.as_fd()).unwrap();
        for len_bytes in [100, 301] {
            file.set_len(len_bytes).unwrap();
            let copied = copy(file.as_fd(), identity, None, 1000);
            assert!(
                matches!(copied, Err(CopyError::Changed)),
                "{len_bytes}: {copied:?}"
            );
        }
    }
}
