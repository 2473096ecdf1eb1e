//! The virtual environments that the tests of functions in Python use.

use hacher_skipped::skipped;
use std::path::{Path, PathBuf};

/// The environment of this name, which the script makes; `None`, and the reason said, where it was not run.
pub(crate) fn folder(name: &str, script: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/python")
        .join(name);
    if folder.join("pyvenv.cfg").is_file() {
        return Some(folder);
    }
    skipped!("there is no `{}`: {script} makes it", folder.display());
    None
}
