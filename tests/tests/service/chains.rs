//! Chains end to end: the real monitor, daemon, gateway and functions, each in its own process.

use hacher_tests::{Service, function, functions, instances};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use thumbnails::thumbnail::Size;

const HEAD: &str = "chain = \"t\"\nversion = \"1\"\n";

fn example(path: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../examples")
            .join(path),
    )
    .unwrap()
}

#[test]
fn echo_answers_with_what_it_was_sent_at_any_size() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> echo -> egress\"]\n{}",
        function("echo", "echo", "")
    );
    let service = Service::start(&chain).unwrap();
    for len in [0, 1, 100, 65_533, 65_534, 65_535, 200_000, 5_000_000] {
        let body: Vec<u8> = (0..len).map(|i: u32| i.to_le_bytes()[0]).collect();
        let reply = service.post("t", body.clone()).unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(reply.body, body, "{len} bytes");
        assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    }
    assert_eq!(service.stop().unwrap(), Some(0));
}

#[test]
fn a_chain_of_32_functions_answers() {
    let names: Vec<String> = (0..32).map(|i| format!("f{i}")).collect();
    let flow = format!("flow = [\"ingress -> {} -> egress\"]\n", names.join(" -> "));
    let tables = functions(names.iter().map(String::as_str), "echo", "");
    let service = Service::start(&format!("{HEAD}{flow}{tables}")).unwrap();
    for _ in 0..20 {
        assert_eq!(service.post("t", "through 32").unwrap().body, "through 32");
    }
    let status = service.status_after(20).unwrap();
    let instances = status["chains"][0]["instances"].as_array().unwrap();
    assert_eq!(instances.len(), 32);
    assert!(
        instances
            .iter()
            .all(|instance| instance["runs_succeeded"] == 20 && instance["refused"] == 0)
    );
}

#[test]
fn a_fan_out_of_16_is_sealed_once_and_joined() {
    let names: Vec<String> = (0..16).map(|i| format!("f{i}")).collect();
    let flow = format!(
        "flow = [\"ingress -> first -> {} -> last -> egress\"]\n",
        names.join(" & ")
    );
    let tables = functions(names.iter().map(String::as_str), "echo", "");
    let ends = function("first", "echo", "") + &function("last", "concatenate", "");
    let service = Service::start(&format!("{HEAD}{flow}{tables}{ends}")).unwrap();
    for _ in 0..10 {
        assert_eq!(service.post("t", "ab").unwrap().body, "ab".repeat(16));
    }
    let ran_ten_times = |name: &'static str| {
        move |instance: &Value| instance["function"] == name && instance["runs_succeeded"] == 10
    };
    let status = service
        .status_when("the first and the last have run ten times", |status| {
            instances(status).any(ran_ten_times("first")) && instances(status).any(ran_ten_times("last"))
        })
        .unwrap();
    let first = instances(&status).find(|instance| instance["function"] == "first");
    assert_eq!(
        first.unwrap()["records_published"],
        10,
        "one record for sixteen readers"
    );
}

#[test]
fn thumbnails_are_those_that_the_same_code_makes_without_a_fabric() {
    let sizes = [("small", 160), ("medium", 480), ("large", 960)];
    let resizers: String = sizes
        .iter()
        .map(|(name, width)| {
            function(name, "resize", "").replace(
                "\"resize\" }",
                &format!("\"resize\", WIDTH = \"{width}\", QUALITY = \"80\" }}"),
            )
        })
        .collect();
    let chain = format!(
        "{HEAD}flow = [\"ingress -> decode\", \"decode -> small & medium & large -> pack\", \"pack -> egress\", \
         \"decode.reject -> egress\"]\n[ingress]\ndeadline = \"60s\"\n[defaults]\ntimeout = \"30s\"\n{}{}{}",
        function(
            "decode",
            "decode",
            "ports = [\"out\", \"reject\"]\nmemory = \"448MiB\"\noutbox = \"80MiB\""
        ),
        resizers,
        function("pack", "pack", ""),
    );
    let service = Service::start(&chain).unwrap();
    let photo = example("thumbnails/retina.jpg");
    let reply = service.post("t", photo.clone()).unwrap();
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    let expected: Vec<_> = sizes
        .iter()
        .map(|(name, width)| (*name, Size::new(*width, 80).unwrap()))
        .collect();
    assert_eq!(reply.body, thumbnails::without_fabric(&photo, &expected).unwrap());
    let reply = service.post("t", "this is no photograph").unwrap();
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
}

#[test]
fn a_failed_attempt_is_repeated_and_the_last_failure_is_explained() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> egress\"]\n{}",
        function("a", "fail-once", "retry = { attempts = 3, backoff = \"1ms\" }")
    );
    let service = Service::start(&chain).unwrap();
    assert_eq!(service.post("t", "x").unwrap().body, "x after 2 attempts");
    drop(service);
    for (what, cause) in [("reject", "failed"), ("panic", "panicked")] {
        let table = function("a", what, "retry = { attempts = 2, backoff = \"1ms\" }");
        let service = Service::start(&format!("{HEAD}flow = [\"ingress -> a -> egress\"]\n{table}")).unwrap();
        let reply = service.post("t", "secret payload").unwrap();
        assert_eq!(reply.status, 502);
        let problem = reply.json();
        assert_eq!(problem["function"], "a");
        assert_eq!(problem["cause"], cause);
        assert_eq!(problem["attempts"], if what == "reject" { 1 } else { 2 });
        assert!(!problem.to_string().contains("secret payload"));
    }
}

#[test]
fn a_record_that_fails_for_good_leaves_by_the_error_port() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> egress\", \"a.error -> b -> egress\"]\n{}{}",
        function("a", "panic", "retry = { attempts = 2, backoff = \"1ms\" }"),
        function("b", "echo", "")
    );
    let service = Service::start(&chain).unwrap();
    let reply = service.post("t", "the input").unwrap();
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"the input"[..]));
    assert_eq!(reply.header("hacher-error-function"), Some("a"));
    assert_eq!(reply.header("hacher-error-attempts"), Some("2"));
}

#[test]
fn parts_at_a_join_whose_requests_were_answered_by_another_way_hold_nobody_up() {
    // More than a ring holds of an outbox as small as this.
    const REQUESTS: u64 = 1200;
    let chain = format!(
        "{HEAD}flow = [\"ingress -> left & right -> j -> egress\", \"right.error -> fallback -> egress\"]\n\
         [ingress]\ndeadline = \"50s\"\nmax_body = \"64KiB\"\n{}{}{}{}",
        function("left", "echo", "outbox = \"1MiB\""),
        function("right", "poisonable", ""),
        function("j", "concatenate", ""),
        function("fallback", "echo", "")
    );
    let service = Service::start(&chain).unwrap();
    for _ in 0..REQUESTS {
        assert_eq!(service.post("t", "reject").unwrap().status, 200);
    }
    assert_eq!(service.post("t", "good").unwrap().body, "goodgood");
    let gave_way = |status: &Value| {
        let mut found = instances(status);
        let j = found.find(|instance| instance["function"] == "j").unwrap();
        assert_eq!(j["records_expired"], 0, "{j}");
        j["records_cancelled"].as_u64() > Some(REQUESTS / 3)
    };
    service.status_when("many parts gave way", gave_way).unwrap();
}

#[test]
fn a_handler_that_hangs_is_replaced_and_the_chain_goes_on() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> egress\"]\n[ingress]\ndeadline = \"20s\"\n{}",
        function(
            "a",
            "hang",
            "timeout = \"200ms\"\nretry = { attempts = 2, backoff = \"1ms\" }"
        )
    );
    let service = Service::start(&chain).unwrap();
    let reply = service.post("t", "hang").unwrap();
    assert_eq!(reply.status, 502);
    assert_eq!(reply.json()["cause"], "timed_out");
    assert_eq!(reply.json()["attempts"], 2);
    assert_eq!(service.post("t", "go on").unwrap().body, "go on");
}

#[test]
fn requests_that_cannot_be_taken_are_told_so() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> egress\"]\n[ingress]\nmax_body = \"1KiB\"\ndeadline = \"100ms\"\n{}",
        function("a", "slow", "timeout = \"10s\"")
    );
    let service = Service::start(&chain).unwrap();
    let too_large = service.post("t", vec![0; 1025]).unwrap();
    assert_eq!(too_large.status, 413);
    assert_eq!(too_large.header("content-type"), Some("application/problem+json"));
    assert_eq!(service.post("nowhere", "x").unwrap().status, 404);
    assert_eq!(service.post("t", "x").unwrap().status, 504);
}

#[test]
fn telemetry_tells_where_the_time_of_a_request_went() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> b -> egress\"]\n{}",
        functions(["a", "b"], "echo", "")
    );
    let service = Service::start(&chain).unwrap();
    let reply = service.post("t", vec![7; 10_000]).unwrap();
    let invocation = reply.header("hacher-invocation").unwrap().to_owned();
    // A function notes its run after it has handed over, so the reply may be here first.
    let patience = Instant::now() + Duration::from_secs(20);
    let traces = loop {
        let traces = service
            .operator(&format!("/traces?invocation={invocation}"))
            .unwrap()
            .json();
        if traces["traces"].as_array().unwrap().len() == 2 || Instant::now() > patience {
            break traces;
        }
    };
    let traces: Vec<&Value> = traces["traces"].as_array().unwrap().iter().collect();
    assert_eq!(traces.len(), 2);
    for (trace, (function, from)) in traces.iter().zip([("a", "ingress"), ("b", "a")]) {
        assert_eq!(
            (&trace["function"], &trace["from"]),
            (&Value::from(function), &Value::from(from))
        );
        assert_eq!(trace["in_bytes"], 10_000);
        assert!(trace["open_ns"].as_u64().unwrap() > 0 && trace["seal_ns"].as_u64().unwrap() > 0);
    }
    let metrics = String::from_utf8(service.operator("/metrics").unwrap().body.to_vec()).unwrap();
    for line in [
        "# TYPE hacher_run_duration_seconds histogram",
        "hacher_run_duration_seconds_count{chain=\"t\",function=\"a\"} 1",
        "hacher_open_duration_seconds_count{chain=\"t\",function=\"b\"} 1",
        "hacher_segments_refused_total{chain=\"t\",function=\"b\",reason=\"forged\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn two_chains_are_served_by_one_gateway_and_several_instances_share_the_work() {
    let second = tempfile::tempdir().unwrap();
    let path = second.path().join("second.toml");
    let text = format!(
        "chain = \"second\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n{}",
        function("a", "echo", "")
    );
    std::fs::write(&path, text).unwrap();
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> b -> egress\"]\n{}",
        functions(["a", "b"], "echo", "instances = 3")
    );
    let service = Service::start_with(&chain, &[path.to_str().unwrap()]).unwrap();
    for i in 0..30 {
        assert_eq!(service.post("t", format!("{i}")).unwrap().body, format!("{i}"));
        assert_eq!(
            service.post("second", format!("{i}")).unwrap().body,
            format!("{i}")
        );
    }
    let runs = |instance: &Value| instance["runs_succeeded"].as_u64().unwrap();
    let status = service
        .status_when("both functions have run thirty times", |status| {
            ["a", "b"].iter().all(|name| {
                let of_it = instances(status).filter(|instance| instance["function"] == *name);
                of_it.map(runs).sum::<u64>() == 30
            })
        })
        .unwrap();
    assert_eq!(instances(&status).count(), 6);
    assert!(
        instances(&status).all(|instance| runs(instance) > 0),
        "{status:#}"
    );
}
