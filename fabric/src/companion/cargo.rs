//! Where `cargo run` runs this executable, cargo has built it alone: the others are built when they are
//! needed.

use rustix::process::geteuid;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Files in cargo's folder of results: a mark for backups, which is only made with the folder, and what cargo
/// remembers of the compiler.
const MARKS: [&str; 2] = ["CACHEDIR.TAG", ".rustc_info.json"];

/// Where cargo puts what it builds, and how it was asked to build it.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    folder: PathBuf,
    profile: String,
    /// The platform, if it was named.
    triple: Option<String>,
}

impl Target {
    /// As the place of `this` executable says: `target/release/NAME`, or `target/TRIPLE/release/NAME`.
    fn of(this: &Path) -> Option<Self> {
        let profile_folder = this.parent()?;
        let profile = match profile_folder.file_name()?.to_str()? {
            "debug" => "dev",
            other => other,
        };
        let above = profile_folder.parent()?;
        let is_marked = |folder: &Path| MARKS.iter().any(|mark| folder.join(mark).exists());
        let (folder, triple) = if is_marked(above) {
            (above, None)
        } else {
            let folder = above.parent().filter(|folder| is_marked(folder))?;
            (folder, Some(above.file_name()?.to_str()?.to_owned()))
        };
        Some(Self {
            folder: folder.to_owned(),
            profile: profile.to_owned(),
            triple,
        })
    }
}

/// Cargo, which runs this executable, could not build another.
#[derive(Debug, thiserror::Error)]
#[error("cannot build {name}: {why}")]
pub struct NotBuilt {
    name: String,
    why: String,
}

/// Has cargo build the executable `name` of a package as it has built `this`, if it runs `this`; else does
/// nothing.
pub(super) fn build(package: &str, name: &str, this: &Path) -> Result<(), NotBuilt> {
    let running = std::env::var_os("CARGO").zip(std::env::var_os("CARGO_MANIFEST_DIR"));
    match running.zip(Target::of(this)) {
        Some(((cargo, own_package), target)) => build_as(package, name, &target, &cargo, &own_package),
        None => Ok(()),
    }
}

/// The same, also where `this` was started by itself: then if it lies in cargo's folder in a source tree of
/// this user's, and there is a cargo.
pub(super) fn build_in_tree(package: &str, name: &str, this: &Path) -> Result<(), NotBuilt> {
    if std::env::var_os("CARGO").is_some() {
        return build(package, name, this);
    }
    let Some(target) = Target::of(this) else {
        return Ok(());
    };
    let is_tree_of_ours = |folder: &&Path| {
        let manifest = std::fs::metadata(folder.join("Cargo.toml"));
        manifest.is_ok_and(|file| file.is_file() && file.uid() == geteuid().as_raw())
    };
    match target.folder.parent().filter(is_tree_of_ours) {
        Some(tree) if is_installed() => build_as(package, name, &target, CARGO.as_ref(), tree.as_os_str()),
        _ => Ok(()),
    }
}

const CARGO: &str = "cargo";

fn is_installed() -> bool {
    let mut version = Command::new(CARGO);
    let version = version.arg("--version").stdin(Stdio::null());
    version.output().is_ok_and(|output| output.status.success())
}

fn build_as(
    package: &str,
    name: &str,
    target: &Target,
    cargo: &OsStr,
    folder: &OsStr,
) -> Result<(), NotBuilt> {
    let mut command = Command::new(cargo);
    without_package(&mut command);
    let status = command
        .args(arguments(package, name, target))
        // From within the workspace, wherever this command is given.
        .current_dir(folder)
        // Standard output is for results.
        .stdout(Stdio::from(std::io::stderr()))
        .status();
    let why = match status {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let name = name.to_owned();
    Err(NotBuilt { name, why })
}

/// Takes away what `cargo run` says of the package that it runs. Build scripts look at it, that of `ring`
/// among them, so another cargo would build them anew, and all that depends on them, and so would the next
/// `cargo run`.
pub(crate) fn without_package(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let of_package = name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if of_package {
            command.env_remove(name);
        }
    }
}

fn arguments(package: &str, name: &str, target: &Target) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["build".into(), "--package".into(), package.into()];
    arguments.extend(["--bin".into(), name.into()]);
    arguments.extend(["--profile".into(), target.profile.clone().into()]);
    arguments.extend(["--target-dir".into(), target.folder.clone().into()]);
    if let Some(triple) = &target.triple {
        arguments.extend(["--target".into(), triple.clone().into()]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_skipped::skipped;
    use std::fs;

    #[test]
    fn what_is_built_from_here_is_not_told_of_this_package() {
        let told = |command: &mut Command| String::from_utf8(command.output().unwrap().stdout).unwrap();
        if !told(&mut Command::new("env")).contains("CARGO_PKG_NAME=") {
            skipped!("cargo does not run this test");
            return;
        }
        let mut command = Command::new("env");
        without_package(&mut command);
        let told = told(&mut command);
        assert!(
            !told.contains("CARGO_PKG_") && !told.contains("CARGO_MANIFEST_"),
            "{told}"
        );
        assert!(told.contains("PATH="), "{told}");
    }

    #[test]
    fn a_companion_is_built_as_the_running_executable_was() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("target");
        fs::create_dir_all(root.join("a-b-c/fast")).unwrap();
        assert_eq!(Target::of(&root.join("debug/hacher-fabric")), None, "not cargo's");
        // Whoever empties the folder takes the first mark away.
        fs::write(root.join(MARKS[1]), "").unwrap();
        let of = |path: &str| Target::of(&root.join(path)).unwrap();
        let target = |profile: &str, triple: Option<&str>| Target {
            folder: root.clone(),
            profile: profile.to_owned(),
            triple: triple.map(str::to_owned),
        };
        assert_eq!(of("debug/hacher-fabric"), target("dev", None));
        assert_eq!(of("release/hacher-fabric"), target("release", None));
        assert_eq!(of("a-b-c/fast/hacher-fabric"), target("fast", Some("a-b-c")));
        let words = arguments("hacher-benches", "hacher-bench", &target("fast", Some("a-b-c")));
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        let folder = root.to_str().unwrap();
        assert_eq!(
            words,
            [
                "build",
                "--package",
                "hacher-benches",
                "--bin",
                "hacher-bench",
                "--profile",
                "fast",
                "--target-dir",
                folder,
                "--target",
                "a-b-c"
            ]
        );
    }
}
