//! What a small file holds, read whole, within a bound, and without ever waiting on it: a path can lead to a
//! directory, a FIFO that nobody writes to, or a device. And a sealed copy of it in memory, which stays as it
//! is whatever becomes of the file.

use super::seals::add_seals;
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, SealFlags, memfd_create};
use rustix::io::Errno;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Why a file's content is not to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The kernel refused.
    #[error("{0}")]
    Os(#[from] io::Error),
    /// It is something else than a file.
    #[error("it is {0}, not a file")]
    Kind(&'static str),
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// There is too much in it.
    #[error("it has more than {max_bytes} bytes")]
    TooLong {
        /// The caller's bound.
        max_bytes: usize,
    },
}

/// The bytes of a file; wiped when dropped, as they may be a key.
pub struct Content(Zeroizing<Vec<u8>>);

impl Content {
    /// The bytes, at least one.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Reads the file at `path`, of at most `max_bytes`.
///
/// # Errors
/// [`ContentError`].
pub fn read(path: &Path, max_bytes: usize) -> Result<Content, ContentError> {
    // Opening a device can have effects, so its kind is asked for first; and again of what was opened.
    check_kind(&std::fs::metadata(path)?)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    check_kind(&file.metadata()?)?;
    read_open(file, max_bytes)
}

fn read_open(file: File, max_bytes: usize) -> Result<Content, ContentError> {
    // One byte more than may be shows a file that is too long. The buffer never moves, which would leave a
    // copy behind.
    let room = max_bytes.saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let limit = u64::try_from(room).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes)?;
    match bytes.len() {
        0 => Err(ContentError::Empty),
        len if len > max_bytes => Err(ContentError::TooLong { max_bytes }),
        _ => Ok(Content(bytes)),
    }
}

fn check_kind(metadata: &Metadata) -> Result<(), ContentError> {
    let kind = metadata.file_type();
    let what = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "a directory",
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(ContentError::Kind(what))
}

/// A sealed file in memory that holds `bytes`. `name` is for people who look at descriptors.
///
/// # Errors
/// No descriptor or memory is left.
pub fn sealed_copy(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memfd = match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Unknown before Linux 6.3.
        Err(Errno::INVAL) => memfd_create(name, flags)?,
        other => other?,
    };
    let mut file = File::from(memfd);
    file.write_all(bytes)?;
    let memfd = OwnedFd::from(file);
    add_seals(
        &memfd,
        SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL,
    )?;
    Ok(memfd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    /// A folder that is removed again.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("hacher-content-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_read_whole_up_to_its_bound() {
        let folder = Folder::new("bound");
        let path = folder.0.join("file");
        std::fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read(&path, 100).unwrap().as_bytes(), [7; 100]);
        assert!(matches!(
            read(&path, 99),
            Err(ContentError::TooLong { max_bytes: 99 })
        ));
        std::fs::write(&path, []).unwrap();
        assert!(matches!(read(&path, 100), Err(ContentError::Empty)));
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let folder = Folder::new("kinds");
        let fifo = folder.0.join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        // Nobody writes to it: a read that waited would not come back.
        assert!(matches!(read(&fifo, 9), Err(ContentError::Kind("a FIFO"))));
        assert!(matches!(
            read(&folder.0, 9),
            Err(ContentError::Kind("a directory"))
        ));
        assert!(matches!(
            read(Path::new("/dev/null"), 9),
            Err(ContentError::Kind("a device"))
        ));
        assert!(matches!(
            read(&folder.0.join("none"), 9),
            Err(ContentError::Os(_))
        ));
    }

    #[test]
    fn a_sealed_copy_holds_what_it_was_given_and_cannot_be_written() {
        let copy = File::from(sealed_copy("test", b"content").unwrap());
        let mut bytes = [0; 7];
        copy.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"content");
        assert!(copy.write_at(b"x", 0).is_err());
        assert!(copy.set_len(0).is_err());
    }
}
