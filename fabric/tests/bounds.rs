//! What the chain language accepts, the monitor accepts: a chain with every text at its bound is defined in
//! the monitor's core, as `measure` does it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_chain_dsl::{
    self as language, MAX_ARGS, MAX_ENV_ENTRIES, MAX_FILES, MAX_NAME_BYTES, MAX_PLACE_BYTES, MAX_VALUE_BYTES,
};
use hacher_http::own_paths;
use hacher_libos_net::attach::{HEADERS_MAX, method};
use hacher_libos_net::headers;
use hacher_libos_net::layout::{OUTBOX_MAX_BYTES, OUTBOX_MIN_BYTES};
use hacher_trustlet_host::calls::OPERAND_MAX_BYTES;
use hacher_trustlet_host::core::limits as monitor;
use serde_json::Value;
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
fn the_language_and_the_gateway_know_the_same_methods_and_headers() {
    assert_eq!(language::Methods::NAMES, method::NAMES);
    assert_eq!(language::HEADERS_OF_THE_CONNECTION, headers::OF_THE_CONNECTION);
    assert_eq!(language::MAX_HEADERS, HEADERS_MAX);
    assert_eq!(language::RESERVED_PATHS, own_paths::FIRST_SEGMENTS);
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
    let args = vec![format!("\"{}\"", "a".repeat(MAX_VALUE_BYTES)); MAX_ARGS];
    let place = format!("/{}", "p".repeat(255)).repeat(3);
    let files: Vec<String> = (0..MAX_FILES)
        .map(|number| {
            let last = format!("{number:03}{}", "l".repeat(MAX_PLACE_BYTES - place.len() - 4));
            format!("{{ from = \"secret\", to = \"{place}/{last}\" }}")
        })
        .collect();
    let _ = writeln!(
        text,
        "args = [{}]\nfiles = [{}]",
        args.join(", "),
        files.join(", ")
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

/// What the schema, which is made of the language's own bounds, says of a key of a function.
fn of_function<'s>(schema: &'s Value, key: &str) -> &'s Value {
    &schema["properties"]["function"]["additionalProperties"]["properties"][key]
}

/// The bounds of a size or duration stand at the end of its description: `..., 4MiB to 1TiB.`
fn range<'s>(schema: &'s Value, key: &str) -> (&'s str, &'s str) {
    let text = of_function(schema, key)["description"].as_str().unwrap();
    let (_, range) = text.trim_end_matches('.').rsplit_once(", ").unwrap();
    range.split_once(" to ").unwrap()
}

#[test]
fn bounds_that_stand_in_the_language_and_in_the_monitor_agree() {
    assert_eq!(language::MAX_FUNCTIONS, monitor::FUNCTIONS_MAX);
    assert_eq!(language::MAX_EDGES, monitor::EDGES_MAX);
    assert_eq!(language::MAX_PORTS, monitor::PORTS_MAX);
    assert_eq!(MAX_ENV_ENTRIES, monitor::VARIABLES_MAX);
    assert_eq!(MAX_ENV_ENTRIES, monitor::SECRETS_MAX);
    assert_eq!(MAX_ARGS, monitor::ARGUMENTS_MAX);
    assert_eq!(MAX_FILES, monitor::FILE_ROOTS_MAX);
    assert_eq!(language::MAX_FILE_NAME_BYTES, monitor::FILE_NAME_MAX_BYTES);
    assert_eq!(MAX_NAME_BYTES, hacher_libos_net::name::NAME_MAX_BYTES);
    assert_eq!(MAX_VALUE_BYTES, OPERAND_MAX_BYTES);
    assert_eq!(language::RESERVED_PLACES, monitor::RESERVED_PLACES);
    // A place of the language leaves room for what is below it.
    const { assert!(language::MAX_PLACE_DEPTH < monitor::FILE_DEPTH_MAX) };
    const { assert!(MAX_PLACE_BYTES + 1024 < OPERAND_MAX_BYTES) };

    let schema = language::schema();
    let number = |key: &str, bound: &str| of_function(&schema, key)[bound].as_u64().unwrap();
    assert_eq!(number("instances", "maximum"), u64::from(monitor::INSTANCES_MAX));
    assert_eq!(number("threads", "maximum"), u64::from(monitor::THREADS_MAX));
    let retry = &of_function(&schema, "retry")["properties"];
    assert_eq!(
        retry["attempts"]["maximum"].as_u64(),
        Some(u64::from(monitor::ATTEMPTS_MAX))
    );
    let milli = |bound: &str| retry["factor"][bound].as_f64().map(|factor| factor * 1000.0);
    assert_eq!(milli("minimum"), Some(1000.0));
    assert_eq!(*monitor::FACTOR_MILLI.start(), 1000);
    assert_eq!(milli("maximum"), Some(100_000.0));
    assert_eq!(*monitor::FACTOR_MILLI.end(), 100_000);
    let size = |bytes: u64| language::ByteSize::new(bytes).to_string();
    let (least, most) = range(&schema, "memory");
    assert_eq!(most, size(monitor::MEMORY_MAX_BYTES));
    assert!(
        least == "4MiB" && monitor::MEMORY_MIN_BYTES <= 4 << 20,
        "a process needs less than a function"
    );
    assert_eq!(range(&schema, "scratch").1, size(monitor::SCRATCH_MAX_BYTES));
    let outbox = (size(OUTBOX_MIN_BYTES), size(OUTBOX_MAX_BYTES));
    assert_eq!(range(&schema, "outbox"), (&*outbox.0, &*outbox.1));
    let longest = language::format_duration(std::time::Duration::from_nanos(monitor::WAIT_MAX_NS));
    assert_eq!(range(&schema, "timeout").1, longest);
    let ingress = &schema["properties"]["ingress"]["properties"];
    assert_eq!(
        ingress["in_flight"]["maximum"].as_u64(),
        Some(u64::from(monitor::IN_FLIGHT_MAX))
    );
    let body = ingress["max_body"]["description"].as_str().unwrap();
    assert!(
        body.ends_with(&format!("to {}.", size(monitor::BODY_MAX_BYTES))),
        "{body}"
    );
}
