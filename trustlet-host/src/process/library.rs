//! The shared objects that a program links: copied and measured once, and the same bytes at every start.
//!
//! Like a program's own bytes ([`super::image`]) they are copied into memory that the monitor alone can write
//! ([`super::shelf`]); the dynamic loader maps them from there. Where a machine has no mount namespaces,
//! programs see the files on disk instead; then what stands for "has not changed since it was measured" is
//! the identity of the file: device, inode, length, and both times of change.

use super::copy::{CopyError, Measurement};
use super::file_identity::FileIdentity;
pub use super::shelf::LIBRARY_MAX_BYTES;
use super::shelf::{LibraryFile, Source};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// Most shared objects of one program.
pub const LIBRARIES_MAX: usize = 256;

/// A measured shared object, seen read-only at its path in the jail.
#[derive(Debug, Clone)]
pub struct Library {
    path: PathBuf,
    file: Rc<LibraryFile>,
    interpreter: bool,
}

/// Why a file cannot be a [`Library`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// Relative, or with `..` or a NUL byte in it.
    #[error("{path}: a library needs an absolute path without \"..\"")]
    Path {
        /// The path as given.
        path: PathBuf,
    },
    /// More than [`LIBRARIES_MAX`].
    #[error("more than {LIBRARIES_MAX} libraries")]
    TooMany,
    /// It cannot be copied.
    #[error("{path}: {source}")]
    Copy {
        /// The path as given.
        path: PathBuf,
        /// Why not.
        source: CopyError,
    },
}

impl Library {
    /// The library that `file` holds, which the dynamic loader will look for at `path`. `interpreter`: it is
    /// the loader itself (the program's `PT_INTERP`), the only one that the kernel has to be allowed to
    /// execute.
    pub(super) fn new(path: &Path, file: Rc<LibraryFile>, interpreter: bool) -> Result<Self, LibraryError> {
        if !is_plain(path) {
            return Err(LibraryError::Path {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            interpreter,
        })
    }

    /// Where the loader looks for it in the jail.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-384 over the bytes that programs see.
    #[must_use]
    pub fn measurement(&self) -> &Measurement {
        &self.file.measurement
    }

    /// Length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.file.len_bytes
    }

    /// Whether it is the program's dynamic loader.
    #[must_use]
    pub fn is_interpreter(&self) -> bool {
        self.interpreter
    }

    /// Whether both are seen at different paths, but are one file; some C libraries go by that.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.file, &other.file)
    }

    /// How a process in a root of its own gets at it.
    pub(super) fn source(&self) -> Result<Source<'_>, Errno> {
        self.file.source()
    }

    /// For a process that sees the machine's own files: `ESTALE` if the path leads to another file than was
    /// measured.
    pub(super) fn check_unchanged(&self) -> Result<(), Errno> {
        let file = open(&self.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        if FileIdentity::of(file.as_fd())? == self.file.identity {
            Ok(())
        } else {
            Err(Errno::STALE)
        }
    }
}

/// Absolute, with nothing in it but names.
fn is_plain(path: &Path) -> bool {
    let mut components = path.components();
    // Written in the one way that there is for it: as text it is compared with other places.
    let is_normal = components.as_path().as_os_str() == path.as_os_str();
    is_normal
        && components.next() == Some(Component::RootDir)
        && path.file_name().is_some()
        && components.all(|part| matches!(part, Component::Normal(_)))
        && !path.as_os_str().as_bytes().contains(&0)
}

#[cfg(test)]
mod tests {
    use super::super::shelf::Shelf;
    use super::*;

    #[test]
    fn a_library_that_was_replaced_is_noticed_where_it_is_used_from_disk() {
        let path = std::env::temp_dir().join(format!("hacher-library-{}.so", std::process::id()));
        std::fs::write(&path, b"first").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let copy = Rc::new(
            Shelf::scales()
                .put(file.as_fd(), FileIdentity::of(file.as_fd()).unwrap())
                .unwrap(),
        );
        let library = Library::new(&path, copy, false).unwrap();
        assert_eq!(library.check_unchanged(), Ok(()));
        std::fs::write(path.with_extension("new"), b"other").unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
        let replaced = library.check_unchanged();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(replaced, Err(Errno::STALE));
        assert_eq!(library.check_unchanged(), Err(Errno::NOENT));
    }
}
