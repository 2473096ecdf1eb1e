//! Programs and libraries that were measured already: functions that share a file share its copy and its
//! measurement.
//!
//! A file is recognised by its `FileIdentity`. Could a file change in between, so that something runs that
//! was not measured? It could not, whatever happens to the file: what runs is the copy, the measurement is
//! that of the copy, and both are handed out together. Were a change of the file to go unnoticed, the next
//! function would get the earlier bytes *and the earlier measurement*, and the chain digest would say so.

use super::copy::{CopyError, identity};
use super::file_identity::FileIdentity;
use super::files::{AddedFile, FileCopy, Files};
use super::image::{Image, ImageError};
use super::library::{LIBRARIES_MAX, Library, LibraryError};
use super::shelf::{LibraryFile, Shelf};
use crate::linux::loaded::{LoadedLibrary, loaded_libraries};
use crate::linux::unhurried::{PATIENCE, asked};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{Mode, OFlags, open};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::{Rc, Weak};

/// The largest executable.
pub const IMAGE_MAX_BYTES: u64 = 1 << 30;

/// What has been measured and is still in use: nothing is kept in memory because it once ran.
#[derive(Debug)]
pub struct MeasuredFiles {
    images: BTreeMap<FileIdentity, Weak<Image>>,
    libraries: BTreeMap<FileIdentity, Weak<LibraryFile>>,
    /// Of functions' files, where each was copied to.
    files: BTreeMap<FileIdentity, FileCopy>,
    shelf: Shelf,
}

impl MeasuredFiles {
    /// Nothing yet; libraries will lie on `shelf`.
    #[must_use]
    pub fn new(shelf: Shelf) -> Self {
        Self {
            images: BTreeMap::new(),
            libraries: BTreeMap::new(),
            files: BTreeMap::new(),
            shelf,
        }
    }

    /// Where libraries lie.
    #[must_use]
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// The program in `file`, copied and measured unless one in use was made from the same file. `name` is
    /// what [`Image::load`] says, and that of the first to load it.
    ///
    /// # Errors
    /// As [`Image::load`]; also when `file` is no regular file.
    pub fn image(&mut self, name: &str, file: BorrowedFd<'_>) -> Result<Rc<Image>, ImageError> {
        let identity = identity(file)?;
        if let Some(image) = self.images.get(&identity).and_then(Weak::upgrade) {
            return Ok(image);
        }
        let image = Rc::new(Image::load_known(name, file, identity, IMAGE_MAX_BYTES)?);
        self.images.retain(|_, image| image.strong_count() > 0);
        // Under the identity from before the copy was made. Had the file changed meanwhile, the copy would be
        // handed out only for a file that is again as it was.
        self.images.insert(identity, Rc::downgrade(&image));
        Ok(image)
    }

    /// The library in `file`, which is looked for at `path`, copied and measured unless one in use was made
    /// from the same file. `interpreter`: it is the dynamic loader.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn library(
        &mut self,
        path: &Path,
        file: BorrowedFd<'_>,
        interpreter: bool,
    ) -> Result<Library, LibraryError> {
        let failed = |source| LibraryError::Copy {
            path: path.to_owned(),
            source,
        };
        let identity = identity(file).map_err(failed)?;
        if let Some(known) = self.libraries.get(&identity).and_then(Weak::upgrade) {
            return Library::new(path, known, interpreter);
        }
        let copy = Rc::new(self.shelf.put(file, identity).map_err(failed)?);
        let library = Library::new(path, Rc::clone(&copy), interpreter)?;
        self.libraries.retain(|_, known| known.strong_count() > 0);
        self.libraries.insert(identity, Rc::downgrade(&copy));
        Ok(library)
    }

    /// Adds a folder to a function's `files`.
    ///
    /// # Errors
    /// When there is no room.
    pub fn add_folder(&mut self, files: &mut Files, path: &Path) -> Result<(), CopyError> {
        files.add_folder(&self.shelf, path)
    }

    /// Adds a symbolic link to a function's `files`.
    ///
    /// # Errors
    /// When there is no room.
    pub fn add_link(&mut self, files: &mut Files, path: &Path, target: &str) -> Result<(), CopyError> {
        files.add_link(&self.shelf, path, target)
    }

    /// Adds the content of `file` to a function's `files`: shared with another function that has the same
    /// file, else copied and measured.
    ///
    /// # Errors
    /// A file that is longer than `max_bytes`, unreadable, no regular file, changing, or that there is no
    /// room for.
    pub fn add_file(
        &mut self,
        files: &mut Files,
        path: &Path,
        file: BorrowedFd<'_>,
        max_bytes: u64,
    ) -> Result<AddedFile, CopyError> {
        let identity = identity(file)?;
        let known = self
            .files
            .get(&identity)
            .filter(|known| known.added().len_bytes <= max_bytes);
        if let Some(added) = known.and_then(|known| files.share(&self.shelf, path, known)) {
            return Ok(added);
        }
        let copy = files.add_file(&self.shelf, path, file, identity, max_bytes)?;
        let added = copy.added();
        self.files.insert(identity, copy);
        Ok(added)
    }

    /// The shared objects that the running process has mapped, its dynamic loader among them: what another
    /// process of the same executable (the daemon, the gateway) needs to start. Empty for a static
    /// executable.
    ///
    /// # Errors
    ///
    /// One of them cannot be measured, for instance because it was replaced on disk and the new one is being
    /// written.
    pub fn own_libraries(&mut self) -> Result<Vec<Library>, LibraryError> {
        self.loaded_libraries(&loaded_libraries())
    }

    /// These libraries.
    ///
    /// # Errors
    /// As [`MeasuredFiles::own_libraries`], or when there are too many.
    pub fn loaded_libraries(&mut self, loaded: &[LoadedLibrary]) -> Result<Vec<Library>, LibraryError> {
        // The loader is one of its own.
        if loaded.len() > LIBRARIES_MAX + 1 {
            return Err(LibraryError::TooMany);
        }
        let load = |library: &LoadedLibrary| {
            let failed = |source| LibraryError::Copy {
                path: library.path.clone(),
                source,
            };
            let path = library.path.clone();
            let found = asked(PATIENCE, |_| {
                open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            });
            let file = found
                .map_err(CopyError::unanswered)
                .and_then(|file| file.map_err(CopyError::read));
            let file = file.map_err(failed)?;
            self.library(&library.path, file.as_fd(), library.interpreter)
        };
        loaded.iter().map(load).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_skipped::skipped;
    use rustix::fs::{MemfdFlags, memfd_create};
    use std::fs::File;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = File::from(memfd_create("program", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(bytes).unwrap();
        file
    }

    fn load(files: &mut MeasuredFiles, file: &File) -> Rc<Image> {
        files.image("program", file.as_fd()).unwrap()
    }

    #[test]
    fn two_descriptors_of_one_file_share_its_copy() {
        let program = file(b"program");
        let mut files = MeasuredFiles::new(Shelf::scales());
        let first = load(&mut files, &program);
        assert!(Rc::ptr_eq(
            &first,
            &load(&mut files, &program.try_clone().unwrap())
        ));
        assert!(!Rc::ptr_eq(&first, &load(&mut files, &file(b"program"))));
    }

    #[test]
    fn a_changed_file_gets_a_copy_and_a_measurement_of_its_own() {
        let mut program = file(b"program");
        let mut files = MeasuredFiles::new(Shelf::scales());
        let first = load(&mut files, &program);
        program.write_all(b", changed").unwrap();
        let second = load(&mut files, &program);
        assert_ne!(first.measurement(), second.measurement());
        assert_eq!(second.len_bytes(), 16);
    }

    #[test]
    fn a_copy_that_nobody_uses_is_not_kept() {
        let mut files = MeasuredFiles::new(Shelf::scales());
        drop(load(&mut files, &file(b"program")));
        assert_eq!(files.images.values().filter_map(Weak::upgrade).count(), 0);
        let _other = load(&mut files, &file(b"another"));
        assert_eq!(files.images.len(), 1);
    }

    #[test]
    fn a_known_library_has_the_measurement_of_its_bytes_under_each_path() {
        let library = file(b"library");
        let mut files = MeasuredFiles::new(Shelf::scales());
        let first = files
            .library(Path::new("/lib/one.so"), library.as_fd(), false)
            .unwrap();
        let other = Path::new("/lib/other.so");
        let second = files.library(other, library.as_fd(), true).unwrap();
        assert_eq!(first.measurement(), second.measurement());
        assert_eq!((second.path(), second.is_interpreter()), (other, true));
        assert!(
            files
                .library(Path::new("relative"), library.as_fd(), false)
                .is_err()
        );
    }

    #[test]
    fn a_library_that_nobody_uses_is_not_kept() {
        let mut files = MeasuredFiles::new(Shelf::unshared("a test"));
        let path = Path::new("/lib/x.so");
        drop(files.library(path, file(b"x").as_fd(), false).unwrap());
        let _other = files.library(path, file(b"y").as_fd(), false).unwrap();
        assert_eq!(files.libraries.len(), 1);
    }

    #[test]
    fn this_test_links_a_c_library_and_its_loader() {
        let libraries = MeasuredFiles::new(Shelf::scales()).own_libraries().unwrap();
        if libraries.is_empty() {
            skipped!("this test is a static executable");
            return;
        }
        let interpreters = libraries.iter().filter(|library| library.is_interpreter());
        assert_eq!(interpreters.count(), 1);
        let is_c_library = |library: &Library| library.path().to_string_lossy().contains("libc.so");
        assert!(libraries.iter().any(is_c_library));
        assert!(libraries.iter().all(|library| library.check_unchanged().is_ok()));
    }

    #[test]
    fn a_relative_or_climbing_path_is_refused() {
        let file = File::open("/proc/self/exe").unwrap();
        let mut files = MeasuredFiles::new(Shelf::scales());
        for path in ["libc.so.6", "/lib/../etc/passwd", "/", "", "/lib/x\0y"] {
            let measured = files.library(Path::new(path), file.as_fd(), false);
            assert!(matches!(measured, Err(LibraryError::Path { .. })), "{path:?}");
        }
    }
}
