//! The file system of a jail: the measured libraries, read-only, at their own paths; for a function a few
//! devices and the time zones ([`super::provisions`]); a scratch directory if the chain gives one; nothing
//! else. No `/proc`, no `/sys`.
#![allow(unsafe_code, reason = "mount_setattr has no safe wrapper")]

use super::library::Library;
use super::provisions::LINKS;
use super::shelf::Source;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, sendfile, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree,
    unmount,
};
use rustix::process::{chdir, fchdir, pivot_root};
use std::path::Path;

/// The scratch directory.
pub(super) const SCRATCH: &str = "/tmp";
/// The new root is built on this directory, which every Linux has and below which no library lies.
const ANCHOR: &str = "/proc";
/// Directories, mount points and their names: nothing is stored in the root itself.
const ROOT_BYTES: u64 = 1 << 20;
const ROOT_INODES: u64 = 4096;
/// Files in the scratch directory: one for each of this many bytes, and the first few.
const SCRATCH_BYTES_PER_INODE: u64 = 4096;
const SCRATCH_INODES_MIN: u64 = 64;

/// How libraries are seen.
pub(super) const LIBRARY_ATTRIBUTES: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// A file or folder as a mount of its own that is not attached anywhere yet.
pub(super) struct Bound<'a> {
    tree: OwnedFd,
    path: &'a Path,
    is_folder: bool,
}

impl<'a> Bound<'a> {
    /// What `file` leads to, to be seen at `path`.
    pub(super) fn of(
        file: &OwnedFd,
        path: &'a Path,
        attributes: MountAttrFlags,
        is_folder: bool,
    ) -> Result<Self, Errno> {
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = open_tree(file, "", flags)?;
        protect(tree.as_fd(), attributes)?;
        Ok(Self {
            tree,
            path,
            is_folder,
        })
    }
}

/// `libraries` as mounts. Those that cannot be shared are copied into a file system of this process's own,
/// which is attached over [`ANCHOR`] and gone with the old root.
pub(super) fn bind<'a>(libraries: &'a [Library]) -> Result<Vec<Bound<'a>>, (usize, Errno)> {
    let mut copies = None;
    let mut copied: Vec<(&Library, OwnedFd)> = Vec::new();
    let mut bound = Vec::with_capacity(libraries.len());
    for (index, library) in libraries.iter().enumerate() {
        let failed = |errno| (index, errno);
        let mount = match library.source().map_err(failed)? {
            Source::Mount(file) => Bound::of(file, library.path(), LIBRARY_ATTRIBUTES, false),
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
                        let file = copy(memory, folder, &name, library.len_bytes()).map_err(failed)?;
                        copied.push((library, file));
                        copied.len() - 1
                    }
                };
                let file = copied.get(at).map(|(_, file)| file);
                let file = file.ok_or((index, Errno::NOENT))?;
                Bound::of(file, library.path(), LIBRARY_ATTRIBUTES, false)
            }
        };
        bound.push(mount.map_err(failed)?);
    }
    Ok(bound)
}

/// A file system with room for copies of all `libraries`.
fn folder_of_copies(libraries: &[Library]) -> Result<OwnedFd, Errno> {
    make_private()?;
    let pages = libraries
        .iter()
        .map(|library| library.len_bytes().div_ceil(4096) + 1)
        .sum::<u64>();
    let folder = tmpfs(
        &[("size", (pages + 1) * 4096), ("nr_inodes", ROOT_INODES)],
        "0755",
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
    )?;
    move_mount(&folder, "", CWD, ANCHOR, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(folder)
}

fn copy(memory: &OwnedFd, folder: &OwnedFd, name: &str, len_bytes: u64) -> Result<OwnedFd, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::from_raw_mode(0o555))?;
    let mut position = 0;
    while position < len_bytes {
        let left = usize::try_from(len_bytes - position).unwrap_or(usize::MAX);
        if sendfile(&file, memory, Some(&mut position), left)? == 0 {
            return Err(Errno::IO);
        }
    }
    openat(folder, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Nothing that is mounted from here on is seen elsewhere.
fn make_private() -> Result<(), Errno> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
}

/// Makes a root of what is `bound` and the scratch directory, and lets this process and its mount namespace
/// forget the old one. `owner`: user and group of the scratch directory if they are not those of this
/// process.
pub(super) fn enter(bound: &[Bound<'_>], scratch_bytes: u64, owner: Option<(u32, u32)>) -> Result<(), Errno> {
    make_private()?;
    let root = tmpfs(
        &[("size", ROOT_BYTES), ("nr_inodes", ROOT_INODES)],
        "0755",
        MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )?;
    move_mount(&root, "", CWD, ANCHOR, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    if scratch_bytes > 0 {
        mount_scratch(&root, scratch_bytes, owner)?;
    }
    for bound in bound {
        attach(&root, bound)?;
    }
    for (path, target) in LINKS {
        make_folders(&root, Path::new(path))?;
        symlinkat(target, &root, path)?;
    }
    fchdir(&root)?;
    pivot_root(".", ".")?;
    // Both are at "." now, the old one on top.
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    protect(root.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY)
}

fn mount_scratch(root: &OwnedFd, scratch_bytes: u64, owner: Option<(u32, u32)>) -> Result<(), Errno> {
    let inodes = SCRATCH_INODES_MIN + scratch_bytes / SCRATCH_BYTES_PER_INODE;
    let mut options = vec![("size", scratch_bytes), ("nr_inodes", inodes)];
    if let Some((user, group)) = owner {
        options.extend([("uid", u64::from(user)), ("gid", u64::from(group))]);
    }
    let scratch = tmpfs(
        &options,
        "0700",
        MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )?;
    let name = SCRATCH.trim_start_matches('/');
    mkdirat(root, name, Mode::RWXU)?;
    move_mount(&scratch, "", root, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// A file system in memory that is attached nowhere.
pub(super) fn tmpfs(
    options: &[(&str, u64)],
    mode: &str,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(&context, *key, value.to_string())?;
    }
    fsconfig_set_string(&context, "mode", mode)?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn attach(root: &OwnedFd, bound: &Bound<'_>) -> Result<(), Errno> {
    let path = bound.path.strip_prefix("/").map_err(|_| Errno::INVAL)?;
    make_folders(root, path)?;
    if bound.is_folder {
        make_folder(root, path)?;
    } else {
        let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(root, path, flags, Mode::from_raw_mode(0o444))?;
    }
    move_mount(
        &bound.tree,
        "",
        root,
        path,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

/// Makes the folders that `path` lies in.
fn make_folders(root: &OwnedFd, path: &Path) -> Result<(), Errno> {
    let folders: Vec<&Path> = path
        .ancestors()
        .skip(1)
        .filter(|part| !part.as_os_str().is_empty())
        .collect();
    folders
        .into_iter()
        .rev()
        .try_for_each(|folder| make_folder(root, folder))
}

fn make_folder(root: &OwnedFd, path: &Path) -> Result<(), Errno> {
    match mkdirat(root, path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace_fd: u64,
}

/// Adds attributes to the mount behind `mount`.
fn protect(mount: BorrowedFd<'_>, attributes: MountAttrFlags) -> Result<(), Errno> {
    let request = MountAttributes {
        set: u64::from(attributes.bits()),
        clear: 0,
        // What is mounted below its source later, outside, must not appear inside.
        propagation: libc::MS_PRIVATE,
        user_namespace_fd: 0,
    };
    // SAFETY: the path is a NUL-terminated constant, the structure has the layout and the length that are
    // passed and outlives the call, which only reads it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const request,
            size_of::<MountAttributes>(),
        )
    };
    if result < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    Ok(())
}
