//! What an ELF executable links: its interpreter and, in turn, all shared libraries. A trustlet sees these files and
//! no others, each at the path where the dynamic loader looks for it.

use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, ReadCache, ReadRef, elf};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Where the dynamic loader looks by default, in its order (ld.so(8)), with the folders of multi-architecture systems.
const DEFAULT_FOLDERS: [&str; 6] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];
/// Most libraries of one executable.
const LIBRARIES_MAX: usize = 32;
/// Longest dynamic section, name of an interpreter, or table of names.
const PIECE_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// An executable that cannot be run here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// It could not be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not a 64-bit ELF file of this machine.
    #[error("`{path}` is not a 64-bit Linux executable: {reason}")]
    NotElf {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A library is nowhere to be found.
    #[error("the library `{name}` that `{by}` links is not in the dynamic loader's folders")]
    Missing {
        /// The library.
        name: String,
        /// The file that links it.
        by: PathBuf,
    },
    /// There are too many.
    #[error("it links more than {LIBRARIES_MAX} libraries")]
    TooMany,
}

/// A file that an executable links.
#[derive(Debug)]
pub struct Linked {
    /// Where the dynamic loader looks for it.
    pub path: PathBuf,
    /// The file, opened.
    pub file: File,
    /// Whether it is the dynamic loader itself.
    pub interpreter: bool,
}

#[derive(Debug, Default)]
struct Links {
    interpreter: Option<PathBuf>,
    needed: Vec<String>,
    folders: Vec<PathBuf>,
}

/// Finds all that `executable` links, the interpreter first. Nothing for one that is linked statically.
///
/// # Errors
/// [`ElfError`].
pub fn linked(executable: &File, path: &Path) -> Result<Vec<Linked>, ElfError> {
    let links = read_links(executable, path)?;
    let mut found: Vec<Linked> = Vec::new();
    let mut seen = BTreeSet::new();
    if let Some(interpreter) = &links.interpreter {
        let file = open(interpreter)?;
        seen.extend(
            interpreter
                .file_name()
                .map(|name| name.to_string_lossy().into_owned()),
        );
        found.push(Linked {
            path: interpreter.clone(),
            file,
            interpreter: true,
        });
    }
    let mut waiting: Vec<(String, PathBuf, Vec<PathBuf>)> = links
        .needed
        .into_iter()
        .map(|name| (name, path.to_owned(), links.folders.clone()))
        .collect();
    while let Some((name, by, folders)) = waiting.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        if found.len() >= LIBRARIES_MAX {
            return Err(ElfError::TooMany);
        }
        let (path, file) = find(&name, &folders).ok_or(ElfError::Missing { name, by })?;
        let links = read_links(&file, &path)?;
        waiting.extend(
            links
                .needed
                .into_iter()
                .map(|name| (name, path.clone(), links.folders.clone())),
        );
        found.push(Linked {
            path,
            file,
            interpreter: false,
        });
    }
    Ok(found)
}

fn open(path: &Path) -> Result<File, ElfError> {
    File::open(path).map_err(|source| ElfError::Read {
        path: path.to_owned(),
        source,
    })
}

fn find(name: &str, folders: &[PathBuf]) -> Option<(PathBuf, File)> {
    let defaults = DEFAULT_FOLDERS.iter().map(PathBuf::from);
    folders
        .iter()
        .cloned()
        .chain(defaults)
        .map(|folder| folder.join(name))
        .find_map(|path| {
            let file = File::open(&path).ok()?;
            file.metadata().ok()?.is_file().then_some((path, file))
        })
}

fn read_links(file: &File, path: &Path) -> Result<Links, ElfError> {
    // A second reader of the same open file would share its position with the monitor's; this one starts over.
    let again = open_again(file).map_err(|source| ElfError::Read {
        path: path.to_owned(),
        source,
    })?;
    // Headers and names only: most of a large executable is never looked at.
    parse(&ReadCache::new(again)).map_err(|reason| ElfError::NotElf {
        path: path.to_owned(),
        reason,
    })
}

/// Refuses a piece of a file that is longer than any linker makes it: what is read is kept in memory.
fn bounded(len_bytes: u64) -> Result<(), String> {
    if len_bytes > PIECE_MAX_BYTES {
        return Err(format!(
            "a part of {len_bytes} bytes, at most {PIECE_MAX_BYTES} are expected"
        ));
    }
    Ok(())
}

fn open_again(file: &File) -> io::Result<File> {
    use std::os::fd::AsRawFd;
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn parse<'a>(bytes: impl ReadRef<'a>) -> Result<Links, String> {
    let text = |error: object::Error| error.to_string();
    let header = elf::FileHeader64::<Endianness>::parse(bytes).map_err(text)?;
    let endian = header.endian().map_err(text)?;
    let machine = header.e_machine.get(endian);
    let expected = if cfg!(target_arch = "aarch64") {
        elf::EM_AARCH64
    } else {
        elf::EM_X86_64
    };
    if machine != expected {
        return Err(format!(
            "it is built for machine {machine}, this one is {expected}"
        ));
    }
    let mut links = Links::default();
    let segments = header.program_headers(endian, bytes).map_err(text)?;
    let first = |kind| {
        let segment = segments.iter().find(|segment| segment.p_type(endian) == kind)?;
        Some(bounded(segment.p_filesz(endian)).map(|()| segment))
    };
    if let Some(segment) = first(elf::PT_INTERP).transpose()? {
        let interpreter = segment
            .interpreter(endian, bytes)
            .map_err(text)?
            .unwrap_or_default();
        links.interpreter = Some(PathBuf::from(String::from_utf8_lossy(interpreter).into_owned()));
    }
    let dynamic = match first(elf::PT_DYNAMIC).transpose()? {
        Some(segment) => segment.dynamic(endian, bytes).map_err(text)?,
        None => None,
    };
    let Some(dynamic) = dynamic else { return Ok(links) };
    let value = |tag: i64| {
        dynamic
            .iter()
            .find(|entry| entry.d_tag(endian) == tag)
            .map(|entry| entry.d_val(endian))
    };
    let (Some(at), Some(len)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else {
        return Ok(links);
    };
    bounded(len)?;
    let strings = segments
        .iter()
        .find_map(|segment| segment.data_range(endian, bytes, at, len).ok().flatten())
        .ok_or("its string table lies outside the file")?;
    let string = |offset: u64| {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| strings.get(offset..))?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        rest.get(..end)
            .map(|name| String::from_utf8_lossy(name).into_owned())
    };
    for entry in dynamic {
        let tag = entry.d_tag(endian);
        if tag == elf::DT_NEEDED {
            links.needed.extend(string(entry.d_val(endian)));
        } else if tag == elf::DT_RUNPATH || tag == elf::DT_RPATH {
            // `$ORIGIN` has no meaning for an image without a place in the file system.
            let folders = string(entry.d_val(endian)).unwrap_or_default();
            links.folders.extend(
                folders
                    .split(':')
                    .filter(|folder| folder.starts_with('/'))
                    .map(PathBuf::from),
            );
        }
    }
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_links_its_interpreter_and_the_c_library() {
        let path = std::env::current_exe().unwrap();
        let linked = linked(&File::open(&path).unwrap(), &path).unwrap();
        let Some(first) = linked.first() else {
            println!("skipped: this test is linked statically");
            return;
        };
        assert!(first.interpreter);
        assert!(linked.iter().all(|library| library.path.is_absolute()));
        assert!(
            linked
                .iter()
                .any(|library| library.path.to_string_lossy().contains("libc.so"))
        );
        assert_eq!(linked.iter().filter(|library| library.interpreter).count(), 1);
    }

    #[test]
    fn a_text_is_no_executable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        let error = linked(&File::open(&path).unwrap(), &path).unwrap_err();
        assert!(matches!(error, ElfError::NotElf { .. }));
    }
}
