//! Where the libraries of programs and the files of functions lie once they are loaded: copies that the
//! monitor alone can write, each made and measured once, and shared by all processes that need it. What
//! happens to the files on disk later does not matter.
//!
//! The shelf is a file system in memory that is attached nowhere. A starting process clones a mount of each
//! file and folder that it needs and attaches it, read-only, in its own root; so all of them share the pages.
//! Before Linux 6.15 a mount that is attached nowhere cannot be cloned, and without user namespaces an
//! ordinary user cannot make one: then the copies are sealed memory, and each process gets copies of its own,
//! which costs their size in memory and the time to write them at every start.

use super::copy::{CopyError, Measurement, copy};
use super::file_identity::FileIdentity;
use super::layers::{Layer, Layers};
use super::mounts::{self, Bound};
use super::probe;
use crate::linux::seals::add_seals;
use hacher_libos_net::attach::seqpacket;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, MemfdFlags, Mode, OFlags, SealFlags, fchmod, memfd_create, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::net::{RecvFlags, SendFlags};
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

/// Longer libraries are refused: copying one must not hold up the monitor for long.
pub const LIBRARY_MAX_BYTES: u64 = 1 << 30;
/// Files on a shelf: all libraries of all functions that a service can have, more than any machine runs, and
/// all files of its functions (I6).
const FILES_MAX: u64 = 64 * 1024 + 256 * 1024;

/// Where copies are put.
#[derive(Debug)]
pub struct Shelf {
    place: Place,
    /// How many have been put there, for the names of the next.
    count: Cell<u64>,
}

#[derive(Debug)]
enum Place {
    /// The root of a file system in memory.
    Mount(Rc<OwnedFd>),
    /// Nowhere to share them from, because of this.
    Memory(String),
    /// Nothing is run: it is enough to measure.
    Nowhere,
}

impl Shelf {
    /// An empty one, of the best kind that this machine allows.
    #[must_use]
    pub fn new(layers: &Layers) -> Self {
        let place = match mount(layers) {
            Ok(mount) => Place::Mount(Rc::new(mount)),
            Err(reason) => Place::Memory(reason),
        };
        Self::at(place)
    }

    /// One whose files every process gets copies of, whatever this machine allows; `reason` says why.
    #[must_use]
    pub fn unshared(reason: &str) -> Self {
        Self::at(Place::Memory(reason.to_owned()))
    }

    /// One that measures what is put on it, and keeps nothing.
    #[must_use]
    pub fn scales() -> Self {
        Self::at(Place::Nowhere)
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            count: Cell::new(0),
        }
    }

    /// Why processes do not share what lies here; `None` if they do.
    #[must_use]
    pub fn unshared_because(&self) -> Option<&str> {
        match &self.place {
            Place::Memory(reason) => Some(reason),
            Place::Mount(_) | Place::Nowhere => None,
        }
    }

    /// Copies `file`, whose `identity` was taken before, from its first byte and measures what was copied.
    ///
    /// # Errors
    /// A file that is too long, unreadable, changing, or that there is no room for.
    pub(super) fn put(&self, file: BorrowedFd<'_>, identity: FileIdentity) -> Result<LibraryFile, CopyError> {
        let new = self.new_copy().map_err(CopyError::write)?;
        let sink = new.as_ref().map(|copy| copy.writer.as_fd());
        let copied = copy(file, identity, sink, LIBRARY_MAX_BYTES)?;
        let bytes = new.map_or(Ok(Bytes::Nowhere), NewCopy::finish);
        Ok(LibraryFile {
            identity,
            measurement: copied.measurement,
            len_bytes: copied.len_bytes,
            bytes: bytes.map_err(CopyError::write)?,
        })
    }

    /// Where a tree of files can be put.
    pub(super) fn place_for_files(&self) -> Result<FilesPlace, CopyError> {
        match &self.place {
            Place::Nowhere => Ok(FilesPlace::Nowhere),
            Place::Memory(_) => {
                let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
                let memory = memfd_create("files", flags).map_err(CopyError::write)?;
                Ok(FilesPlace::Memory(memory))
            }
            Place::Mount(mount) => Ok(FilesPlace::Mount {
                mount: Rc::clone(mount),
                folder: format!("files-{}", self.next()),
            }),
        }
    }

    fn next(&self) -> u64 {
        let number = self.count.get();
        self.count.set(number + 1);
        number
    }

    fn new_copy(&self) -> Result<Option<NewCopy>, Errno> {
        let name = self.next().to_string();
        match &self.place {
            Place::Nowhere => Ok(None),
            Place::Memory(_) => Ok(Some(NewCopy {
                writer: memfd_create("library", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?,
                shelved: None,
            })),
            Place::Mount(mount) => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                let writer = openat(mount, &*name, flags, Mode::WUSR)?;
                let path = openat(mount, &*name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
                Ok(Some(NewCopy {
                    writer,
                    shelved: Some(Shelved {
                        mount: Rc::clone(mount),
                        name,
                        path,
                    }),
                }))
            }
        }
    }
}

/// A copy that is being written. One that is given up leaves nothing.
struct NewCopy {
    writer: OwnedFd,
    shelved: Option<Shelved>,
}

impl NewCopy {
    /// Nobody writes it any more.
    fn finish(self) -> Result<Bytes, Errno> {
        // Readable and executable for the users of all trustlets.
        fchmod(&self.writer, Mode::from_raw_mode(0o555))?;
        if let Some(shelved) = self.shelved {
            return Ok(Bytes::Shelved(shelved));
        }
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        add_seals(&self.writer, seals)?;
        Ok(Bytes::Sealed(self.writer))
    }
}

/// A file on a shelf, taken off when dropped. Processes that have it mapped keep it.
#[derive(Debug)]
pub(super) struct Shelved {
    mount: Rc<OwnedFd>,
    name: String,
    path: OwnedFd,
}

impl Drop for Shelved {
    fn drop(&mut self) {
        // Nothing to be done about an error; the shelf goes with the monitor.
        let _ = unlinkat(&self.mount, &*self.name, AtFlags::empty());
    }
}

/// A library's bytes as they were measured.
#[derive(Debug)]
pub(super) struct LibraryFile {
    pub(super) identity: FileIdentity,
    pub(super) measurement: Measurement,
    pub(super) len_bytes: u64,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Shelved(Shelved),
    Sealed(OwnedFd),
    Nowhere,
}

/// How a starting process gets at a library.
pub(super) enum Source<'a> {
    /// By a mount of this file.
    Mount(&'a OwnedFd),
    /// By copying this memory.
    Copy(&'a OwnedFd),
}

impl LibraryFile {
    /// `ENOENT` for one that was only measured.
    pub(super) fn source(&self) -> Result<Source<'_>, Errno> {
        match &self.bytes {
            Bytes::Shelved(shelved) => Ok(Source::Mount(&shelved.path)),
            Bytes::Sealed(memfd) => Ok(Source::Copy(memfd)),
            Bytes::Nowhere => Err(Errno::NOENT),
        }
    }
}

/// Where the files of one function can be put.
pub(super) enum FilesPlace {
    /// In a folder of this name, which is not there yet, of the shelf's file system.
    Mount { mount: Rc<OwnedFd>, folder: String },
    /// In this memory, which can be sealed.
    Memory(OwnedFd),
    /// They are only measured.
    Nowhere,
}

/// Makes the file system of a shelf, and tries whether a process in namespaces of its own can use a file on
/// it.
fn mount(layers: &Layers) -> Result<OwnedFd, String> {
    if !layers.has(Layer::MountNamespace) {
        return Err("there are no mount namespaces".to_owned());
    }
    let said = |errno: Errno| std::io::Error::from(errno).to_string();
    let mount = match new_mount() {
        Err(Errno::PERM) => mount_in_namespace(layers)?,
        other => other.map_err(said)?,
    };
    let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC;
    openat(&mount, "trial", flags, Mode::RUSR).map_err(said)?;
    let trial = openat(&mount, "trial", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(said)?;
    probe::in_namespaces(layers, &[Layer::UserNamespace, Layer::MountNamespace], || {
        Bound::of(&trial, Path::new("/trial"), mounts::COPY_ATTRIBUTES, false).map(drop)
    })
    .map_err(|error| format!("a mount that is attached nowhere cannot be cloned ({error})"))?;
    unlinkat(&mount, "trial", AtFlags::empty()).map_err(said)?;
    Ok(mount)
}

fn new_mount() -> Result<OwnedFd, Errno> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    mounts::tmpfs(&[("nr_inodes", FILES_MAX)], "0755", attributes)
}

/// For an ordinary user: a file system that belongs to a user namespace, made by a process in it that ends at
/// once.
fn mount_in_namespace(layers: &Layers) -> Result<OwnedFd, String> {
    let (ours, theirs) = seqpacket::pair().map_err(|errno| std::io::Error::from(errno).to_string())?;
    probe::in_namespaces(layers, &[Layer::UserNamespace, Layer::MountNamespace], || {
        let mount = new_mount()?;
        seqpacket::send(theirs.as_fd(), b"m", &[mount.as_fd()], SendFlags::empty())
    })?;
    let received = seqpacket::receive(ours.as_fd(), &mut [0; 2], RecvFlags::DONTWAIT);
    let mount = received.ok().flatten().and_then(|(_, mut files)| files.pop());
    mount.ok_or_else(|| "a process in a user namespace could not hand over its mount".to_owned())
}
