//! Tells reports which commit, compiler and profile they are about. What cannot be known is `unknown`, such
//! as the commit in a source archive; packagers set `HACHER_COMMIT`.

use std::path::Path;
use std::process::Command;

/// The folders whose changes make a build differ from its commit.
const SOURCES: [&str; 5] = ["chain-dsl", "libos-net", "trustlet-host", "fabric", "benches/src"];

fn main() {
    println!("cargo::rerun-if-env-changed=HACHER_COMMIT");
    let commit = std::env::var("HACHER_COMMIT").ok().or_else(commit);
    say("HACHER_COMMIT", commit);
    let rustc = std::env::var("RUSTC").ok();
    say(
        "HACHER_RUSTC",
        rustc.and_then(|rustc| answer(&rustc, &["--version"])),
    );
    say("HACHER_PROFILE", profile());
}

/// The name of cargo's profile. `PROFILE` says only which of the two built-in ones it inherits from, but the
/// folder of results bears its name: `target/NAME/build/PACKAGE/out`.
fn profile() -> Option<String> {
    let out = std::env::var_os("OUT_DIR")?;
    let build = Path::new(&out)
        .ancestors()
        .find(|folder| folder.ends_with("build"))?;
    match build.parent()?.file_name()?.to_str()? {
        "debug" => Some("dev".to_owned()),
        name => Some(name.to_owned()),
    }
}

fn say(name: &str, value: Option<String>) {
    println!(
        "cargo::rustc-env={name}={}",
        value.unwrap_or_else(|| "unknown".to_owned())
    );
}

/// The commit that is checked out, with `+dirty` if its sources have been changed since.
fn commit() -> Option<String> {
    for source in SOURCES {
        println!("cargo::rerun-if-changed=../{source}");
    }
    // The log of HEAD grows with each commit, checkout and reset.
    let log = answer("git", &["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    let commit = answer("git", &["rev-parse", "--short=12", "HEAD"])?;
    let changes = answer(
        "git",
        &["--no-optional-locks", "status", "--porcelain", "--", ".."],
    )?;
    Some(if changes.is_empty() {
        commit
    } else {
        commit + "+dirty"
    })
}

fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
