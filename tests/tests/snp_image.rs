//! The monitor boots without an operating system, a chain of three answers in ring 3, and a hostile
//! trustlet beside it comes to nothing: `trustlet-host/snp/image/run` says so by its exit code.
#![allow(clippy::unwrap_used, reason = "test code")]

use hacher_skipped::skipped;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// For detecting a hang: building takes most of it.
const PATIENCE: Duration = Duration::from_secs(1200);
/// What `run` exits with where there is no QEMU.
const NO_QEMU: i32 = 2;

fn image() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../trustlet-host/snp/image")
}

#[test]
fn the_image_boots_and_nothing_comes_of_any_attack() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("snp-image");
    fs::create_dir_all(&folder).unwrap();
    // Another run of this test in the same target folder waits.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let said_at = folder.join("said");
    let said_file = File::create(&said_at).unwrap();
    let mut child = Command::new(image().join("run"))
        .env("CARGO_TARGET_DIR", &folder)
        .env("CARGO_NET_OFFLINE", "true")
        .stdout(said_file.try_clone().unwrap())
        .stderr(said_file)
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > PATIENCE {
            child.kill().unwrap();
            break child.wait().unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let said = String::from_utf8_lossy(&fs::read(said_at).unwrap()).into_owned();
    if status.code() == Some(NO_QEMU) {
        skipped!("{}", said.lines().last().unwrap_or("no QEMU"));
        return;
    }
    assert!(status.success(), "{said}");
    for line in [
        "no SNP: page tables only",
        "a chain of three functions answers, each record sealed from hop to hop",
        "result: success",
        "all pages of the hostile trustlets came back",
        "a function was killed and replaced, and the chain answers",
        "calls over a calling area are answered as over every carrier",
    ] {
        assert!(said.lines().any(|said| said.contains(line)), "{line}\n{said}");
    }
    let attacks = said.lines().filter(|line| line.starts_with("attack ")).count();
    assert!(attacks > 50, "{attacks} attacks\n{said}");
}

/// Names and versions in a lock file, but for packages of ours.
fn locked(path: &Path) -> BTreeSet<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    let packages = text.split("[[package]]").skip(1);
    let field = |package: &str, name: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim_matches('"').to_owned()
    };
    packages
        .filter(|package| package.contains("source = "))
        .map(|package| (field(package, "name = "), field(package, "version = ")))
        .collect()
}

/// So whoever has what the workspace needs builds the image without a network, and what the workspace's
/// tests compare is what the image runs.
#[test]
fn the_image_has_packages_of_the_workspace_s_versions_alone() {
    let image = locked(&image().join("Cargo.lock"));
    let workspace = locked(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock"));
    assert!(image.len() > 30, "{}", image.len());
    let other: Vec<_> = image.difference(&workspace).collect();
    assert!(other.is_empty(), "{other:?}");
}
