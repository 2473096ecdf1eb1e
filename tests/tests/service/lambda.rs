//! Lambda handlers, which know nothing of chains: on AWS's own runtimes for Rust, Python and Node.

mod node;
mod python;
mod rust;

use super::killed::{Victim, killed_in};
use hacher_fabric::http::{Connection, Reply};
use hacher_skipped::skipped;
use hacher_tests::{Service, executable, instances};
use hacher_trustlet_host::chosen::jail::programs_missing_here;
use hyper::Method;
use serde_json::{Value, json};

/// A chain of the handler as function `f`: the table that says how it is started, and the rest of it; `None`,
/// and the reason said, where functions have no programs.
fn chain(started: &str, more: &str) -> Option<String> {
    if let Some(missing) = programs_missing_here() {
        skipped!("{missing}");
        return None;
    }
    Some(format!(
        "chain = \"t\"\nflow = [\"ingress -> f -> egress\"]\n[ingress]\ndeadline = \"40s\"\n\
         [function.f]\n{started}\nlogs = \"forward\"\n{more}\n"
    ))
}

/// Lines of the table of a function whose program is `program`, with `args` before `--`.
fn adaptor(args: &str, program: &str) -> String {
    let words = format!("lambda {args} -- {program}");
    let words: Vec<String> = words
        .split_whitespace()
        .map(|word| format!("\"{word}\""))
        .collect();
    format!(
        "exec = \"{}\"\nargs = [{}]\nsyscalls = \"program\"",
        executable("adaptor-under-test").display(),
        words.join(", "),
    )
}

fn asked(service: &Service, event: &Value) -> Reply {
    let body = bytes::Bytes::from(event.to_string());
    hacher_tests::runtime().block_on(async {
        let mut connection = Connection::open(service.gateway).await.unwrap();
        let sent = connection.send(Method::POST, "/chains/t", Some("application/json"), body);
        sent.await.unwrap()
    })
}

/// The answer to `event`, which is JSON.
fn told(service: &Service, event: &Value) -> Value {
    let reply = asked(service, event);
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(reply.status, 200, "{body}");
    let content_type = reply.headers.get("content-type");
    assert_eq!(content_type.unwrap(), "application/json", "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The problem that the answer to `event` is.
fn problem(service: &Service, event: &Value) -> Value {
    let reply = asked(service, event);
    let problem = reply.json();
    assert_eq!(reply.status, 502, "{problem}");
    problem
}

fn epoch(service: &Service) -> u64 {
    let status = service.status().unwrap();
    let instance = instances(&status).next().unwrap();
    // What they ask of the kernel is all allowed to programs, but for what Node looks for and does without.
    let is_node = service
        .processes()
        .iter()
        .any(|(_, name)| name.ends_with("/node"));
    let without: &[&str] = if is_node { &["capget", "pkey_alloc"] } else { &[] };
    let refused = instance["refused_calls"].as_object().into_iter().flatten();
    let mut refused = refused.map(|(call, _)| call.as_str());
    assert!(refused.all(|call| without.contains(&call)), "{instance}");
    instance["epoch"].as_u64().unwrap()
}

/// Kills the process of this name in the first attempt at `event`, and returns the answer of a later one.
fn killed_in_event(service: &Service, event: &Value, process: &str) -> (u16, String) {
    let victim = Victim {
        function: "f",
        process,
    };
    let reply = killed_in(
        service,
        "/chains/t",
        Some("application/json"),
        event.to_string(),
        &[victim],
    );
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    (reply.status.as_u16(), body)
}

/// Success, and that the next event goes to the same process: what any runtime has to do.
fn assert_serves_warm(service: &Service) {
    for count in 1..=3 {
        let answer = told(service, &json!({ "do": "tell" }));
        assert_eq!(answer["count"], count, "{answer}");
        assert_eq!(answer["function"], "f", "{answer}");
        assert_eq!(answer["version"], "$LATEST", "{answer}");
        assert_eq!(answer["folder"], "/var/task", "{answer}");
        let arn = answer["arn"].as_str().unwrap();
        assert!(arn.ends_with(":function:f"), "{answer}");
        let left = answer["left_millis"].as_u64().unwrap();
        assert!((1..=20_000).contains(&left), "what `timeout` leaves: {answer}");
        let trace = answer["trace"].as_str().unwrap();
        assert!(trace.starts_with("Root=1-"), "{answer}");
        assert_eq!(answer["request_id"].as_str().unwrap().len(), 36, "{answer}");
    }
    let event = json!({ "number": 1.5, "text": "é", "list": [null, true] });
    assert_eq!(told(service, &event), event);
    assert_eq!(epoch(service), 1);
}

/// An error of this type, tried twice, of which nobody learns the message.
fn assert_fails(service: &Service, event: &Value, error_type: &str) {
    let problem = problem(service, event);
    assert_eq!(
        (&problem["attempts"], &problem["cause"]),
        (&2.into(), &"failed".into()),
        "{problem}"
    );
    let told = problem.to_string();
    let reason = format!("the program reported an error: {error_type}");
    assert!(told.contains(&reason), "{told}");
    assert!(!told.contains("secret"), "{told}");
}

/// An event of 6 MiB, and a response of 6 MiB.
fn assert_carries_six_mebibytes(service: &Service) {
    let len = 6 << 20;
    let event = json!({ "data": "x".repeat(len - "{\"data\":\"\"}".len()) });
    assert_eq!(event.to_string().len(), len);
    assert!(told(service, &event) == event);
    let large = told(service, &json!({ "do": "large", "len": len }));
    assert_eq!(large.as_str().unwrap().len(), len);
    assert_eq!(epoch(service), 1);
}

/// A run that takes too long.
fn assert_times_out(service: &Service) {
    let problem = problem(service, &json!({ "do": "sleep", "millis": 30_000 }));
    assert_eq!(problem["cause"], "timed_out", "{problem}");
    assert_eq!(told(service, &json!({ "do": "sleep", "millis": 0 })), "awake");
}
