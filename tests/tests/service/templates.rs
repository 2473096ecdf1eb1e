//! What `new` makes: the commands of its README work as they stand, as far as they do not install anything.

use hacher_skipped::skipped;
use hacher_tests::executable;
use hacher_trustlet_host::chosen::jail::programs_missing_here;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn fabric(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(executable("fabric-under-test"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat()
}

/// A new folder of this template, and the folder that it lies in.
fn made(template: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let sources = workspace();
    let made = fabric(
        folder.path(),
        &[
            "new",
            "greetings",
            "--template",
            template,
            "--sources",
            sources.to_str().unwrap(),
        ],
    );
    assert!(made.status.success(), "{}", said(&made));
    let path = folder.path().join("greetings");
    for entry in ["README.md", "chain.toml", "input.json", ".gitignore"] {
        let text = fs::read_to_string(path.join(entry)).unwrap();
        assert!(!text.contains("{{"), "{entry}: {text}");
    }
    (folder, path)
}

/// The commands of its README, each as the arguments of a shell.
fn commands(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path.join("README.md")).unwrap();
    let commands = text.lines().filter_map(|line| line.strip_prefix("$ "));
    commands.map(str::to_owned).collect()
}

/// Runs those of its README that test and run it.
fn run(path: &Path, skipped: &[&str]) {
    let mut greeted = 0;
    for command in commands(path) {
        let is_skipped = |word: &&&str| command.contains(**word);
        // Served and called are the same chain by other tests.
        if command.contains(" serve ")
            || command.contains(" call ")
            || skipped.iter().any(|word| is_skipped(&word))
        {
            continue;
        }
        // The adaptor is there already, under the name that it has for these tests.
        let command = command.replace(" --build", "");
        let shell = Command::new("/bin/sh")
            .args(["-c", &command])
            .current_dir(path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(shell.status.success(), "{command}: {}", said(&shell));
        if command.contains(" run ") {
            let reply: serde_json::Value = serde_json::from_slice(&shell.stdout).unwrap();
            assert_eq!(reply, serde_json::json!({"greeting": "Hello, Ada!"}), "{command}");
            greeted += 1;
        }
    }
    assert_eq!(greeted, 1);
}

fn has_python() -> bool {
    let asked = Command::new("python3")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    let has = asked.is_ok_and(|status| status.success());
    if !has {
        skipped!("there is no python3");
    }
    has
}

fn has_programs() -> bool {
    match programs_missing_here() {
        Some(missing) => {
            skipped!("{missing}");
            false
        }
        None => has_python(),
    }
}

#[test]
fn a_new_chain_in_rust_greets() {
    let (_folder, path) = made("rust");
    let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap();
    let sdk = workspace().join("libos-net/hacher");
    assert!(manifest.contains(sdk.to_str().unwrap()), "{manifest}");
    assert!(commands(&path).contains(&"cargo test".to_owned()));
    // The very same source, built with these tests, which have run its own.
    let target = path.join("target/release");
    fs::create_dir_all(&target).unwrap();
    symlink(executable("greet"), target.join("greet")).unwrap();
    let chain = fs::read_to_string(path.join("chain.toml")).unwrap();
    fs::write(
        path.join("chain.toml"),
        chain.replace("cargo build --release", "true"),
    )
    .unwrap();
    run(&path, &["cargo test"]);
}

#[test]
fn a_new_chain_in_python_greets() {
    let venv = workspace().join("target/python/venv");
    if !venv.join("pyvenv.cfg").is_file() {
        skipped!("there is no `{}`: libos-net/python/run makes it", venv.display());
        return;
    }
    let (_folder, path) = made("python");
    symlink(venv, path.join(".venv")).unwrap();
    run(&path, &["-m venv", "pip install"]);
}

#[test]
fn a_new_handler_of_lambda_greets() {
    let venv = workspace().join("target/python/venv");
    if !has_programs() {
        return;
    }
    let asked = Command::new(venv.join("bin/python"))
        .args(["-c", "import awslambdaric"])
        .output();
    if !asked.is_ok_and(|asked| asked.status.success()) {
        skipped!(
            "there is no awslambdaric in `{}`: libos-net/python/run installs it",
            venv.display()
        );
        return;
    }
    let (_folder, path) = made("lambda");
    symlink(venv, path.join(".venv")).unwrap();
    run(&path, &["-m venv", "pip install"]);
}

#[test]
fn a_new_server_of_http_greets() {
    if !has_programs() {
        return;
    }
    let (_folder, path) = made("http");
    run(&path, &[]);
}

#[test]
fn a_folder_that_holds_something_and_a_name_that_no_chain_has_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("full")).unwrap();
    fs::write(folder.path().join("full/file"), "mine").unwrap();
    for (name, told) in [
        ("full", "not empty: nothing was written"),
        (
            "Loud",
            "a chain has the name of its folder, and `Loud` cannot be the name of a chain; a name that would do: `loud`",
        ),
        ("..", "has no name that a chain could have"),
    ] {
        let made = fabric(folder.path(), &["new", name, "--template", "http"]);
        assert!(
            !made.status.success() && said(&made).contains(told),
            "{name}: {}",
            said(&made)
        );
    }
    let entries = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(
        (entries, fs::read(folder.path().join("full/file")).unwrap()),
        (1, b"mine".to_vec())
    );
    let made = fabric(
        folder.path(),
        &["new", "x", "--template", "rust", "--sources", "full"],
    );
    assert!(
        said(&made).contains("there is no libos-net/hacher/Cargo.toml in it"),
        "{}",
        said(&made)
    );
}
