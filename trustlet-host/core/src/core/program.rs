//! What a process runs and finds: its image, which is an executable, the libraries that it links, files, and
//! the arguments and variables that it is told.

use super::limits;
use super::refusal::{Refusal, refuse};
use crate::calls::ResultCode;
use crate::platform::{Measurement, Platform, SystemCalls};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A library, and where its executable looks for it.
pub(crate) struct Library {
    pub(crate) path: String,
    /// The dynamic loader itself, which the kernel executes.
    pub(crate) interpreter: bool,
}

/// What one of a function's files is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileEntry {
    Folder,
    File {
        executable: bool,
        len_bytes: u64,
        measurement: Measurement,
    },
    Link {
        target: String,
    },
}

/// What a loader asks to be added to a function's files.
pub(crate) enum NewFile<'a, F> {
    Folder,
    File(F),
    Link(&'a str),
}

/// An image.
pub(crate) struct Program<P: Platform> {
    pub(crate) image: P::Image,
    /// What was loaded, beside [`Program::libraries`].
    pub(crate) loaded: Vec<P::Library>,
    pub(crate) libraries: Vec<Library>,
    pub(crate) files: P::Files,
    /// What is in [`Program::files`], by its path: the order of the canonical listing.
    pub(crate) entries: BTreeMap<String, FileEntry>,
    /// Bytes of all files.
    pub(crate) files_bytes: u64,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) system_calls: SystemCalls,
}

impl<P: Platform> Program<P> {
    pub(crate) fn new(image: P::Image) -> Self {
        Self {
            image,
            loaded: Vec::new(),
            libraries: Vec::new(),
            files: P::Files::default(),
            entries: BTreeMap::new(),
            files_bytes: 0,
            arguments: Vec::new(),
            environment: Vec::new(),
            system_calls: SystemCalls::default(),
        }
    }

    pub(crate) fn add_library(
        &mut self,
        platform: &mut P,
        file: P::File,
        path: &str,
        interpreter: bool,
    ) -> Result<(), Refusal> {
        if self.libraries.len() >= limits::LIBRARIES_MAX {
            return refuse(
                ResultCode::LimitReached,
                "an executable links at most 64 libraries",
            );
        }
        if !is_place(path) {
            return refuse(
                ResultCode::InvalidParameter,
                "a library's path is absolute, with nothing in it but names",
            );
        }
        if self.libraries.iter().any(|library| library.path == path) {
            return refuse(ResultCode::NameTaken, "the executable has a library at this path");
        }
        if self.roots().any(|root| overlap(root, path)) {
            return refuse(ResultCode::NameTaken, "the function has a file at this path");
        }
        if interpreter && self.libraries.iter().any(|library| library.interpreter) {
            return refuse(ResultCode::NameTaken, "the executable has an interpreter");
        }
        let loaded = platform
            .load_library(file, path, interpreter)
            .map_err(|error| Refusal::new(ResultCode::BadImage, error.to_string()))?;
        self.loaded.push(loaded);
        self.libraries.push(Library {
            path: path.to_owned(),
            interpreter,
        });
        Ok(())
    }

    pub(crate) fn add_file(
        &mut self,
        platform: &mut P,
        path: &str,
        new: NewFile<'_, P::File>,
        left_bytes: u64,
    ) -> Result<(), Refusal> {
        self.check_place(path, matches!(new, NewFile::Link(_)))?;
        let failed =
            |error: crate::platform::PlatformError| Refusal::new(ResultCode::BadImage, error.to_string());
        let entry = match new {
            NewFile::Folder => {
                platform.add_folder(&mut self.files, path).map_err(failed)?;
                FileEntry::Folder
            }
            NewFile::File(file) => {
                let left_bytes = left_bytes.min(limits::FILES_MAX_BYTES.saturating_sub(self.files_bytes));
                let max_bytes = left_bytes.min(limits::FILE_MAX_BYTES);
                let added = platform.add_file(&mut self.files, path, file, max_bytes);
                let measured = added.map_err(failed)?;
                self.files_bytes += measured.len_bytes;
                FileEntry::File {
                    executable: measured.executable,
                    len_bytes: measured.len_bytes,
                    measurement: measured.measurement,
                }
            }
            NewFile::Link(target) => {
                if target.is_empty() || target.contains('\0') {
                    return refuse(ResultCode::InvalidParameter, "a link leads somewhere");
                }
                platform.add_link(&mut self.files, path, target).map_err(failed)?;
                FileEntry::Link {
                    target: target.to_owned(),
                }
            }
        };
        self.entries.insert(path.to_owned(), entry);
        Ok(())
    }

    /// Refuses a path that is none, or is taken, or lies in something else than a folder of the function.
    fn check_place(&self, path: &str, is_link: bool) -> Result<(), Refusal> {
        if self.entries.len() >= limits::FILES_MAX {
            return refuse(ResultCode::LimitReached, "a function has at most 65,536 files");
        }
        if !is_place(path) {
            return refuse(
                ResultCode::InvalidParameter,
                "a file's path is absolute, with nothing in it but names, each of at most 255 bytes and 64 of them",
            );
        }
        if self.entries.contains_key(path) {
            return refuse(ResultCode::NameTaken, "the function has a file at this path");
        }
        let folder = parent(path).and_then(|folder| self.entries.get(folder));
        match folder {
            Some(FileEntry::Folder) => return Ok(()),
            Some(_) => return refuse(ResultCode::InvalidParameter, "a file lies in a folder"),
            None if is_link => return refuse(ResultCode::InvalidParameter, "a link lies in a folder"),
            None => {}
        }
        if self.roots().count() >= limits::FILE_ROOTS_MAX {
            return refuse(
                ResultCode::LimitReached,
                "a function has at most 64 files and folders that lie in no other",
            );
        }
        let libraries = self.libraries.iter().map(|library| library.path.as_str());
        let mut taken = limits::RESERVED_PLACES
            .into_iter()
            .chain(libraries)
            .chain(self.roots());
        if taken.any(|taken| overlap(taken, path)) {
            return refuse(
                ResultCode::NameTaken,
                "the place of a file is, holds or lies beneath another one that is taken",
            );
        }
        Ok(())
    }

    /// Those files and folders that lie in no other.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &str> {
        let is_root = |path: &&String| parent(path).is_none_or(|folder| !self.entries.contains_key(folder));
        self.entries.keys().filter(is_root).map(String::as_str)
    }

    pub(crate) fn add_argument(&mut self, text: &str) -> Result<(), Refusal> {
        if text.contains('\0') {
            return refuse(ResultCode::InvalidParameter, "an argument has no zero byte");
        }
        if self.arguments.len() >= limits::ARGUMENTS_MAX {
            return refuse(ResultCode::LimitReached, "a function has at most 64 arguments");
        }
        self.arguments.push(text.to_owned());
        Ok(())
    }

    pub(crate) fn add_variable(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return refuse(
                ResultCode::InvalidParameter,
                "a variable's name has no '=' and neither name nor value has a zero byte",
            );
        }
        if self.environment.iter().any(|(other, _)| other == name) {
            return refuse(ResultCode::NameTaken, "the function has a variable of this name");
        }
        if self.environment.len() >= limits::VARIABLES_MAX {
            return refuse(ResultCode::LimitReached, "a function has at most 64 variables");
        }
        self.environment.push((name.to_owned(), value.to_owned()));
        Ok(())
    }
}

/// The folder that a path lies in; `None` for the root.
fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/')
        .map(|(folder, _)| folder)
        .filter(|folder| !folder.is_empty())
}

/// Absolute, a single slash before each name and nowhere else, and no name that means something.
fn is_place(path: &str) -> bool {
    let Some(names) = path.strip_prefix('/') else {
        return false;
    };
    let is_name = |name: &str| {
        !matches!(name, "" | "." | "..") && name.len() <= limits::FILE_NAME_MAX_BYTES && !name.contains('\0')
    };
    names.split('/').all(is_name) && names.split('/').count() <= limits::FILE_DEPTH_MAX
}

/// Whether two paths are one, or one lies beneath the other.
fn overlap(one: &str, other: &str) -> bool {
    let holds = |folder: &str, path: &str| {
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    holds(one, other) || holds(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_absolute_path_of_names() {
        let deep = |depth: usize| "/d".repeat(depth);
        let name = |bytes: usize| format!("/a/{}", "n".repeat(bytes));
        for good in ["/a", "/a/b.c", "/..a", "/a...", &deep(64), &name(255)] {
            assert!(is_place(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "a",
            "a/b",
            "/a/",
            "//a",
            "/a//b",
            "/.",
            "/..",
            "/a/.",
            "/a/../b",
            "/a\0",
            &deep(65),
            &name(256),
        ] {
            assert!(!is_place(bad), "{bad:?}");
        }
    }

    #[test]
    fn paths_overlap_by_names_and_not_by_letters() {
        for (one, other) in [("/a", "/a"), ("/a", "/a/b"), ("/a/b/c", "/a")] {
            assert!(overlap(one, other) && overlap(other, one));
        }
        for (one, other) in [("/a", "/ab"), ("/a/b", "/a/c"), ("/a/b", "/b")] {
            assert!(!overlap(one, other) && !overlap(other, one));
        }
    }
}
