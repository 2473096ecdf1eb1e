//! The command, as `hacher-fabric bench` becomes it: with a service of the real executables.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod environment;

use hacher_skipped::skipped;
use hacher_trustlet_host::VERSION;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// `hacher-fabric`, if it lies beside `hacher-bench` and was built with it, as `cargo test --workspace` does.
fn fabric() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_hacher-bench")).with_file_name("hacher-fabric");
    let output = Command::new(&path).arg("--version").output().ok();
    let says = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    if says.as_deref() == Some(&format!("hacher-fabric {VERSION}")) {
        return Some(path);
    }
    skipped!(
        "{} is {says:?}; `cargo test --workspace` builds it",
        path.display()
    );
    None
}

/// Runs it as if cargo did not.
fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
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
fn the_fabric_beside_it_is_measured_and_two_reports_compare() {
    let Some(fabric) = fabric() else { return };
    let folder = TempDir::new().unwrap();
    let report = folder.path().join("report.json");
    let report = report.to_str().unwrap();
    let output = run(
        &fabric,
        &[
            "bench",
            "hop",
            "throughput",
            "--quick",
            "--only",
            "fabric",
            "--format",
            "json",
            "--json",
            report,
        ],
    );
    assert!(output.status.success(), "{}", said(&output));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let written: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    assert_eq!(printed, written);
    assert!(
        written["conditions"]["profile"].is_string(),
        "{}",
        written["conditions"]
    );
    let rows = written["rows"].as_array().unwrap();
    for experiment in ["hop", "throughput"] {
        for protection in ["sealed", "mapped"] {
            let is_it = |row: &&Value| {
                row["experiment"] == experiment
                    && row["transport"] == "fabric"
                    && row["protection"] == protection
            };
            assert!(rows.iter().any(|row| is_it(&row)), "{experiment}, {protection}");
        }
    }
    let output = run(&fabric, &["bench", "compare", report, report]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn requests_go_through_the_gateway_itself() {
    let Some(fabric) = fabric() else { return };
    let output = run(&fabric, &["bench", "breakdown", "--quick", "--format", "json"]);
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let phases = report["rows"].as_array().unwrap().iter();
    assert!(
        phases.filter(|row| row["phase"] == "open").count() >= 4,
        "{report}"
    );
}

#[test]
fn functions_in_python_are_called_in_each_way_and_shares_are_of_the_same_calls() {
    // Without the packages of other functions, which take a while to be read and measured. The server that
    // these are compared with is tried in `functions.rs`.
    let (Some(fabric), Some(venv)) = (fabric(), environment::folder("venv", "libos-net/python/run")) else {
        return;
    };
    let venv = venv.to_str().unwrap();
    let output = run(
        &fabric,
        &[
            "bench",
            "functions",
            "--quick",
            "--venv",
            venv,
            "--format",
            "json",
        ],
    );
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let notices: Vec<&str> = report["notices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|notice| notice.as_str().unwrap())
        .collect();
    assert!(notices[0].starts_with("functions: Python 3."), "{notices:?}");
    for what in ["the server that speaks HTTPS", "dna-visualisation"] {
        let is_it = |notice: &&str| notice.starts_with(&format!("{what} is left out: "));
        assert!(notices.iter().any(is_it), "{what}: {notices:?}");
    }
    for (transport, length, is_there) in [
        ("fabric", 1, true),
        ("fabric", 3, true),
        ("new-process", 1, true),
        ("new-process", 3, false),
        ("uvicorn", 1, false),
    ] {
        let of = |phase: &str| {
            let mut found = rows.iter().filter(|row| {
                row["experiment"] == "functions"
                    && row["function"] == "noop"
                    && row["payload_bytes"] == 16 << 10
                    && row["hops"] == length
                    && row["transport"] == transport
                    && row["phase"] == phase
            });
            found.next()
        };
        let parts = ["total", "handler", "share"].map(of);
        assert!(
            parts.iter().all(|part| part.is_some() == is_there),
            "{transport}, {length}: {parts:?}"
        );
        if let [Some(total), Some(handler), Some(share)] = parts {
            let mean = |row: &Value| row["mean_ns"].as_f64().unwrap();
            // Call by call, and so on average.
            let left = mean(total) - mean(handler) - mean(share);
            assert!(left.abs() < 1.0, "{transport}, {length}: {left}");
            assert!(share["p50_ns"].as_u64().unwrap() > 0);
        }
    }
    // Of what was measured in this run, and of nothing else.
    let ratios = report["ratios"].as_array().unwrap();
    let of_the_share = ratios.iter().filter(|ratio| ratio["denominator"] == "60 µs");
    assert_eq!(of_the_share.count(), 2, "{ratios:?}");
}

#[test]
fn what_is_said_of_functions_that_are_not_measured_is_refused() {
    for (arguments, complaint) in [
        (
            &["hop", "--quick", "--venv", "/nowhere"][..],
            "bench functions --venv FOLDER",
        ),
        (
            &["--quick", "--function", "noop"],
            "bench functions --venv FOLDER",
        ),
        (
            &["functions", "--function", "nop"],
            "no function `nop` to measure; there are noop, dynamic-html,",
        ),
    ] {
        let output = run(Path::new(env!("CARGO_BIN_EXE_hacher-bench")), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = said(&output);
        assert!(said.contains(complaint), "{arguments:?}: {said}");
    }
}

#[test]
fn without_a_fabric_beside_it_it_says_what_builds_one() {
    let folder = TempDir::new().unwrap();
    let alone = folder.path().join("hacher-bench");
    // By a process of its own: a descriptor of this one through which the copy is written would be inherited
    // by what another test starts at that moment, and what is open for writing does not run (ETXTBSY).
    let copied = Command::new("cp")
        .args([Path::new(env!("CARGO_BIN_EXE_hacher-bench")), &alone])
        .status();
    assert!(copied.unwrap().success());
    let output = run(&alone, &["hop", "--quick"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("cargo build --release -p hacher-fabric"),
        "{}",
        said(&output)
    );
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let mut reports = fs::read_dir(results).unwrap().map(|entry| entry.unwrap().path());
    let report = reports
        .find(|path| path.extension().is_some_and(|extension| extension == "json"))
        .unwrap();
    let report = report.to_str().unwrap();
    let compare = ["bench", "compare", report, report];
    for arguments in [&compare[..], &[&compare[..], &["--format", "json"]].concat()] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_hacher-bench"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains("cannot write") && said.contains("No space left"),
            "{arguments:?}: {said}"
        );
    }
}
