//! `aws-lambda-ric`, of npm, for which `libos-net/adaptor/node` makes a folder; skipped, with the reason,
//! where it is not there: to install it takes Node, npm, autoconf, automake, libtool and cmake.

use super::*;
use hacher_skipped::skipped;
use std::path::{Path, PathBuf};

/// What starts a handler.
const CLIENT: &str = "/opt/node_modules/aws-lambda-ric/bin/index.mjs";

/// The folder with the package; `None`, and the reason said, where it is not there.
fn modules() -> Option<PathBuf> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/node/node_modules");
    if modules.join("aws-lambda-ric/package.json").is_file() {
        return Some(modules);
    }
    skipped!(
        "there is no `aws-lambda-ric` in `{}`: libos-net/adaptor/node installs it",
        modules.display()
    );
    None
}

fn node(handler: &str, more: &str) -> Option<String> {
    let task = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/lambda/task");
    let started = format!(
        "lambda = {{ command = [\"node\", \"{CLIENT}\", \"{handler}\"] }}\n\
         files = [{{ from = \"{}\", to = \"/opt/node_modules\" }}, {{ from = \"{}\", to = \"/var/task\" }}]\n\
         env = {{ HOME = \"/tmp\" }}\njit = true\nthreads = 32\nmemory = \"512MiB\"",
        modules()?.display(),
        task.display()
    );
    chain(&started, more)
}

#[test]
fn events_go_to_a_handler_that_stays_warm() {
    let Some(chain) = node("app.handler", "timeout = \"20s\"") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    assert_serves_warm(&service);
    assert_carries_six_mebibytes(&service);
}

#[test]
fn an_error_is_told_by_its_type_and_tried_again() {
    let Some(chain) = node("app.handler", "retry = { attempts = 2, backoff = \"1ms\" }") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    let event = json!({ "do": "fail", "message": "secret-message" });
    assert_fails(&service, &event, "Own");
    assert_eq!(epoch(&service), 1);
}

#[test]
fn a_run_that_takes_too_long_ends_with_its_timeout() {
    let Some(chain) = node("app.handler", "retry = { attempts = 1 }\ntimeout = \"2s\"") else {
        return;
    };
    assert_times_out(&Service::start(&chain).unwrap());
}

#[test]
fn a_handler_that_is_killed_in_an_event_gets_it_again() {
    let more = "timeout = \"10s\"\nretry = { attempts = 5, backoff = \"1ms\" }";
    let Some(chain) = node("app.handler", more) else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    let processes = service.processes().into_iter();
    let started: Vec<_> = processes.map(|(_, name)| name).collect();
    let node = started.iter().find(|name| name.ends_with("/node"));
    let node = node.unwrap_or_else(|| panic!("{started:?}"));
    let reply = killed_in_event(&service, &json!({ "do": "sleep", "millis": 2000 }), node);
    assert_eq!(reply, (200, "\"awake\"".to_owned()));
    assert_eq!(epoch(&service), 2);
}

#[test]
fn a_response_streams_and_its_prelude_is_the_head_of_the_reply() {
    let Some(chain) = node("app.streamed", "timeout = \"20s\"") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    let event = json!({ "status": 201, "pieces": 8, "len": 1 << 18 });
    let reply = asked(&service, &event);
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.headers.get("content-type").unwrap(), "text/x-own");
    assert_eq!(reply.body.len(), 8 << 18);
    assert!(reply.body.iter().all(|byte| *byte == b'x'));
}
