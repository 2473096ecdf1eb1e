//! The files of TLS on this machine: read whole and at once, so that what is checked is what is served.

use super::progress::asking;
use hacher_gateway::tls::dates;
use hacher_gateway::tls::material::{Material, Which};
use hacher_trustlet_host::calls::tls;
use hacher_trustlet_host::core::limits::TLS_FILE_MAX_BYTES;
use hacher_trustlet_host::linux::file_content::{self, Content};
use rustls::pki_types::UnixTime;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// One file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {} file `{}` cannot be used: {reason}", .which.noun(), .path.display())]
pub struct FileFault {
    /// Which it is.
    pub which: Which,
    /// Where it was looked for.
    pub path: PathBuf,
    /// Why not.
    pub reason: String,
}

/// The files, with contents that make a configuration.
pub struct Source {
    files: Vec<(Which, PathBuf, Content)>,
}

impl Source {
    /// Reads files and checks them, each by itself and together.
    ///
    /// # Errors
    /// Every file that cannot be read; or else the first whose content cannot be used.
    pub fn read(paths: impl IntoIterator<Item = (Which, PathBuf)>) -> Result<Self, Vec<FileFault>> {
        let mut files = Vec::new();
        let mut faults = Vec::new();
        for (which, path) in paths {
            let _going = asking(&path);
            match file_content::read(&path, TLS_FILE_MAX_BYTES) {
                Ok(content) => files.push((which, path, content)),
                Err(error) => faults.push(FileFault {
                    which,
                    path,
                    reason: error.to_string(),
                }),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let source = Self { files };
        match source.material().configuration() {
            Ok(_) => Ok(source),
            Err(fault) => Err(vec![FileFault {
                which: fault.which,
                path: source.path(fault.which).to_owned(),
                reason: fault.reason,
            }]),
        }
    }

    fn content(&self, which: Which) -> Option<&[u8]> {
        let found = self.files.iter().find(|(of, ..)| *of == which);
        found.map(|(.., content)| content.as_bytes())
    }

    /// Where a file is.
    #[must_use]
    pub fn path(&self, which: Which) -> &Path {
        let found = self.files.iter().find(|(of, ..)| *of == which);
        found.map_or(Path::new(""), |(_, path, _)| path)
    }

    fn material(&self) -> Material<'_> {
        Material {
            certificates: self.content(Which::Certificate).unwrap_or_default(),
            key: self.content(Which::Key).unwrap_or_default(),
            client_ca: self.content(Which::ClientCa),
        }
    }

    /// What clients will not like about them.
    #[must_use]
    pub fn warnings(&self) -> Vec<(Which, String)> {
        dates::warnings(&self.material(), UnixTime::now())
    }

    /// How a gateway with them speaks TLS: a value of [`tls`].
    #[must_use]
    pub fn mode(&self) -> u32 {
        mode(self.content(Which::ClientCa).is_some())
    }

    /// For each file its absolute path, and a sealed copy of its content.
    ///
    /// # Errors
    /// When the current folder is gone, or descriptors are short.
    pub fn sealed_copies(&self) -> io::Result<Vec<(PathBuf, OwnedFd)>> {
        let copies = self.files.iter().map(|(_, path, content)| {
            let copy = file_content::sealed_copy("hacher-tls", content.as_bytes())?;
            Ok((std::path::absolute(path)?, copy))
        });
        copies.collect()
    }
}

/// A value of [`tls`] for a gateway that shows a certificate.
#[must_use]
pub const fn mode(with_client_ca: bool) -> u32 {
    if with_client_ca { tls::MUTUAL } else { tls::SERVER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_that_cannot_be_read_are_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        let paths = [
            (Which::Certificate, folder.path().to_owned()),
            (Which::Key, empty),
            (Which::ClientCa, folder.path().join("none")),
        ];
        let Err(faults) = Source::read(paths) else {
            panic!("taken")
        };
        let texts: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert!(texts[0].contains("certificate file") && texts[0].contains("a directory"));
        assert!(texts[1].contains("key file") && texts[1].contains("it is empty"));
        assert!(texts[2].contains("client CA file") && texts[2].contains("No such file"));
    }

    #[test]
    fn a_fault_of_content_names_the_file_that_it_is_in() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] =
            [(); 2].map(|()| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
        let [certificate, key] = ["c.pem", "k.pem"].map(|name| folder.path().join(name));
        std::fs::write(&certificate, one.cert.pem()).unwrap();
        std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
        let paths = || {
            [
                (Which::Certificate, certificate.clone()),
                (Which::Key, key.clone()),
            ]
        };
        let faults = Source::read(paths()).err().unwrap();
        assert_eq!((faults.len(), faults[0].path.as_path()), (1, key.as_path()));
        std::fs::write(&key, one.signing_key.serialize_pem()).unwrap();
        let source = Source::read(paths()).ok().unwrap();
        assert_eq!(source.sealed_copies().unwrap().len(), 2);
        assert_eq!(source.mode(), tls::SERVER);
    }
}
