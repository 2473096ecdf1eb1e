//! `awslambdaric`, of PyPI, in the virtual environment that `libos-net/python/run` makes; skipped, with the
//! reason, where it is not there.

use super::*;
use crate::programs::Given;
use hacher_skipped::skipped;
use hacher_tests::ServiceError;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Where the function finds its interpreter.
const INTERPRETER: &str = "/python/bin/python3";

/// The environment with the package; `None`, and the reason said, where it is not there.
fn venv() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/venv");
    let libraries = fs::read_dir(venv.join("lib")).into_iter().flatten().flatten();
    let mut packages = libraries.map(|library| library.path().join("site-packages/awslambdaric"));
    if packages.any(|package| package.is_dir()) {
        return Some(venv);
    }
    skipped!(
        "there is no `awslambdaric` in `{}`: libos-net/python/run installs it",
        venv.display()
    );
    None
}

fn python(env: &str, more: &str) -> Option<String> {
    // A folder: one that was made for a single file cannot be listed, as an import does.
    let task = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/lambda/task");
    let started = format!(
        "lambda = {{ command = [\"python3\", \"-m\", \"awslambdaric\", \"app.handler\"] }}\nvenv = \"{}\"\n\
         files = [{{ from = \"{}\", to = \"/var/task\" }}]\nenv = {{ {env} }}",
        venv()?.display(),
        task.display()
    );
    chain(&started, more)
}

#[test]
fn events_go_to_a_handler_that_stays_warm() {
    let Some(chain) = python("", "timeout = \"20s\"") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    assert_serves_warm(&service);
    // What is not said to be JSON is bytes.
    let reply = service.post("t", "no JSON").unwrap();
    assert_eq!(&reply.body[..], b"[\"bytes\", 7]");
    let reply = asked(&service, &json!({ "do": "bytes" }));
    assert_eq!(&reply.body[..], b"\x00\xff");
    assert_eq!(reply.headers.get("content-type").unwrap(), "application/unknown");
}

#[test]
fn an_error_is_told_by_its_type_and_tried_again() {
    let Some(chain) = python("", "retry = { attempts = 2, backoff = \"1ms\" }") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    let event = json!({ "do": "fail", "message": "secret-message" });
    assert_fails(&service, &event, "Own");
    // The runtime puts the stack into a header.
    assert_fails(&service, &json!({ "do": "deep", "depth": 900 }), "Own");
    // It has no streams, and says so.
    assert_fails(&service, &json!({ "do": "stream" }), "Runtime.MarshalError");
    assert_eq!(epoch(&service), 1);
}

#[test]
fn six_mebibytes_go_both_ways() {
    let Some(chain) = python("", "timeout = \"30s\"\nmemory = \"512MiB\"") else {
        return;
    };
    assert_carries_six_mebibytes(&Service::start(&chain).unwrap());
}

#[test]
fn a_run_that_takes_too_long_ends_with_its_timeout() {
    let Some(chain) = python("", "retry = { attempts = 1 }\ntimeout = \"2s\"") else {
        return;
    };
    assert_times_out(&Service::start(&chain).unwrap());
}

#[test]
fn a_handler_that_is_killed_in_an_event_gets_it_again() {
    let more = "timeout = \"10s\"\nretry = { attempts = 5, backoff = \"1ms\" }";
    let Some(chain) = python("", more) else { return };
    let service = Service::start(&chain).unwrap();
    let reply = killed_in_event(&service, &json!({ "do": "sleep", "millis": 2000 }), INTERPRETER);
    assert_eq!(reply, (200, "\"awake\"".to_owned()));
    assert_eq!(epoch(&service), 2);
}

#[test]
fn a_client_that_goes_away_costs_the_handler_nothing() {
    let Some(chain) = python("", "timeout = \"10s\"") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    assert_eq!(told(&service, &json!({ "do": "tell" }))["count"], 1);
    let event = json!({ "do": "sleep", "millis": 1000 }).to_string();
    let mut client = TcpStream::connect(service.gateway).unwrap();
    write!(
        client,
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{event}",
        event.len()
    )
    .unwrap();
    let is_at_work = |status: &Value| status["chains"][0]["in_flight"] == 1;
    service.status_when("the handler works", is_at_work).unwrap();
    drop(client);
    // The runtime ends where its answer is refused; here it goes on.
    let event = json!({ "do": "tell" });
    assert!(told(&service, &event)["count"].as_u64() >= Some(2));
    assert_eq!(told(&service, &event)["version"], "$LATEST");
    assert_eq!(epoch(&service), 1);
}

#[test]
fn a_module_that_cannot_be_loaded_ends_the_start_and_says_its_error() {
    let Some(chain) = python("INITIALISE = \"error\"", "") else {
        return;
    };
    let log = tempfile::NamedTempFile::new().unwrap();
    let started = Service::start_telling(&chain, &[], Stdio::from(log.reopen().unwrap()));
    assert!(
        matches!(started, Err(ServiceError::NotReady { .. })),
        "{started:?}"
    );
    let log = fs::read_to_string(log.path()).unwrap();
    assert!(
        log.contains("the program reported that its initialisation failed: KeyError"),
        "{log}"
    );
}

#[test]
fn what_the_adaptor_knows_is_not_in_the_handler() {
    let Some(given) = Given::new() else { return };
    let Some(chain) = python("", &given.line()) else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    assert_eq!(told(&service, &json!({ "do": "tell" }))["count"], 1);
    let (adaptor, handler) = (
        service.process("f").unwrap(),
        service.process(INTERPRETER).unwrap(),
    );
    given.assert_not_in(&service, adaptor, handler);
}
