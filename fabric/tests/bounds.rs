//! What the chain language accepts, the monitor accepts: a chain with every text at its bound is defined in
//! the monitor's core, as `measure` does it.
#![allow(clippy::unwrap_used, reason = "test code")]

use hacher_chain_dsl::{MAX_ENV_ENTRIES, MAX_NAME_BYTES, MAX_VALUE_BYTES};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

/// A name of the longest kind, and no two the same.
fn longest_name(first: char, number: usize) -> String {
    format!("{first}{}{number:03}", "n".repeat(MAX_NAME_BYTES - 4))
}

fn hacher_fabric(command: &str, chain: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hacher-fabric"))
        .args([command, "--format", "json"])
        .arg(chain)
        .output()
        .unwrap()
}

#[test]
fn a_chain_with_every_text_at_its_bound_can_be_defined() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.toml");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, vec![b's'; 8192]).unwrap();
    let (chain, function) = (longest_name('c', 0), longest_name('f', 0));
    let mut text = format!(
        "chain = \"{chain}\"\nversion = \"{}\"\ndescription = \"{}\"\n",
        "1".repeat(63),
        "d".repeat(MAX_VALUE_BYTES)
    );
    let _ = writeln!(
        text,
        "flow = [\"ingress -> {function}.{} -> egress\"]",
        longest_name('p', 0)
    );
    // A path of 4,096 bytes with its final zero is the kernel's limit; many slashes are one.
    let executable = env!("CARGO_BIN_EXE_hacher-fabric");
    let exec = format!("{}{executable}", "/".repeat(4095 - executable.len()));
    let ports: Vec<String> = (0..64)
        .map(|number| format!("\"{}\"", longest_name('p', number)))
        .collect();
    let _ = writeln!(
        text,
        "[function.{function}]\nexec = \"{exec}\"\nports = [{}]",
        ports.join(", ")
    );
    let _ = writeln!(text, "[function.{function}.env]");
    for number in 0..MAX_ENV_ENTRIES {
        let value = "v".repeat(MAX_VALUE_BYTES - MAX_NAME_BYTES);
        let _ = writeln!(text, "{} = \"{value}\"", longest_name('E', number));
    }
    let _ = writeln!(text, "[function.{function}.secrets]");
    for number in 0..MAX_ENV_ENTRIES {
        let _ = writeln!(
            text,
            "{} = \"file:{}\"",
            longest_name('S', number),
            secret.display()
        );
    }
    std::fs::write(&path, text).unwrap();
    for command in ["check", "measure"] {
        let output = hacher_fabric(command, &path);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {said}");
    }
}

/// `check` and `measure` open what `serve` opens, in the same way.
#[test]
fn a_secret_that_cannot_be_used_is_said_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    let large = folder.path().join("large");
    std::fs::write(&large, vec![0; 8193]).unwrap();
    let missing = folder.path().join("missing");
    let cases = [
        (pipe.as_path(), "a pipe"),
        (large.as_path(), "more than 8192 bytes"),
        (folder.path(), "a folder"),
        (Path::new("/dev/zero"), "a device"),
        (missing.as_path(), "No such file"),
    ];
    for (secret, said) in cases {
        let text = format!(
            "chain = \"c\"\nflow = [\"ingress -> f -> egress\"]\n[function.f]\nexec = \"{}\"\n\
             secrets = {{ KEY = \"file:{}\" }}\n",
            env!("CARGO_BIN_EXE_hacher-fabric"),
            secret.display()
        );
        let path = folder.path().join("chain.toml");
        std::fs::write(&path, text).unwrap();
        for command in ["check", "measure"] {
            let output = hacher_fabric(command, &path);
            let all = [output.stdout, output.stderr].concat();
            let all = String::from_utf8_lossy(&all);
            assert_eq!(output.status.code(), Some(1), "{command}: {all}");
            assert!(all.contains("E0503") && all.contains(said), "{command}: {all}");
        }
    }
}
