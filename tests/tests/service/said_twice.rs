//! Commands say the same things to people and to programs: each figure of the data is in the text, or stands
//! in a list here with the reason why people are not told.

use hacher_fabric::table::{bytes, duration};
use hacher_tests::tenants::command;
use hacher_tests::{Service, function};
use serde_json::Value;

/// What programs alone are told of: the last name on the way to it, and why.
type MachineOnly = &'static [(&'static str, &'static str)];

/// All values that are neither empty nor a refusal, with the names that lead to them.
fn leaves(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                leaves(member, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(members) => {
            for member in members {
                leaves(member, path, found);
            }
        }
        Value::Null | Value::Bool(false) => {}
        leaf => found.push((path.to_owned(), leaf.clone())),
    }
}

/// Whether a text for people has this value in one of the forms that people read.
fn is_said(text: &str, leaf: &Value) -> bool {
    match leaf {
        Value::String(said) => said.lines().all(|line| text.contains(line.trim())),
        Value::Number(number) => {
            let whole = number.as_u64().unwrap_or(0);
            let forms = [
                number.to_string(),
                bytes(whole),
                duration(whole),
                duration(whole.saturating_mul(1_000_000)),
                format!("{}s", whole / 1000),
                format!("{}.{} µs", whole / 1000, whole % 1000 / 100),
            ];
            forms.iter().any(|form| text.contains(form.as_str()))
        }
        _ => false,
    }
}

/// Compares what a command says in both formats.
fn compare(name: &str, text: &str, data: &Value, only: MachineOnly) {
    let mut found = Vec::new();
    leaves(data, "", &mut found);
    assert!(!found.is_empty(), "{name} says something");
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let unsaid: Vec<String> = found
        .iter()
        .filter(|(path, _)| only.iter().all(|(known, _)| *known != last(path)))
        .filter(|(_, leaf)| !is_said(text, leaf))
        .map(|(path, leaf)| format!("{path} = {leaf}"))
        .collect();
    assert!(
        unsaid.is_empty(),
        "`{name}` tells people nothing of\n{}\nbut\n{text}",
        unsaid.join("\n")
    );
}

/// A chain with something of everything.
fn chain() -> String {
    let tables = function("a", "echo", "ports = [\"out\", \"other\"]\nargs = [\"x\"]")
        + &function("b", "echo", "instances = 2")
        + &function("d", "echo", "");
    format!(
        "chain = \"t\"\nversion = \"1\"\negress = \"join\"\nflow = [\"ingress -> a -> b & d -> egress\", \"a.other -> egress\"]\n\
         [ingress]\nmethods = [\"GET\", \"POST\"]\nroute = \"/x/{{y}}\"\nheaders = [\"x-tenant\"]\n[edge.\"a -> b\"]\n\
         protection = \"mapped\"\n{tables}"
    )
}

fn both(arguments: &[&str]) -> (String, Value) {
    let (_, text, err) = command(arguments).unwrap();
    let (_, data, _) = command(&[arguments, &["--format", "json"]].concat()).unwrap();
    let data = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {data}"));
    (text + &err, data)
}

const EXPLAIN: MachineOnly = &[
    (
        "cipher",
        "none where the protection is `mapped`, which the table says",
    ),
    ("joined", "the last column has the word"),
    ("streams", "the last column has the word"),
    ("take_turns", "the seats say who is woken ahead"),
];
const MEASURE: MachineOnly = &[];
const CHECK: MachineOnly = &[
    ("good", "the line ends with the word"),
    ("errors", "0 is not said"),
    ("omitted", "0 is not said"),
    ("warnings", "0 is not said"),
];
const STATUS: MachineOnly = &[
    (
        "edge",
        "people see the mapped ones, and all of them with `explain`",
    ),
    (
        "fabric_memory_bytes",
        "follows from the chain file: `explain` has it",
    ),
    ("memory_bytes", "follows from the chain file: `explain` has it"),
    ("programs", "follows from the chain file: `explain` has it"),
    ("monitor_sha384", "is compared with a file, by a program"),
    ("daemon_sha384", "is compared with a file, by a program"),
    ("mean_run_ns", "of the gateway: a metric"),
    ("received_bytes", "a metric"),
    ("sent_bytes", "a metric"),
    ("records_expired", "a metric"),
    ("records_cancelled", "a metric"),
    ("records_abandoned", "a metric"),
    ("records_published", "a metric"),
    ("waits_for_room", "a metric"),
    (
        "sleeps",
        "how often an instance has slept is of use to developers alone",
    ),
    ("threads", "follows from the chain file: `explain` has it"),
    ("ready", "the first word is it"),
    ("serving_ms", "has moved on between the two questions"),
    ("serving_since", "for how long is said instead"),
    ("time", "has moved on between the two questions"),
];
const TRACES: MachineOnly = &[("seen_ns", "`seen` is the same time by the clock")];

#[test]
fn each_command_says_the_same_things_in_both_formats() {
    let service = Service::start(&chain()).unwrap();
    for _ in 0..3 {
        assert_eq!(service.post("t", "x").unwrap().status, 200);
    }
    let file = service.chain_file();
    let (file, admin) = (file.to_str().unwrap(), service.admin.to_string());
    for (arguments, only) in [
        (vec!["explain", file], EXPLAIN),
        (vec!["measure", file], MEASURE),
        (vec!["check", file], CHECK),
        (vec!["status", "--admin", &admin], STATUS),
        (vec!["traces", "--admin", &admin], TRACES),
    ] {
        let (text, data) = both(&arguments);
        compare(arguments[0], &text, &data, only);
    }
}
