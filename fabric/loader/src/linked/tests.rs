//! The search in file trees made for it: forged ELF files that hold nothing but what a loader reads.

use super::*;
use hacher_skipped::skipped;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

const MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
const GNU: &str = "/lib64/ld-linux-test.so.2";
const NEEDED: u64 = 1;
const SONAME: u64 = 14;
const RPATH: u64 = 15;
const RUNPATH: u64 = 29;

/// An ELF file of 64 bits with these entries in its dynamic section, and with an interpreter if one is named.
fn forge(machine: u16, interpreter: Option<&str>, entries: &[(u64, &str)]) -> Vec<u8> {
    let mut strings = vec![0_u8];
    let mut dynamic: Vec<[u64; 2]> = Vec::new();
    for (tag, text) in entries {
        dynamic.push([*tag, strings.len() as u64]);
        strings.extend_from_slice(text.as_bytes());
        strings.push(0);
    }
    let name = interpreter
        .map(|name| [name.as_bytes(), b"\0"].concat())
        .unwrap_or_default();
    let headers = 64 + 3 * 56_u64;
    let strings_at = headers + name.len() as u64;
    let dynamic_at = strings_at + strings.len() as u64;
    dynamic.extend([[5, strings_at], [10, strings.len() as u64], [0, 0]]);
    let dynamic: Vec<u8> = dynamic
        .iter()
        .flatten()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let len = dynamic_at + dynamic.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([3_u16, machine].iter().flat_map(|half| half.to_le_bytes()));
    elf.extend(1_u32.to_le_bytes());
    elf.extend([0_u64, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    elf.extend(0_u32.to_le_bytes());
    elf.extend(
        [64_u16, 56, 3, 64, 0, 0]
            .iter()
            .flat_map(|half| half.to_le_bytes()),
    );
    // PT_LOAD of everything, PT_DYNAMIC, and PT_INTERP or nothing.
    let kind = if interpreter.is_some() { 3 } else { 0 };
    for (kind, at, len) in [
        (1_u32, 0, len),
        (2, dynamic_at, dynamic.len() as u64),
        (kind, headers, name.len() as u64),
    ] {
        elf.extend([kind, 4].iter().flat_map(|word| word.to_le_bytes()));
        elf.extend(
            [at, at, at, len, len, 1]
                .iter()
                .flat_map(|word| word.to_le_bytes()),
        );
    }
    [elf, name, strings, dynamic].concat()
}

/// A file tree of its own, with a loader that knows some folders.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.put(
            GNU,
            b"\0/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0 /etc/ld.so.cache\0",
        );
        tree
    }

    fn real(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.real(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn library(&self, path: &str, entries: &[(u64, &str)]) {
        self.put(path, &forge(MACHINE, None, entries));
    }

    fn find(&self, entries: &[(u64, &str)]) -> Result<LinkedFiles, ElfError> {
        self.find_with(GNU, entries, None)
    }

    fn find_with(
        &self,
        loader: &str,
        entries: &[(u64, &str)],
        library_path: Option<&str>,
    ) -> Result<LinkedFiles, ElfError> {
        let path = self.real("/opt/app/bin/main");
        self.put("/opt/app/bin/main", &forge(MACHINE, Some(loader), entries));
        let file = File::open(&path).unwrap();
        find_all(
            &System::at(self.0.path()),
            &file,
            &path,
            library_path,
            Loadable::NONE,
        )
        .map(|(found, _)| found)
    }

    /// Where a library is seen, and what its own name says of where it was found.
    fn seen(&self, found: &LinkedFiles) -> Vec<String> {
        let files = found.files.iter().filter(|file| !file.interpreter);
        files
            .map(|file| file.path.to_string_lossy().into_owned())
            .collect()
    }
}

fn soname(found: &LinkedFiles, at: usize) -> Option<String> {
    let file = &found.files.get(at).unwrap().file;
    read_links(file, Path::new("x")).unwrap().soname
}

#[test]
fn the_folders_that_the_loader_knows_are_searched_in_its_order() {
    let tree = Tree::new();
    tree.library("/usr/lib/liba.so", &[(SONAME, "late")]);
    tree.library("/lib/liba.so", &[(SONAME, "early")]);
    // Not known to this loader, so never looked at.
    tree.library("/lib64/liba.so", &[(SONAME, "never")]);
    let found = tree.find(&[(NEEDED, "liba.so")]).unwrap();
    assert_eq!(tree.seen(&found), ["/lib/liba.so"]);
    assert_eq!(soname(&found, 1).as_deref(), Some("early"));
    assert_eq!(found.library_path, None);
    assert!(found.files.first().unwrap().interpreter);
}

#[test]
fn libraries_of_libraries_are_found_once_under_each_of_their_names() {
    let tree = Tree::new();
    tree.library(
        "/lib/liba.so",
        &[(NEEDED, "libb.so"), (NEEDED, "ld-linux-test.so.2")],
    );
    tree.library("/lib/libb.so", &[(NEEDED, "liba.so"), (SONAME, "libc.so")]);
    let found = tree
        .find(&[(NEEDED, "liba.so"), (NEEDED, "libb.so"), (NEEDED, "libc.so")])
        .unwrap();
    assert_eq!(tree.seen(&found), ["/lib/liba.so", "/lib/libb.so"]);
}

#[test]
fn origin_stands_for_the_folder_of_the_file_that_says_so() {
    // The executable's folder is that of this machine, not of the forged tree.
    let tree = Tree::new();
    let app = tree.real("/opt/app");
    for name in ["$ORIGIN/../lib", "${ORIGIN}/../lib"] {
        let system = System::this();
        let loader = Loader::identify(&System::at(tree.0.path()), Path::new(GNU)).unwrap();
        let folders = loader.folders(name, &app.join("bin"));
        assert_eq!(folders, [app.join("bin/../lib")]);
        assert_eq!(system.real(Path::new("/x")), Path::new("/x"));
    }
    tree.library(
        "/deep/lib/liba.so",
        &[(NEEDED, "libb.so"), (RUNPATH, "$ORIGIN/more")],
    );
    tree.library("/deep/lib/more/libb.so", &[]);
    let found = tree.find(&[(NEEDED, "liba.so"), (RUNPATH, "/deep/lib")]).unwrap();
    assert_eq!(tree.seen(&found), ["/image/lib/liba.so", "/image/lib/libb.so"]);
    assert_eq!(found.library_path, Some(IMAGE_FOLDER));
}

#[test]
fn lib_and_platform_are_expanded_and_other_names_are_left_alone() {
    let tree = Tree::new();
    let loader = Loader::identify(&System::at(tree.0.path()), Path::new(GNU)).unwrap();
    let expand = |text: &str| loader.expand(text, Path::new("/o"));
    if cfg!(target_arch = "x86_64") {
        assert_eq!(expand("/a/$LIB/b"), "/a/lib/x86_64-linux-gnu/b");
        assert_eq!(expand("${PLATFORM}"), "x86_64");
    }
    assert_eq!(expand("$ORIGIN/x$ORIGIN"), "/o/x/o");
    assert_eq!(expand("$ORIGINAL/${ORIGIN/$"), "$ORIGINAL/${ORIGIN/$");
}

#[test]
fn a_run_path_is_for_a_files_own_libraries_and_an_rpath_for_all_below() {
    let tree = Tree::new();
    tree.library("/r/liba.so", &[(NEEDED, "libb.so")]);
    tree.library("/r/libb.so", &[]);
    let main = [(NEEDED, "liba.so")];
    let by_rpath = tree.find(&[main[0], (RPATH, "/r")]).unwrap();
    assert_eq!(tree.seen(&by_rpath).len(), 2);
    let by_run_path = tree.find(&[main[0], (RUNPATH, "/r")]).unwrap_err();
    let ElfError::Missing { name, by, looked } = &by_run_path else {
        panic!("{by_run_path}")
    };
    assert_eq!(
        (name.as_str(), by.as_path()),
        ("libb.so", Path::new("/r/liba.so"))
    );
    assert!(!looked.0.contains(&PathBuf::from("/r")), "{looked}");
    assert!(looked.0.contains(&PathBuf::from("/usr/lib")), "{looked}");
    // An RPATH beside a RUNPATH does not count.
    tree.find(&[main[0], (RPATH, "/r"), (RUNPATH, "/s")]).unwrap_err();
    // Nor does one of those above, for a library with a RUNPATH of its own.
    tree.library("/r/liba.so", &[(NEEDED, "libb.so"), (RUNPATH, "/s")]);
    tree.find(&[main[0], (RPATH, "/r")]).unwrap_err();
}

#[test]
fn the_functions_library_path_comes_after_rpath_and_before_run_path() {
    let tree = Tree::new();
    for folder in ["/rpath", "/given", "/runpath"] {
        tree.library(&format!("{folder}/liba.so"), &[(SONAME, folder)]);
    }
    let from = |tag, folder| {
        let found = tree.find_with(
            GNU,
            &[(NEEDED, "liba.so"), (tag, folder)],
            Some("/given:relative"),
        );
        soname(&found.unwrap(), 1)
    };
    assert_eq!(from(RPATH, "/rpath").as_deref(), Some("/rpath"));
    assert_eq!(from(RUNPATH, "/runpath").as_deref(), Some("/given"));
}

#[test]
fn configured_folders_and_what_their_files_include_are_searched() {
    let tree = Tree::new();
    tree.put(
        "/etc/ld.so.conf",
        b"# first\ninclude ld.so.conf.d/*.conf\n/early  # and why\n",
    );
    tree.put("/etc/ld.so.conf.d/b.conf", b"/late\ninclude /etc/ld.so.conf\n");
    tree.put("/etc/ld.so.conf.d/ignored.txt", b"/never\n");
    tree.library("/late/liba.so", &[]);
    tree.library("/never/libb.so", &[]);
    let found = tree.find(&[(NEEDED, "liba.so")]).unwrap();
    assert_eq!(tree.seen(&found), ["/image/lib/liba.so"]);
    assert!(matches!(
        tree.find(&[(NEEDED, "libb.so")]),
        Err(ElfError::Missing { .. })
    ));
}

#[test]
fn files_for_other_machines_are_passed_over_and_damaged_ones_are_named() {
    let tree = Tree::new();
    tree.put("/lib/x86_64-linux-gnu/liba.so", &forge(3, None, &[]));
    tree.library("/lib/liba.so", &[]);
    let found = tree.find(&[(NEEDED, "liba.so")]).unwrap();
    assert_eq!(tree.seen(&found), ["/lib/liba.so"]);
    tree.put("/lib/libb.so", b"/* GNU ld script */ INPUT(-lb)");
    let error = tree.find(&[(NEEDED, "libb.so")]).unwrap_err();
    assert!(
        matches!(&error, ElfError::NotElf { path, .. } if path == Path::new("/lib/libb.so")),
        "{error}"
    );
}

#[test]
fn a_better_library_for_this_processor_comes_first() {
    let tree = Tree::new();
    let loader = Loader::identify(&System::at(tree.0.path()), Path::new(GNU)).unwrap();
    let levels = loader.levels(Path::new("/lib"));
    let Some(best) = levels.first().filter(|best| *best != Path::new("/lib")) else {
        skipped!("this processor has no level of its own");
        return;
    };
    tree.library("/lib/liba.so", &[]);
    tree.library(&format!("{}/liba.so", best.display()), &[]);
    let found = tree.find(&[(NEEDED, "liba.so")]).unwrap();
    assert_eq!(
        tree.seen(&found),
        [best.join("liba.so").to_string_lossy().into_owned()]
    );
}

#[test]
fn musl_has_folders_and_a_configuration_of_its_own_and_run_paths_for_all_below() {
    let tree = Tree::new();
    let loader = "/lib/ld-musl-x86_64.so.1";
    tree.put(loader, b"\0musl");
    tree.library("/usr/local/lib/liba.so", &[(NEEDED, "libb.so")]);
    tree.library("/r/libb.so", &[]);
    let entries = [(NEEDED, "liba.so"), (RUNPATH, "/r")];
    let found = tree.find_with(loader, &entries, None).unwrap();
    assert_eq!(
        tree.seen(&found),
        ["/usr/local/lib/liba.so", "/image/lib/libb.so"]
    );
    tree.put("/etc/ld-musl-x86_64.path", b"/elsewhere\n/more");
    assert!(matches!(
        tree.find_with(loader, &entries, None),
        Err(ElfError::Missing { .. })
    ));
    tree.library("/more/liba.so", &[]);
    let found = tree.find_with(loader, &entries, None).unwrap();
    assert_eq!(tree.seen(&found), ["/image/lib/liba.so"]);
}

#[test]
fn what_is_not_followed_is_said_by_name() {
    let tree = Tree::new();
    let text = |result: Result<LinkedFiles, ElfError>| result.unwrap_err().to_string();
    tree.put("/odd/linker64", b"\0nothing of the kind");
    let error = text(tree.find_with("/odd/linker64", &[(NEEDED, "liba.so")], None));
    assert!(
        error.contains("/odd/linker64") && error.contains("glibc or musl"),
        "{error}"
    );
    let error = text(tree.find_with("/lib/not-there.so", &[], None));
    assert!(error.contains("/lib/not-there.so"), "{error}");
    let error = text(tree.find(&[(NEEDED, "./liba.so")]));
    assert!(error.contains("./liba.so"), "{error}");
    let error = text(tree.find(&[(NEEDED, "/abs/liba.so")]));
    assert!(error.contains("/abs/liba.so"), "{error}");
    tree.library("/abs/liba.so", &[]);
    let found = tree.find(&[(NEEDED, "/abs/liba.so")]).unwrap();
    assert_eq!(
        (tree.seen(&found), found.library_path),
        (vec!["/abs/liba.so".to_owned()], None)
    );
    tree.library("/lib/libf.so", &[(0x7fff_ffff, "libg.so")]);
    assert!(text(tree.find(&[(NEEDED, "libf.so")])).contains("DT_FILTER"));
}

#[test]
fn too_many_libraries_are_refused() {
    let tree = Tree::new();
    for number in 0..LIBRARIES_MAX {
        let next = format!("lib{}.so", number + 1);
        tree.library(&format!("/lib/lib{number}.so"), &[(NEEDED, &next)]);
    }
    assert!(matches!(
        tree.find(&[(NEEDED, "lib0.so")]),
        Err(ElfError::TooMany)
    ));
}

#[test]
fn this_test_links_its_interpreter_and_the_c_library() {
    let path = std::env::current_exe().unwrap();
    let found = linked(&File::open(&path).unwrap(), &path, None).unwrap();
    let Some(first) = found.files.first() else {
        skipped!("this test is linked statically");
        return;
    };
    assert!(first.interpreter);
    assert!(
        found
            .files
            .iter()
            .any(|library| library.path.to_string_lossy().contains("libc.so"))
    );
    assert_eq!(
        found.files.iter().filter(|library| library.interpreter).count(),
        1
    );
}

/// Builds C with the machine's compiler; `None`, with a reason printed, if there is none.
fn compile(folder: &Path, source: &str, arguments: &[&str]) -> Option<()> {
    fs::write(folder.join("source.c"), source).unwrap();
    let compiler = Command::new("cc")
        .current_dir(folder)
        .arg("source.c")
        .args(arguments)
        .output();
    match compiler {
        Ok(output) if output.status.success() => Some(()),
        Ok(output) => {
            skipped!("{}", String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(error) => {
            skipped!("no C compiler: {error}");
            None
        }
    }
}

#[test]
fn what_a_compiler_links_is_found_where_its_loader_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("lib")).unwrap();
    let built = compile(
        folder,
        "int f(void) { return 7; }",
        &["-shared", "-fPIC", "-o", "lib/libf.so"],
    );
    let main = "int f(void); int main(void) { return f(); }";
    let linked_to = ["-o", "main", "-Llib", "-lf", "-Wl,-rpath,$ORIGIN/lib"];
    let built = built.and_then(|()| compile(folder, main, &linked_to));
    if built.is_none() {
        return;
    }
    let path = folder.join("main");
    assert_eq!(Command::new(&path).status().unwrap().code(), Some(7));
    let found = linked(&File::open(&path).unwrap(), &path, None).unwrap();
    assert!(
        found
            .files
            .iter()
            .any(|file| file.path == Path::new("/image/lib/libf.so"))
    );
    if compile(
        folder,
        "int main(void) { return 0; }",
        &["-static-pie", "-o", "static"],
    )
    .is_some()
    {
        let path = folder.join("static");
        assert!(
            linked(&File::open(&path).unwrap(), &path, None)
                .unwrap()
                .files
                .is_empty()
        );
    }
    let path = folder.join("lib/libf.so");
    let error = linked(&File::open(&path).unwrap(), &path, None).unwrap_err();
    assert!(error.to_string().contains("as a shared library"), "{error}");
}

#[test]
fn what_a_module_can_do_without_keeps_nothing_else_away_and_is_told_once() {
    let tree = Tree::new();
    tree.put(
        "/opt/app/bin/main",
        &forge(MACHINE, Some(GNU), &[(NEEDED, "libc.so")]),
    );
    tree.library("/lib/libc.so", &[]);
    // The first lacks a library, and its second is there; both lack one that a filter names.
    let needs = [(NEEDED, "libgone.so"), (NEEDED, "liba.so"), (NEEDED, "libf.so")];
    tree.library("/lib/libtop.so", &needs);
    tree.library("/lib/liba.so", &[(NEEDED, "libgone.so"), (NEEDED, "libb.so")]);
    tree.library("/lib/libb.so", &[]);
    tree.library(
        "/lib/libf.so",
        &[(0x7fff_ffff, "libg.so"), (NEEDED, "liblate.so")],
    );
    tree.library("/lib/liblate.so", &[]);
    tree.library("/packages/one.so", &[(NEEDED, "libtop.so")]);
    tree.library(
        "/packages/two.so",
        &[(NEEDED, "libgone.so"), (NEEDED, "libtop.so")],
    );
    let many: Vec<String> = (0..2 * MISSING_MAX).map(|at| format!("libgone{at}.so")).collect();
    let many: Vec<(u64, &str)> = many.iter().map(|name| (NEEDED, name.as_str())).collect();
    tree.library("/packages/three.so", &many);
    let find = |modules: &[&str]| {
        let modules: Vec<_> = modules.iter().map(|path| tree.real(path)).collect();
        let path = tree.real("/opt/app/bin/main");
        let loadable = Loadable {
            modules: &modules,
            folders: &[],
        };
        let file = File::open(&path).unwrap();
        let (found, missing) = find_all(&System::at(tree.0.path()), &file, &path, None, loadable).unwrap();
        let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
        (tree.seen(&found), missing)
    };
    let (seen, missing) = find(&["/packages/one.so", "/packages/two.so"]);
    for name in ["libc", "libtop", "liba", "libb", "libf", "liblate"] {
        let path = format!("/lib/{name}.so");
        assert!(seen.contains(&path), "{path}: {seen:?}");
    }
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing[0].contains("`libgone.so`") && missing[1].contains("DT_FILTER"));
    let (_, missing) = find(&["/packages/three.so"]);
    assert_eq!(missing.len(), MISSING_MAX + 1);
    assert!(missing[MISSING_MAX].contains("16 more"), "{missing:?}");
}
