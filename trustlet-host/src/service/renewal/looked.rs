//! What is found when files of TLS are looked at: what they are, and what is in them.

use crate::core::limits::TLS_FILE_MAX_BYTES;
use crate::linux::file_content::{self, Content, ContentError};
use ring::digest::{Context, Digest, SHA256};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::pread;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What was found.
pub(super) struct Looked {
    pub(super) stamps: Vec<Option<Stamp>>,
    /// What is in the files, if they were read.
    pub(super) contents: Option<Contents>,
}

/// What is in the files, and a hash over all; or which cannot be read.
pub(super) type Contents = Result<(Vec<Content>, Hash), (PathBuf, ContentError)>;

/// Looks whether files have changed, and reads them if so, or `anyway`.
pub(super) fn look_at(paths: Vec<PathBuf>, known: Option<&Vec<Option<Stamp>>>, anyway: bool) -> Looked {
    let stamps = paths.iter().map(|path| Stamp::of(path)).collect();
    let contents = (anyway || known != Some(&stamps)).then(|| read(paths));
    Looked { stamps, contents }
}

fn read(paths: Vec<PathBuf>) -> Contents {
    let mut contents = Vec::with_capacity(paths.len());
    for path in paths {
        match file_content::read(&path, TLS_FILE_MAX_BYTES) {
            Ok(content) => contents.push(content),
            Err(error) => return Err((path, error)),
        }
    }
    let hash = hash(contents.iter().map(Content::as_bytes));
    Ok((contents, hash))
}

/// A SHA-256.
pub(super) type Hash = [u8; 32];

pub(super) fn hash<B: AsRef<[u8]>>(contents: impl Iterator<Item = B>) -> Hash {
    let mut context = Context::new(&SHA256);
    for content in contents {
        let content = content.as_ref();
        context.update(&content.len().to_le_bytes());
        context.update(content);
    }
    let digest: Digest = context.finish();
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// All bytes of a file in memory; as far as they can be read.
pub(super) fn whole(file: &OwnedFd) -> zeroize::Zeroizing<Vec<u8>> {
    let mut bytes = zeroize::Zeroizing::new(vec![0; TLS_FILE_MAX_BYTES + 1]);
    let mut len = 0;
    while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match pread(file.as_fd(), rest, len as u64) {
            Ok(count) if count > 0 => len += count,
            _ => break,
        }
    }
    bytes.truncate(len);
    bytes
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    len_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file that a path leads to, through links; `None` if it leads nowhere.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len_bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_once_and_again_when_they_change_or_somebody_asks() {
        let folder = std::env::temp_dir().join(format!("hacher-renewal-{}", std::process::id()));
        let path = || vec![folder.clone()];
        let looked = |known: Option<&Vec<Option<Stamp>>>, anyway| look_at(path(), known, anyway);
        std::fs::write(&folder, "old").unwrap();
        let first = looked(None, false);
        let known = Some(&first.stamps);
        assert!(matches!(first.contents, Some(Ok(_))));
        assert!(looked(known, false).contents.is_none());
        assert!(looked(known, true).contents.is_some());
        std::fs::write(&folder, "newer").unwrap();
        assert!(
            matches!(looked(known, false).contents, Some(Ok(_))),
            "another content"
        );
        std::fs::remove_file(&folder).unwrap();
        assert!(
            matches!(looked(known, false).contents, Some(Err(_))),
            "no file at the path"
        );
    }

    #[test]
    fn a_hash_tells_where_one_file_ends() {
        assert_ne!(hash(["ab", "c"].iter()), hash(["a", "bc"].iter()));
    }
}
