//! `tcb` counts the executables of these tests: the monitor's own code is small, and the table comes out
//! twice the same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_skipped::skipped;
use hacher_tests::executable;
use hacher_tests::said_twice::{MachineOnly, compare};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// Most lines of the monitor's own that may have code in it.
const OWN_LINES_MAX: u64 = 6_000;

/// What `tcb` tells programs alone.
const MACHINE_ONLY: MachineOnly = &[
    ("name", "system calls by name are for programs that compare them"),
    ("conditional", "as their names"),
    ("assembly", "of a trusted base, people see the lines without it"),
    ("times_smaller_tenths", "people see it as a decimal number"),
    (
        "times_smaller_tenths_without_assembly",
        "people see it as a decimal number",
    ),
];

/// The product's executables under their names, and a function.
fn installed() -> TempDir {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (name, built_as) in [
        ("hacher-fabric", "fabric-with-lines"),
        ("hacher-monitor", "monitor-alone"),
        ("hacher-gateway", "gateway-alone"),
    ] {
        std::os::unix::fs::symlink(executable(built_as), folder.path().join(name)).unwrap();
    }
    folder
}

fn tcb(folder: &Path, more: &[&str]) -> Output {
    // What `hacher-fabric tcb` becomes.
    Command::new(executable("hacher-bench"))
        .args(["tcb", "--folder"])
        .arg(folder)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn printed(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_table_is_twice_the_same_and_the_monitor_s_own_code_is_small() {
    let folder = installed();
    let function = executable("echo-with-lines");
    let function = function.to_str().unwrap();
    let table = printed(tcb(folder.path(), &[function]));
    // The report of whoever runs this with `--nocapture`.
    println!("{table}");
    assert_eq!(table, printed(tcb(folder.path(), &[function])));
    let json = printed(tcb(folder.path(), &[function, "--format", "json"]));
    assert_eq!(json, printed(tcb(folder.path(), &[function, "--format", "json"])));

    let report: Value = serde_json::from_str(&json).unwrap();
    let table_of_all = printed(tcb(folder.path(), &[function, "--all"]));
    compare("tcb", &table_of_all, &report, MACHINE_ONLY);
    let executables = report["executables"].as_array().unwrap();
    let part = |name: &str| {
        let mut found = executables.iter().filter(|found| found["name"] == name);
        found.next().unwrap()
    };
    let monitor = part("hacher-monitor");
    assert_eq!(monitor["part"], "monitor");
    assert_eq!(part("hacher-gateway")["part"], "gateway");
    let by_crate = monitor["lines_by_crate"].as_object().unwrap();
    let own = by_crate
        .iter()
        .filter(|(name, _)| name.starts_with("trustlet-host"));
    let own: u64 = own.map(|(_, lines)| lines.as_u64().unwrap()).sum();
    assert!(
        (1_000..OWN_LINES_MAX).contains(&own),
        "{own} lines of the monitor"
    );
    // Nothing of what the monitor must not have is in it.
    for foreign in [
        "chain-dsl",
        "fabric",
        "fabric/gateway",
        "fabric/daemon",
        "fabric/loader",
    ] {
        assert!(!by_crate.contains_key(foreign), "{foreign}");
    }
    let sum: u64 = by_crate.values().map(|lines| lines.as_u64().unwrap()).sum();
    assert_eq!(monitor["lines"], sum);
    assert!(monitor["loaded_bytes"].as_u64().unwrap() > 1 << 20);
}

#[test]
fn system_calls_are_those_of_the_filters() {
    let folder = installed();
    let echo = executable("echo-function");
    let more = if echo.exists() {
        vec![echo.to_str().unwrap()]
    } else {
        Vec::new()
    };
    let json = printed(tcb(folder.path(), &[&more[..], &["--format", "json"]].concat()));
    let report: Value = serde_json::from_str(&json).unwrap();
    for found in report["executables"].as_array().unwrap() {
        let calls = found["system_calls"].as_array();
        let has = |name: &str| calls.unwrap().iter().any(|call| call["name"] == name);
        match found["part"].as_str().unwrap() {
            // It puts the filters on others.
            "monitor" => assert!(calls.is_none()),
            "gateway" => assert!(has("accept4") && has("read") && !has("socket") && !has("execveat")),
            "function" => assert!(has("read") && !has("accept4") && !has("socket") && !has("execveat")),
            _ => assert!(has("accept4") && !has("socket") && !has("ptrace")),
        }
    }
}

#[test]
fn what_cannot_be_counted_is_named_with_its_reason() {
    let folder = installed();
    let text = folder.path().join("text");
    fs::write(&text, "no executable").unwrap();
    let stripped = folder.path().join("stripped");
    let strip = Command::new("strip")
        .arg("-g")
        .arg("-o")
        .args([&stripped, &executable("monitor-alone")])
        .status();
    let mut cases = vec![(text, "ELF"), (folder.path().join("missing"), "No such file")];
    match strip {
        Ok(status) if status.success() => cases.push((stripped, "no debug information")),
        _ => skipped!("there is no `strip`"),
    }
    for (path, reason) in cases {
        let output = tcb(folder.path(), &[path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(reason) && said.contains(path.to_str().unwrap()),
            "{said}"
        );
        assert!(output.stdout.is_empty());
    }
    let nowhere = tcb(Path::new("/nowhere"), &[]);
    assert_eq!(nowhere.status.code(), Some(1));
}
