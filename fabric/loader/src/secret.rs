//! Opens the file of a secret, and finds out beforehand whether the monitor will be able to take it.

use super::beneath::{Beneath, Outside, by_number, in_words};
use super::progress::asking;
use hacher_libos_net::attach::SECRET_VALUE_MAX_BYTES;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

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
    #[error(transparent)]
    Outside(#[from] Outside),
    /// It has more bytes than a secret may have.
    #[error("it has more than {SECRET_VALUE_MAX_BYTES} bytes, the most that a secret may have")]
    TooLarge,
}

/// Opens `path`, beneath `folder` if there is one; never waits for what is at its other end.
pub(super) fn open(path: &Path, folder: Option<&Beneath>) -> Result<File, SecretError> {
    let _going = asking(path);
    // Found first, without what opening does to a pipe or a device; and then opened by that, wherever its
    // name leads by now.
    let found =
        rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(io::Error::from)?;
    let mut found = File::from(found);
    if let Some(folder) = folder {
        found = folder.find(&found)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_skipped::skipped;
    use std::io::Read;
    use std::path::PathBuf;

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
        let folder = Beneath::new("--secrets-dir", &outer.path().join("alias")).unwrap();
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
        assert!(Beneath::new("--secrets-dir", &inside.join("key")).is_err());
        assert!(Beneath::new("--secrets-dir", &inside.join("nothing")).is_err());
    }

    #[test]
    fn magic_links_lead_where_what_they_stand_for_really_lies() {
        let outer = tempfile::tempdir().unwrap();
        let (inside, outside) = (outer.path().join("secrets"), outer.path().join("others"));
        for folder in [&inside, &outside] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("key"), folder.as_os_str().as_encoded_bytes()).unwrap();
        }
        let folder = Beneath::new("--secrets-dir", &inside).unwrap();
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
        let secrets = Beneath::new("--secrets-dir", folder.path()).unwrap();
        let Some(elsewhere) = Elsewhere::with(folder.path()) else {
            skipped!("no process can be started in a mount namespace of its own (unshare, mount)");
            return;
        };
        let root = format!("/proc/{}/root", elsewhere.0.id());
        let there = |name: &str| {
            let path = folder.path().strip_prefix("/").unwrap().join(name);
            Path::new(&root).join(path)
        };
        if std::fs::read_to_string(there("more")).is_err() {
            skipped!("this user may not look into the other namespace");
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
