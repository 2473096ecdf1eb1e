//! The shared objects that a process has mapped, as its dynamic loader tells of them.
#![allow(unsafe_code, reason = "dl_iterate_phdr is a C callback interface")]

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

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
