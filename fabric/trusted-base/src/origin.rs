//! Which crate a source file is of.
//!
//! Crates of registries and of Rust's own library stand in folders that bear their names and versions. Of all
//! others the compiler says which file a crate begins with (`fabric/src/lib.rs/@/...`), and the crate is
//! named after its folder (`fabric`): beneath that of Hacher's sources, or, elsewhere, beneath the one that
//! all other such folders have in common.

use crate::path::joined;
use std::collections::BTreeSet;

/// Whose code it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Of a folder, not of a registry: this project's, or of whoever has written the function.
    Own,
    /// Others', who publish crates, with the C and assembly in them.
    Dependency,
    /// Rust's own library, with the crates in it.
    Rust,
    /// Of no crate.
    Other,
}

/// A crate that has code in an executable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    /// Its name and version, or its folder.
    pub name: String,
    /// Whose it is.
    pub owner: Owner,
}

impl Crate {
    fn new(owner: Owner, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { name, owner }
    }

    /// Whether its folder is this one of the project's.
    #[must_use]
    pub fn is_in(&self, folder: &str) -> bool {
        let before = self
            .name
            .strip_suffix(folder)
            .filter(|_| self.owner == Owner::Own);
        before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
    }
}

/// The crate that all of Hacher's executables have code of, in Hacher's sources.
const EVERYWHERE: &str = "libos-net/path";

/// What is known of crates.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// The folders of first files.
    folders: BTreeSet<String>,
}

impl Origins {
    /// Learns from the name of a unit of compilation, which was compiled in `folder`.
    pub(super) fn learn(&mut self, folder: &str, unit: &str) {
        let Some((first, _)) = unit.split_once("/@/") else {
            return;
        };
        let first = joined(&[folder, first]);
        if published(&first).is_none()
            && let Some((folder, _)) = first.rsplit_once("/src/")
        {
            self.folders.insert(folder.to_owned());
        }
    }

    /// The crate of a file.
    pub(super) fn of(&self, path: &str) -> Crate {
        published(path)
            .or_else(|| self.of_a_folder(path))
            .unwrap_or_else(|| Crate::new(Owner::Other, "(other)"))
    }

    fn of_a_folder(&self, path: &str) -> Option<Crate> {
        let mut parents = path.rmatch_indices('/').map(|(at, _)| &path[..at]);
        let folder = parents.find(|parent| self.folders.contains(*parent))?;
        Some(Crate::new(
            Owner::Own,
            folder.strip_prefix(self.above(folder)).unwrap_or(folder),
        ))
    }

    /// What the name of the crate in `folder` is without: it ends with `/`.
    fn above(&self, folder: &str) -> &str {
        let sources = self.sources();
        let is_in_sources = |folder: &str| sources.is_some_and(|sources| folder.starts_with(sources));
        match sources {
            Some(sources) if is_in_sources(folder) => sources,
            _ => common(self.folders.iter().filter(|other| !is_in_sources(other))),
        }
    }

    /// Where Hacher's sources lie, if it is an executable with some of them.
    fn sources(&self) -> Option<&str> {
        let mut above = self
            .folders
            .iter()
            .filter_map(|folder| folder.strip_suffix(EVERYWHERE));
        above.find(|above| above.is_empty() || above.ends_with('/'))
    }
}

/// What all of these begin with, up to a `/`; they are in order.
fn common<'a>(mut folders: impl DoubleEndedIterator<Item = &'a String>) -> &'a str {
    // What the first and the last have in common, all have.
    let Some(first) = folders.next() else { return "" };
    let last = folders.next_back().unwrap_or(first);
    let same = first
        .bytes()
        .zip(last.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let same = first.get(..same).unwrap_or_default();
    same.rfind('/').and_then(|at| same.get(..=at)).unwrap_or_default()
}

/// The crate of a file in a folder that bears the crate's name.
fn published(path: &str) -> Option<Crate> {
    let part_after = |mark: &str, skipped: usize| {
        let (_, rest) = path.split_once(mark)?;
        rest.split('/').nth(skipped)
    };
    if let Some(folder) = part_after("registry/src/", 1) {
        return Some(Crate::new(Owner::Dependency, with_version(folder)));
    }
    if let Some(folder) = part_after("git/checkouts/", 0) {
        return Some(Crate::new(Owner::Dependency, without_hash(folder)));
    }
    if let Some(folder) = part_after("/rust/deps/", 0) {
        return Some(Crate::new(Owner::Rust, with_version(folder)));
    }
    if path.contains("/rustc/") || path.contains("rustlib/src/rust/") {
        // `core_arch` and others are parts of `core`.
        let name = match part_after("/library/", 0)? {
            "stdarch" | "portable-simd" => "core",
            name => name,
        };
        return Some(Crate::new(Owner::Rust, name.replace('-', "_")));
    }
    // What build scripts have written.
    let folder = part_after("/build/", 0).filter(|_| path.contains("/out/"))?;
    Some(Crate::new(Owner::Dependency, without_hash(folder)))
}

/// `name-1.2.3` as `name 1.2.3`.
fn with_version(folder: &str) -> String {
    let at = folder
        .match_indices('-')
        .map(|(at, _)| at)
        .find(|at| folder[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    at.map_or_else(
        || folder.to_owned(),
        |at| format!("{} {}", &folder[..at], &folder[at + 1..]),
    )
}

fn without_hash(folder: &str) -> String {
    folder
        .rsplit_once('-')
        .map_or(folder, |(name, _)| name)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_belong_to_the_crate_in_whose_folder_they_are() {
        let mut origins = Origins::default();
        origins.learn("/w", "fabric/src/lib.rs/@/hacher_fabric.0a1b-cgu.00");
        origins.learn("/w", "fabric/src/main.rs/@/0a1b");
        origins.learn("/w", "fabric/daemon/src/lib.rs/@/0a1b");
        origins.learn("/w", "/w/libos-net/src/lib.rs/@/0a1b");
        origins.learn(
            "/h/.cargo/registry/src/index-1a/ring-0.17.14",
            "src/lib.rs/@/0a1b",
        );
        origins.learn("/w", "crypto/aes.c");
        for (path, owner, expected) in [
            ("/w/fabric/src/cli/tcb.rs", Owner::Own, "fabric"),
            ("/w/fabric/daemon/src/life.rs", Owner::Own, "fabric/daemon"),
            (
                "/h/.cargo/registry/src/index-1a/hyper-util-0.1.9/src/rt/mod.rs",
                Owner::Dependency,
                "hyper-util 0.1.9",
            ),
            (
                "/h/.cargo/registry/src/index-1a/aws-lc-sys-0.47.0/aws-lc/crypto/x-25.c",
                Owner::Dependency,
                "aws-lc-sys 0.47.0",
            ),
            (
                "registry/src/index-1a/ring-0.17.14/src/lib.rs",
                Owner::Dependency,
                "ring 0.17.14",
            ),
            (
                "/h/.cargo/git/checkouts/ring-0a1b/0a/src/lib.rs",
                Owner::Dependency,
                "ring",
            ),
            ("/rustc/1a/library/std/src/io/mod.rs", Owner::Rust, "std"),
            (
                "/rustc/1a/library/stdarch/crates/core_arch/src/x86/sse2.rs",
                Owner::Rust,
                "core",
            ),
            (
                "/r/lib/rustlib/src/rust/library/compiler-builtins/x.rs",
                Owner::Rust,
                "compiler_builtins",
            ),
            (
                "/rust/deps/hashbrown-0.15.5/src/raw.rs",
                Owner::Rust,
                "hashbrown 0.15.5",
            ),
            (
                "/w/target/debug/build/serde_core-0a1b/out/t.rs",
                Owner::Dependency,
                "serde_core",
            ),
            ("/usr/include/x.h", Owner::Other, "(other)"),
            ("", Owner::Other, "(other)"),
        ] {
            assert_eq!(origins.of(path), Crate::new(owner, expected), "{path}");
        }
    }

    #[test]
    fn crates_of_a_clone_are_named_alike_beside_those_of_somebody_else() {
        let named = |folders: &[&str], path: &str| {
            let mut origins = Origins::default();
            for folder in folders {
                origins.learn(folder, "src/lib.rs/@/0a1b");
            }
            origins.of(&format!("{path}/src/a.rs")).name
        };
        let clone = ["/r/cold/hacher/libos-net", "/r/cold/hacher/libos-net/path"];
        let with = |others: &[&'static str]| [&clone[..], others].concat();
        let outside = with(&["/r/trial/split"]);
        assert_eq!(named(&outside, "/r/cold/hacher/libos-net/path"), "libos-net/path");
        assert_eq!(named(&outside, "/r/cold/hacher/libos-net"), "libos-net");
        assert_eq!(named(&outside, "/r/trial/split"), "split");
        let two = with(&["/a/split", "/a/split/words"]);
        assert_eq!(named(&two, "/a/split/words"), "split/words");
        // A clone within the folder of a function, and an executable without any of it.
        let within = with(&["/r"]);
        assert_eq!(named(&within, "/r/cold/hacher/libos-net"), "libos-net");
        assert_eq!(named(&within, "/r"), "r");
        assert_eq!(
            named(&["/a/x", "/a/my-libos-net/path"], "/a/my-libos-net/path"),
            "my-libos-net/path"
        );
    }

    #[test]
    fn folders_are_told_from_others_that_end_alike() {
        let own = |name: &str| Crate::new(Owner::Own, name);
        assert!(own("libos-net").is_in("libos-net") && own("hacher/libos-net").is_in("libos-net"));
        assert!(!own("my-libos-net").is_in("libos-net") && !own("libos-net/path").is_in("libos-net"));
        assert!(!Crate::new(Owner::Dependency, "libos-net").is_in("libos-net"));
    }
}
