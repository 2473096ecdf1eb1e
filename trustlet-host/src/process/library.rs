//! The shared objects that a program links: copied and measured once, and the same bytes at every start.
//!
//! Like a program's own bytes ([`super::image`]) they are copied into memory that the monitor alone can write
//! ([`super::shelf`]); the dynamic loader maps them from there. Where a machine has no mount namespaces,
//! programs see the files on disk instead; then what stands for "has not changed since it was measured" is
//! the identity of the file: device, inode, length, and both times of change.
#![allow(unsafe_code, reason = "dl_iterate_phdr is a C callback interface")]

use super::file_identity::FileIdentity;
use super::image::Measurement;
use super::measured_files::MeasuredFiles;
pub use super::shelf::LIBRARY_MAX_BYTES;
use super::shelf::{LibraryFile, Source};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr};
use std::io;
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
    /// There is no room for its copy.
    #[error("{path}: cannot be copied into memory: {source}")]
    Copy {
        /// The path as given.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot be read, or is no regular file.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// The path as given.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
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
    components.next() == Some(Component::RootDir)
        && path.file_name().is_some()
        && components.all(|part| matches!(part, Component::Normal(_)))
        && !path.as_os_str().as_bytes().contains(&0)
}

/// The shared objects that the running process has mapped, its dynamic loader among them: what another
/// process of the same executable (the daemon, the gateway) needs to start. Empty for a static executable.
///
/// # Errors
///
/// One of them cannot be measured, for instance because it was replaced on disk and the new one is being
/// written.
pub fn own_libraries(files: &mut MeasuredFiles) -> Result<Vec<Library>, LibraryError> {
    libraries(files, &loaded_libraries())
}

/// These libraries.
///
/// # Errors
/// As [`own_libraries`], or when there are too many.
pub fn libraries(files: &mut MeasuredFiles, loaded: &[LoadedLibrary]) -> Result<Vec<Library>, LibraryError> {
    // The loader is one of its own.
    if loaded.len() > LIBRARIES_MAX + 1 {
        return Err(LibraryError::TooMany);
    }
    let load = |library: &LoadedLibrary| load(files, &library.path, library.interpreter);
    loaded.iter().map(load).collect()
}

/// A library that a process has loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedLibrary {
    /// Where the loader found it.
    pub path: PathBuf,
    /// Whether it is the loader.
    pub interpreter: bool,
}

/// What this process has loaded, the loader last.
#[must_use]
pub fn loaded_libraries() -> Vec<LoadedLibrary> {
    let mut loaded = Loaded::default();
    // SAFETY: `visit` has the signature that dl_iterate_phdr calls, and `loaded` lives until it returns.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut loaded).cast()) };
    let interpreter = loaded.interpreter;
    let of = |path, interpreter| LoadedLibrary { path, interpreter };
    let paths = loaded.paths.into_iter();
    // The loader is listed under the name that the executable has for it.
    let others = paths
        .filter(|path| Some(path) != interpreter.as_ref())
        .map(|path| of(path, false));
    let mut libraries: Vec<_> = others.collect();
    libraries.extend(interpreter.map(|path| of(path, true)));
    libraries
}

fn load(files: &mut MeasuredFiles, path: &Path, interpreter: bool) -> Result<Library, LibraryError> {
    let file =
        open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| LibraryError::Read {
            path: path.to_owned(),
            source: errno.into(),
        })?;
    files.library(path, file.as_fd(), interpreter)
}

#[derive(Default)]
struct Loaded {
    paths: Vec<PathBuf>,
    interpreter: Option<PathBuf>,
}

/// Called once for each object, the executable (whose name is empty) and the kernel's vdso (not a path) among
/// them.
unsafe extern "C" fn visit(
    info: *mut libc::dl_phdr_info,
    _len_bytes: libc::size_t,
    loaded: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the pointer that `loaded_libraries` handed to dl_iterate_phdr, to a value that nobody else uses
    // meanwhile.
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
    // SAFETY: the loader keeps `dlpi_phnum` program headers at `dlpi_phdr`, mapped for as long as the object
    // is.
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
    use super::super::shelf::Shelf;
    use super::*;

    #[test]
    fn this_test_links_a_c_library_and_its_loader() {
        let libraries = own_libraries(&mut MeasuredFiles::new(Shelf::scales())).unwrap();
        if libraries.is_empty() {
            eprintln!("skipped: this test is a static executable");
            return;
        }
        let interpreters = libraries.iter().filter(|library| library.is_interpreter());
        assert_eq!(interpreters.count(), 1);
        let is_c_library = |library: &Library| library.path().to_string_lossy().contains("libc.so");
        assert!(libraries.iter().any(is_c_library));
        assert!(libraries.iter().all(|library| library.check_unchanged().is_ok()));
    }

    #[test]
    fn a_library_that_was_replaced_is_noticed_where_it_is_used_from_disk() {
        let path = std::env::temp_dir().join(format!("hacher-library-{}.so", std::process::id()));
        std::fs::write(&path, b"first").unwrap();
        let library = load(&mut MeasuredFiles::new(Shelf::scales()), &path, false).unwrap();
        assert_eq!(library.check_unchanged(), Ok(()));
        std::fs::write(path.with_extension("new"), b"other").unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
        let replaced = library.check_unchanged();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(replaced, Err(Errno::STALE));
        assert_eq!(library.check_unchanged(), Err(Errno::NOENT));
    }

    #[test]
    fn a_relative_or_climbing_path_is_refused() {
        let file = open("/proc/self/exe", OFlags::RDONLY, Mode::empty()).unwrap();
        let mut files = MeasuredFiles::new(Shelf::scales());
        for path in ["libc.so.6", "/lib/../etc/passwd", "/", "", "/lib/x\0y"] {
            let measured = files.library(Path::new(path), file.as_fd(), false);
            assert!(matches!(measured, Err(LibraryError::Path { .. })), "{path:?}");
        }
    }
}
