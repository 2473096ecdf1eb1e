//! Folders beneath which all files of a kind lie that chain files name.
//!
//! Whoever writes a chain file names files that are opened with the rights of whoever starts the service.
//! `--secrets-dir` and `--files-dir` bound that: where a file really lies is asked of what was opened, and it
//! is opened again from there beneath the folder, so neither links, nor a change in between, nor the root of
//! another process lead elsewhere.

use super::progress::asking;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use std::fs::{File, FileType};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// What lies elsewhere than it may.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Outside {
    /// It is not beneath the folder.
    #[error("it lies at `{}`, which is not beneath {bound} `{}`", .found.display(), .folder.display())]
    NotBeneath {
        /// Where it lies.
        found: PathBuf,
        /// What the folder is to the operator.
        bound: &'static str,
        /// The folder.
        folder: PathBuf,
    },
    /// Where it lies cannot be found out, or it is not there any more.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A folder that all files of a kind lie beneath.
#[derive(Debug, Clone)]
pub struct Beneath {
    /// What it is to the operator: an option.
    bound: &'static str,
    /// As it was given.
    named: PathBuf,
    /// Where it really is.
    real: PathBuf,
    /// The folder itself.
    opened: Arc<OwnedFd>,
}

/// The folders that bound what chain files may name.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    /// Of secrets.
    pub secrets: Option<Beneath>,
    /// Of functions' files.
    pub files: Option<Beneath>,
}

impl Beneath {
    /// The folder at `path`. `bound` is what messages call it.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(bound: &'static str, path: &Path) -> io::Result<Self> {
        let _going = asking(path);
        let real = path.canonicalize()?;
        if !real.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            bound,
            named: path.to_owned(),
            opened: Arc::new(rustix::fs::open(&real, flags, Mode::empty())?),
            real,
        })
    }

    /// Finds again, beneath the folder itself, what was `found`. The text of a path is no proof: in the mount
    /// namespace of another process (`/proc/PID/root`) any file can lie at any path.
    pub(super) fn find(&self, found: &File) -> Result<File, Outside> {
        let found = std::fs::read_link(by_number(found))?;
        let beneath = found.strip_prefix(&self.real).ok();
        let Some(beneath) = beneath.filter(|path| !path.as_os_str().is_empty()) else {
            return Err(Outside::NotBeneath {
                bound: self.bound,
                folder: self.named.clone(),
                found,
            });
        };
        Ok(open_beneath(
            &*self.opened,
            beneath,
            OFlags::PATH | OFlags::CLOEXEC,
        )?)
    }
}

/// Opens what lies at `path` beneath a folder, through no link. Name by name: service managers and containers
/// refuse `openat2`, which would do it in one call (`RestrictSUIDSGID=` of systemd).
pub(super) fn open_beneath(folder: impl AsFd, path: &Path, flags: OFlags) -> io::Result<File> {
    let mut opened: Option<OwnedFd> = None;
    let mut names = path.components().peekable();
    while let Some(Component::Normal(name)) = names.next() {
        let flags = match names.peek() {
            Some(_) => OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            None => flags,
        };
        let from = opened.as_ref().map_or_else(|| folder.as_fd(), AsFd::as_fd);
        let next = openat(from, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        if names.peek().is_none() {
            let file = File::from(next);
            // Without opening it for reading, a link is found as such.
            return match file.metadata()?.file_type().is_symlink() {
                true => Err(Errno::LOOP.into()),
                false => Ok(file),
            };
        }
        opened = Some(next);
    }
    Err(io::ErrorKind::InvalidInput.into())
}

/// The path by which what is open can be opened again, wherever its name leads by now.
pub(super) fn by_number(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

pub(super) fn in_words(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_and_no_step_up_leads_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("inside/below")).unwrap();
        std::fs::write(at("inside/below/file"), "x").unwrap();
        std::fs::write(at("outside"), "x").unwrap();
        symlink("below", at("inside/link")).unwrap();
        symlink("../outside", at("inside/up")).unwrap();
        let inside = File::open(at("inside")).unwrap();
        for flags in [OFlags::PATH, OFlags::RDONLY] {
            let open = |path: &str| open_beneath(&inside, Path::new(path), flags | OFlags::CLOEXEC);
            for good in ["below", "below/file", "below//file"] {
                assert!(open(good).is_ok(), "{good}");
            }
            for bad in [
                "",
                ".",
                "/",
                "link",
                "link/file",
                "up",
                "../outside",
                "below/../below/file",
                "/etc",
                "no",
            ] {
                assert!(open(bad).is_err(), "{bad}");
            }
        }
    }
}
