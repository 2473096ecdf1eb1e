//! Opens the file of a secret, and finds out beforehand whether the monitor will be able to take it.
//!
//! Whoever writes a chain file names files that are opened with the rights of whoever starts the service.
//! `--secrets-dir` bounds that: where the file really lies is asked of what was opened, and it is opened
//! again from there beneath the folder, so neither links, nor a change in between, nor the root of another
//! process lead elsewhere.

use hacher_libos_net::attach::SECRET_VALUE_MAX_BYTES;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::fs::{File, FileType};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// The folder itself.
    opened: Arc<OwnedFd>,
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
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            named: path.to_owned(),
            opened: Arc::new(rustix::fs::open(&real, flags, Mode::empty())?),
            real,
        })
    }

    /// Finds again, beneath the folder itself, what was found at `found`. The text of a path is no proof: in
    /// the mount namespace of another process (`/proc/PID/root`) any file can lie at any path.
    fn find(&self, found: PathBuf) -> Result<File, SecretError> {
        let beneath = found.strip_prefix(&self.real).ok();
        let Some(beneath) = beneath.filter(|path| !path.as_os_str().is_empty()) else {
            return Err(SecretError::Elsewhere {
                folder: self.named.clone(),
                found,
            });
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = openat2(&*self.opened, beneath, flags, Mode::empty(), resolve).map_err(io::Error::from)?;
        Ok(File::from(file))
    }
}

/// Opens `path`, beneath `folder` if there is one; never waits for what is at its other end.
pub(super) fn open(path: &Path, folder: Option<&SecretsFolder>) -> Result<File, SecretError> {
    // Found first, without what opening does to a pipe or a device; and then opened by that, wherever its
    // name leads by now.
    let found =
        rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(io::Error::from)?;
    let mut found = File::from(found);
    if let Some(folder) = folder {
        found = folder.find(std::fs::read_link(by_number(&found))?)?;
    }
    let kind = found.metadata()?.file_type();
    if !kind.is_file() {
        return Err(SecretError::NotRegular(in_words(kind)));
    }
    let file = File::open(by_number(&found))?;
    // Asked by reading, as some file systems say zero of every file; at offsets, so that the monitor begins
    // at the start.
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

/// The path by which what is open can be opened again, wherever its name leads by now.
fn by_number(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
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

    #[test]
    fn magic_links_lead_where_what_they_stand_for_really_lies() {
        let outer = tempfile::tempdir().unwrap();
        let (inside, outside) = (outer.path().join("secrets"), outer.path().join("others"));
        for folder in [&inside, &outside] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("key"), folder.as_os_str().as_encoded_bytes()).unwrap();
        }
        let folder = SecretsFolder::new(&inside).unwrap();
        let open = |path: &Path| open(path, Some(&folder));
        let [inner, outer] = [&inside, &outside].map(|folder| File::open(folder.join("key")).unwrap());
        let root = Path::new("/proc/self/root");
        let in_root = |path: &Path| root.join(path.strip_prefix("/").unwrap());
        for good in [by_number(&inner), in_root(&inside.join("key"))] {
            let mut read = Vec::new();
            open(&good).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, inside.as_os_str().as_encoded_bytes(), "{}", good.display());
        }
        let link = inside.join("link");
        std::os::unix::fs::symlink(in_root(&outside.join("key")), &link).unwrap();
        for bad in [
            by_number(&outer),
            in_root(&outside.join("key")),
            link,
            PathBuf::from("/proc/self/exe"),
        ] {
            let refused = open(&bad).unwrap_err().to_string();
            assert!(
                refused.contains("not beneath --secrets-dir"),
                "{}: {refused}",
                bad.display()
            );
        }
        // What had a name there and has none any more.
        let gone = inside.join("gone");
        std::fs::write(&gone, "x").unwrap();
        let open_still = File::open(&gone).unwrap();
        std::fs::remove_file(&gone).unwrap();
        assert!(open(&by_number(&open_still)).is_err());
    }

    /// A process in a mount namespace of its own, which has put other files over those of a folder; gone when
    /// dropped.
    struct Elsewhere(std::process::Child);

    impl Elsewhere {
        fn with(folder: &Path) -> Option<Self> {
            let script = "mount -t tmpfs none \"$0\" && echo evil > \"$0/key\" && echo evil > \"$0/more\" \
                          && echo there && exec sleep 3600";
            let mut child = std::process::Command::new("unshare")
                .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
                .arg(folder)
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .spawn()
                .ok()?;
            let mut said = [0; 6];
            let is_there = child.stdout.take()?.read_exact(&mut said).is_ok();
            let started = Self(child);
            is_there.then_some(started)
        }
    }

    impl Drop for Elsewhere {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_file_of_another_mount_namespace_is_no_secret_though_its_path_says_so() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "mine").unwrap();
        let secrets = SecretsFolder::new(folder.path()).unwrap();
        let Some(elsewhere) = Elsewhere::with(folder.path()) else {
            println!("skipped: no process can be started in a mount namespace of its own (unshare, mount)");
            return;
        };
        let root = format!("/proc/{}/root", elsewhere.0.id());
        let there = |name: &str| {
            let path = folder.path().strip_prefix("/").unwrap().join(name);
            Path::new(&root).join(path)
        };
        if std::fs::read_to_string(there("more")).is_err() {
            println!("skipped: this user may not look into the other namespace");
            return;
        }
        // Without a folder it is what its path leads to.
        let mut read = String::new();
        open(&there("key"), None)
            .unwrap()
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!(read, "evil\n");
        // With one, what lies beneath the folder itself, or nothing.
        read.clear();
        open(&there("key"), Some(&secrets))
            .unwrap()
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!(read, "mine");
        assert!(open(&there("more"), Some(&secrets)).is_err());
    }
}
