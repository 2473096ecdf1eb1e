//! All that an executable links: its interpreter and, in turn, all shared libraries, found as the dynamic
//! loader would find them. A trustlet sees these files and no others.
//!
//! A library that lies where its loader is built to look is seen in the same place. All others, wherever the
//! rules found them (`$ORIGIN`, `DT_RUNPATH`, `/etc/ld.so.conf`), are seen in one folder, [`IMAGE_FOLDER`],
//! to which `LD_LIBRARY_PATH` leads the loader: so what a trustlet sees, and with it the chain digest, does
//! not depend on where on this machine things lie.

use super::elf::{self, Links, Unfit};
use super::folders::{Loader, Rules, System, open};
use super::progress::asking;
use hacher_trustlet_host::core::limits::LIBRARIES_MAX;
use object::ReadCache;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Where libraries from elsewhere than a loader's own folders are seen.
pub const IMAGE_FOLDER: &str = "/image/lib";
/// The variable that leads there.
pub const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";
/// Missing libraries of what a program loads by itself that are named.
const MISSING_MAX: usize = 16;
/// Folders that a message names.
const SHOWN_MAX: usize = 16;

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
    /// Its dynamic loader is not there.
    #[error("the dynamic loader `{loader}` that it was linked for is not on this machine: {source}")]
    NoLoader {
        /// As the executable names it.
        loader: PathBuf,
        /// Why it cannot be opened.
        source: io::Error,
    },
    /// A library is nowhere to be found.
    #[error(
        "the library `{name}` that `{by}` links is in none of the folders where its dynamic loader looks: {looked}"
    )]
    Missing {
        /// The library.
        name: String,
        /// The file that links it.
        by: PathBuf,
        /// Where it was looked for.
        looked: Looked,
    },
    /// A rule that is not followed here.
    #[error("`{by}` {what}, which is not supported here: {instead}")]
    Unsupported {
        /// The file.
        by: PathBuf,
        /// What it does.
        what: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// What loads by itself links more that is not there.
    #[error("{more} more libraries that its modules link are missing")]
    MoreMissing {
        /// How many, besides those that are named.
        more: usize,
    },
    /// There are too many.
    #[error("it links more than {LIBRARIES_MAX} libraries")]
    TooMany,
}

/// The folders in which a library was looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked(Vec<PathBuf>);

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, folder) in self.0.iter().take(SHOWN_MAX).enumerate() {
            let before = if index > 0 { ", " } else { "" };
            write!(f, "{before}{}", folder.display())?;
        }
        match self.0.len().checked_sub(SHOWN_MAX) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}

/// A file that an executable links.
#[derive(Debug)]
pub struct Linked {
    /// Where it is seen in the trustlet.
    pub path: PathBuf,
    /// The file, opened.
    pub file: File,
    /// Whether it is the dynamic loader itself.
    pub interpreter: bool,
}

/// All that an executable links.
#[derive(Debug, Default)]
pub struct LinkedFiles {
    /// The interpreter first. None for one that is linked statically.
    pub files: Vec<Linked>,
    /// The value that [`LIBRARY_PATH`] must have for the loader to find them; `None` if it finds them
    /// anyway.
    pub library_path: Option<&'static str>,
}

/// Finds all that `executable` links. `library_path`: the value of [`LIBRARY_PATH`] in its environment, which
/// is that of its function; the one of this process does not count.
///
/// # Errors
/// [`ElfError`].
pub fn linked(executable: &File, path: &Path, library_path: Option<&str>) -> Result<LinkedFiles, ElfError> {
    let (found, _) = find_all(&System::this(), executable, path, library_path, Loadable::NONE)?;
    Ok(found)
}

/// What a program loads by itself, and brings along.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loadable<'a> {
    /// Libraries, as they lie on this machine.
    pub(super) modules: &'a [PathBuf],
    /// The folders that they lie in: what they link there is found beside them, in the trustlet too.
    pub(super) folders: &'a [PathBuf],
}

impl Loadable<'_> {
    /// Nothing.
    pub(super) const NONE: Self = Self {
        modules: &[],
        folders: &[],
    };
}

/// The same, with what the executable may load by itself: what these link comes with it. Also what of that is
/// not there, since nobody may ever load what needs it.
///
/// # Errors
/// [`ElfError`] of the executable itself.
pub(super) fn linked_with(
    executable: &File,
    path: &Path,
    library_path: Option<&str>,
    loadable: Loadable<'_>,
) -> Result<(LinkedFiles, Vec<ElfError>), ElfError> {
    find_all(&System::this(), executable, path, library_path, loadable)
}

/// A file whose libraries are to be found.
struct Object {
    links: Links,
    /// Where it was found.
    path: PathBuf,
    /// What its `$ORIGIN` stands for.
    origin: PathBuf,
    /// The file because of which it was loaded.
    loaded_by: Option<usize>,
}

fn find_all(
    system: &System,
    executable: &File,
    path: &Path,
    library_path: Option<&str>,
    loadable: Loadable<'_>,
) -> Result<(LinkedFiles, Vec<ElfError>), ElfError> {
    let links = read_links(executable, path).map_err(|unfit| ElfError::NotElf {
        path: path.to_owned(),
        reason: unfit.into_reason(),
    })?;
    let Some(interpreter) = links.interpreter.clone().map(PathBuf::from) else {
        return without_interpreter(&links, path).map(|found| (found, Vec::new()));
    };
    let no_loader = |source| ElfError::NoLoader {
        loader: interpreter.clone(),
        source,
    };
    let file = open(&system.real(&interpreter)).map_err(no_loader)?;
    let mut found = LinkedFiles::default();
    found.files.push(Linked {
        path: interpreter.clone(),
        file,
        interpreter: true,
    });
    if links.needed.is_empty() {
        return Ok((found, Vec::new()));
    }
    let unknown = || ElfError::Unsupported {
        by: path.to_owned(),
        what: format!(
            "is linked for the dynamic loader `{}`, whose rules are not known",
            interpreter.display()
        ),
        instead: "link it for glibc or musl, or statically",
    };
    let loader = Loader::identify(system, &interpreter).ok_or_else(unknown)?;
    // Only what it says of itself decides, so a program that is run by another name has the folder that it
    // really lies in.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let origin = real.parent().unwrap_or(Path::new("/")).to_owned();
    let mut search = Search {
        system,
        loader,
        library_path: library_path.unwrap_or_default(),
        known: BTreeMap::new(),
        asked: BTreeSet::new(),
        next: 0,
        objects: vec![Object {
            links,
            path: path.to_owned(),
            origin,
            loaded_by: None,
        }],
        found,
    };
    let name = interpreter
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    search.known.extend(name.map(|name| (name, ())));
    search.run(None)?;
    let missing = search.load_for(loadable).into_errors();
    Ok((search.found, missing))
}

fn without_interpreter(links: &Links, path: &Path) -> Result<LinkedFiles, ElfError> {
    match links.needed.first() {
        None if !links.has_entry => Err(ElfError::NotElf {
            path: path.to_owned(),
            reason: "it has no place to start at, as a shared library".to_owned(),
        }),
        None => Ok(LinkedFiles::default()),
        Some(name) => Err(ElfError::Unsupported {
            by: path.to_owned(),
            what: format!("links `{name}` but names no dynamic loader, as a shared library does"),
            instead: "give an executable",
        }),
    }
}

struct Search<'a> {
    system: &'a System,
    loader: Loader,
    library_path: &'a str,
    /// Names under which something is loaded already: as it was asked for, and as it calls itself.
    known: BTreeMap<String, ()>,
    /// Names that something links.
    asked: BTreeSet<String>,
    /// The first object whose links were not looked at.
    next: usize,
    /// The executable, then libraries in the order in which they are loaded.
    objects: Vec<Object>,
    found: LinkedFiles,
}

/// What is missing of libraries that a program may do without.
#[derive(Default)]
struct MissingOnes {
    errors: Vec<ElfError>,
    /// What is told of already: libraries and filters.
    told: BTreeSet<String>,
    more: usize,
}

impl MissingOnes {
    /// Notes that `name` cannot be had, once.
    fn note(&mut self, name: &str, error: ElfError) {
        if !self.told.insert(name.to_owned()) {
            return;
        }
        if self.errors.len() < MISSING_MAX {
            self.errors.push(error);
        } else {
            self.more += 1;
        }
    }

    fn into_errors(mut self) -> Vec<ElfError> {
        if self.more > 0 {
            self.errors.push(ElfError::MoreMissing { more: self.more });
        }
        self.errors
    }
}

impl Search<'_> {
    /// Breadth first, as loaders do. Ends at the first error, unless `missing` is there to note it.
    fn run(&mut self, mut missing: Option<&mut MissingOnes>) -> Result<(), ElfError> {
        let mut waiting: VecDeque<(usize, String)> = VecDeque::new();
        loop {
            while let Some(object) = self.objects.get(self.next) {
                if object.links.is_filter {
                    let error = ElfError::Unsupported {
                        by: object.path.clone(),
                        what: "is a filter (DT_FILTER)".to_owned(),
                        instead: "link the library that it stands for",
                    };
                    match &mut missing {
                        Some(missing) => missing.note(&object.path.to_string_lossy(), error),
                        None => return Err(error),
                    }
                }
                for name in &object.links.needed {
                    if self.asked.insert(name.clone()) {
                        waiting.push_back((self.next, name.clone()));
                    }
                    // A library is asked for by the name of its file, and perhaps by its own.
                    if self.asked.len() > 2 * LIBRARIES_MAX {
                        return Err(ElfError::TooMany);
                    }
                }
                self.next += 1;
            }
            let Some((by, name)) = waiting.pop_front() else {
                return Ok(());
            };
            if self.known.contains_key(&name) {
                continue;
            }
            if let Err(error) = self.load(by, &name) {
                match &mut missing {
                    Some(missing) => missing.note(&name, error),
                    None => return Err(error),
                }
            }
        }
    }

    /// Finds what modules link that a program loads by itself; what of it is not there.
    fn load_for(&mut self, loadable: Loadable<'_>) -> MissingOnes {
        let mut missing = MissingOnes::default();
        for path in loadable.modules {
            let Some(links) = open(path).ok().and_then(|file| read_links(&file, path).ok()) else {
                continue; // of another machine, or no library: importing it fails anywhere
            };
            let by = self.objects.len();
            let needed = links.needed.clone();
            self.objects.push(Object {
                links: Links {
                    needed: Vec::new(),
                    ..links
                },
                path: path.clone(),
                origin: path.parent().unwrap_or(Path::new("/")).to_owned(),
                loaded_by: Some(0),
            });
            for name in needed {
                if !self.known.contains_key(&name)
                    && let Err(error) = self.load_unless_beside(by, &name, loadable.folders, &mut missing)
                {
                    missing.note(&name, error);
                }
            }
        }
        missing
    }

    /// Loads a library, and what it links, unless it lies where the module that links it will find it.
    fn load_unless_beside(
        &mut self,
        by: usize,
        name: &str,
        folders: &[PathBuf],
        missing: &mut MissingOnes,
    ) -> Result<(), ElfError> {
        let found = self.find(by, name)?;
        let real = found.2.canonicalize().unwrap_or_else(|_| found.2.clone());
        if folders.iter().any(|folder| real.starts_with(folder)) {
            return Ok(());
        }
        self.keep(by, name, found)?;
        self.run(Some(missing))
    }

    fn load(&mut self, by: usize, name: &str) -> Result<(), ElfError> {
        let found = self.find(by, name)?;
        self.keep(by, name, found)
    }

    fn find(&self, by: usize, name: &str) -> Result<(File, Links, PathBuf), ElfError> {
        if name.contains('$') || name.contains('/') {
            self.by_path(by, name)
        } else {
            self.by_name(by, name)
        }
    }

    fn keep(
        &mut self,
        by: usize,
        name: &str,
        (file, links, found_at): (File, Links, PathBuf),
    ) -> Result<(), ElfError> {
        if self.found.files.len() >= LIBRARIES_MAX {
            return Err(ElfError::TooMany);
        }
        self.known.insert(name.to_owned(), ());
        if let Some(soname) = &links.soname {
            self.known.insert(soname.clone(), ());
        }
        let folder = found_at.parent().unwrap_or(Path::new("/")).to_owned();
        let path = if name.contains('/') || self.is_own_folder(&folder) {
            found_at.clone()
        } else {
            self.found.library_path = Some(IMAGE_FOLDER);
            Path::new(IMAGE_FOLDER).join(found_at.file_name().unwrap_or(name.as_ref()))
        };
        self.found.files.push(Linked {
            path,
            file,
            interpreter: false,
        });
        self.objects.push(Object {
            links,
            path: found_at,
            origin: folder,
            loaded_by: Some(by),
        });
        Ok(())
    }

    /// Whether the loader looks there without being told, itself or below for this processor.
    fn is_own_folder(&self, folder: &Path) -> bool {
        let own = &self.loader.built_in;
        own.iter()
            .any(|own| folder == own || self.loader.levels(own).iter().any(|level| level == folder))
    }

    /// A library that is named by its path.
    fn by_path(&self, by: usize, name: &str) -> Result<(File, Links, PathBuf), ElfError> {
        let object = self.object(by);
        let path = PathBuf::from(self.loader.expand(name, &object.origin));
        if !path.is_absolute() || name.contains('$') {
            return Err(ElfError::Unsupported {
                by: object.path.clone(),
                what: format!("links `{name}` by a path that depends on where it is started"),
                instead: "give the library a soname without a slash, and the folder as a run path",
            });
        }
        let missing = || ElfError::Missing {
            name: name.to_owned(),
            by: object.path.clone(),
            looked: Looked(vec![path.clone()]),
        };
        let (file, links) = self.candidate(&path)?.ok_or_else(missing)?;
        Ok((file, links, path))
    }

    /// A library that is looked for in folders.
    fn by_name(&self, by: usize, name: &str) -> Result<(File, Links, PathBuf), ElfError> {
        let mut looked = Vec::new();
        for folder in self.folders(by) {
            for folder in self.loader.levels(&folder) {
                let path = folder.join(name);
                if let Some((file, links)) = self.candidate(&path)? {
                    return Ok((file, links, path));
                }
            }
            if !looked.contains(&folder) {
                looked.push(folder);
            }
        }
        Err(ElfError::Missing {
            name: name.to_owned(),
            by: self.object(by).path.clone(),
            looked: Looked(looked),
        })
    }

    /// Where a library that object `by` links is looked for, in order.
    fn folders(&self, by: usize) -> Vec<PathBuf> {
        let object = self.object(by);
        let list = |list: &Option<String>, object: &Object| match list {
            Some(list) => self.loader.folders(list, &object.origin),
            None => Vec::new(),
        };
        let given = self.loader.folders(self.library_path, &self.object(0).origin);
        let mut folders = Vec::new();
        match self.loader.rules {
            Rules::Gnu => {
                // RPATH: of the file itself and of those because of which it was loaded, each if it has no
                // RUNPATH; not at all if the file itself has a RUNPATH.
                if object.links.runpath.is_none() {
                    for object in self.loaded_by(by).filter(|object| object.links.runpath.is_none()) {
                        folders.extend(list(&object.links.rpath, object));
                    }
                }
                folders.extend(given);
                folders.extend(list(&object.links.runpath, object));
            }
            Rules::Musl => {
                folders.extend(given);
                for object in self.loaded_by(by) {
                    let own = object.links.runpath.as_ref().or(object.links.rpath.as_ref());
                    folders.extend(own.map_or_else(Vec::new, |own| self.loader.folders(own, &object.origin)));
                }
            }
        }
        let configured = self.loader.configured.iter();
        let no_defaults = object.links.no_default_folders && self.loader.rules == Rules::Gnu;
        folders.extend(
            configured
                .filter(|folder| !(no_defaults && self.is_own_folder(folder)))
                .cloned(),
        );
        if !no_defaults {
            folders.extend(self.loader.built_in.iter().cloned());
        }
        folders
    }

    /// An object, the one because of which it was loaded, and so on.
    fn loaded_by(&self, object: usize) -> impl Iterator<Item = &Object> {
        let first = self.objects.get(object);
        std::iter::successors(first, |object| self.objects.get(object.loaded_by?))
    }

    fn object(&self, index: usize) -> &Object {
        self.objects.get(index).expect("objects are never taken away")
    }

    /// The library at `path`, if there is one for this machine. What is not for this machine is passed over,
    /// as loaders do.
    fn candidate(&self, path: &Path) -> Result<Option<(File, Links)>, ElfError> {
        let Ok(file) = open(&self.system.real(path)) else {
            return Ok(None);
        };
        match read_links(&file, path) {
            Ok(links) => Ok(Some((file, links))),
            Err(Unfit::Foreign(_)) => Ok(None),
            Err(Unfit::Malformed(reason)) => Err(ElfError::NotElf {
                path: path.to_owned(),
                reason,
            }),
        }
    }
}

fn read_links(file: &File, path: &Path) -> Result<Links, Unfit> {
    use std::os::fd::AsRawFd;
    let _going = asking(path);
    // A second reader of the same open file would share its position with the monitor's; this one starts
    // over.
    let again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map_err(|error| Unfit::Malformed(format!("{} cannot be read: {error}", path.display())))?;
    // Headers and names only: most of a large executable is never looked at.
    elf::parse(&ReadCache::new(again))
}

#[cfg(test)]
mod tests;
