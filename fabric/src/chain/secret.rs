//! Opens the file of a secret, and finds out beforehand whether the monitor will be able to take it.
//!
//! Whoever writes a chain file names files that are opened with the rights of whoever starts the service. `--secrets-dir` bounds
//! that: where the file really lies is asked of what was opened, so neither links nor a change in between lead elsewhere.

use hacher_libos_net::attach::SECRET_VALUE_MAX_BYTES;
use rustix::fs::{Mode, OFlags};
use std::fs::{File, FileType};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};

/// Why a file holds no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// It cannot be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A pipe, a device, a folder: what is read from it is not the same twice, or does not end.
    #[error("it is {0}, and a secret is read from a regular file")]
    NotRegular(&'static str),
    /// It lies elsewhere than secrets may.
    #[error("it lies at `{}`, which is not beneath --secrets-dir `{}`", .found.display(), .folder.display())]
    Elsewhere {
        /// Where it lies.
        found: PathBuf,
        /// Where secrets lie.
        folder: PathBuf,
    },
    /// It has more bytes than a secret may have.
    #[error("it has more than {SECRET_VALUE_MAX_BYTES} bytes, the most that a secret may have")]
    TooLarge,
}

/// The folder that all secrets lie beneath.
#[derive(Debug, Clone)]
pub struct SecretsFolder {
    /// As it was given.
    named: PathBuf,
    /// Where it really is.
    real: PathBuf,
}

impl SecretsFolder {
    /// The folder at `path`.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(path: &Path) -> io::Result<Self> {
        let real = path.canonicalize()?;
        if !real.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            named: path.to_owned(),
            real,
        })
    }

    fn check(&self, found: PathBuf) -> Result<(), SecretError> {
        if found != self.real && found.starts_with(&self.real) {
            return Ok(());
        }
        Err(SecretError::Elsewhere {
            found,
            folder: self.named.clone(),
        })
    }
}

/// Opens `path`, beneath `folder` if there is one; never waits for what is at its other end.
pub(super) fn open(path: &Path, folder: Option<&SecretsFolder>) -> Result<File, SecretError> {
    // Found first, without what opening does to a pipe or a device; and then opened by that, wherever its name leads by now.
    let found =
        rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(io::Error::from)?;
    let found = File::from(found);
    let by_number = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
    if let Some(folder) = folder {
        folder.check(std::fs::read_link(&by_number)?)?;
    }
    let kind = found.metadata()?.file_type();
    if !kind.is_file() {
        return Err(SecretError::NotRegular(in_words(kind)));
    }
    let file = File::open(&by_number)?;
    // Asked by reading, as some file systems say zero of every file; at offsets, so that the monitor begins at the start.
    let mut buffer = zeroize::Zeroizing::new([0; SECRET_VALUE_MAX_BYTES + 1]);
    let mut len_bytes = 0;
    while let Some(rest) = buffer.get_mut(len_bytes..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, len_bytes as u64)? {
            0 => return Ok(file),
            count => len_bytes += count,
        }
    }
    Err(SecretError::TooLarge)
}

fn in_words(kind: FileType) -> &'static str {
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
    use std::io::Read;

    fn refusal(path: &Path) -> String {
        open(path, None).unwrap_err().to_string()
    }

    #[test]
    fn a_secret_of_the_most_bytes_is_opened_at_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, vec![7; SECRET_VALUE_MAX_BYTES]).unwrap();
        let mut read = Vec::new();
        open(&path, None).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), SECRET_VALUE_MAX_BYTES);
    }

    #[test]
    fn a_longer_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, vec![7; SECRET_VALUE_MAX_BYTES + 1]).unwrap();
        assert!(
            refusal(&path).contains("more than 8192 bytes"),
            "{}",
            refusal(&path)
        );
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused_without_waiting_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        // Nobody writes to it: opening it in the usual way would wait for ever.
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR).unwrap();
        assert!(refusal(&pipe).contains("a pipe"), "{}", refusal(&pipe));
        assert!(refusal(folder.path()).contains("a folder"));
        assert!(refusal(Path::new("/dev/zero")).contains("a device"));
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(refusal(&socket).contains("a socket"));
    }

    #[test]
    fn what_lies_elsewhere_than_secrets_do_is_refused_by_whatever_name() {
        let outer = tempfile::tempdir().unwrap();
        let (inside, outside) = (
            outer.path().join("secrets"),
            outer.path().join("secrets-of-others"),
        );
        for folder in [&inside, &outside] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("key"), "x").unwrap();
        }
        let link = |from: &Path, to: &Path| std::os::unix::fs::symlink(to, from).unwrap();
        link(&inside.join("out"), &outside.join("key"));
        link(&inside.join("folder"), &outside);
        link(&inside.join("in"), &inside.join("key"));
        link(&outer.path().join("alias"), &inside);
        let folder = SecretsFolder::new(&outer.path().join("alias")).unwrap();
        let open = |path: PathBuf| open(&path, Some(&folder));
        for good in [
            inside.join("key"),
            inside.join("in"),
            outside.join("../alias/key"),
            inside.join("folder/../secrets/key"),
        ] {
            assert!(open(good.clone()).is_ok(), "{}", good.display());
        }
        for bad in [
            outside.join("key"),
            inside.join("out"),
            inside.join("folder/key"),
            inside.join("../secrets-of-others/key"),
            PathBuf::from("/etc/passwd"),
        ] {
            let refused = open(bad.clone()).unwrap_err().to_string();
            assert!(
                refused.contains("not beneath --secrets-dir"),
                "{}: {refused}",
                bad.display()
            );
        }
        assert!(SecretsFolder::new(&inside.join("key")).is_err());
        assert!(SecretsFolder::new(&inside.join("nothing")).is_err());
    }
}
