//! What `hacher-fabric` does with the executables beside it, and without them.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The command in a folder of its own.
fn alone() -> TempDir {
    let folder = TempDir::new().unwrap();
    copied(
        env!("CARGO_BIN_EXE_hacher-fabric"),
        &folder.path().join("hacher-fabric"),
    );
    folder
}

/// Copies an executable by a process of its own: a descriptor of this process through which the copy is
/// written would be inherited by what another test starts at that moment, and what is open for writing does
/// not run (ETXTBSY).
fn copied(from: &str, to: &Path) {
    let copied = Command::new("cp").args([Path::new(from), to]).status().unwrap();
    assert!(copied.success(), "{from} is not copied to {}", to.display());
}

/// Runs it as if cargo did not.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(folder.join("hacher-fabric"))
        .args(arguments)
        .env_remove("CARGO")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn bench_alone_teaches_and_says_what_builds_the_executable_that_measures() {
    let folder = alone();
    let output = run(folder.path(), &["bench", "--quick"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("cargo build --release -p hacher-benches --bin hacher-bench"),
        "{}",
        said(&output)
    );
    let counted = run(folder.path(), &["tcb"]);
    assert_eq!(counted.status.code(), Some(1));
    assert!(
        said(&counted).contains("`tcb` is done by hacher-bench"),
        "{}",
        said(&counted)
    );
    let help = run(folder.path(), &["bench", "--help"]);
    assert!(help.status.success());
    let text = String::from_utf8_lossy(&help.stdout);
    for taught in ["How to read the table", "--only <TRANSPORT>", "compare"] {
        assert!(text.contains(taught), "{taught}: {text}");
    }
    assert_eq!(run(folder.path(), &["bench", "--fast"]).status.code(), Some(2));
}

#[test]
fn bench_refuses_an_executable_of_another_build_and_one_that_anybody_could_have_written() {
    let folder = alone();
    let bench = folder.path().join("hacher-bench");
    copied("/bin/echo", &bench);
    for (mode, complaint) in [(0o755, "not of this build"), (0o757, "everybody may write")] {
        fs::set_permissions(&bench, fs::Permissions::from_mode(mode)).unwrap();
        let output = run(folder.path(), &["bench", "--quick"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said(&output).contains(complaint),
            "{complaint}: {}",
            said(&output)
        );
    }
}
