//! The file system of a jail: the measured libraries, read-only, at their own paths; a scratch directory if the chain
//! gives one; nothing else. No `/proc`, `/dev`, `/sys` or `/etc`.
#![allow(unsafe_code, reason = "mount_setattr has no safe wrapper")]

use super::library::Library;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
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

/// A library as a mount of its own that is not attached anywhere yet.
pub(super) struct Bound<'a> {
    tree: OwnedFd,
    path: &'a Path,
}

/// Finds `library`, which must be the file that was measured (`ESTALE` otherwise).
pub(super) fn bind(library: &Library) -> Result<Bound<'_>, Errno> {
    let file = library.reopen()?;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&file, "", flags)?;
    protect(
        tree.as_fd(),
        MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV,
    )?;
    Ok(Bound {
        tree,
        path: library.path(),
    })
}

/// Makes a root of `libraries` and the scratch directory, and lets this process and its mount namespace forget the old
/// one. `owner`: user and group of the scratch directory if they are not those of this process.
pub(super) fn enter(
    libraries: &[Bound<'_>],
    scratch_bytes: u64,
    owner: Option<(u32, u32)>,
) -> Result<(), Errno> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
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
    for library in libraries {
        attach(&root, library)?;
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

fn tmpfs(options: &[(&str, u64)], mode: &str, attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(&context, *key, value.to_string())?;
    }
    fsconfig_set_string(&context, "mode", mode)?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn attach(root: &OwnedFd, library: &Bound<'_>) -> Result<(), Errno> {
    let path = library.path.strip_prefix("/").map_err(|_| Errno::INVAL)?;
    let directories: Vec<&Path> = path
        .ancestors()
        .skip(1)
        .filter(|part| !part.as_os_str().is_empty())
        .collect();
    for directory in directories.into_iter().rev() {
        match mkdirat(root, directory, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(root, path, flags, Mode::from_raw_mode(0o444))?;
    move_mount(
        &library.tree,
        "",
        root,
        path,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
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
        propagation: 0,
        user_namespace_fd: 0,
    };
    // SAFETY: the path is a NUL-terminated constant, the structure has the layout and the length that are passed and
    // outlives the call, which only reads it.
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
