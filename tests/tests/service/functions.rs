//! What a function finds: files that do not depend on the disk any more, ordinary system calls, and names for
//! refused ones.

use hacher_skipped::skipped;
use hacher_tests::{Service, function};
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const HEAD: &str = "chain = \"t\"\nversion = \"1\"\n";
/// Only to detect that something never comes.
const PATIENCE: Duration = Duration::from_secs(60);

fn chain(functions: &str) -> String {
    format!("{HEAD}flow = [\"ingress -> f -> egress\"]\n{functions}")
}

#[test]
fn what_ordinary_libraries_do_works_in_a_function() {
    let service = Service::start(&chain(&function("f", "ordinary", ""))).unwrap();
    let reply = service.post("t", b"x".to_vec()).unwrap();
    let report = String::from_utf8(reply.body.to_vec()).unwrap();
    println!("{report}");
    assert_eq!(reply.status, 200);
    assert_eq!(report.lines().count(), 13);
    assert!(report.lines().all(|line| line.starts_with("ok ")));
    let status = service.status().unwrap();
    let refused = status["chains"][0]["instances"][0]["refused_calls"]
        .as_object()
        .unwrap()
        .clone();
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn threads_that_were_started_just_before_serving_do_not_end_their_process() {
    let service = Service::start(&chain(&function("f", "crowd", "instances = 8"))).unwrap();
    assert_eq!(service.post("t", b"x".to_vec()).unwrap().status, 200);
    let status = service.status().unwrap();
    let instances = status["chains"][0]["instances"].as_array().unwrap();
    let ends: Vec<_> = instances
        .iter()
        .filter(|instance| instance["deaths"] != 0)
        .map(|instance| &instance["last_end"])
        .collect();
    assert!(instances.len() >= 8 && ends.is_empty(), "{ends:#?}");
}

#[test]
fn a_handler_keeps_its_state_from_run_to_run() {
    let service = Service::start(&chain(&function("f", "counts", ""))).unwrap();
    for (step, sum) in [("1", "1"), ("2", "3"), ("39", "42")] {
        let reply = service.post("t", step).unwrap();
        assert_eq!((reply.status.as_u16(), &*reply.body), (200, sum.as_bytes()));
        assert_eq!(reply.headers["content-type"], "application/json");
    }
    // Not JSON: no second attempt, and the state stays.
    let reply = service.post("t", "three").unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(
        (reply.status.as_u16(), &problem["attempts"]),
        (502, &1.into()),
        "{problem}"
    );
    assert_eq!(
        problem["reason"],
        "the body is not the JSON that this function understands"
    );
    assert_eq!(&*service.post("t", "1").unwrap().body, b"43");
}

#[test]
fn what_remains_of_a_run_is_what_its_timeout_leaves() {
    let remaining = |deadline: &str, timeout: &str| {
        let chain = format!(
            "{HEAD}flow = [\"ingress -> f -> egress\"]\n[ingress]\ndeadline = \"{deadline}\"\n{}",
            function("f", "remaining", &format!("timeout = \"{timeout}\""))
        );
        let service = Service::start(&chain).unwrap();
        let reply = service.post("t", "").unwrap();
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        text.parse::<u64>().unwrap()
    };
    for (deadline, timeout) in [("50s", "30s"), ("30s", "25s")] {
        let seconds = timeout.trim_end_matches('s').parse::<u64>().unwrap();
        let left_ms = remaining(deadline, timeout);
        assert!(
            left_ms <= seconds * 1000 && left_ms > 0,
            "{left_ms} ms of {timeout}"
        );
    }
}

#[test]
fn refused_calls_fail_are_counted_by_name_and_harm_nothing() {
    let service = Service::start(&chain(&function("f", "refused", ""))).unwrap();
    for _ in 0..3 {
        let reply = service.post("t", b"x".to_vec()).unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(&*reply.body, b"[Some(1), Some(1), Some(1), Some(1)]");
    }
    let status = service.status().unwrap();
    let instance = &status["chains"][0]["instances"][0];
    assert_eq!(instance["epoch"], 1, "it did not die of them");
    assert_eq!(instance["refused_calls"]["socket"], 6, "{instance}");
    assert_eq!(instance["refused_calls"]["symlink"], 3, "{instance}");
    let started = instance["refused_calls"]["clone"].as_u64();
    assert!(started.is_some_and(|count| count >= 3), "{instance}");
    let metrics = String::from_utf8(service.operator("/metrics").unwrap().body.to_vec()).unwrap();
    let name = "hacher_system_calls_refused_total{";
    let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
    let count = line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
    assert!(count >= 12, "{line}");
}

/// A library that this test has loaded, and functions link too.
fn common_library() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let mut paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    paths
        .find(|path| path.contains("/libgcc_s.so"))
        .map(PathBuf::from)
}

#[test]
fn a_function_comes_back_after_its_library_was_replaced_and_removed() {
    let Some(library) = common_library() else {
        skipped!("this test does not link libgcc_s");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(library.file_name().unwrap());
    std::fs::copy(&library, &copy).unwrap();
    let mut table = function("f", "echo", "");
    let path = format!("env = {{ LD_LIBRARY_PATH = \"{}\", ", folder.path().display());
    table = table.replace("env = { ", &path);
    let service = Service::start(&chain(&table)).unwrap();
    assert_eq!(service.post("t", b"1".to_vec()).unwrap().status, 200);
    // As a package upgrade does: the same bytes in another file; then not even that.
    std::fs::copy(&library, folder.path().join("new")).unwrap();
    std::fs::rename(folder.path().join("new"), &copy).unwrap();
    comes_back(&service, 2);
    std::fs::remove_file(&copy).unwrap();
    comes_back(&service, 3);
}

/// Kills the function, and waits until its `starts`-th process serves.
fn comes_back(service: &Service, starts: u64) {
    let process = service.process("f").unwrap();
    kill_process(Pid::from_raw(process).unwrap(), Signal::KILL).unwrap();
    let begun = Instant::now();
    loop {
        let status = service.status().unwrap();
        let instance = &status["chains"][0]["instances"][0];
        if instance["epoch"] == starts && instance["state"] == "ready" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{instance}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let reply = service.post("t", b"again".to_vec()).unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(&*reply.body, b"again");
}
