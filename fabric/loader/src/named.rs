//! The chain files that a command line names: files, and folders of them.

use super::progress::asking;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A chain file's name ends so.
const EXTENSION: &str = "toml";

/// A folder without chain files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// It cannot be read.
    #[error("cannot read the folder `{}`: {source}", .path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Nothing in it is one.
    #[error("the folder `{}` has no chain file: none that is named *.{EXTENSION}", .path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// The chain files among these paths and in these folders: of a folder every file `*.toml` in it, by name,
/// but for hidden ones, which editors leave, and not those of folders in it.
///
/// # Errors
/// For a folder that cannot be read, or has none.
pub fn chain_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, FolderError> {
    let mut files = Vec::new();
    for path in paths {
        let _going = asking(path);
        if path.is_dir() {
            files.extend(in_folder(path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let unreadable = |source| FolderError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let _going = asking(&path);
        let is_hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_named_so = path.extension().is_some_and(|extension| extension == EXTENSION);
        // Of a link what it leads to counts. One that leads nowhere is a file that cannot be read, and is
        // said to be.
        if is_named_so && !is_hidden && !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(FolderError::Empty {
            path: folder.to_owned(),
        });
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_its_chain_files_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.toml", "a.toml", ".hidden.toml", "c.txt", "toml", "d.toml~"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("folder.toml")).unwrap();
        std::os::unix::fs::symlink("a.toml", folder.path().join("0.toml")).unwrap();
        let alone = folder.path().join("c.txt");
        let found = chain_files(&[alone.clone(), folder.path().to_owned()]).unwrap();
        let expected = ["0.toml", "a.toml", "b.toml"].map(|name| folder.path().join(name));
        assert_eq!(
            found.first(),
            Some(&alone),
            "a file is what it is, whatever its name"
        );
        assert_eq!(found.get(1..), Some(&expected[..]));
    }

    #[test]
    fn a_folder_without_chain_files_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = chain_files(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(
            error.contains(&folder.path().display().to_string()) && error.contains("*.toml"),
            "{error}"
        );
    }
}
