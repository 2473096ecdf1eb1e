//! Which file a descriptor leads to, and in which state of it.

use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

/// Of a file's mode: somebody may execute it.
const EXECUTABLE_BITS: u32 = 0o111;

/// What stands for the bytes of a regular file without reading them: any write leaves another time of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
    len_bytes: i64,
    modified: (i64, i64),
    changed: (i64, i64),
    executable: bool,
}

impl FileIdentity {
    /// That of the file behind `file`; `EINVAL` if it is no regular file. Waits for the file system.
    pub(super) fn of(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        let stat = fstat(file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL);
        }
        Ok(Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            len_bytes: stat.st_size,
            modified: (stat.st_mtime, nanoseconds(stat.st_mtime_nsec)),
            changed: (stat.st_ctime, nanoseconds(stat.st_ctime_nsec)),
            executable: stat.st_mode & EXECUTABLE_BITS != 0,
        })
    }

    /// Whether somebody may execute it.
    pub(super) fn is_executable(&self) -> bool {
        self.executable
    }

    /// How long it says it is.
    pub(super) fn len_bytes(&self) -> u64 {
        u64::try_from(self.len_bytes).unwrap_or(0)
    }

    /// Whether nobody has written to it in between. A further name, or other permissions, are no writing.
    pub(super) fn has_content_of(&self, other: &Self) -> bool {
        let Self {
            device,
            inode,
            len_bytes,
            modified,
            changed: _,
            executable: _,
        } = self;
        (device, inode, len_bytes, modified)
            == (&other.device, &other.inode, &other.len_bytes, &other.modified)
    }
}

/// The type of this field differs between architectures.
fn nanoseconds(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
