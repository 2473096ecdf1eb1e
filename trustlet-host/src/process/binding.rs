//! Libraries and files as a starting process sees them: mounts, of what lies on the monitor's shelf, or of
//! copies that it makes for itself.

use super::files::{Entry, Files, Kind, Located, file_mode};
use super::library::Library;
use super::mounts::{Bound, COPY_ATTRIBUTES, make_private, tmpfs};
use super::root::ANCHOR;
use super::shelf::Source;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, sendfile, symlinkat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, move_mount};

/// Inodes of a file system of copies besides those of files.
const FOLDER_INODES: u64 = 4096;
/// A page, which is what a file system in memory counts in.
const PAGE_BYTES: u64 = 4096;

/// `libraries` as mounts. Those that cannot be shared are copied into a file system of this process's own,
/// which is attached over [`ANCHOR`] and gone with the old root.
pub(super) fn libraries<'a>(libraries: &'a [Library]) -> Result<Vec<Bound<'a>>, (usize, Errno)> {
    let mut copies = None;
    let mut copied: Vec<(&Library, OwnedFd)> = Vec::new();
    let mut bound = Vec::with_capacity(libraries.len());
    for (index, library) in libraries.iter().enumerate() {
        let failed = |errno| (index, errno);
        let mount = match library.source().map_err(failed)? {
            Source::Mount(file) => Bound::of(file, library.path(), COPY_ATTRIBUTES, false),
            Source::Copy(memory) => {
                let known = copied.iter().position(|(other, _)| other.is_same_file(library));
                let at = match known {
                    Some(at) => at,
                    None => {
                        let folder = match &copies {
                            Some(folder) => folder,
                            None => copies.insert(folder_of_copies(libraries).map_err(failed)?),
                        };
                        let name = index.to_string();
                        let to = (folder, &*name, file_mode(true));
                        copy(memory, 0, library.len_bytes(), to).map_err(failed)?;
                        let flags = OFlags::PATH | OFlags::CLOEXEC;
                        let file = openat(folder, &*name, flags, Mode::empty()).map_err(failed)?;
                        copied.push((library, file));
                        copied.len() - 1
                    }
                };
                let file = copied.get(at).map(|(_, file)| file);
                let file = file.ok_or((index, Errno::NOENT))?;
                Bound::of(file, library.path(), COPY_ATTRIBUTES, false)
            }
        };
        bound.push(mount.map_err(failed)?);
    }
    Ok(bound)
}

/// A file system with room for copies of all `libraries`.
fn folder_of_copies(libraries: &[Library]) -> Result<OwnedFd, Errno> {
    let lengths = libraries.iter().map(|library| library.len_bytes());
    own_file_system(lengths, 0)
}

/// A file system of this process's own with room for files of these `lengths`, attached over [`ANCHOR`].
fn own_file_system(lengths: impl Iterator<Item = u64>, others: u64) -> Result<OwnedFd, Errno> {
    make_private()?;
    // Long links are counted in pages too.
    let mut len_bytes = in_memory(0).saturating_add(in_memory(0).saturating_mul(others));
    let mut inodes = FOLDER_INODES.saturating_add(others);
    for file_bytes in lengths {
        len_bytes = len_bytes.saturating_add(in_memory(file_bytes));
        inodes = inodes.saturating_add(1);
    }
    let folder = tmpfs(
        &[("size", len_bytes), ("nr_inodes", inodes)],
        "0755",
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
    )?;
    move_mount(&folder, "", CWD, ANCHOR, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(folder)
}

/// Bytes of what a process of these has to copy for itself, because it cannot be shared: whole pages, and
/// what the kernel keeps for each entry.
pub(super) fn copied_bytes(libraries: &[Library], files: Option<&Files>) -> u64 {
    let copies = libraries
        .iter()
        .filter(|library| matches!(library.source(), Ok(Source::Copy(_))));
    let libraries = copies.map(|library| in_memory(library.len_bytes()));
    let located = files.and_then(|files| files.located().ok().flatten());
    let entries = match located {
        Some(Located::Copy { entries, .. }) => entries,
        Some(Located::Mount(_)) | None => &[],
    };
    let files = entries.iter().map(|entry| match entry.kind {
        Kind::File { len_bytes, .. } => in_memory(len_bytes),
        Kind::Folder | Kind::Link(_) => in_memory(0),
    });
    libraries.chain(files).fold(0, u64::saturating_add)
}

/// What an entry of a file system in memory takes with `len_bytes` in it: its pages, and one more for its
/// inode, its name, and a link's target.
const fn in_memory(len_bytes: u64) -> u64 {
    len_bytes
        .div_ceil(PAGE_BYTES)
        .saturating_add(1)
        .saturating_mul(PAGE_BYTES)
}

/// A copy of `len_bytes` of `memory`, from `from` on.
fn copy(
    memory: &OwnedFd,
    from: u64,
    len_bytes: u64,
    (folder, name, mode): (&OwnedFd, &str, Mode),
) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, mode)?;
    let (mut position, end) = (from, from.saturating_add(len_bytes));
    while position < end {
        let left = usize::try_from(end - position).unwrap_or(usize::MAX);
        if sendfile(&file, memory, Some(&mut position), left)? == 0 {
            return Err(Errno::IO);
        }
    }
    Ok(())
}

/// `files` as mounts; none if there are none.
pub(super) fn files(files: &Files) -> Result<Vec<Bound<'_>>, Errno> {
    match files.located()? {
        None => Ok(Vec::new()),
        Some(Located::Mount(roots)) => roots
            .into_iter()
            .map(|(file, path, is_folder)| Bound::of(file, path, COPY_ATTRIBUTES, is_folder))
            .collect(),
        Some(Located::Copy {
            memory,
            entries,
            roots,
        }) => {
            let folder = own_files(memory, entries)?;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let bound = roots.into_iter().enumerate().map(|(number, (path, is_folder))| {
                let root = openat(&folder, number.to_string(), flags, Mode::empty())?;
                Bound::of(&root, path, COPY_ATTRIBUTES, is_folder)
            });
            bound.collect()
        }
    }
}

/// The whole tree, in a file system of this process's own.
fn own_files(memory: &OwnedFd, entries: &[Entry]) -> Result<OwnedFd, Errno> {
    let lengths = entries.iter().filter_map(|entry| match entry.kind {
        Kind::File { len_bytes, .. } => Some(len_bytes),
        Kind::Folder | Kind::Link(_) => None,
    });
    let others = entries.len() as u64 - lengths.clone().count() as u64;
    let folder = own_file_system(lengths, others)?;
    for Entry { path, kind } in entries {
        match kind {
            Kind::Folder => mkdirat(&folder, &**path, Mode::from_raw_mode(0o755))?,
            Kind::Link(target) => symlinkat(&**target, &folder, &**path)?,
            Kind::File {
                executable,
                from,
                len_bytes,
            } => copy(memory, *from, *len_bytes, (&folder, path, file_mode(*executable)))?,
        }
    }
    Ok(folder)
}
