//! Functions that are servers of HTTP, which know nothing of chains.

use super::killed::{Victim, killed_in};
use super::programs::Given;
use hacher_fabric::http::{Connection, Reply};
use hacher_skipped::skipped;
use hacher_tests::programs::PROGRAM;
use hacher_tests::{Service, ServiceError, executable, instances};
use hacher_trustlet_host::chosen::jail::programs_missing_here;
use hyper::Method;
use std::fs;
use std::process::Stdio;

/// A chain of the server as function `f`, with these arguments before `--`; `None`, and the reason said, where
/// functions have no programs.
fn chain(options: &str, env: &str, more: &str) -> Option<String> {
    if let Some(missing) = programs_missing_here() {
        skipped!("{missing}");
        return None;
    }
    let words = format!("http --port 8000 {options} -- {PROGRAM}");
    let args: Vec<String> = words
        .split_whitespace()
        .map(|word| format!("\"{word}\""))
        .collect();
    let (adaptor, server) = (executable("adaptor-under-test"), executable("test-function"));
    Some(format!(
        "chain = \"t\"\nflow = [\"ingress -> f -> egress\"]\n[ingress]\nmethods = [\"GET\", \"POST\"]\ndeadline = \"20s\"\n\
         [function.f]\nexec = \"{}\"\nargs = [{}]\nfiles = [{{ from = \"{}\", to = \"{PROGRAM}\" }}]\n\
         env = {{ FUNCTION = \"http-server\"{env} }}\nsyscalls = \"program\"\nlogs = \"forward\"\n{more}\n",
        adaptor.display(),
        args.join(", "),
        server.display(),
    ))
}

fn asked(service: &Service, method: Method, path: &str, body: impl Into<bytes::Bytes>) -> Reply {
    let (path, body) = (format!("/chains/t{path}"), body.into());
    hacher_tests::runtime().block_on(async {
        let mut connection = Connection::open(service.gateway).await.unwrap();
        let sent = connection.send(method, &path, Some("text/plain"), body);
        sent.await.unwrap()
    })
}

#[test]
fn a_request_reaches_the_server_and_its_answer_the_client() {
    let Some(chain) = chain("--path /app --ready /ok", "", "timeout = \"20s\"") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    for _ in 0..3 {
        let reply = asked(&service, Method::POST, "/a?b=c", "the body");
        let head = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(reply.status, 200, "{head}");
        assert!(head.starts_with("POST /app/a?b=c HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: text/plain\r\n"), "{head}");
        assert!(head.contains("\r\ntraceparent: 00-"), "{head}");
        assert!(head.ends_with("\r\n\r\nthe body"), "{head}");
    }
    let head = asked(&service, Method::GET, "", "").body;
    assert!(head.starts_with(b"GET /app HTTP/1.1\r\n"));
    let status = service.status().unwrap();
    let instance = instances(&status).next().unwrap();
    assert_eq!(instance["epoch"], 1, "{instance}");
    // What the two ask of the kernel is all allowed to programs.
    let refused = instance["refused_calls"].as_object();
    assert!(refused.is_none_or(serde_json::Map::is_empty), "{instance}");
}

#[test]
fn a_status_of_the_server_decides_what_the_client_gets() {
    let Some(chain) = chain("", "", "retry = { attempts = 2, backoff = \"1ms\" }") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    for status in [201, 404, 302] {
        let reply = asked(&service, Method::POST, &format!("/status/{status}"), "x");
        assert_eq!(reply.status, status);
        assert!(reply.body.ends_with(b"\r\n\r\nx"));
    }
    let reply = asked(&service, Method::POST, "/status/503", "payload-1");
    let problem = reply.json();
    assert_eq!(
        (reply.status.as_u16(), &problem["attempts"]),
        (502, &2.into()),
        "{problem}"
    );
    let told = problem.to_string();
    assert!(told.contains("the program answered with status 503"), "{told}");
    assert!(!told.contains("payload-1"), "{told}");
}

#[test]
fn a_rejected_request_leaves_by_the_port_for_it() {
    let Some(chain) = chain("", "", "ports = [\"out\", \"reject\"]") else {
        return;
    };
    let echo = hacher_tests::function("g", "headers", "");
    let chain = chain.replace(
        "[\"ingress -> f -> egress\"]",
        "[\"ingress -> f -> egress\", \"f.reject -> g -> egress\"]\negress = \"first\"",
    ) + &echo;
    let service = Service::start(&chain).unwrap();
    let reply = asked(&service, Method::POST, "/status/422", "x");
    let headers = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(reply.status, 200, "{headers}");
    assert!(headers.contains("hacher-status: 422\n"), "{headers}");
    assert!(headers.contains("content-type: text/x-head\n"), "{headers}");
    assert_eq!(asked(&service, Method::POST, "/status/200", "x").status, 200);
}

#[test]
fn a_server_that_is_killed_in_a_request_gets_it_again() {
    let Some(chain) = chain(
        "",
        "",
        "timeout = \"10s\"\nretry = { attempts = 5, backoff = \"1ms\" }",
    ) else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    let victim = Victim {
        function: "f",
        process: PROGRAM,
    };
    let reply = killed_in(&service, "/chains/t/slow/2000", None, "again", &[victim]);
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    assert!(reply.body.ends_with(b"\r\n\r\nagain"));
}

#[test]
fn the_end_of_the_server_is_the_end_of_the_run_with_its_exit_code() {
    let Some(chain) = chain("", "", "retry = { attempts = 1 }") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    let reply = asked(&service, Method::POST, "/exit/7", "x");
    let problem = reply.json();
    assert_eq!(reply.status, 502, "{problem}");
    assert_eq!(
        (&problem["cause"], &problem["exit_code"]),
        (&"exited".into(), &7.into()),
        "{problem}"
    );
    assert_eq!(
        asked(&service, Method::POST, "/", "x").status,
        200,
        "both are there again"
    );
}

#[test]
fn a_run_that_takes_too_long_ends_with_its_timeout() {
    let Some(chain) = chain("", "", "retry = { attempts = 1 }\ntimeout = \"500ms\"") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    let reply = asked(&service, Method::POST, "/slow/30000", "x");
    let problem = reply.json();
    assert_eq!(
        (reply.status.as_u16(), &problem["cause"]),
        (502, &"timed_out".into()),
        "{problem}"
    );
    assert_eq!(asked(&service, Method::POST, "/", "x").status, 200);
}

#[test]
fn a_body_streams_through_the_server() {
    let Some(chain) = chain("", "", "stream = true\noutbox = \"1MiB\"\nmemory = \"64MiB\"") else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    // Longer than what the outbox, or the gateway, may hold of it.
    let body: Vec<u8> = (0..8_u32 << 20)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    let reply = asked(&service, Method::POST, "/mirror", body.clone());
    assert_eq!(reply.status, 200);
    assert!(reply.body == body, "{} bytes", reply.body.len());
}

#[test]
fn a_server_that_is_not_ready_ends_the_start_and_says_what_was_tried() {
    for (options, env, told) in [
        (
            "--start-within 1s",
            ", PORT = \"8001\"",
            "127.0.0.1:8000: Connection refused",
        ),
        (
            "--start-within 1s --ready /status/503",
            "",
            "127.0.0.1:8000/status/503: status 503",
        ),
        (
            "--start-within 20s",
            ", LEAVE = \"3\"",
            "the program exited with code 3 before it was ready",
        ),
    ] {
        let Some(chain) = chain(options, env, "") else {
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
            log.contains("initialisation failed") && log.contains(told),
            "{told}: {log}"
        );
    }
}

#[test]
fn what_the_adaptor_knows_is_not_in_the_server() {
    let Some(given) = Given::new() else { return };
    let Some(chain) = chain("", "", &given.line()) else {
        return;
    };
    let service = Service::start(&chain).unwrap();
    assert_eq!(asked(&service, Method::POST, "/", "x").status, 200);
    let (adaptor, server) = (service.process("f").unwrap(), service.process(PROGRAM).unwrap());
    given.assert_not_in(&service, adaptor, server);
}
