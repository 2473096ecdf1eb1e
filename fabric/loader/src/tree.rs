//! A file or folder that a function is given, as it is on this machine: what is in it, so that the monitor
//! can be given one after the other.
//!
//! Nothing here follows a link but the path that the chain file names. Links in a folder stay links, which
//! the function itself follows, in its own root; one that leads out of the folder would lead to something
//! else there, so it is refused. What is neither file nor folder nor link is refused before it is opened.
//! Everything is opened again from the folder itself when it is handed over, so a change in between can make
//! the start fail, but leads nowhere else; and what the monitor measures is its copy.

use super::beneath::{Beneath, Outside, by_number, in_words, open_beneath};
use super::progress::{Going, asking};
use hacher_trustlet_host::chosen::copy::is_made_up;
use hacher_trustlet_host::core::limits::{
    FILE_DEPTH_MAX, FILE_MAX_BYTES, FILE_NAME_MAX_BYTES, FILES_MAX, FILES_MAX_BYTES,
};
use rustix::fs::{Mode, OFlags, readlinkat};
pub(super) use selection::Selection;
use std::fmt;
use std::fs::{File, FileType};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

mod selection;

/// Longest path of a file from a function's root, with where it leads if it is a link: one message to the
/// monitor, and what a function can open.
const PATH_MAX_BYTES: usize = hacher_trustlet_host::calls::OPERAND_MAX_BYTES - 1;

/// A file or folder.
#[derive(Debug)]
pub struct Tree {
    /// Where the function finds it.
    place: String,
    /// Where it is on this machine.
    named: PathBuf,
    /// The file, to read; or the folder.
    top: File,
    /// In the order of their paths, so that what is in a folder comes after it. The first is the top itself.
    entries: Vec<Entry>,
    len_bytes: u64,
    selection: Selection,
    follows: Follows,
    /// The last to go: closing the file waits for its file system as well.
    closing: Option<Going<'static>>,
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.closing = Some(asking(&self.named));
    }
}

/// What becomes of a link that leads out of its folder.
#[derive(Debug)]
enum Follows {
    /// It is refused.
    Never,
    /// It stands for what it leads to.
    Anywhere,
    /// Likewise, beneath this folder alone.
    Beneath(Beneath),
}

/// Where a selection of a folder may lie.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound<'a> {
    /// Anywhere, and so may what its links lead to.
    None,
    /// Beneath this folder. No link leads out of the selected one.
    Strict(&'a Beneath),
    /// Beneath this folder, and so may what its links lead to.
    WithLinks(&'a Beneath),
}

/// Something in a tree.
#[derive(Debug)]
pub struct Entry {
    /// From the top; empty for the top itself.
    within: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Folder,
    File,
    Link(String),
    /// A file to which a link leads out of the tree, where it really lies.
    Elsewhere(PathBuf),
}

/// What the monitor is given for an entry.
#[derive(Debug)]
pub enum Content {
    /// A folder.
    Folder,
    /// A file, to read.
    File(OwnedFd),
    /// A link, and where it leads.
    Link(String),
}

/// Why a function cannot be given something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// It cannot be opened or read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// What.
        path: Shown,
        /// Why not.
        source: io::Error,
    },
    /// It lies elsewhere than files may.
    #[error("cannot use {path}: {source}")]
    Outside {
        /// What.
        path: Shown,
        /// Where it lies, and where it may.
        source: Outside,
    },
    /// A pipe, a device, a socket.
    #[error("{path} is {what}, and a function is given files, folders and links alone")]
    Special {
        /// What.
        path: Shown,
        /// In words.
        what: &'static str,
    },
    /// A link to somewhere else.
    #[error("{path} is a link that leads out of its folder, to {target}")]
    Leaves {
        /// The link.
        path: Shown,
        /// Where it leads.
        target: Shown,
    },
    /// A name or a link that is no text.
    #[error("the name of {path}, or where it leads, is not UTF-8")]
    NotText {
        /// What.
        path: Shown,
    },
    /// A name, a path or a depth past its bound.
    #[error(
        "the path of {path} in the function has more than {PATH_MAX_BYTES} bytes or {FILE_DEPTH_MAX} names, or a name of more \
         than {FILE_NAME_MAX_BYTES} bytes"
    )]
    PathTooLong {
        /// What.
        path: Shown,
    },
    /// More than a function can have.
    #[error("{path} has more than {FILES_MAX} files, folders and links")]
    TooMany {
        /// The top.
        path: Shown,
    },
    /// A file that is too long.
    #[error("{path} has {len_bytes} bytes, and a file of a function at most {FILE_MAX_BYTES}")]
    TooLong {
        /// The file.
        path: Shown,
        /// Its length.
        len_bytes: u64,
    },
    /// Too many bytes together.
    #[error("{path} has more than {FILES_MAX_BYTES} bytes, the most that the files of a function may have")]
    TooLarge {
        /// The top.
        path: Shown,
    },
    /// It is something else by now.
    #[error("{path} was replaced while it was read")]
    Changed {
        /// What.
        path: Shown,
    },
}

/// A path as messages have it: whoever made the file chose it.
#[derive(Debug)]
pub struct Shown(PathBuf);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.to_string_lossy().escape_debug())
    }
}

impl Tree {
    /// Looks at all that is at `path`, which may be a link itself, beneath `bound` if there is one. The
    /// function is to find it at `place`.
    ///
    /// # Errors
    /// [`TreeError`], of the first thing that a function cannot be given.
    pub fn read(path: &Path, place: &str, bound: Option<&Beneath>) -> Result<Self, TreeError> {
        Self::find(path, place, bound, Selection::All, Follows::Never)
    }

    /// The same of what `selection` takes.
    pub(super) fn select(
        path: &Path,
        place: &str,
        bound: Bound<'_>,
        selection: Selection,
    ) -> Result<Self, TreeError> {
        let (bound, follows) = match bound {
            Bound::None => (None, Follows::Anywhere),
            Bound::Strict(bound) => (Some(bound), Follows::Never),
            Bound::WithLinks(bound) => (Some(bound), Follows::Beneath(bound.clone())),
        };
        Self::find(path, place, bound, selection, follows)
    }

    fn find(
        path: &Path,
        place: &str,
        bound: Option<&Beneath>,
        selection: Selection,
        follows: Follows,
    ) -> Result<Self, TreeError> {
        let _going = asking(path);
        let shown = || Shown(path.to_owned());
        let failed = |source: io::Error| TreeError::Io {
            path: shown(),
            source,
        };
        let (found, kind) = look_at(path, bound, shown)?;
        let mut tree = Self {
            place: place.to_owned(),
            named: path.to_owned(),
            top: File::open(by_number(&found)).map_err(failed)?,
            entries: Vec::new(),
            len_bytes: 0,
            selection,
            follows,
            closing: None,
        };
        if kind.is_dir() {
            tree.entries.push(Entry {
                within: String::new(),
                kind: Kind::Folder,
            });
            tree.read_folders()?;
            tree.entries.sort_by(|one, other| one.within.cmp(&other.within));
        } else {
            let len_bytes = tree.top.metadata().map_err(failed)?.len();
            tree.add(String::new(), Kind::File, len_bytes)?;
        }
        Ok(tree)
    }

    /// Where the function finds it.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What it is and what is in it: each after the folder that it lies in.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes of all files in it, when they were looked at.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Where the function finds an entry.
    #[must_use]
    pub fn place_of(&self, entry: &Entry) -> String {
        match entry.within.as_str() {
            "" => self.place.clone(),
            within => format!("{}/{within}", self.place),
        }
    }

    /// Where an entry is on this machine.
    pub(super) fn named_of(&self, entry: &Entry) -> PathBuf {
        match entry.within.as_str() {
            "" => self.named.clone(),
            within => self.named.join(within),
        }
    }

    /// What the monitor is to be given for an entry; a file is opened for it.
    ///
    /// # Errors
    /// When it has become something else.
    pub fn content(&self, entry: &Entry) -> Result<Content, TreeError> {
        let _going = asking(&self.named.join(&entry.within));
        match &entry.kind {
            Kind::Folder => Ok(Content::Folder),
            Kind::Link(target) => Ok(Content::Link(target.clone())),
            Kind::File if entry.within.is_empty() => {
                let file = self.top.try_clone();
                let file = file.map_err(|source| self.io(&entry.within, source))?;
                Ok(Content::File(file.into()))
            }
            Kind::File => Ok(Content::File(self.open_file(&entry.within)?.into())),
            Kind::Elsewhere(path) => {
                let (file, kind) = self.look_elsewhere(path, &entry.within)?;
                if !kind.is_file() {
                    return Err(TreeError::Changed {
                        path: self.shown(&entry.within, Path::new("")),
                    });
                }
                Ok(Content::File(file.into()))
            }
        }
    }

    /// Where the libraries in it lie on this machine that a program may load by itself.
    pub(super) fn extension_modules(&self) -> Vec<PathBuf> {
        let is_library = |within: &str| {
            let name = within.rsplit('/').next().unwrap_or(within);
            Path::new(name).extension().is_some_and(|ending| ending == "so") || name.contains(".so.")
        };
        let libraries = self.entries.iter().filter(|entry| is_library(&entry.within));
        let paths = libraries.filter_map(|entry| match &entry.kind {
            Kind::File => Some(self.named.join(&entry.within)),
            Kind::Elsewhere(path) => Some(path.clone()),
            Kind::Folder | Kind::Link(_) => None,
        });
        paths.collect()
    }

    /// The top, opened once more: with a position of its own.
    pub(super) fn open_top(&self) -> io::Result<File> {
        let _going = asking(&self.named);
        File::open(by_number(&self.top))
    }

    /// Looks into all folders, from the top on.
    fn read_folders(&mut self) -> Result<(), TreeError> {
        let mut waiting = vec![String::new()];
        while let Some(folder) = waiting.pop() {
            let _going = asking(&self.named.join(&folder));
            let opened = self.open_folder(&folder)?;
            let names = std::fs::read_dir(by_number(&opened)).map_err(|source| self.io(&folder, source))?;
            for found in names {
                let found = found.map_err(|source| self.io(&folder, source))?;
                let name = found.file_name();
                let not_text = || TreeError::NotText {
                    path: self.shown(&folder, Path::new(&name)),
                };
                let name = name.to_str().ok_or_else(not_text)?;
                let within = match folder.as_str() {
                    "" => name.to_owned(),
                    folder => format!("{folder}/{name}"),
                };
                if !self.selection.takes(&within) {
                    continue;
                }
                let _going = asking(&self.named.join(&within));
                let metadata = found.metadata().map_err(|source| self.io(&within, source))?;
                let kind = metadata.file_type();
                if kind.is_dir() {
                    waiting.push(within.clone());
                    self.add(within, Kind::Folder, 0)?;
                } else if kind.is_symlink() {
                    match self.read_link(&opened, name, &within) {
                        Ok(target) => self.add(within, Kind::Link(target), 0)?,
                        Err(TreeError::Leaves { .. }) if !matches!(self.follows, Follows::Never) => {
                            self.follow(within)?;
                        }
                        Err(error) => return Err(error),
                    }
                } else if kind.is_file() {
                    // Whether it can be read is found out before anything starts.
                    self.open_file(&within)?;
                    self.add(within, Kind::File, metadata.len())?;
                } else {
                    return Err(TreeError::Special {
                        path: self.shown(&within, Path::new("")),
                        what: in_words(kind),
                    });
                }
            }
        }
        Ok(())
    }

    /// Adds what a link leads to that leaves the tree; nothing, if it leads nowhere: what was not installed
    /// is not imported.
    fn follow(&mut self, within: String) -> Result<(), TreeError> {
        let link = self.named.join(&within);
        let Ok(real) = link.canonicalize() else {
            return Ok(());
        };
        // Opened here, so whether it can be read is found out before anything starts.
        let (file, kind) = self.look_elsewhere(&real, &within)?;
        if kind.is_file() {
            let metadata = file.metadata().map_err(|source| self.io(&within, source))?;
            return self.add(within, Kind::Elsewhere(real), metadata.len());
        }
        self.add(within.clone(), Kind::Folder, 0)?;
        let names = std::fs::read_dir(by_number(&file)).map_err(|source| self.io(&within, source))?;
        for found in names {
            let found = found.map_err(|source| self.io(&within, source))?;
            let name = found.file_name();
            let name = name.to_str().ok_or_else(|| TreeError::NotText {
                path: self.shown(&within, Path::new(&name)),
            })?;
            let below = format!("{within}/{name}");
            // Through the link, and so with all links below: depth is bounded.
            if self.selection.takes(&below) {
                self.follow(below)?;
            }
        }
        Ok(())
    }

    /// Opens a file or folder to which a link at `within` leads out of the tree.
    fn look_elsewhere(&self, real: &Path, within: &str) -> Result<(File, FileType), TreeError> {
        let bound = match &self.follows {
            Follows::Never | Follows::Anywhere => None,
            Follows::Beneath(bound) => Some(bound),
        };
        let (found, kind) = look_at(real, bound, || self.shown(within, Path::new("")))?;
        let file = File::open(by_number(&found)).map_err(|source| self.io(within, source))?;
        Ok((file, kind))
    }

    fn add(&mut self, within: String, kind: Kind, len_bytes: u64) -> Result<(), TreeError> {
        let target_bytes = match &kind {
            Kind::Link(target) => target.len(),
            Kind::Folder | Kind::File | Kind::Elsewhere(_) => 0,
        };
        let depth = |path: &str| path.split('/').filter(|name| !name.is_empty()).count();
        let fits = self.place.len() + 1 + within.len() + target_bytes <= PATH_MAX_BYTES
            && depth(&self.place) + depth(&within) <= FILE_DEPTH_MAX;
        let path = || self.shown(&within, Path::new(""));
        if !fits {
            return Err(TreeError::PathTooLong { path: path() });
        }
        if len_bytes > FILE_MAX_BYTES {
            return Err(TreeError::TooLong {
                path: path(),
                len_bytes,
            });
        }
        self.len_bytes = self.len_bytes.saturating_add(len_bytes);
        let path = || Shown(self.named.clone());
        if self.len_bytes > FILES_MAX_BYTES {
            return Err(TreeError::TooLarge { path: path() });
        }
        if self.entries.len() >= FILES_MAX {
            return Err(TreeError::TooMany { path: path() });
        }
        self.entries.push(Entry { within, kind });
        Ok(())
    }

    fn open_folder(&self, within: &str) -> Result<File, TreeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match within {
            "" => self.top.try_clone().map_err(|source| self.io(within, source)),
            within => self.open(within, flags),
        }
    }

    /// Opens a regular file; does not wait, whatever it has become.
    fn open_file(&self, within: &str) -> Result<File, TreeError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = self.open(within, flags)?;
        if file
            .metadata()
            .map_err(|source| self.io(within, source))?
            .is_file()
        {
            return Ok(file);
        }
        Err(TreeError::Changed {
            path: self.shown(within, Path::new("")),
        })
    }

    fn open(&self, within: &str, flags: OFlags) -> Result<File, TreeError> {
        open_beneath(&self.top, Path::new(within), flags).map_err(|source| self.io(within, source))
    }

    /// Where a link leads, if that is in the tree.
    fn read_link(&self, folder: &File, name: &str, within: &str) -> Result<String, TreeError> {
        let target = readlinkat(folder, name, Vec::new()).map_err(|errno| self.io(within, errno.into()))?;
        let path = || self.shown(within, Path::new(""));
        let target = target
            .into_string()
            .map_err(|_| TreeError::NotText { path: path() })?;
        if stays_within(within, &target) {
            Ok(target)
        } else {
            Err(TreeError::Leaves {
                path: path(),
                target: Shown(target.into()),
            })
        }
    }

    fn io(&self, within: &str, source: io::Error) -> TreeError {
        TreeError::Io {
            path: self.shown(within, Path::new("")),
            source,
        }
    }

    fn shown(&self, within: &str, below: &Path) -> Shown {
        let path = [Path::new(within), below].into_iter();
        let path = path.filter(|path| !path.as_os_str().is_empty());
        Shown(path.fold(self.named.clone(), |path, part| path.join(part)))
    }
}

/// Finds a file or folder, beneath `bound` if there is one, without what opening does to a pipe or a device.
fn look_at(
    path: &Path,
    bound: Option<&Beneath>,
    shown: impl Fn() -> Shown,
) -> Result<(File, FileType), TreeError> {
    let failed = |source: io::Error| TreeError::Io {
        path: shown(),
        source,
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
    let mut found = File::from(found);
    if let Some(bound) = bound {
        found = bound.find(&found).map_err(|source| TreeError::Outside {
            path: shown(),
            source,
        })?;
    }
    let kind = found.metadata().map_err(failed)?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        return Err(TreeError::Special {
            path: shown(),
            what: in_words(kind),
        });
    }
    if is_made_up(found.as_fd()).map_err(|errno| failed(errno.into()))? {
        return Err(TreeError::Special {
            path: shown(),
            what: "made up by the kernel whenever it is read (procfs, sysfs)",
        });
    }
    Ok((found, kind))
}

/// Whether a link at `within` leads to no place above the top, taken by its names.
fn stays_within(within: &str, target: &str) -> bool {
    if target.starts_with('/') {
        return false;
    }
    // Of the folder that it lies in.
    let mut depth = within.split('/').count() - 1;
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return false,
            },
            _ => depth += 1,
        }
    }
    true
}

#[cfg(test)]
mod tests;
