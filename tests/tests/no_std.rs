//! The data path and the monitor's core need no standard library: a program without one hands a record on
//! (`tests/alone/main.rs`), another serves a chain (`tests/alone/monitor.rs`). Neither do they need `ring`.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What each program depends on, from the root of the workspace.
const DATA_PATH: &str = "hacher-data-path = { path = \"ROOT/libos-net/path\", default-features = false, features = [\"simulated\"] }";
const MONITOR_CORE: &str = "hacher-data-path = { path = \"ROOT/libos-net/path\", default-features = false }
hacher-monitor-core = { path = \"ROOT/trustlet-host/core\", features = [\"simulated\"] }
zerocopy = \"0.8\"";

/// Which cryptography is asked for.
const BY_RING: &str = "";
const IN_RUST_ALONE: &str = "--cfg portable_crypto";

/// Builds `source` without the standard library, on crates of the workspace's versions; where the program is.
///
/// A workspace of its own, because features are chosen for all packages of one together, and others want the
/// standard library.
fn build(name: &str, source: &Path, dependencies: &str, rustflags: &str) -> (Output, PathBuf) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    let dependencies = dependencies.replace("ROOT", root.to_str().unwrap());
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [[bin]]\nname = \"{name}\"\npath = {source:?}\n\n[dependencies]\n{dependencies}\n\n\
         [profile.dev]\npanic = \"abort\"\n\n[workspace]\n",
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // What is not needed is dropped from it, and nothing else is chosen anew.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alone-target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--offline", "--quiet", "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", rustflags)
        .current_dir(&folder)
        .output()
        .unwrap();
    (output, target.join("debug").join(name))
}

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("alone").join(file)
}

/// Another run of these tests in the same target folder waits: they write the same packages.
fn alone() -> File {
    let lock = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("alone.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

fn build_and_run(name: &str, file: &str, dependencies: &str, rustflags: &str) {
    let _lock = alone();
    let (built, program) = build(name, &source(file), dependencies, rustflags);
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let text = fs::read(&program).unwrap();
    let has_ring = text.windows(10).any(|bytes| bytes == b"ring_core_");
    assert_eq!(
        has_ring,
        rustflags == BY_RING,
        "names of functions in the program"
    );
    let ended = Command::new(program).status().unwrap();
    assert_eq!(ended.code(), Some(0), "the number of what was wrong");
}

#[test]
fn a_program_without_the_standard_library_hands_a_record_on_and_refuses_a_forged_one() {
    build_and_run("alone", "main.rs", DATA_PATH, BY_RING);
    build_and_run("alone", "main.rs", DATA_PATH, IN_RUST_ALONE);
}

#[test]
fn a_program_without_the_standard_library_defines_a_chain_and_starts_its_trustlets() {
    build_and_run("monitor", "monitor.rs", MONITOR_CORE, BY_RING);
    build_and_run("monitor", "monitor.rs", MONITOR_CORE, IN_RUST_ALONE);
}

#[test]
fn a_program_that_uses_the_standard_library_all_the_same_is_found() {
    let _lock = alone();
    let text = fs::read_to_string(source("main.rs")).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("not-alone");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(source("bare.rs"), folder.join("bare.rs")).unwrap();
    let other = folder.join("main.rs");
    fs::write(&other, format!("{text}\nextern crate std;\n")).unwrap();
    let (built, _) = build("not-alone", &other, DATA_PATH, BY_RING);
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(!built.status.success() && said.contains("panic_impl"), "{said}");
}
