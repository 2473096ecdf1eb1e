//! The executable `hacher-gateway` by itself: it is no command, and says so.
#![allow(clippy::unwrap_used, reason = "test code")]

use hacher_trustlet_host::VERSION;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let gateway = env!("CARGO_BIN_EXE_hacher-gateway");
    Command::new(gateway).args(arguments).output().unwrap()
}

#[test]
fn it_says_its_build() {
    let output = run(&["--version"]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("hacher-gateway {VERSION}\n"));
}

#[test]
fn it_says_that_a_service_starts_it() {
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("is started by `hacher-fabric serve`"), "{said}");
}
