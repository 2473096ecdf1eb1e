//! Programs and libraries that were measured already: functions that share a file share its sealed copy and its
//! measurement.
//!
//! A file is recognised by its `FileIdentity`. Could a file change in between, so that something runs that was not
//! measured? For a **program** it could not, whatever happens to the file: what runs is the sealed copy, the measurement
//! is that of the copy, and both are handed out together. Were a change of the file to go unnoticed, the next function
//! would get the earlier program *and the earlier measurement*, and the chain digest would say so. For a **library**
//! nothing new is assumed: that an unchanged identity means unchanged bytes is what [`super::library`] relies on at
//! each start anyway, and a library that is recognised here is looked at again there.

use super::file_identity::FileIdentity;
use super::image::{Image, ImageError, Measurement};
use super::library::{Library, LibraryError};
use rustix::fd::BorrowedFd;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::{Rc, Weak};

/// The largest executable.
pub const IMAGE_MAX_BYTES: u64 = 1 << 30;
/// Most libraries that are remembered (I6). Past it all are forgotten, and measured again when they come again.
const LIBRARIES_MAX: usize = 512;

/// What has been measured so far.
#[derive(Debug, Default)]
pub struct MeasuredFiles {
    /// Those that are still in use: nothing is kept in memory because it once ran.
    images: BTreeMap<FileIdentity, Weak<Image>>,
    libraries: BTreeMap<FileIdentity, Measurement>,
}

impl MeasuredFiles {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The program in `file`, copied and measured unless one in use was made from the same file. `name` is what
    /// [`Image::load`] says, and that of the first to load it.
    ///
    /// # Errors
    /// As [`Image::load`]; also when `file` is no regular file.
    pub fn image(&mut self, name: &str, file: BorrowedFd<'_>) -> Result<Rc<Image>, ImageError> {
        let identity = FileIdentity::of(file).map_err(|errno| ImageError::Read(errno.into()))?;
        if let Some(image) = self.images.get(&identity).and_then(Weak::upgrade) {
            return Ok(image);
        }
        let image = Rc::new(Image::load(name, file, IMAGE_MAX_BYTES)?);
        self.images.retain(|_, image| image.strong_count() > 0);
        // Under the identity from before the copy was made. Had the file changed meanwhile, the copy would be handed out
        // only for a file that is again as it was.
        self.images.insert(identity, Rc::downgrade(&image));
        Ok(image)
    }

    /// The library in `file`, which is looked for at `path`; read unless the same file was measured before.
    ///
    /// # Errors
    /// As [`Library::measure`].
    pub fn library(
        &mut self,
        path: &Path,
        file: BorrowedFd<'_>,
        interpreter: bool,
    ) -> Result<Library, LibraryError> {
        let known = FileIdentity::of(file)
            .ok()
            .and_then(|identity| Some((identity, *self.libraries.get(&identity)?)));
        if let Some((identity, measurement)) = known {
            return Library::of_known(path, identity, measurement, interpreter);
        }
        let library = Library::measure(path, file, interpreter)?;
        self.remember(&library);
        Ok(library)
    }

    /// Remembers a library that was measured elsewhere.
    pub fn remember(&mut self, library: &Library) {
        if self.libraries.len() >= LIBRARIES_MAX {
            self.libraries.clear();
        }
        self.libraries.insert(library.identity(), *library.measurement());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;
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
        let mut files = MeasuredFiles::new();
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
        let mut files = MeasuredFiles::new();
        let first = load(&mut files, &program);
        program.write_all(b", changed").unwrap();
        let second = load(&mut files, &program);
        assert_ne!(first.measurement(), second.measurement());
        assert_eq!(second.len_bytes(), 16);
    }

    #[test]
    fn a_copy_that_nobody_uses_is_not_kept() {
        let mut files = MeasuredFiles::new();
        drop(load(&mut files, &file(b"program")));
        assert_eq!(files.images.values().filter_map(Weak::upgrade).count(), 0);
        let _other = load(&mut files, &file(b"another"));
        assert_eq!(files.images.len(), 1);
    }

    #[test]
    fn a_known_library_has_the_measurement_of_its_bytes_under_each_path() {
        let library = file(b"library");
        let mut files = MeasuredFiles::new();
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
    fn no_more_libraries_are_remembered_than_there_is_room_for() {
        let mut files = MeasuredFiles::new();
        let kept: Vec<File> = (0..=LIBRARIES_MAX).map(|_| file(b"x")).collect();
        for library in &kept {
            files
                .library(Path::new("/lib/x.so"), library.as_fd(), false)
                .unwrap();
        }
        assert_eq!(files.libraries.len(), 1);
    }
}
