//! Files that whoever verifies brings along: bounded, and certificates and lists in PEM or DER.

use crate::failed::Failed;
use hacher_verifier::REPORT_BYTES;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// No file that is read here is longer: evidence has at most a little more than 1 MiB.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// How files of certificates end; a folder may hold others.
const CERTIFICATE_ENDINGS: [&str; 5] = ["pem", "der", "crt", "cer", "cert"];

/// Where a PEM file begins to be one.
const PEM: &[u8] = b"-----BEGIN ";

/// Reads a file, or standard input for `-`.
///
/// # Errors
/// When it cannot be read, or is longer than anything that belongs here.
pub fn read(path: &Path) -> Result<Vec<u8>, Failed> {
    let failed = |error: io::Error| Failed::new(format!("cannot read `{}`: {error}", path.display()));
    let from: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(path).map_err(failed)?),
    };
    let mut bytes = Vec::new();
    from.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    match bytes.len() as u64 > MAX_FILE_BYTES {
        true => Err(Failed::new(format!(
            "`{}` is too long: more than {MAX_FILE_BYTES} bytes",
            path.display()
        ))),
        false => Ok(bytes),
    }
}

/// The certificates in these files, and in the files of these folders, in DER.
///
/// # Errors
/// When one cannot be read, or is PEM without a certificate.
pub fn certificates(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, Failed> {
    let mut certificates = Vec::new();
    for path in paths {
        for file in files(path)? {
            let bytes = read(&file)?;
            let decode = |bytes: &[u8]| {
                let found = CertificateDer::pem_slice_iter(bytes);
                found.map(|one| one.map(|one| one.to_vec())).collect()
            };
            certificates.extend(in_der(bytes, &file, "certificate", decode)?);
        }
    }
    Ok(certificates)
}

/// The revocation lists in these files, in DER.
///
/// # Errors
/// As [`certificates`].
pub fn revocation_lists(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, Failed> {
    let mut lists = Vec::new();
    for path in paths {
        let decode = |bytes: &[u8]| {
            let found = CertificateRevocationListDer::pem_slice_iter(bytes);
            found.map(|one| one.map(|one| one.to_vec())).collect()
        };
        lists.extend(in_der(read(path)?, path, "revocation list", decode)?);
    }
    Ok(lists)
}

fn in_der(
    bytes: Vec<u8>,
    path: &Path,
    what: &str,
    decode: impl FnOnce(&[u8]) -> Result<Vec<Vec<u8>>, rustls_pki_types::pem::Error>,
) -> Result<Vec<Vec<u8>>, Failed> {
    if !bytes.windows(PEM.len()).any(|window| window == PEM) {
        // Whatever it is, the verifier says so.
        return Ok(vec![bytes]);
    }
    match decode(&bytes) {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Failed::new(format!("there is no {what} in `{}`", path.display()))),
        Err(error) => Err(Failed::new(format!(
            "`{}` is not a PEM file of a {what}: {error}",
            path.display()
        ))),
    }
}

/// The file, or the files of the folder that end as certificates do, by name.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failed> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |error: io::Error| Failed::new(format!("cannot read `{}`: {error}", path.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let ending = file.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| CERTIFICATE_ENDINGS.contains(&ending)) && file.is_file() {
            found.push(file);
        }
    }
    found.sort();
    match found.is_empty() {
        true => Err(Failed::new(format!(
            "there is no certificate in `{}`: no file that ends in {}",
            path.display(),
            CERTIFICATE_ENDINGS.join(", ")
        ))),
        false => Ok(found),
    }
}

/// Whether a file is probably a bare report where evidence was expected.
#[must_use]
pub fn looks_like_report(bytes: &[u8]) -> bool {
    bytes.len() == REPORT_BYTES
}
