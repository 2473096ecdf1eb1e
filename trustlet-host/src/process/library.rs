//! The shared objects that a program links: measured once, and the same file again at every start.
//!
//! A program's own bytes are copied and sealed ([`super::image`]); its libraries are mapped by the dynamic loader
//! from where they lie, so that their memory is shared with everything else that uses them. What stands for "has not
//! changed since it was measured" is the identity of the file: device, inode, length, and both times of change. A
//! process that can write a library without leaving such a trace owns the machine already.
#![allow(unsafe_code, reason = "dl_iterate_phdr is a C callback interface")]

use super::file_identity::FileIdentity;
use super::image::Measurement;
use ring::digest;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, pread};
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

const READ_BYTES: usize = 64 * 1024;
/// Longer shared objects are refused: hashing one must not hold up the monitor for long.
pub const LIBRARY_MAX_BYTES: u64 = 1 << 30;
/// Most shared objects of one program.
pub const LIBRARIES_MAX: usize = 256;

/// A measured shared object, bound read-only to the same path in the jail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    path: PathBuf,
    measurement: Measurement,
    identity: FileIdentity,
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
    /// Longer than [`LIBRARY_MAX_BYTES`].
    #[error("{path}: longer than {LIBRARY_MAX_BYTES} bytes")]
    TooLong {
        /// The path as given.
        path: PathBuf,
    },
    /// More than [`LIBRARIES_MAX`].
    #[error("this program has more than {LIBRARIES_MAX} shared objects")]
    TooMany,
    /// It changed while it was read.
    #[error("{path}: changed while it was being measured")]
    Changed {
        /// The path as given.
        path: PathBuf,
    },
    /// It cannot be read, or is no regular file.
    #[error("{path}: cannot be read")]
    Read {
        /// The path as given.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl Library {
    /// Measures the file behind `file`, which the dynamic loader will look for at `path`. `interpreter`: it is the
    /// loader itself (the program's `PT_INTERP`), the only one that the kernel has to be allowed to execute.
    ///
    /// # Errors
    ///
    /// A path that is not absolute and plain, a file that is too long, unreadable or changing.
    pub fn measure(path: &Path, file: BorrowedFd<'_>, interpreter: bool) -> Result<Self, LibraryError> {
        let owned = || path.to_owned();
        if !is_plain(path) {
            return Err(LibraryError::Path { path: owned() });
        }
        let read = |errno: Errno| LibraryError::Read {
            path: owned(),
            source: errno.into(),
        };
        let identity = FileIdentity::of(file).map_err(read)?;
        let mut context = digest::Context::new(&digest::SHA384);
        let mut buffer = vec![0_u8; READ_BYTES];
        let mut position = 0_u64;
        loop {
            let count = match pread(file, buffer.as_mut_slice(), position) {
                Ok(0) => break,
                Err(Errno::INTR) => continue,
                other => other.map_err(read)?,
            };
            position += count as u64;
            if position > LIBRARY_MAX_BYTES {
                return Err(LibraryError::TooLong { path: owned() });
            }
            context.update(buffer.split_at(count).0);
        }
        if FileIdentity::of(file).map_err(read)? != identity {
            return Err(LibraryError::Changed { path: owned() });
        }
        let mut measurement = [0; 48];
        measurement.copy_from_slice(context.finish().as_ref());
        Self::of_known(path, identity, measurement, interpreter)
    }

    /// The library at `path` whose file is known to have this measurement while it has this identity.
    pub(super) fn of_known(
        path: &Path,
        identity: FileIdentity,
        measurement: Measurement,
        interpreter: bool,
    ) -> Result<Self, LibraryError> {
        if !is_plain(path) {
            return Err(LibraryError::Path {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            measurement,
            identity,
            interpreter,
        })
    }

    /// Opens `path` and measures what is found there, as [`Library::measure`] does.
    ///
    /// # Errors
    ///
    /// As [`Library::measure`], or the file cannot be opened.
    pub fn open(path: &Path, interpreter: bool) -> Result<Self, LibraryError> {
        let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| {
            LibraryError::Read {
                path: path.to_owned(),
                source: errno.into(),
            }
        })?;
        Self::measure(path, file.as_fd(), interpreter)
    }

    /// Where the loader looks for it, outside and inside of the jail.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-384 over its bytes when it was measured.
    #[must_use]
    pub fn measurement(&self) -> &Measurement {
        &self.measurement
    }

    /// Which file it was when it was measured.
    pub(super) fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Whether it is the program's dynamic loader.
    #[must_use]
    pub fn is_interpreter(&self) -> bool {
        self.interpreter
    }

    /// Whether the path still leads to the very file that was measured.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.reopen().is_ok()
    }

    /// The file at the path as a bare `O_PATH` descriptor, if it is the one that was measured (`ESTALE` if not).
    pub(super) fn reopen(&self) -> Result<OwnedFd, Errno> {
        let file = open(&self.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        if FileIdentity::of(file.as_fd())? == self.identity {
            Ok(file)
        } else {
            Err(Errno::STALE)
        }
    }
}

/// Absolute, with nothing in it but names.
fn is_plain(path: &Path) -> bool {
    let mut components = path.components();
    components.next() == Some(Component::RootDir)
        && path.file_name().is_some()
        && components.all(|part| matches!(part, Component::Normal(_)))
        && !path.as_os_str().as_bytes().contains(&0)
}

/// The shared objects that the running process has mapped, its dynamic loader among them: what another process of
/// the same executable (the daemon, the gateway) needs to start. Empty for a static executable.
///
/// # Errors
///
/// One of them cannot be measured, for instance because it was replaced on disk and the new one is being written.
pub fn own_libraries() -> Result<Vec<Library>, LibraryError> {
    let mut loaded = Loaded::default();
    // SAFETY: `visit` has the signature that dl_iterate_phdr calls, and `loaded` lives until it returns.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut loaded).cast()) };
    if loaded.paths.len() > LIBRARIES_MAX {
        return Err(LibraryError::TooMany);
    }
    let interpreter = loaded.interpreter;
    let mut libraries = Vec::with_capacity(loaded.paths.len() + 1);
    for path in loaded.paths {
        // The loader is listed under the name that the executable has for it.
        if Some(&path) != interpreter.as_ref() {
            libraries.push(Library::open(&path, false)?);
        }
    }
    if let Some(path) = interpreter {
        libraries.push(Library::open(&path, true)?);
    }
    Ok(libraries)
}

#[derive(Default)]
struct Loaded {
    paths: Vec<PathBuf>,
    interpreter: Option<PathBuf>,
}

/// Called once for each object, the executable (whose name is empty) and the kernel's vdso (not a path) among them.
unsafe extern "C" fn visit(
    info: *mut libc::dl_phdr_info,
    _len_bytes: libc::size_t,
    loaded: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the pointer that `own_libraries` handed to dl_iterate_phdr, to a value that nobody else uses meanwhile.
    let loaded = unsafe { &mut *loaded.cast::<Loaded>() };
    // SAFETY: dl_iterate_phdr passes a valid structure for the time of the call.
    let info = unsafe { &*info };
    // SAFETY: `dlpi_name` is a NUL-terminated string of the loader.
    let name = unsafe { CStr::from_ptr(info.dlpi_name) };
    if name.is_empty() {
        loaded.interpreter = loaded.interpreter.take().or_else(|| interpreter_of(info));
    } else if name.to_bytes().first() == Some(&b'/') {
        loaded
            .paths
            .push(PathBuf::from(OsStr::from_bytes(name.to_bytes())));
    }
    0
}

fn interpreter_of(info: &libc::dl_phdr_info) -> Option<PathBuf> {
    // SAFETY: the loader keeps `dlpi_phnum` program headers at `dlpi_phdr`, mapped for as long as the object is.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let header = headers.iter().find(|header| header.p_type == libc::PT_INTERP)?;
    let address = usize::try_from(info.dlpi_addr.wrapping_add(header.p_vaddr)).ok()?;
    let text = std::ptr::with_exposed_provenance(address);
    // SAFETY: PT_INTERP of a loaded executable is a NUL-terminated path inside of a mapped, constant segment.
    let path = unsafe { CStr::from_ptr(text) };
    Some(PathBuf::from(OsStr::from_bytes(path.to_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_links_a_c_library_and_its_loader() {
        let libraries = own_libraries().unwrap();
        if libraries.is_empty() {
            eprintln!("skipped: this test is a static executable");
            return;
        }
        assert_eq!(
            libraries
                .iter()
                .filter(|library| library.is_interpreter())
                .count(),
            1
        );
        assert!(
            libraries
                .iter()
                .any(|library| library.path().to_string_lossy().contains("libc.so"))
        );
        assert!(libraries.iter().all(Library::is_unchanged));
    }

    #[test]
    fn a_library_that_was_replaced_is_noticed() {
        let path = std::env::temp_dir().join(format!("hacher-library-{}.so", std::process::id()));
        std::fs::write(&path, b"first").unwrap();
        let library = Library::open(&path, false).unwrap();
        assert!(library.is_unchanged());
        std::fs::write(path.with_extension("new"), b"other").unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
        let unchanged = library.is_unchanged();
        std::fs::remove_file(&path).unwrap();
        assert!(!unchanged);
        assert!(!library.is_unchanged());
    }

    #[test]
    fn a_relative_or_climbing_path_is_refused() {
        let file = open("/proc/self/exe", OFlags::RDONLY, Mode::empty()).unwrap();
        for path in ["libc.so.6", "/lib/../etc/passwd", "/", "", "/lib/x\0y"] {
            let measured = Library::measure(Path::new(path), file.as_fd(), false);
            assert!(matches!(measured, Err(LibraryError::Path { .. })), "{path:?}");
        }
    }
}
