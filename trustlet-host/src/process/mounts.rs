//! Mounts that are attached nowhere yet: file systems in memory, and views of what is on others.
#![allow(unsafe_code, reason = "mount_setattr has no safe wrapper")]

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount_change, open_tree,
};
use std::path::Path;

/// How libraries and files are seen: code may be mapped from them, nothing else.
pub(super) const COPY_ATTRIBUTES: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// A file or folder as a mount of its own, and where it is to be seen.
pub(super) struct Bound<'a> {
    pub(super) tree: OwnedFd,
    pub(super) path: &'a Path,
    pub(super) is_folder: bool,
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

/// Nothing that is mounted in this namespace from here on is seen elsewhere.
pub(super) fn make_private() -> Result<(), Errno> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
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
pub(super) fn protect(mount: BorrowedFd<'_>, attributes: MountAttrFlags) -> Result<(), Errno> {
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
