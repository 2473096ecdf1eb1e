//! Functions that end their own process, or do not end: what clients and operators are told, and what becomes
//! of the others.

use hacher_tests::{Service, function, until_or_say};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const HEAD: &str = "chain = \"t\"\nversion = \"1\"\n";
/// Long enough for anything that is not stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// One function that ends as its input says.
fn service(ingress: &str, more: &str) -> Service {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> egress\"]\n[ingress]\n{ingress}\n{}",
        function("a", "end", more)
    );
    Service::start(&chain).unwrap()
}

fn instance(service: &Service) -> Value {
    service.status().unwrap()["chains"][0]["instances"][0].clone()
}

fn metrics(service: &Service) -> String {
    String::from_utf8(service.operator("/metrics").unwrap().body.to_vec()).unwrap()
}

/// Posts a request on a connection of its own, with one header more; status and body of the reply.
fn post(gateway: SocketAddr, header: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(gateway).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "POST /chains/t HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{header}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let status = reply.get(9..12).unwrap().parse().unwrap();
    let body = reply.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

#[test]
fn every_end_of_a_function_is_told_as_what_it_is() {
    let service = service(
        "deadline = \"50s\"",
        "timeout = \"40s\"\nmemory = \"64MiB\"\nthreads = 8\nretry = { attempts = 2, backoff = \"1ms\" }",
    );
    for (body, cause, member, value) in [
        ("abort", "signalled", "signal_name", Value::from("SIGABRT")),
        ("exit", "exited", "exit_code", Value::from(3)),
        ("memory", "out_of_memory", "attempts", Value::from(2)),
        ("memory at once", "out_of_memory", "attempts", Value::from(2)),
        ("stack", "stack_overflow", "attempts", Value::from(2)),
        ("threads", "limit_reached", "limit", Value::from("threads")),
        (
            "descriptors",
            "limit_reached",
            "limit",
            Value::from("descriptors"),
        ),
        ("panic", "panicked", "attempts", Value::from(2)),
    ] {
        let reply = service.post("t", body).unwrap();
        let problem = reply.json();
        assert_eq!(reply.status.as_u16(), 502, "{body}: {problem}");
        assert_eq!(problem["cause"], cause, "{body}: {problem}");
        assert_eq!(problem[member], value, "{body}: {problem}");
        assert_eq!(problem["attempts"], 2, "{body}: {problem}");
        let hint = match cause {
            "out_of_memory" => "the limit is \"64MiB\" (`function.a.memory`), try \"128MiB\"",
            "limit_reached" if value == "threads" => "the limit is 8 (`function.a.threads`), try 16",
            _ => "",
        };
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(hint), "{body}: {detail}");
        assert_eq!(service.post("t", "x").unwrap().body, "x", "after {body}");
        if matches!(body, "abort" | "exit" | "memory" | "stack") {
            let end = instance(&service)["last_end"].clone();
            assert_eq!(end["cause"], cause, "{body}: {end}");
            assert!(end["detail"].as_str().unwrap().contains(hint), "{body}: {end}");
            let counted = format!("cause=\"{cause}\",code=\"");
            let metrics = metrics(&service);
            assert!(
                metrics
                    .lines()
                    .any(|line| line.starts_with("hacher_trustlet_deaths_total")
                        && line.contains(&counted)
                        && !line.ends_with(" 0")),
                "{body}"
            );
        }
    }
}

#[test]
fn a_function_that_is_killed_says_that_the_service_did_not_do_it() {
    let service = service(
        "deadline = \"50s\"",
        "timeout = \"40s\"\nretry = { attempts = 1 }",
    );
    let gateway = service.gateway;
    let request = std::thread::spawn(move || post(gateway, "", "sleep"));
    let end = Instant::now() + PATIENCE;
    let mut killed = false;
    while !killed && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
        if service.status().unwrap()["chains"][0]["in_flight"] == 1 {
            // In flight a moment before it runs.
            std::thread::sleep(Duration::from_millis(200));
            service.signal(service.process("a").unwrap(), Signal::KILL);
            killed = true;
        }
    }
    let (status, body) = request.join().unwrap();
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &problem["cause"]),
        (502, &Value::from("signalled")),
        "{problem}"
    );
    assert_eq!(problem["signal_name"], "SIGKILL");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("which this service did not send"),
        "{problem}"
    );
}

#[test]
fn records_that_end_their_function_do_not_hold_up_the_others() {
    let service = service(
        "deadline = \"50s\"\nin_flight = 64",
        "retry = { attempts = 3, backoff = \"10ms\" }",
    );
    let (good, poisoned) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let gateway = service.gateway;
    std::thread::scope(|scope| {
        for client in 0..10 {
            let (good, poisoned) = (&good, &poisoned);
            scope.spawn(move || {
                for number in 0..21 {
                    // Two of each client's requests are poison.
                    if number == 3 || number == 12 {
                        let (status, body) = post(gateway, "", "abort");
                        let problem: Value = serde_json::from_str(&body).unwrap();
                        assert_eq!(
                            (
                                status,
                                &problem["cause"],
                                &problem["signal"],
                                &problem["attempts"]
                            ),
                            (502, &"signalled".into(), &6.into(), &3.into()),
                            "{problem}"
                        );
                        poisoned.fetch_add(1, Ordering::Relaxed);
                    } else {
                        let body = format!("{client} {number}");
                        assert_eq!(post(gateway, "", &body), (200, body));
                        good.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(
        (good.load(Ordering::Relaxed), poisoned.load(Ordering::Relaxed)),
        (190, 20)
    );
}

/// Waits until the function's process has been replaced; then it serves again.
fn replaced(service: &Service) {
    let end = Instant::now() + PATIENCE;
    while instance(service)["epoch"] != 2 {
        assert!(Instant::now() < end, "the run goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut status = 0;
    while status != 200 {
        assert!(Instant::now() < end, "it does not serve again");
        (status, _) = post(service.gateway, "", "x");
    }
    let last = instance(service)["last_end"]["cause"].clone();
    assert_eq!(last, "unwanted");
    let death = "hacher_trustlet_deaths_total{chain=\"t\",function=\"a\",cause=\"unwanted\",code=\"0\"} 1\n";
    assert!(metrics(service).contains(death));
    assert_eq!(
        instance(service)["epoch"],
        2,
        "and the record was not tried again"
    );
}

#[test]
fn a_run_ends_soon_after_its_deadline() {
    let service = service("deadline = \"500ms\"", "timeout = \"50s\"");
    assert_eq!(post(service.gateway, "", "sleep").0, 504);
    replaced(&service);
}

/// A client that goes while its request is in flight.
fn ask_and_leave(service: &Service, body: &str) {
    let mut stream = TcpStream::connect(service.gateway).unwrap();
    let len = body.len();
    write!(
        stream,
        "POST /chains/t HTTP/1.1\r\nhost: t\r\ncontent-length: {len}\r\n\r\n{body}"
    )
    .unwrap();
    let end = Instant::now() + PATIENCE;
    while service.status().unwrap()["chains"][0]["in_flight"] != 1 {
        assert!(Instant::now() < end, "the request does not arrive");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The gateway takes a client for gone that closes some time after its request.
    std::thread::sleep(Duration::from_millis(200));
}

#[test]
fn a_run_ends_soon_after_its_client_has_gone() {
    let service = service("deadline = \"55s\"", "timeout = \"50s\"");
    ask_and_leave(&service, "sleep");
    replaced(&service);
}

#[test]
fn an_asynchronous_run_is_cancelled_when_its_client_has_gone_and_its_process_stays() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> egress\"]\n[ingress]\ndeadline = \"55s\"\n{}",
        function("a", "asleep", "timeout = \"50s\"")
    );
    let service = Service::start(&chain).unwrap();
    ask_and_leave(&service, "wait");
    // There is one instance: it answers when the run before is over.
    assert_eq!(post(service.gateway, "", "next"), (200, "next".to_owned()));
    assert_eq!(instance(&service)["epoch"], 1, "{}", instance(&service));
    // A run is traced when it is settled, which is after its reply.
    let outcomes = || -> Vec<String> {
        let traces = service.operator("/traces").unwrap().json();
        let told = traces["traces"].as_array().unwrap().iter();
        told.map(|trace| trace["outcome"].as_str().unwrap().to_owned())
            .collect()
    };
    until_or_say(
        "two runs",
        || outcomes().len() == 2,
        || format!("{:?}", outcomes()),
    );
    assert_eq!(outcomes(), ["abandoned", "succeeded"]);
}

#[test]
fn no_header_of_a_client_keeps_a_record_out_of_the_error_route() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> egress\", \"a.error -> b -> egress\"]\n{}{}",
        function("a", "reject", ""),
        function("b", "echo", "")
    );
    let service = Service::start(&chain).unwrap();
    let answer = |len| {
        let header = format!("baggage: {}\r\n", "b".repeat(len));
        post(service.gateway, &header, "rescued")
    };
    // What is said of the request besides takes some of the room: the longest that are taken, to the byte.
    let longest = (8_000..8_192).rev().find(|len| answer(*len).0 != 431).unwrap();
    for len in [0, longest - 100, longest - 1, longest] {
        let (status, body) = answer(len);
        assert_eq!(
            (status, body.as_str()),
            (200, "rescued"),
            "{len} bytes of baggage"
        );
    }
}

#[test]
fn a_join_that_ends_its_function_is_given_up_after_its_attempts_in_whatever_order_its_parts_come() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> first -> a & b & c -> last -> egress\"]\n[ingress]\ndeadline = \"50s\"\n{}{}{}",
        hacher_tests::functions(["first", "b", "c"], "echo", ""),
        // Its record completes the join the first time; for a replacement that of `c` does.
        function("a", "slow", ""),
        function(
            "last",
            "poisonable",
            "retry = { attempts = 4, backoff = \"1ms\" }"
        )
    );
    let service = Service::start(&chain).unwrap();
    let (status, body) = post(service.gateway, "", "abort 1");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &problem["function"]), (502, &"last".into()), "{problem}");
    assert_eq!(problem["attempts"], 4, "{problem}");
    assert_eq!(post(service.gateway, "", "good"), (200, "good".to_owned()));
}
