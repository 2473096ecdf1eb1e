//! The zip that the chain answers with. Entries are stored (a JPEG does not shrink further) and carry the
//! earliest time that a zip can say, so equal thumbnails give equal bytes.

use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The zip could not be written: over 4 GiB, or two files of one name.
#[derive(Debug, thiserror::Error)]
#[error("the zip cannot be written")]
#[non_exhaustive]
pub struct ArchiveError;

/// Packs JPEG files, given by name without extension.
///
/// # Errors
/// [`ArchiveError`].
pub fn zip_of_jpegs<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Vec<u8>, ArchiveError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, jpeg) in files {
        zip.start_file(format!("{name}.jpg"), options)
            .map_err(|_| ArchiveError)?;
        zip.write_all(jpeg).map_err(|_| ArchiveError)?;
    }
    Ok(zip.finish().map_err(|_| ArchiveError)?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use zip::ZipArchive;

    const FILES: [(&str, &[u8]); 2] = [("small", b"few bytes"), ("large", b"many more bytes")];

    #[test]
    fn the_files_come_out_as_they_went_in() {
        let mut archive = ZipArchive::new(Cursor::new(zip_of_jpegs(FILES).unwrap())).unwrap();
        assert_eq!(archive.len(), 2);
        for (name, jpeg) in FILES {
            let mut file = archive.by_name(&format!("{name}.jpg")).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, jpeg);
        }
    }

    #[test]
    fn equal_files_give_equal_zips() {
        assert_eq!(zip_of_jpegs(FILES).unwrap(), zip_of_jpegs(FILES).unwrap());
        let archive = ZipArchive::new(Cursor::new(zip_of_jpegs(FILES).unwrap())).unwrap();
        assert!(archive.file_names().eq(["small.jpg", "large.jpg"]));
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        assert!(zip_of_jpegs([("a", &b""[..]), ("a", b"")]).is_err());
    }
}
