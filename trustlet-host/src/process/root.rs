//! The file system of a jail: the measured libraries, read-only, at their own paths; for a function its
//! files, a few devices, the time zones and fixed files of `/etc` ([`super::provisions`]); a scratch
//! directory if the chain gives one; nothing else. No `/sys`, and no `/proc`, not even of the process itself:
//! by `/proc/self/mem` it could write its own code, and by `/proc/self/fd` open a region that it has for
//! reading once more for writing (I1).

use super::mounts::{Bound, make_private, protect, tmpfs};
use super::provisions::FixedFile;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, symlinkat};
use rustix::io::{Errno, write};
use rustix::mount::{MountAttrFlags, MoveMountFlags, UnmountFlags, move_mount, unmount};
use rustix::process::{chdir, fchdir, pivot_root};
use std::path::Path;

/// The scratch directory.
pub(super) const SCRATCH: &str = "/tmp";
/// The new root is built on this directory, which every Linux has and below which no library lies.
pub(super) const ANCHOR: &str = "/proc";
/// Symbolic links, path and target. A function's local time is UTC unless its `TZ` says another zone: which
/// one the machine is in would make it behave differently elsewhere.
const LINKS: [(&str, &str); 1] = [("etc/localtime", "/usr/share/zoneinfo/Etc/UTC")];
/// Directories, mount points and their names: nothing is stored in the root itself.
const ROOT_BYTES: u64 = 1 << 20;
const ROOT_INODES: u64 = 4096;
/// Files in the scratch directory: one for each of this many bytes, and the first few.
const SCRATCH_BYTES_PER_INODE: u64 = 4096;
const SCRATCH_INODES_MIN: u64 = 64;

/// Makes a root of what is `bound`, the `fixed` files and the scratch directory, and lets this process and
/// its mount namespace forget the old one. `owner`: user and group of the scratch directory if they are not
/// those of this process.
pub(super) fn enter(
    bound: &[Bound<'_>],
    fixed: &[FixedFile],
    scratch_bytes: u64,
    owner: Option<(u32, u32)>,
) -> Result<(), Errno> {
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
    for file in fixed {
        make_fixed(&root, file)?;
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

fn make_fixed(root: &OwnedFd, file: &FixedFile) -> Result<(), Errno> {
    let path = file.path().strip_prefix("/").map_err(|_| Errno::INVAL)?;
    make_folders(root, path)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(root, path, flags, Mode::from_raw_mode(0o444))?;
    // A few dozen bytes: written whole, or there is no room.
    write(&made, file.content.as_bytes()).map(|_| ())
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
