//! What operators see of a service: what is wrong, since when and why; and how they may ask.

use hacher_tests::tenants::{command, until};
use hacher_tests::{Service, executable, function, instances};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

const HEAD: &str = "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n";

fn chain(what: &str, more: &str) -> String {
    format!("{HEAD}{}", function("a", what, more))
}

/// The first instance of the first chain.
fn first(status: &Value) -> &Value {
    instances(status).next().unwrap()
}

/// Whether this is a time as RFC 3339 has it, in UTC.
fn is_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape == "0000-00-00T00:00:00.000000Z"
}

/// Runs the command with `--admin` of this service.
fn ask(service: &Service, arguments: &[&str]) -> (Option<i32>, String, String) {
    let admin = service.admin.to_string();
    command(&[arguments, &["--admin", &admin]].concat()).unwrap()
}

fn ready_of_gateway(service: &Service) -> (u16, String) {
    let reply = hacher_tests::tenants::get(service.gateway, "/readyz").unwrap();
    (
        reply.status.as_u16(),
        String::from_utf8_lossy(&reply.body).into_owned(),
    )
}

#[test]
fn without_a_service_the_message_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("unix:{}", folder.path().join("admin.sock").display());
    for command_name in ["status", "traces"] {
        // Port 1 is nobody's.
        for admin in ["127.0.0.1:1", &path] {
            let (code, _, said) = command(&[command_name, "--admin", admin]).unwrap();
            assert_eq!(code, Some(1));
            for part in [admin, "is the service running", "`serve --admin`"] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
    }
}

#[test]
fn a_healthy_service_says_since_when_and_exits_with_0() {
    let service = Service::start(&chain("echo", "")).unwrap();
    assert_eq!(service.post("t", "x").unwrap().status.as_u16(), 200);
    let status = service.status_after(1).unwrap();
    assert_eq!(
        (&status["ready"], &status["not_ready"]),
        (&Value::Bool(true), &Value::Array(Vec::new()))
    );
    assert!(
        is_time(&status["time"]) && is_time(&status["daemon_since"]),
        "{status:#}"
    );
    let chain = &status["chains"][0];
    assert_eq!(
        (&chain["ready"], &chain["shed"]),
        (&Value::Bool(true), &Value::from(0))
    );
    assert!(
        chain["in_flight_limit"].as_u64().unwrap() > 0 && chain["queued"] == 0,
        "{chain:#}"
    );
    let instance = first(&status);
    assert_eq!(
        (&instance["health"], &instance["deaths"]),
        (&"ready".into(), &0.into())
    );
    assert!(
        is_time(&instance["serving_since"]) && instance["serving_ms"].is_u64(),
        "{instance:#}"
    );
    assert_eq!(instance.get("last_end"), None);
    assert!(
        is_time(&chain["gateway"]["serving_since"]),
        "a gateway is an instance too"
    );
    let (code, out, err) = ask(&service, &["status"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("ready, at ") && out.contains("a#0"), "{out}");
    assert_eq!(ready_of_gateway(&service).0, 200);
    assert_eq!(service.operator("/readyz").unwrap().status.as_u16(), 200);
}

#[test]
fn a_function_that_keeps_ending_makes_its_chain_not_ready_everywhere() {
    let service = Service::start(&chain("brief", "")).unwrap();
    let status = service
        .status_when("a crash loop", |status| first(status)["health"] == "crash_loop")
        .unwrap();
    assert_eq!(
        (&status["ready"], &status["not_ready"][0]),
        (&Value::Bool(false), &"t".into())
    );
    let complaint = status["chains"][0]["not_ready_because"][0]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        complaint.contains("a#0 is in a crash loop") && complaint.contains("code 9"),
        "{complaint}"
    );
    let end = &first(&status)["last_end"];
    assert_eq!((&end["cause"], &end["code"]), (&"exited".into(), &9.into()));
    assert!(
        is_time(&end["at"]) && end["ago_ms"].is_u64() && end["lived_ms"].is_u64(),
        "{end:#}"
    );
    assert!(first(&status)["deaths"].as_u64() >= Some(5), "{status:#}");
    assert!(until(|| ready_of_gateway(&service).0 == 503));
    let (_, said) = ready_of_gateway(&service);
    assert!(
        said.contains("\"t\"") || said.contains(": t"),
        "the chain is named: {said}"
    );
    let reply = service.operator("/readyz").unwrap();
    assert_eq!(
        (reply.status.as_u16(), &reply.body[..]),
        (503, &b"not ready: t\n"[..])
    );
    for words in [
        &["status"][..],
        &["status", "t"],
        &["status", "--chain", "t", "--failed"],
    ] {
        let (code, out, err) = ask(&service, words);
        assert_eq!(code, Some(3), "{words:?}: {err}");
        assert!(
            out.contains("NOT READY: a#0 is in a crash loop") && out.contains("exited with code 9"),
            "{out}"
        );
    }
    // A gateway that is replaced in the middle of it hears so too, and so does a daemon find it.
    for name in ["hacher-gateway", "hacher-daemon"] {
        let before = service.process(name).unwrap();
        service.signal(before, Signal::KILL);
        assert!(
            until(|| service.process(name).is_some_and(|now| now != before)),
            "{name}"
        );
        let is_up = || {
            hacher_tests::tenants::get(service.gateway, "/readyz")
                .is_ok_and(|reply| reply.status.as_u16() == 503)
        };
        assert!(until(is_up), "{name}");
    }
}

#[test]
fn deaths_that_clients_cause_make_a_chain_not_ready_until_it_works_again() {
    let retry = "retry = { attempts = 3, backoff = \"1ms\" }";
    let service = Service::start(&chain("poisonable", retry)).unwrap();
    let post = |body: &str| service.post("t", body.to_owned()).unwrap();
    for _ in 0..3 {
        let failed = post("exit");
        assert_eq!(failed.status.as_u16(), 502);
        assert_eq!(post("good").status.as_u16(), 200);
        let status = service
            .status_when("it works", |status| status["ready"] == Value::Bool(true))
            .unwrap();
        let end = &first(&status)["last_end"];
        let id = failed.header("hacher-invocation").unwrap();
        assert_eq!(
            (&end["invocation"], end["attempt"].as_u64().is_some()),
            (&id.into(), true),
            "the id that the client has: {status:#}"
        );
    }
    assert_eq!(post("exit").status.as_u16(), 502);
    assert_eq!(post("exit").status.as_u16(), 502);
    service
        .status_when("six deaths in a row", |status| {
            first(status)["health"] == "crash_loop"
        })
        .unwrap();
    assert!(until(|| ready_of_gateway(&service).0 == 503));
    assert_eq!(
        post("good").status.as_u16(),
        200,
        "requests are taken all the same"
    );
    assert!(until(|| ready_of_gateway(&service).0 == 200));
}

#[test]
fn status_and_traces_find_the_failed_request_by_the_id_that_the_client_has() {
    let service = Service::start(&chain(
        "poisonable",
        "retry = { attempts = 2, backoff = \"1ms\" }",
    ))
    .unwrap();
    assert_eq!(service.post("t", "good").unwrap().status.as_u16(), 200);
    let failed = service.post("t", "reject").unwrap();
    let id = failed.header("hacher-invocation").unwrap().to_owned();
    let status = service
        .status_when("the failure", |status| first(status)["last_failure"].is_object())
        .unwrap();
    let failure = &first(&status)["last_failure"];
    assert_eq!(
        (&failure["invocation"], &failure["attempt"]),
        (&id.as_str().into(), &1.into())
    );
    assert_eq!(failure["cause"], "failed");
    assert!(is_time(&failure["at"]));
    let traces = |query: &str| service.operator(&format!("/traces{query}")).unwrap().json();
    let count = |query: &str| traces(query)["traces"].as_array().map_or(usize::MAX, Vec::len);
    assert!(until(|| count("") == 2));
    let whole = format!("{:016x}{id}", 7);
    for (query, expected) in [
        ("?failed=true".to_owned(), 1),
        (format!("?invocation={id}"), 1),
        (format!("?invocation={}", id.to_uppercase()), 1),
        (format!("?invocation={whole}&chain=t"), 1),
        ("?invocation=0000000000000000".to_owned(), 0),
        ("?chain=t&function=a&failed=false".to_owned(), 2),
        ("?limit=1".to_owned(), 1),
        ("?limit=0".to_owned(), 0),
    ] {
        assert_eq!(count(&query), expected, "{query}");
    }
    let found = &traces("?limit=1")["traces"][0];
    assert_eq!(
        (&found["outcome"], &found["cause"], &found["invocation"]),
        (&"failed".into(), &"failed".into(), &id.as_str().into())
    );
    assert!(is_time(&found["seen_at"]));
    let (code, out, err) = ask(&service, &["traces", "t", "--invocation", &id, "--function", "a"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains(&id) && out.contains("failed") && out.lines().count() == 2,
        "{out}"
    );
    let (code, out, _) = ask(&service, &["traces", "--json", "--limit", "1", "--failed"]);
    let parsed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, parsed["traces"].as_array().unwrap().len()), (Some(0), 1));
    let (code, out, _) = ask(&service, &["status", "--failed"]);
    assert!(code == Some(0) && out.contains(&id), "{out}");
}

#[test]
fn a_record_that_was_given_up_as_its_processes_died_is_the_last_failure_and_has_traces() {
    let service = Service::start(&chain(
        "poisonable",
        "retry = { attempts = 2, backoff = \"1ms\" }",
    ))
    .unwrap();
    service.post("t", "reject").unwrap();
    let failed = service.post("t", "abort").unwrap();
    let id = failed.header("hacher-invocation").unwrap();
    let status = service
        .status_when("the failure", |status| {
            first(status)["last_failure"]["invocation"] == id
        })
        .unwrap();
    assert_eq!(first(&status)["last_failure"]["attempt"], 2);
    let told = || {
        let traces = service.operator(&format!("/traces?invocation={id}"));
        traces.unwrap().json()
    };
    // The page of the process that died first has gone with it or not: the last attempt is told in any case.
    let is_told = || {
        let traces = told();
        let last = traces["traces"].as_array().and_then(|traces| traces.last());
        last.is_some_and(|last| last["attempt"] == 2 && last["outcome"] == "failed")
    };
    assert!(until(is_told), "{}", told());
}

#[test]
fn a_run_that_ended_its_process_has_one_trace_however_many_processes_come_after() {
    let text = format!(
        "{HEAD}[ingress]\ndeadline = \"55s\"\n{}",
        function("a", "poisonable", "retry = { attempts = 2, backoff = \"50s\" }")
    );
    let service = Service::start(&text).unwrap();
    let epoch = |status: &Value| first(status)["epoch"].as_u64();
    let serves = |process: u64| {
        let is_there =
            |status: &Value| epoch(status) == Some(process) && first(status)["serving_ms"].is_u64();
        service.status_when("another process", is_there).unwrap();
    };
    let mut client = TcpStream::connect(service.gateway).unwrap();
    write!(
        client,
        "POST /chains/t HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\nabort"
    )
    .unwrap();
    let traces = || service.operator("/traces").unwrap().json();
    assert!(until(|| traces()["traces"].as_array().unwrap().len() == 1));
    // The record waits for its second attempt while others come and go.
    for process in 2..=4 {
        serves(process);
        service.signal(service.process("a").unwrap(), Signal::KILL);
    }
    serves(5);
    let traces = traces();
    let told = traces["traces"].as_array().unwrap();
    assert_eq!(told.len(), 1, "{traces}");
    assert_eq!(
        (&told[0]["attempt"], &told[0]["outcome"]),
        (&1.into(), &"retried".into())
    );
}

#[test]
fn a_filter_that_finds_nothing_or_means_nothing_is_said() {
    let service = Service::start(&chain("echo", "")).unwrap();
    for (path, status, word) in [
        ("/status?chain=u", 404, "known chains: t"),
        ("/status?function=b", 404, "known functions: a"),
        ("/traces?chain=u", 404, "known chains: t"),
        ("/status?colour=red", 400, "chain, function, failed"),
        ("/status?invocation=0011223344556677", 400, "no filter"),
        ("/traces?invocation=12", 400, "hacher-invocation"),
        ("/traces?limit=many", 400, "limit"),
    ] {
        let reply = service.operator(path).unwrap();
        let said = reply.json()["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!(reply.status.as_u16(), status, "{path}: {said}");
        assert!(said.contains(word), "{path}: {said}");
    }
    let reply = service.operator("/status?chain=t&function=a").unwrap().json();
    assert_eq!(instances(&reply).count(), 1);
    let reply = service.operator("/status?failed").unwrap().json();
    assert_eq!(reply["chains"].as_array().unwrap().len(), 0, "nothing has failed");
    for (arguments, word) in [
        (&["status", "u"][..], "no chain `u`; known chains: t"),
        (
            &["status", "--function", "b"],
            "no function `b`; known functions: a",
        ),
        (&["traces", "--chain", "u"], "no chain `u`; known chains: t"),
        (&["traces", "--invocation", "x"], "hacher-invocation"),
    ] {
        let (code, out, err) = ask(&service, arguments);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(err.contains(word), "{arguments:?}: {err}");
    }
    let (code, _, err) = command(&["status", "--admin", "127.0.0.1:1"]).unwrap();
    assert!(code == Some(1) && err.contains("127.0.0.1:1"), "{err}");
}

/// Starts a service with operators at a path besides a port.
fn at(path: &Path) -> Result<Service, hacher_tests::ServiceError> {
    let address = format!("unix:{}", path.display());
    Service::start_with(&chain("echo", ""), &["--admin", &address])
}

#[test]
fn operators_may_ask_at_a_path_that_its_owner_alone_can_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let address = format!("unix:{}", path.display());
    let service = at(&path).unwrap();
    let found = fs::symlink_metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_eq!(service.ready["admin_sockets"][1], address.as_str());
    assert_eq!(service.post("t", "x").unwrap().status.as_u16(), 200);
    let (code, out, err) = command(&["status", "t", "--admin", &address]).unwrap();
    assert!(code == Some(0) && out.contains("chain `t`"), "{out}{err}");
    let traced = || command(&["traces", "--admin", &address]).unwrap();
    assert!(until(|| traced().1.contains("succeeded")), "{:?}", traced());
    assert_eq!(
        service.operator("/status").unwrap().status.as_u16(),
        200,
        "the port answers too"
    );
    // Another service does not take it away.
    assert!(at(&path).is_err());
    assert_eq!(command(&["status", "--admin", &address]).unwrap().0, Some(0));
    // A killed service leaves it, the next one replaces it, and removes it when it stops.
    service.signal(service.monitor_pid(), Signal::KILL);
    drop(service);
    assert!(until(|| std::os::unix::net::UnixStream::connect(&path).is_err()));
    assert!(path.exists());
    let service = at(&path).unwrap();
    assert_eq!(command(&["status", "--admin", &address]).unwrap().0, Some(0));
    assert_eq!(service.stop().unwrap(), Some(0));
    assert!(!path.exists(), "nothing is left");
    fs::write(&path, "a file").unwrap();
    assert!(at(&path).is_err());
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "a file",
        "what is no socket is left alone"
    );
    let (code, _, err) = command(&["status", "--admin", &address]).unwrap();
    assert!(code == Some(1) && err.contains(&address), "{err}");
    assert_eq!(command(&["status", "--admin", "unix:"]).unwrap().0, Some(2));
}

#[test]
fn what_cannot_be_written_is_an_error_and_a_reader_that_goes_ends_it_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let file = hacher_tests::tenants::write(folder.path(), "t.toml", &chain("echo", "")).unwrap();
    let bad = hacher_tests::tenants::write(folder.path(), "bad", "chain = 1\n").unwrap();
    let (file, bad) = (file.to_str().unwrap(), bad.to_str().unwrap());
    let service = Service::start(&chain("echo", "")).unwrap();
    let admin = service.admin.to_string();
    let commands: &[&[&str]] = &[
        &["check", file],
        &["check", file, "--format", "json"],
        &["check", bad, "--format", "json"],
        &["check", "--explain", "E0401"],
        &["doctor"],
        &["doctor", "--format", "json"],
        &["graph", file],
        &["schema"],
        &["explain", file],
        &["measure", file],
        &["status", "--admin", &admin],
        &["status", "--json", "--admin", &admin],
        &["traces", "--admin", &admin],
        &["completions", "bash"],
        &["help"],
        &["--help"],
        &["check", "--help"],
        &["--version"],
    ];
    for arguments in commands {
        let run = |out: Stdio| {
            let mut command = Command::new(executable("fabric-under-test"));
            let output = command
                .args(*arguments)
                .stdin(Stdio::null())
                .stdout(out)
                .stderr(Stdio::piped());
            let output = output.spawn().unwrap().wait_with_output().unwrap();
            (
                output.status.code(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
            )
        };
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let (code, said) = run(full.into());
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains("cannot write") && said.contains("No space left"),
            "{arguments:?}: {said}"
        );
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        drop(reader);
        let (code, said) = run(writer.into());
        assert_eq!((code, said.as_str()), (Some(141), ""), "{arguments:?}");
    }
    // What is wrong with a file goes to standard error.
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let status = Command::new(executable("fabric-under-test"))
        .args(["check", bad])
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}
