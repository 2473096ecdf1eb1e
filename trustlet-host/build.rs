//! Names the build by what its executables have to agree on: the calls, messages and layouts of this crate
//! and of `libos-net`. Two executables with the same name of a build understand each other.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folders whose files define it.
const SOURCES: [&str; 2] = ["src", "../libos-net/src"];

fn main() {
    let mut files = Vec::new();
    for folder in SOURCES {
        println!("cargo::rerun-if-changed={folder}");
        // Without the other crate beside it, as in a registry, versions tell builds apart.
        let _ = collect(Path::new(folder), &mut files);
    }
    files.sort();
    let digest = files.iter().fold(FNV_OFFSET, |digest, file| {
        let name = hash(digest, file.as_os_str().as_encoded_bytes());
        hash(name, &fs::read(file).unwrap_or_default())
    });
    println!("cargo::rustc-env=HACHER_BUILD={digest:016x}");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a: it finds what is out of date, and keeps nobody out.
fn hash(digest: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(digest, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    })
}
