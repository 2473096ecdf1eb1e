//! A socket that stands in the file system, and is removed by whoever made it, and not by others.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A socket at a path, known by its inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// The socket at `path`; `None` if there is none.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok()?;
        found.file_type().is_socket().then(|| Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Removes it, unless something else is at its path by now: another service may have it.
    pub fn remove(&self) {
        if Self::at(&self.path).as_ref() == Some(self) {
            // What is left is replaced by the next service.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_socket_is_removed_unless_it_is_another_by_now() {
        let folder = std::env::temp_dir().join(format!("hacher-socket-file-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("socket");
        let first = UnixListener::bind(&path).unwrap();
        let made = SocketFile::at(&path).unwrap();
        // Beside it, so that its inode is not given again.
        fs::rename(&path, folder.join("aside")).unwrap();
        let second = UnixListener::bind(&path).unwrap();
        made.remove();
        assert!(path.exists(), "it is the second one's");
        SocketFile::at(&path).unwrap().remove();
        assert!(!path.exists());
        assert_eq!(SocketFile::at(&folder), None);
        fs::remove_dir_all(&folder).unwrap();
        drop((first, second));
    }
}
