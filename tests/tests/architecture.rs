//! Which crate may import which, where unsafe code may stand, and how the files of a crate lie.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

#[path = "architecture/modules.rs"]
mod modules;

use modules::{Modules, circles};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate of the product may import of ours. All other packages of the workspace may import any of
/// these, and nothing imports them.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("hacher-chain-dsl", &[]),
    ("hacher-data-path", &[]),
    ("hacher-libos-net", &["hacher-data-path"]),
    // For functions: of the others, the adaptor alone may import it, which is one.
    ("hacher", &["hacher-libos-net"]),
    ("hacher-adaptor", &["hacher"]),
    ("hacher-evidence", &[]),
    ("hacher-verifier", &["hacher-evidence"]),
    ("hacher-monitor-core", &["hacher-data-path", "hacher-evidence"]),
    ("hacher-snp", &["hacher-data-path", "hacher-monitor-core"]),
    (
        "hacher-trustlet-host",
        &["hacher-libos-net", "hacher-monitor-core"],
    ),
    // For tests and benchmarks: none of the others may import it.
    ("hacher-in-process", &["hacher-libos-net", "hacher-monitor-core"]),
    ("hacher-watched", &[]),
    ("hacher-trusted-base", &["hacher-trustlet-host"]),
    ("hacher-http", &[]),
    ("hacher-sealed-request", &[]),
    (
        "hacher-client",
        &[
            "hacher-evidence",
            "hacher-http",
            "hacher-sealed-request",
            "hacher-verifier",
        ],
    ),
    (
        "hacher-gateway",
        &[
            "hacher-libos-net",
            "hacher-sealed-request",
            "hacher-trustlet-host",
            "hacher-watched",
            "hacher-http",
        ],
    ),
    (
        "hacher-daemon",
        &[
            "hacher-libos-net",
            "hacher-trustlet-host",
            "hacher-watched",
            "hacher-http",
        ],
    ),
    (
        "hacher-loader",
        &[
            "hacher-chain-dsl",
            "hacher-libos-net",
            "hacher-trustlet-host",
            "hacher-http",
            "hacher-gateway",
        ],
    ),
    (
        "hacher-fabric",
        &[
            "hacher-chain-dsl",
            "hacher-client",
            "hacher-libos-net",
            "hacher-trustlet-host",
            "hacher-http",
            "hacher-gateway",
            "hacher-daemon",
            "hacher-loader",
            "hacher-verifier",
        ],
    ),
];

/// Most lines of a file, but for tests and data.
const LINES_MAX: usize = 600;

/// Most lines of code of the monitor's core, which every platform runs, as they stand in its sources: without
/// comments, tests and what tests share. `trusted_base.rs` bounds what of the whole monitor is linked.
const CORE_LINES_MAX: usize = 6_200;

/// The folders of the packages that nothing imports.
const LEAVES: [&str; 3] = ["benches", "tests", "examples"];

/// The files of `libos-net/path/src` that allow unsafe code, and what for.
const DATA_PATH_UNSAFE: [(&str, &str); 4] = [
    (
        "region/memory.rs",
        "copies to and from memory that another process can write",
    ),
    (
        "region/heap.rs",
        "vouches for memory of this process that it gives out as shared",
    ),
    (
        "machine/memory.rs",
        "says what whoever provides memory has to vouch for",
    ),
    ("aead/aws_lc.rs", "calls AWS-LC, a C library"),
];

/// The files of `libos-net/src` that allow unsafe code, and what for.
const LIBOS_NET_UNSAFE: [(&str, &str); 4] = [
    ("region/mapping.rs", "maps regions"),
    (
        "own_process/last_words.rs",
        "handles SIGABRT, to say why a process aborts",
    ),
    (
        "own_process/mod.rs",
        "takes an inherited descriptor, and makes system calls that have no safe wrapper",
    ),
    (
        "own_process/refused_call.rs",
        "installs the signal handler that answers refused system calls",
    ),
];

/// Where in `trustlet-host/src` unsafe code may stand, and what for. The monitor's core forbids it.
const TRUSTLET_HOST_UNSAFE: [(&str, &str); 3] = [
    (
        "process",
        "the process platform: namespaces, jails and exec have few safe wrappers",
    ),
    (
        "linux",
        "sigpending, and the dynamic loader's list of what it has loaded",
    ),
    (
        "service/children.rs",
        "signalfd, and descriptors handed to the monitor's own children",
    ),
];

/// The files of `trustlet-host/snp/src` that allow unsafe code, and what for.
const SNP_UNSAFE: [(&str, &str); 1] = [(
    "instructions.rs",
    "PVALIDATE, RMPADJUST and VMGEXIT, which the compiler does not know",
)];

/// A dependency between two packages of this workspace.
struct Import {
    from: String,
    to: String,
}

/// The workspace, as cargo sees it.
struct Workspace {
    root: PathBuf,
    /// Folder of each package, by its name.
    folders: BTreeMap<String, PathBuf>,
    /// What the packages import of each other, to build or to run; tests and benchmarks may import more.
    imports: Vec<Import>,
    /// What each package imports of others, unless it is optional.
    externals: BTreeMap<String, BTreeSet<String>>,
}

impl Workspace {
    fn read() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();

        let root = PathBuf::from(text(&metadata["workspace_root"]));
        let folders: BTreeMap<String, PathBuf> = packages
            .iter()
            .map(|package| {
                let manifest = PathBuf::from(text(&package["manifest_path"]));
                (text(&package["name"]), manifest.parent().unwrap().to_owned())
            })
            .collect();
        let mut imports = Vec::new();
        let mut externals = BTreeMap::<String, BTreeSet<String>>::new();
        for package in packages {
            let from = text(&package["name"]);
            for dependency in package["dependencies"].as_array().unwrap() {
                // What a monitor without an operating system has in place of `ring` is in no build of the
                // product.
                if dependency["kind"] == "dev" || dependency["target"] == "cfg(portable_crypto)" {
                    continue;
                }
                let to = text(&dependency["name"]);
                if folders.contains_key(&to) && dependency["path"].is_string() {
                    imports.push(Import {
                        from: from.clone(),
                        to,
                    });
                } else if dependency["optional"] == false && dependency["kind"].is_null() {
                    externals.entry(from.clone()).or_default().insert(to);
                }
            }
        }
        Self {
            root,
            folders,
            imports,
            externals,
        }
    }

    fn is_leaf(&self, package: &str) -> bool {
        let folder = self.folders[package].strip_prefix(&self.root).unwrap();
        LEAVES.iter().any(|leaf| folder.starts_with(leaf))
    }
}

/// What is wrong with an import, if anything.
fn fault_of(workspace: &Workspace, Import { from, to }: &Import) -> Option<String> {
    // The end-to-end tests put the functions of the examples into chains of their own; nothing imports the
    // tests.
    if from == "hacher-tests"
        && workspace
            .folders
            .get(to)
            .is_some_and(|folder| folder.starts_with(workspace.root.join("examples")))
    {
        return None;
    }
    if workspace.is_leaf(to) {
        return Some(format!("{from} imports {to}, which nothing may import"));
    }
    let (_, allowed) = MAY_IMPORT.iter().find(|(name, _)| name == from)?;
    (!allowed.contains(&to.as_str())).then(|| format!("{from} may not import {to}"))
}

#[test]
fn imports_go_one_way() {
    let workspace = Workspace::read();
    let faults: Vec<String> = workspace
        .imports
        .iter()
        .filter_map(|import| fault_of(&workspace, import))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn an_import_against_the_direction_is_found() {
    let workspace = Workspace::read();
    let leaf = |folder: &str| {
        let folder = workspace.root.join(folder);
        let found = workspace.folders.iter().find(|(_, of)| **of == folder);
        found.unwrap().0.clone()
    };
    let refused = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        fault_of(&workspace, &Import { from, to }).is_some()
    };
    for (from, allowed) in MAY_IMPORT {
        for (to, _) in MAY_IMPORT {
            assert_eq!(refused(from, to), !allowed.contains(to), "{from} imports {to}");
        }
        for folder in ["benches", "tests", "examples/echo"] {
            assert!(refused(from, &leaf(folder)), "{from} imports {folder}");
        }
    }
    assert!(refused(&leaf("tests"), &leaf("benches")));
    assert!(!refused(&leaf("examples/echo"), "hacher-libos-net"));
}

#[test]
fn every_package_is_of_the_product_or_a_leaf() {
    let workspace = Workspace::read();
    for package in workspace.folders.keys() {
        let of_the_product = MAY_IMPORT.iter().any(|(name, _)| name == package);
        assert!(
            of_the_product != workspace.is_leaf(package),
            "{package} has no place in the import directions"
        );
    }
    for (name, _) in MAY_IMPORT {
        assert!(workspace.folders.contains_key(*name), "{name} is gone");
    }
}

#[test]
fn a_function_links_no_async_runtime() {
    let workspace = Workspace::read();
    assert!(!workspace.externals["hacher-libos-net"].contains("tokio"));
}

#[test]
fn data_path_and_core_depend_on_nothing_that_brings_an_operating_system() {
    let workspace = Workspace::read();
    for (package, more) in [
        ("hacher-data-path", &["ring", "zerocopy", "zeroize"][..]),
        ("hacher-evidence", &["ring"]),
        (
            "hacher-monitor-core",
            &["aes-kw", "ring", "x25519-dalek", "zerocopy", "zeroize"],
        ),
    ] {
        // `no_std.rs` shows that it links.
        assert!(
            says(&workspace, package, "#![cfg_attr(not(test), no_std)]"),
            "{package}"
        );
        let allowed = ["thiserror"].iter().chain(more).map(|name| (*name).to_owned());
        assert_eq!(workspace.externals[package], allowed.collect(), "{package}");
    }
}

/// Whether a package's first file has this line.
fn says(workspace: &Workspace, package: &str, wanted: &str) -> bool {
    let root = workspace.folders[package].join("src/lib.rs");
    let text = fs::read_to_string(root).unwrap();
    text.lines().any(|line| line.trim() == wanted)
}

#[test]
fn the_language_and_the_core_forbid_unsafe_code() {
    let workspace = Workspace::read();
    for package in [
        "hacher-chain-dsl",
        "hacher-evidence",
        "hacher-monitor-core",
        "hacher-in-process",
        "hacher-verifier",
    ] {
        assert!(says(&workspace, package, "#![forbid(unsafe_code)]"), "{package}");
    }
}

#[test]
fn unsafe_code_of_trustlets_and_of_snp_stands_in_listed_files_alone() {
    let workspace = Workspace::read();
    let packages: [(&str, &[_]); 3] = [
        ("hacher-data-path", &DATA_PATH_UNSAFE),
        ("hacher-libos-net", &LIBOS_NET_UNSAFE),
        ("hacher-snp", &SNP_UNSAFE),
    ];
    for (package, unsafe_files) in packages {
        let source = workspace.folders[package].join("src");
        let listed: BTreeSet<PathBuf> = unsafe_files.iter().map(|(file, _)| file.into()).collect();
        let found: BTreeSet<PathBuf> = files_that_opt_in(&source)
            .into_iter()
            .map(|file| file.strip_prefix(&source).unwrap().to_owned())
            .collect();
        assert_eq!(found, listed, "{package}");
    }
}

#[test]
fn unsafe_code_of_the_monitor_stands_in_listed_places_alone() {
    let workspace = Workspace::read();
    let source = workspace.folders["hacher-trustlet-host"].join("src");
    for file in files_that_opt_in(&source) {
        let listed = TRUSTLET_HOST_UNSAFE
            .iter()
            .any(|(place, _)| file.starts_with(source.join(place)));
        assert!(listed, "unsafe code in {}", file.display());
    }
}

/// The Rust files under `folder` that name the lint `unsafe_code` outside of comments. The workspace denies
/// it, so no other file can hold unsafe code.
fn files_that_opt_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = rust_files(folder);
    found.retain(|path| {
        let text = fs::read_to_string(path).unwrap();
        let mut code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.any(|line| line.contains("unsafe_code"))
    });
    found
}

/// The Rust files under `folder`.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn the_core_of_the_monitor_is_small() {
    let source = Workspace::read().folders["hacher-monitor-core"].join("src");
    let of_tests = ["tests", "tests.rs", "simulated.rs", "conformance.rs"].map(std::ffi::OsStr::new);
    let mut files = rust_files(&source);
    files.retain(|file| {
        !file
            .strip_prefix(&source)
            .unwrap()
            .iter()
            .any(|part| of_tests.contains(&part))
    });
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//");
    let lines_of = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        code.lines().map(str::trim).filter(is_code).count()
    };
    let lines: usize = files.iter().map(lines_of).sum();
    assert!((1_000..CORE_LINES_MAX).contains(&lines), "{lines} lines");
}

#[test]
fn unsafe_code_of_the_fabric_stands_in_one_small_package() {
    let workspace = Workspace::read();
    let fabric = workspace.folders["hacher-fabric"].clone();
    let watched = workspace.folders["hacher-watched"].join("src/lib.rs");
    let mut found = files_that_opt_in(&fabric);
    found.retain(|file| {
        !fs::read_to_string(file)
            .unwrap()
            .contains("\n#![forbid(unsafe_code)]")
    });
    assert_eq!(found, [watched]);
}

#[test]
fn the_workspace_denies_unsafe_code_and_every_package_follows_it() {
    let workspace = Workspace::read();
    let root = fs::read_to_string(workspace.root.join("Cargo.toml")).unwrap();
    assert!(root.lines().any(|line| line.trim() == "unsafe_code = \"deny\""));
    for (package, folder) in &workspace.folders {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{package} does not follow the workspace's lints"
        );
    }
}

/// Where it may stand which platform trustlets run on: in its own folder, and in the lines that choose it.
const KNOWS_THE_PLATFORM: [&str; 3] = [
    "trustlet-host/src/process",
    "trustlet-host/src/chosen.rs",
    "trustlet-host/src/lib.rs",
];

/// What code says that knows the platform: the paths of its folder, its name, what it cannot do.
const OF_THE_PLATFORM: [&str; 5] = [
    "crate::process",
    "trustlet_host::process",
    "\"process\"",
    "\"snp\": false",
    "\"snp\": true",
];

#[test]
fn a_second_platform_is_one_folder_and_the_lines_that_choose_it() {
    let workspace = Workspace::read();
    let mut found = Vec::new();
    let mut known = 0;
    for folder in workspace.folders.values() {
        let tests = workspace.root.join("tests");
        if folder.starts_with(tests) {
            continue;
        }
        for file in rust_files(&folder.join("src")) {
            let place = file.strip_prefix(&workspace.root).unwrap();
            let may = KNOWS_THE_PLATFORM.iter().any(|known| place.starts_with(known));
            let text = fs::read_to_string(&file).unwrap();
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                if OF_THE_PLATFORM.iter().any(|word| line.contains(word)) {
                    known += usize::from(may);
                    if !may {
                        found.push(format!("{}: {}", place.display(), line.trim()));
                    }
                }
            }
        }
    }
    assert!(known > 3, "the folder itself is read");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The packages of the product, the benchmarks and the examples, with their modules.
fn product(workspace: &Workspace) -> Vec<(&str, Modules)> {
    let tests = workspace.root.join("tests");
    let packages = workspace.folders.iter();
    let packages = packages.filter(|(_, folder)| !folder.starts_with(&tests));
    packages
        .map(|(package, folder)| (package.as_str(), Modules::read(&folder.join("src"))))
        .collect()
}

#[test]
fn files_of_a_crate_import_each_other_in_no_circle() {
    let workspace = Workspace::read();
    let mut seen = [0, 0];
    let mut found = Vec::new();
    for (package, modules) in product(&workspace) {
        let imports = modules.imports();
        seen[0] += imports.len();
        seen[1] += imports.values().flatten().count();
        let circles = circles(&imports);
        found.extend(circles.iter().map(|circle| format!("{package}: {circle}")));
    }
    assert!(seen[0] > 300, "the files are found: {seen:?}");
    assert!(seen[1] > 700, "and what they import: {seen:?}");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn folders_of_what_runs_in_a_trustlet_import_each_other_in_no_circle() {
    let workspace = Workspace::read();
    let mut found = Vec::new();
    for package in ["hacher-data-path", "hacher-libos-net"] {
        let modules = Modules::read(&workspace.folders[package].join("src"));
        let mut folders = BTreeMap::<_, BTreeSet<_>>::new();
        for (module, imported) in modules.imports() {
            let of = |module: &[String]| module.iter().take(1).cloned().collect::<Vec<_>>();
            let from = folders.entry(of(&module)).or_default();
            // The root passes on what is in its folders.
            from.extend(
                imported
                    .iter()
                    .map(|to| of(to))
                    .filter(|to| !module.is_empty() && !to.is_empty()),
            );
            from.remove(&of(&module));
        }
        // Sealed memory takes what the cipher has made and nothing else, so it knows the cipher's type.
        if let Some(region) = folders.get_mut(&vec!["region".to_owned()]) {
            region.remove(&vec!["aead".to_owned()]);
        }
        let circles = circles(&folders);
        found.extend(circles.iter().map(|circle| format!("{package}: {circle}")));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_file_is_about_one_noun() {
    let workspace = Workspace::read();
    let mut found = Vec::new();
    for (package, modules) in product(&workspace) {
        let folder = workspace.folders[package].strip_prefix(&workspace.root).unwrap();
        for (path, lines) in modules.lines() {
            let path = folder.join("src").join(path);
            if lines > LINES_MAX {
                found.push(format!("{} has {lines} lines", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_walk_of_a_record_is_short() {
    let workspace = Workspace::read();
    let hop = workspace.folders["hacher-data-path"].join("src/hop.rs");
    let lines = fs::read_to_string(hop).unwrap().lines().count();
    assert!(lines <= 150, "it has {lines} lines");
}

#[test]
fn the_command_line_and_its_wiring_are_small() {
    const LINES_MAX: usize = 8_000;
    let workspace = Workspace::read();
    let modules = Modules::read(&workspace.folders["hacher-fabric"].join("src"));
    // The words of `bench`, which another executable does, are not counted.
    let counted = modules.lines().filter(|(path, _)| !path.ends_with("bench.rs"));
    let lines: usize = counted.map(|(_, lines)| lines).sum();
    assert!(lines < LINES_MAX, "fabric/src has {lines} lines");
}
