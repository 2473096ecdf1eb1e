//! `lambda_runtime`, of crates.io.

use super::*;
use crate::programs::Given;
use hacher_tests::ServiceError;
use std::fs;
use std::process::Stdio;

/// Where Lambda's custom runtimes have their program.
const BOOTSTRAP: &str = "/var/task/bootstrap";

fn rust(args: &str, env: &str, more: &str) -> Option<String> {
    let files = format!(
        "{}\nfiles = [{{ from = \"{}\", to = \"{BOOTSTRAP}\" }}]\nenv = {{ {env} }}",
        adaptor(args, BOOTSTRAP),
        executable("lambda-function").display()
    );
    chain(&files, more)
}

#[test]
fn events_go_to_a_handler_that_stays_warm() {
    let Some(chain) = rust("", "", "timeout = \"20s\"") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    assert_serves_warm(&service);
}

#[test]
fn an_error_is_told_by_its_type_and_tried_again() {
    let more = "retry = { attempts = 2, backoff = \"1ms\" }";
    let Some(chain) = rust("", "", more) else { return };
    let service = Service::start(&chain).unwrap();
    let event = |what: &str| json!({ "do": what, "message": "secret-message" });
    assert_fails(&service, &event("fail"), "Own.Failure");
    // As the runtime calls what a panic leaves.
    assert_fails(&service, &event("panic"), "&alloc::boxed::Box<dyn core::any::Any");
    // Not even the process has ended.
    assert_eq!(epoch(&service), 1);
}

#[test]
fn six_mebibytes_go_both_ways() {
    let more = "timeout = \"30s\"";
    let Some(chain) = rust("", "", more) else { return };
    let service = Service::start(&chain).unwrap();
    assert_carries_six_mebibytes(&service);
}

#[test]
fn a_run_that_takes_too_long_ends_with_its_timeout() {
    let Some(chain) = rust("", "", "retry = { attempts = 1 }\ntimeout = \"1s\"") else {
        return;
    };
    assert_times_out(&Service::start(&chain).unwrap());
}

#[test]
fn a_handler_that_is_killed_in_an_event_gets_it_again() {
    let more = "timeout = \"10s\"\nretry = { attempts = 5, backoff = \"1ms\" }";
    let Some(chain) = rust("", "", more) else { return };
    let service = Service::start(&chain).unwrap();
    let reply = killed_in_event(&service, &json!({ "do": "sleep", "millis": 2000 }), BOOTSTRAP);
    assert_eq!(reply, (200, "\"awake\"".to_owned()));
    assert_eq!(epoch(&service), 2);
}

#[test]
fn the_end_of_the_handler_is_the_end_of_the_run_with_its_exit_code() {
    let Some(chain) = rust("", "", "retry = { attempts = 1 }") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    let problem = problem(&service, &json!({ "do": "exit", "code": 7 }));
    assert_eq!(
        (&problem["cause"], &problem["exit_code"]),
        (&"exited".into(), &7.into()),
        "{problem}"
    );
    assert_eq!(
        told(&service, &json!({ "do": "tell" }))["count"],
        1,
        "it is there again"
    );
}

#[test]
fn a_response_streams_and_its_prelude_is_the_head_of_the_reply() {
    for more in ["", "stream = true\noutbox = \"1MiB\"\nmemory = \"64MiB\""] {
        let Some(chain) = rust("", "", more) else { return };
        let service = Service::start(&chain).unwrap();
        let event = json!({ "do": "stream", "status": 201, "pieces": 8, "len": 1 << 20 });
        let reply = asked(&service, &event);
        assert_eq!(reply.status, 201);
        assert_eq!(reply.headers.get("content-type").unwrap(), "text/x-own");
        assert_eq!(reply.body.len(), 8 << 20, "{more}");
        assert!(reply.body.iter().all(|byte| *byte == b'x'));
    }
}

#[test]
fn a_stream_that_ends_in_an_error_is_no_whole_reply() {
    let retry = "retry = { attempts = 2, backoff = \"1ms\" }";
    let Some(chain) = rust("", "", retry) else { return };
    let service = Service::start(&chain).unwrap();
    let event = json!({ "do": "stream", "pieces": 3, "len": 1000, "fails": true });
    assert_fails(&service, &event, "Runtime.StreamError");
    // Of a stream, of which more has left than can be taken back: its reply is cut.
    let event = json!({ "do": "stream", "pieces": 4, "len": 1 << 20, "fails": true });
    let chain = rust("", "", &format!("{retry}\nstream = true\noutbox = \"1MiB\"")).unwrap();
    let service = Service::start(&chain).unwrap();
    let sent = hacher_tests::runtime().block_on(async {
        let mut connection = Connection::open(service.gateway).await.unwrap();
        let body = bytes::Bytes::from(event.to_string());
        connection
            .send(Method::POST, "/chains/t", Some("application/json"), body)
            .await
            .map(|reply| (reply.status, reply.body.len()))
    });
    assert!(sent.is_err(), "{sent:?}");
    assert_eq!(epoch(&service), 1);
}

#[test]
fn a_handler_that_does_not_get_ready_ends_the_start_and_says_why() {
    for (args, env, told) in [
        (
            "",
            "INITIALISE = \"error\"",
            "the program reported that its initialisation failed: Own.NoModel",
        ),
        (
            "",
            "INITIALISE = \"leave\"",
            "the program exited with code 3 before it asked for an event",
        ),
        (
            "--start-within 1s",
            "INITIALISE = \"never\"",
            "the program did not ask for an event within 1 s (`--start-within`)",
        ),
    ] {
        let Some(chain) = rust(args, env, "") else { return };
        let log = tempfile::NamedTempFile::new().unwrap();
        let started = Service::start_telling(&chain, &[], Stdio::from(log.reopen().unwrap()));
        assert!(
            matches!(started, Err(ServiceError::NotReady { .. })),
            "{started:?}"
        );
        let log = fs::read_to_string(log.path()).unwrap();
        assert!(
            log.contains("initialisation failed") && log.contains(told),
            "{told}: {log}"
        );
        assert!(!log.contains("secret"), "{log}");
    }
}

#[test]
fn what_the_chain_file_sets_is_what_the_handler_finds() {
    let env = "AWS_LAMBDA_FUNCTION_NAME = \"mine\", AWS_LAMBDA_FUNCTION_MEMORY_SIZE = \"77\"";
    let Some(chain) = rust("--port 4444", env, "") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    let told = told(&service, &json!({ "do": "tell" }));
    assert_eq!(
        (&told["function"], &told["memory"]),
        (&"mine".into(), &77.into()),
        "{told}"
    );
}

#[test]
fn what_the_adaptor_knows_is_not_in_the_handler() {
    let Some(given) = Given::new() else { return };
    let Some(chain) = rust("", "", &given.line()) else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    assert_eq!(told(&service, &json!({ "do": "tell" }))["count"], 1);
    let (adaptor, handler) = (service.process("f").unwrap(), service.process(BOOTSTRAP).unwrap());
    given.assert_not_in(&service, adaptor, handler);
}
