//! ELF reading: any bytes are an executable that links this and that, or an error.

use hacher_loader::linked::linked;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Looks for all that an executable of these bytes links.
pub fn elf(bytes: &[u8]) {
    let file = File::from(memfd_create("executable", MemfdFlags::CLOEXEC).unwrap());
    file.write_all_at(bytes, 0).unwrap();
    match linked(&file, Path::new("/fuzzed"), Some("/fuzzed/lib")) {
        Ok(found) => assert!(found.files.len() <= 64, "{} libraries", found.files.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
