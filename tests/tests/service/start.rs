//! What `check`, `run` and `serve` say of a chain that cannot start: one message, the same words, and an end.

use hacher_skipped::skipped;
use hacher_tests::function;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Far more than any of these takes, and what a hang is detected by.
const PATIENCE: Duration = Duration::from_secs(60);
const HEAD: &str = "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n";

/// Runs the command in `folder` until it ends.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let outputs = ["stdout", "stderr"].map(|name| folder.join(name));
    let [stdout, stderr] = outputs.each_ref().map(|path| File::create(path).unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_fabric-under-test"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .unwrap();
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!(
                "{arguments:?} did not end: {}",
                fs::read_to_string(&outputs[1]).unwrap()
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let [stdout, stderr] = outputs.map(|path| fs::read(path).unwrap());
    Output {
        status,
        stdout,
        stderr,
    }
}

/// What each of the three says of the chain in `folder`, in the order `check`, `run`, `serve`; each ends with
/// code 1 but for a `check` that finds nothing.
fn three(folder: &Path, chain: &str, more: &[&str]) -> [(Option<i32>, String); 3] {
    fs::write(folder.join("chain.toml"), chain).unwrap();
    fs::write(folder.join("input"), "x").unwrap();
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    [
        vec!["check", "chain.toml"],
        [&["run", "chain.toml", "--input", "input"], more].concat(),
        [&["serve", "chain.toml"], &ports[..], more].concat(),
    ]
    .map(|arguments| {
        let output = run(folder, &arguments);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    })
}

/// A copy of the test function with some bytes changed wherever they occur; `None` if they do not.
fn patched(from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_test-function")).unwrap();
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter_map(|(at, window)| (window == from).then_some(at))
        .collect();
    for at in &places {
        bytes[*at..at + to.len()].copy_from_slice(to);
    }
    (!places.is_empty()).then_some(bytes)
}

fn executable(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_an_exec_is_instead_of_a_function_is_said_alike_by_check_run_and_serve() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let own = fs::read(env!("CARGO_BIN_EXE_test-function")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("plain"), &own).unwrap();
    fs::set_permissions(at("plain"), Permissions::from_mode(0o644)).unwrap();
    executable(&at("script"), b"#!/usr/bin/python3\nprint()\n");
    executable(&at("empty"), b"");
    executable(&at("text"), b"hello");
    executable(&at("short"), &own[..2000]);
    let mut other = own;
    other[18] = 8;
    executable(&at("other"), &other);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o755),
        0,
    )
    .unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();

    let mut cases = vec![
        ("missing", "there is no executable `./missing`"),
        ("dangling", "there is no executable `./dangling`"),
        ("folder", "`./folder` is not a file"),
        ("pipe", "`./pipe` is not a file"),
        ("plain", "`./plain` is not executable"),
        ("script", "it is a script for `/usr/bin/python3`"),
        ("empty", "it is empty"),
        ("text", "not an ELF file"),
        ("short", "cannot run `./short`"),
        ("other", "it is built for mips"),
    ];
    match patched(b"libc.so.6\0", b"libq.so.6\0") {
        Some(bytes) => {
            executable(&at("lacking"), &bytes);
            cases.push(("lacking", "libq.so.6"));
        }
        None => skipped!("the test function links no libc.so.6"),
    }
    match patched(b"/ld-linux", b"/ld-absen") {
        Some(bytes) => {
            executable(&at("uninterpreted"), &bytes);
            cases.push(("uninterpreted", "/ld-absen"));
        }
        None => skipped!("the test function has no interpreter of that name"),
    }
    for (name, words) in cases {
        let chain = format!("{HEAD}[function.a]\nexec = \"{name}\"\n");
        assert_alike(name, &three(folder.path(), &chain, &[]), words);
    }
}

#[test]
fn a_missing_secret_is_said_alike_by_check_run_and_serve() {
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("none");
    let more = format!("secrets = {{ KEY = \"file:{}\" }}", secret.display());
    let chain = format!("{HEAD}{}", function("a", "echo", &more));
    assert_alike("secret", &three(folder.path(), &chain, &[]), "secret `KEY`");
}

/// What `check` says is said by `run` and `serve` too, with all of its words.
fn assert_alike(name: &str, [check, run, serve]: &[(Option<i32>, String); 3], words: &str) {
    assert_eq!(check.0, Some(1), "{name}: {}", check.1);
    assert!(check.1.contains(words), "{name}: {}", check.1);
    for (code, said) in [run, serve] {
        assert_eq!(*code, Some(1), "{name}: {said}");
        assert_eq!(
            said.matches(&check.1).count(),
            1,
            "{name}: {said}\n--- lacks or repeats:\n{}",
            check.1
        );
    }
}

#[test]
fn a_function_that_dies_before_it_serves_ends_run_and_serve_with_one_message() {
    let folder = TempDir::new().unwrap();
    let cases = [
        (
            "leave",
            "logs = \"drop\"",
            &["exited with code 0", "`hacher::serve`"][..],
        ),
        (
            "die",
            "logs = \"drop\"",
            &["exited with code 3", "`logs = \"forward\"`"],
        ),
        (
            "die",
            "logs = \"forward\"",
            &[
                "exited with code 3",
                "[t/a#0] last words, without a newline",
                "above",
            ],
        ),
        ("abort", "logs = \"drop\"", &["signal"]),
    ];
    for (what, logs, words) in cases {
        let chain = format!("{HEAD}{}", function("a", what, logs));
        let [check, run, serve] = three(folder.path(), &chain, &[]);
        assert_eq!(check.0, Some(0), "{}", check.1);
        for (code, said) in [run, serve] {
            assert_eq!(code, Some(1), "{what}: {said}");
            let errors: Vec<_> = said.lines().filter(|line| line.contains("error:")).collect();
            assert_eq!(errors.len(), 1, "{what}: {said}");
            assert!(errors[0].contains("function `a` of chain `t`"), "{said}");
            for words in words {
                assert!(said.contains(words), "{what}: {said}\n--- lacks: {words}");
            }
            assert!(!said.contains("it is being replaced"), "{said}");
        }
    }
}

#[test]
fn an_initialisation_that_fails_ends_run_and_serve_with_its_error_where_logs_are_forwarded() {
    let folder = TempDir::new().unwrap();
    for (what, logs, words, hidden) in [
        (
            "cannot-start",
            "forward",
            &[
                "initialisation failed: there is no model: No such file",
                "its error is above",
            ][..],
            None,
        ),
        (
            "cannot-start",
            "drop",
            &[
                "its initialisation failed",
                "`logs = \"forward\"` in its table shows its error",
            ],
            Some("there is no model"),
        ),
        (
            "panics-at-start",
            "forward",
            &[
                "initialisation failed: it panicked",
                "as the test wants",
                "code 78",
            ],
            None,
        ),
    ] {
        let table = function("a", what, &format!("logs = \"{logs}\""));
        let chain = format!("{HEAD}{table}").replace("\" }", "\", MODEL = \"/model.bin\" }");
        let [check, run, serve] = three(folder.path(), &chain, &[]);
        assert_eq!(check.0, Some(0), "{}", check.1);
        for (code, said) in [run, serve] {
            assert_eq!(code, Some(1), "{what}: {said}");
            for words in words {
                assert!(said.contains(words), "{what}: {said}\n--- lacks: {words}");
            }
            assert!(hidden.is_none_or(|hidden| !said.contains(hidden)), "{said}");
        }
    }
}

#[test]
fn a_function_that_never_serves_is_waited_for_aloud_and_only_once() {
    let folder = TempDir::new().unwrap();
    let chain = format!("{HEAD}{}", function("a", "never-serve", ""));
    let [_, run, serve] = three(folder.path(), &chain, &["--start-timeout", "4"]);
    for (code, said) in [run, serve] {
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("waiting for t/a#0 to serve"), "{said}");
        assert!(
            said.contains("function `a` of chain `t` ran for 4 s without serving"),
            "{said}"
        );
        assert_eq!(said.matches("did not serve within 4 s").count(), 1, "{said}");
    }
}

#[test]
fn run_says_as_data_what_it_says_in_words() {
    let folder = TempDir::new().unwrap();
    let chain = format!("{HEAD}[function.a]\nexec = \"none\"\n");
    fs::write(folder.path().join("chain.toml"), chain).unwrap();
    fs::write(folder.path().join("input"), "x").unwrap();
    let output = run(
        folder.path(),
        &["run", "chain.toml", "--input", "input", "--format", "json"],
    );
    assert_eq!(output.status.code(), Some(1));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["diagnostics"][0]["code"], "E0501", "{said:#}");
}
