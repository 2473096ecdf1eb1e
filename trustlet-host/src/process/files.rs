//! The files of a function: a tree of copies that the monitor alone can write, made and measured once, and
//! seen read-only by all processes of the function.
//!
//! Nothing on disk is followed here: files come as descriptors, folders and links by name, and a link is
//! nothing but a text until a function follows it, in its own root. Whoever adds has checked the paths: what
//! is added lies in a folder of the tree, and never behind a link.

use super::copy::{Copied, CopyError, Measurement, copy};
use super::file_identity::FileIdentity;
use super::layers::{Layer, Layers};
use super::shelf::{FilesPlace, Shelf};
use crate::linux::seals::add_seals;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, SealFlags, fchmod, linkat, mkdirat, openat, symlinkat, unlinkat};
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

/// Folders of the tree.
const FOLDER_MODE: u32 = 0o755;
/// Bytes of the files of one function where each of its processes copies them: every start takes that time,
/// and the monitor waits for it.
const UNSHARED_MAX_BYTES: u64 = 64 << 20;
/// Why a function can be given nothing where it has no mounts of its own.
pub(crate) const NO_PLACE: &str = "this machine has no mount namespaces, without which a function cannot be given files; see \
                                   `hacher-fabric doctor`";

/// Most bytes of the files of one function, where this machine sets a bound of its own. Tries isolation,
/// which takes some milliseconds.
///
/// # Errors
/// Says why a function can be given none.
pub fn bound_of_machine() -> Result<Option<u64>, &'static str> {
    let layers = Layers::probe();
    if layers.untried().is_some() {
        // It is found out at the start.
        return Ok(None);
    }
    if !layers.has(Layer::MountNamespace) {
        return Err(NO_PLACE);
    }
    let shares = Shelf::new(&layers).unshared_because().is_none();
    Ok((!shares).then_some(UNSHARED_MAX_BYTES))
}

/// The files of one function; none to begin with.
#[derive(Debug, Default)]
pub struct Files {
    tree: Option<Tree>,
    roots: Vec<Root>,
}

/// A file or folder that lies in no other.
#[derive(Debug)]
struct Root {
    /// Where the function finds it.
    path: PathBuf,
    is_folder: bool,
    /// On the shelf.
    opened: Option<OwnedFd>,
}

#[derive(Debug)]
enum Tree {
    Shelved(Rc<ShelvedFolder>),
    Packed(Packed),
    Nowhere,
}

/// A file that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddedFile {
    /// Whether somebody may execute it.
    pub executable: bool,
    /// Bytes.
    pub len_bytes: u64,
    /// SHA-384 of the bytes.
    pub measurement: Measurement,
}

/// Where a file was copied to, so that another function can share the copy.
#[derive(Debug)]
pub(super) struct FileCopy {
    added: AddedFile,
    place: CopyPlace,
}

#[derive(Debug)]
enum CopyPlace {
    Shelved(Weak<ShelvedFolder>, String),
    Packed,
    Nowhere,
}

impl FileCopy {
    pub(super) fn added(&self) -> AddedFile {
        self.added
    }
}

/// A folder of the shelf's file system, removed with all that is in it when dropped. Processes that have it
/// mounted keep it.
#[derive(Debug)]
struct ShelvedFolder {
    mount: Rc<OwnedFd>,
    name: String,
    /// What was made below it, in turn.
    made: RefCell<Vec<(String, bool)>>,
}

impl ShelvedFolder {
    fn new(mount: Rc<OwnedFd>, name: String) -> Result<Self, Errno> {
        make_folder(&mount, &name)?;
        Ok(Self {
            mount,
            name,
            made: RefCell::default(),
        })
    }

    fn note(&self, path: String, is_folder: bool) {
        self.made.borrow_mut().push((path, is_folder));
    }

    fn path_of(&self, within: &str) -> String {
        format!("{}/{within}", self.name)
    }
}

impl Drop for ShelvedFolder {
    fn drop(&mut self) {
        // Nothing to be done about an error; the shelf goes with the monitor.
        for (path, is_folder) in self.made.take().into_iter().rev() {
            let _ = unlinkat(&self.mount, &*path, removal(is_folder));
        }
        let _ = unlinkat(&self.mount, &*self.name, AtFlags::REMOVEDIR);
    }
}

const fn removal(is_folder: bool) -> AtFlags {
    if is_folder {
        AtFlags::REMOVEDIR
    } else {
        AtFlags::empty()
    }
}

/// The contents of all files, one after the other, and what is to be made of them.
#[derive(Debug)]
struct Packed {
    memory: OwnedFd,
    len_bytes: u64,
    entries: Vec<Entry>,
    sealed: Cell<bool>,
    /// A copy into it was given up in the middle: it is of no use any more.
    spoiled: bool,
}

/// Something to be made by a process that cannot share the shelf's file system.
#[derive(Debug)]
pub(super) struct Entry {
    /// Below a folder that has one name for each root.
    pub(super) path: String,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Folder,
    /// These bytes of the memory.
    File {
        executable: bool,
        from: u64,
        len_bytes: u64,
    },
    Link(String),
}

/// How a starting process gets at the files.
pub(super) enum Located<'a> {
    /// By mounts of these, each to be seen at its path.
    Mount(Vec<(&'a OwnedFd, &'a Path, bool)>),
    /// By making these entries out of this memory; then each root lies under its number.
    Copy {
        memory: &'a OwnedFd,
        entries: &'a [Entry],
        roots: Vec<(&'a Path, bool)>,
    },
}

impl Files {
    /// Where a function finds them, as far as they lie in no other; and whether each is a folder.
    pub(super) fn roots(&self) -> impl Iterator<Item = (&Path, bool)> {
        self.roots.iter().map(|root| (&*root.path, root.is_folder))
    }

    /// Closes the tree for writing, where that can be done. What is added later is refused.
    pub(crate) fn seal(&self) -> Result<(), Errno> {
        if let Some(Tree::Packed(packed)) = &self.tree
            && !packed.sealed.get()
        {
            if packed.spoiled {
                return Err(Errno::IO);
            }
            let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
            add_seals(&packed.memory, seals)?;
            packed.sealed.set(true);
        }
        Ok(())
    }

    /// `None` if there are none; `ENOENT` for those that were only measured.
    pub(super) fn located(&self) -> Result<Option<Located<'_>>, Errno> {
        match &self.tree {
            None => Ok(None),
            Some(Tree::Nowhere) => Err(Errno::NOENT),
            Some(Tree::Shelved(_)) => {
                let opened = self.roots.iter().map(|root| {
                    let file = root.opened.as_ref().ok_or(Errno::NOENT)?;
                    Ok((file, &*root.path, root.is_folder))
                });
                opened
                    .collect::<Result<_, _>>()
                    .map(|roots| Some(Located::Mount(roots)))
            }
            Some(Tree::Packed(packed)) => Ok(Some(Located::Copy {
                memory: &packed.memory,
                entries: &packed.entries,
                roots: self.roots().collect(),
            })),
        }
    }

    pub(super) fn add_folder(&mut self, shelf: &Shelf, path: &Path) -> Result<(), CopyError> {
        let (within, is_root) = self.within(path)?;
        match self.tree(shelf)? {
            Tree::Shelved(folder) => {
                let folder = Rc::clone(folder);
                let name = folder.path_of(&within);
                make_folder(&folder.mount, &name).map_err(CopyError::write)?;
                folder.note(name, true);
            }
            Tree::Packed(packed) => packed.push(within.clone(), Kind::Folder)?,
            Tree::Nowhere => {}
        }
        self.note_root(path, &within, is_root, true)
    }

    pub(super) fn add_link(&mut self, shelf: &Shelf, path: &Path, target: &str) -> Result<(), CopyError> {
        let (within, _) = self.within(path)?;
        match self.tree(shelf)? {
            Tree::Shelved(folder) => {
                let name = folder.path_of(&within);
                symlinkat(target, &folder.mount, &*name).map_err(CopyError::write)?;
                folder.note(name, false);
            }
            Tree::Packed(packed) => packed.push(within, Kind::Link(target.to_owned()))?,
            Tree::Nowhere => {}
        }
        Ok(())
    }

    /// Copies a file, whose `identity` was taken before.
    pub(super) fn add_file(
        &mut self,
        shelf: &Shelf,
        path: &Path,
        file: BorrowedFd<'_>,
        identity: FileIdentity,
        max_bytes: u64,
    ) -> Result<FileCopy, CopyError> {
        let executable = identity.is_executable();
        let (within, is_root) = self.within(path)?;
        let added = |copied: Copied| AddedFile {
            executable,
            len_bytes: copied.len_bytes,
            measurement: copied.measurement,
        };
        let copied = match self.tree(shelf)? {
            Tree::Shelved(folder) => {
                let name = folder.path_of(&within);
                let copied = copy_to(&folder.mount, &name, file, identity, executable, max_bytes)?;
                folder.note(name.clone(), false);
                FileCopy {
                    added: added(copied),
                    place: CopyPlace::Shelved(Rc::downgrade(folder), name),
                }
            }
            Tree::Packed(packed) => FileCopy {
                added: added(packed.copy(within.clone(), file, identity, executable, max_bytes)?),
                place: CopyPlace::Packed,
            },
            Tree::Nowhere => FileCopy {
                added: added(copy(file, identity, None, max_bytes)?),
                place: CopyPlace::Nowhere,
            },
        };
        self.note_root(path, &within, is_root, false)?;
        Ok(copied)
    }

    /// Adds a file that was copied before, if that copy is still there and can be shared.
    pub(super) fn share(&mut self, shelf: &Shelf, path: &Path, known: &FileCopy) -> Option<AddedFile> {
        let (within, is_root) = self.within(path).ok()?;
        match (self.tree(shelf).ok()?, &known.place) {
            (Tree::Nowhere, CopyPlace::Nowhere) => {}
            (Tree::Shelved(folder), CopyPlace::Shelved(other, other_name)) => {
                let other = other.upgrade()?;
                let name = folder.path_of(&within);
                let nothing_special = AtFlags::empty();
                linkat(
                    &other.mount,
                    &**other_name,
                    &folder.mount,
                    &*name,
                    nothing_special,
                )
                .ok()?;
                folder.note(name, false);
            }
            _ => return None,
        }
        self.note_root(path, &within, is_root, false).ok()?;
        Some(known.added)
    }

    fn tree(&mut self, shelf: &Shelf) -> Result<&mut Tree, CopyError> {
        let tree = match self.tree.take() {
            Some(tree) => tree,
            None => match shelf.place_for_files()? {
                FilesPlace::Mount { mount, folder } => {
                    let folder = ShelvedFolder::new(mount, folder).map_err(CopyError::write)?;
                    Tree::Shelved(Rc::new(folder))
                }
                FilesPlace::Memory(memory) => Tree::Packed(Packed {
                    memory,
                    len_bytes: 0,
                    entries: Vec::new(),
                    sealed: Cell::new(false),
                    spoiled: false,
                }),
                FilesPlace::Nowhere => Tree::Nowhere,
            },
        };
        Ok(self.tree.insert(tree))
    }

    /// Where in the tree a path lies: each root has its number as its name there. And whether it is a new
    /// root.
    fn within(&self, path: &Path) -> Result<(String, bool), CopyError> {
        for (number, root) in self.roots.iter().enumerate() {
            if let Ok(rest) = path.strip_prefix(&root.path) {
                let rest = rest.to_str().ok_or(CopyError::write(Errno::INVAL))?;
                return match rest {
                    "" => Err(CopyError::write(Errno::EXIST)),
                    rest => Ok((format!("{number}/{rest}"), false)),
                };
            }
        }
        Ok((self.roots.len().to_string(), true))
    }

    fn note_root(
        &mut self,
        path: &Path,
        within: &str,
        is_root: bool,
        is_folder: bool,
    ) -> Result<(), CopyError> {
        if !is_root {
            return Ok(());
        }
        let opened = match &self.tree {
            Some(Tree::Shelved(folder)) => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let name = folder.path_of(within);
                Some(openat(&folder.mount, &*name, flags, Mode::empty()).map_err(CopyError::write)?)
            }
            _ => None,
        };
        self.roots.push(Root {
            path: path.to_owned(),
            is_folder,
            opened,
        });
        Ok(())
    }
}

impl Packed {
    fn push(&mut self, path: String, kind: Kind) -> Result<(), CopyError> {
        if self.sealed.get() {
            return Err(CopyError::write(Errno::PERM));
        }
        self.entries.push(Entry { path, kind });
        Ok(())
    }

    fn copy(
        &mut self,
        path: String,
        file: BorrowedFd<'_>,
        identity: FileIdentity,
        executable: bool,
        max_bytes: u64,
    ) -> Result<Copied, CopyError> {
        if self.spoiled || self.sealed.get() {
            return Err(CopyError::write(Errno::PERM));
        }
        let from = self.len_bytes;
        if identity.len_bytes() > UNSHARED_MAX_BYTES.saturating_sub(from) {
            return Err(CopyError::Unshared {
                max_bytes: UNSHARED_MAX_BYTES,
            });
        }
        let copied = copy(file, identity, Some(self.memory.as_fd()), max_bytes);
        let copied = match copied {
            Ok(copied) => copied,
            Err(error @ (CopyError::Unanswered | CopyError::Stopped)) => {
                // Whoever waits for the file may still write what comes.
                self.spoiled = true;
                return Err(error);
            }
            Err(error) => {
                // The next one begins where this one did.
                let back = rustix::fs::ftruncate(&self.memory, from)
                    .and_then(|()| rustix::fs::seek(&self.memory, rustix::fs::SeekFrom::Start(from)));
                back.map_err(CopyError::write)?;
                return Err(error);
            }
        };
        self.len_bytes += copied.len_bytes;
        let kind = Kind::File {
            executable,
            from,
            len_bytes: copied.len_bytes,
        };
        self.push(path, kind)?;
        Ok(copied)
    }
}

fn make_folder(at: &OwnedFd, name: &str) -> Result<(), Errno> {
    mkdirat(at, name, Mode::from_raw_mode(FOLDER_MODE))?;
    // Whatever the monitor's file mode creation mask is.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fchmod(
        openat(at, name, flags, Mode::empty())?,
        Mode::from_raw_mode(FOLDER_MODE),
    )
}

/// What a copy may be used for by whoever sees it.
pub(super) fn file_mode(executable: bool) -> Mode {
    Mode::from_raw_mode(if executable { 0o555 } else { 0o444 })
}

/// Copies `file` to a new one; what could not be copied whole is gone again.
fn copy_to(
    at: &OwnedFd,
    name: &str,
    file: BorrowedFd<'_>,
    identity: FileIdentity,
    executable: bool,
    max_bytes: u64,
) -> Result<Copied, CopyError> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let writer = openat(at, name, flags, Mode::WUSR).map_err(CopyError::write)?;
    let copied = copy(file, identity, Some(writer.as_fd()), max_bytes).and_then(|copied| {
        fchmod(&writer, file_mode(executable)).map_err(CopyError::write)?;
        Ok(copied)
    });
    if copied.is_err() {
        // As in `ShelvedFolder`.
        let _ = unlinkat(at, name, AtFlags::empty());
    }
    copied
}

#[cfg(test)]
mod tests;
