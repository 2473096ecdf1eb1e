//! Opens the file of a secret, and finds out beforehand whether the monitor will be able to take it.

use hacher_libos_net::attach::SECRET_VALUE_MAX_BYTES;
use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
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
    /// It has more bytes than a secret may have.
    #[error("it has more than {SECRET_VALUE_MAX_BYTES} bytes, the most that a secret may have")]
    TooLarge,
}

/// Opens `path`; never waits for what is at its other end.
pub(super) fn open(path: &Path) -> Result<File, SecretError> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() {
        return Err(SecretError::NotRegular(in_words(kind)));
    }
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
        open(path).unwrap_err().to_string()
    }

    #[test]
    fn a_secret_of_the_most_bytes_is_opened_at_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, vec![7; SECRET_VALUE_MAX_BYTES]).unwrap();
        let mut read = Vec::new();
        open(&path).unwrap().read_to_end(&mut read).unwrap();
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
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert!(refusal(&pipe).contains("a pipe"), "{}", refusal(&pipe));
        assert!(refusal(folder.path()).contains("a folder"));
        assert!(refusal(Path::new("/dev/zero")).contains("a device"));
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        // A socket cannot even be opened.
        assert!(open(&socket).is_err());
    }
}
