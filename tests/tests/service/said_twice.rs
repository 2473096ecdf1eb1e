//! Commands say the same things to people and to programs: each figure of the data is in the text, or stands
//! in a list here with the reason why people are not told.

use hacher_tests::said_twice::{MachineOnly, compare};
use hacher_tests::tenants::command;
use hacher_tests::{Service, function};
use serde_json::Value;

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
    both_of(arguments, arguments)
}

/// What people are told by one command, and programs by another.
fn both_of(for_people: &[&str], for_programs: &[&str]) -> (String, Value) {
    let arguments = for_programs;
    let (_, text, err) = command(for_people).unwrap();
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
    ("memory_limit_bytes", "of the gateway: one bound for all of them"),
    ("memory_used_bytes", "has moved on between the two questions"),
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
const DOCTOR: MachineOnly = &[
    ("help", "people are told where something is missing"),
    ("need", "people see it in a larger unit, rounded"),
    ("used", "has moved on between the two questions"),
];
const EVIDENCE: MachineOnly = &[
    ("nonce", "it is in the command, and in the manifest"),
    ("report", "bytes for a program that verifies them"),
    ("certificates", "bytes for a program that verifies them"),
    ("service_manifest", "bytes for a program that verifies them"),
];
const VERIFY: MachineOnly = &[
    ("lines", "the manifest as it is, which `evidence` shows"),
    ("passed", "the first line has the word"),
    ("time", "the present, unless the command says another"),
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
    let (folder, nonce) = (tempfile::tempdir().unwrap(), "ab".repeat(64));
    let evidence = folder.path().join("evidence");
    let (gateway, evidence) = (service.gateway.to_string(), evidence.to_str().unwrap());
    let asks = ["evidence", "--gateway", &gateway, "--nonce", &nonce];
    let (text, data) = both_of(&[&asks[..], &["--output", evidence]].concat(), &asks);
    compare("evidence", &text, &data, EVIDENCE);
    for more in [&["--allow-emulated"][..], &[]] {
        let (text, data) = both(&[&["verify", evidence, "--nonce", &nonce], more].concat());
        compare("verify", &text, &data, VERIFY);
    }
    let (text, mut data) = both(&["doctor", file]);
    for finding in data["findings"].as_array_mut().unwrap() {
        // How many are in use has moved on between the two questions, here too.
        let detail = finding["detail"].as_str().unwrap_or_default();
        if let Some((lasting, _)) = detail.rsplit_once(", ").filter(|_| detail.ends_with(" in use")) {
            finding["detail"] = Value::from(lasting);
        }
    }
    compare("doctor", &text, &data, DOCTOR);
}
