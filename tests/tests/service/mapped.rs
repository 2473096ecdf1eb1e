//! Mapped edges end to end: in the real tree of processes, their records are in the memory of both ends and
//! in nobody else's.

use hacher_skipped::skipped;
use hacher_tests::process_memory::contains;
use hacher_tests::{Service, function, functions};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

const HEAD: &str = "chain = \"t\"\nversion = \"1\"\nprotection = \"mapped\"\n";

#[test]
fn a_mapped_chain_answers_with_what_it_was_sent_at_any_size() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> first -> second -> third -> egress\"]\n{}{}",
        functions(["first", "third"], "echo", ""),
        function("second", "mirror", "")
    );
    let service = Service::start(&chain).unwrap();
    for len in [0, 1, 100, 65_533, 65_534, 65_535, 200_000, 5_000_000] {
        let body: Vec<u8> = (0..len).map(|i: u32| i.to_le_bytes()[0]).collect();
        let reply = service.post("t", body.clone()).unwrap();
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        assert_eq!(reply.body, body, "{len} bytes");
        assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    }
    let status = service.status().unwrap();
    let edges = status["chains"][0]["edges"].as_array().unwrap();
    let of = |name: &str| {
        let found = edges.iter().find(|edge| edge["edge"] == name);
        found.unwrap()["protection"].as_str().unwrap()
    };
    assert_eq!(of("ingress -> first"), "sealed");
    assert_eq!(of("first -> second"), "mapped");
    assert_eq!(of("third -> egress"), "sealed");
    assert_eq!(service.stop().unwrap(), Some(0));
}

#[test]
fn a_fan_out_can_be_sealed_to_one_and_mapped_to_another() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> first -> a & b & c -> last -> egress\"]\n[edge.\"first -> b\"]\n\
         protection = \"sealed\"\n[edge.\"c -> last\"]\nprotection = \"sealed\"\n{}{}",
        functions(["first", "a", "b", "c"], "echo", "instances = 2"),
        function("last", "concatenate", "")
    );
    let service = Service::start(&chain).unwrap();
    let body = "0123456789".repeat(20_000);
    for _ in 0..10 {
        assert_eq!(service.post("t", body.clone()).unwrap().body, body.repeat(3));
    }
}

#[test]
fn a_function_that_is_replaced_between_mapped_edges_goes_on() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> first -> second -> third -> egress\"]\n[ingress]\ndeadline = \"20s\"\n{}{}",
        functions(["first", "third"], "echo", ""),
        function(
            "second",
            "hang",
            "timeout = \"200ms\"\nretry = { attempts = 2, backoff = \"1ms\" }"
        )
    );
    let service = Service::start(&chain).unwrap();
    let reply = service.post("t", "hang").unwrap();
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["cause"]),
        (502, &"timed_out".into())
    );
    for name in ["first", "second", "third"] {
        let pid = service.process(name).unwrap();
        service.signal(pid, rustix::process::Signal::KILL);
        assert_eq!(
            service.post("t", "go on").unwrap().body,
            "go on",
            "after the end of {name}"
        );
    }
}

/// The memfds that the monitor holds: name, inode, and whether `needle` is in them.
fn regions(service: &Service, needle: &[u8]) -> Vec<(String, u64, bool)> {
    let mut regions = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{}/fd", service.monitor_pid())).unwrap() {
        let path = entry.unwrap().path();
        let target = std::fs::read_link(&path).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        if !target.starts_with("/memfd:hacher-") {
            continue;
        }
        let Ok(mut file) = File::open(&path) else { continue };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let found = contains(&bytes, needle);
        regions.push((target, file.metadata().unwrap().ino(), found));
    }
    regions
}

/// Whether a process has this region mapped, and whether so that it can write it.
fn maps(pid: i32, inode: u64) -> Option<bool> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut lines = maps.lines().filter(|line| {
        let number = line.split_whitespace().nth(4);
        line.contains("/memfd:hacher-mapped") && number == Some(&inode.to_string())
    });
    let first = lines.next()?;
    let is_writable = |line: &str| line.split_whitespace().nth(1).unwrap().contains('w');
    Some(is_writable(first) || lines.any(is_writable))
}

#[test]
fn the_plaintext_of_a_mapped_edge_is_in_its_own_region_which_its_two_ends_alone_have_mapped() {
    if !rustix::process::geteuid().is_root() {
        skipped!("only root can look at the memory of processes that are not dumpable");
        return;
    }
    let chain = format!(
        "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> one -> two & other -> three -> egress\"]\n\
         [edge.\"one -> two\"]\nprotection = \"mapped\"\n{}{}",
        functions(["one", "two", "other"], "echo", "outbox = \"1MiB\""),
        function("three", "concatenate", "outbox = \"1MiB\"")
    );
    let service = Service::start(&chain).unwrap();
    // Composed at run time, so that the test's own image does not hold it.
    let marker: Vec<u8> = (0..48_u32)
        .map(|i| u8::try_from(33 + (i * 41 + std::process::id() % 50) % 90).unwrap())
        .collect();
    for _ in 0..5 {
        assert_eq!(service.post("t", marker.clone()).unwrap().body, marker.repeat(2));
    }
    let found = regions(&service, &marker);
    assert!(found.iter().any(|(name, ..)| name.contains("hacher-outbox")));
    let holding: BTreeSet<(&str, u64)> = found
        .iter()
        .filter(|(_, _, holds)| *holds)
        .map(|(name, inode, _)| (name.as_str(), *inode))
        .collect();
    let [(name, inode)] = holding.into_iter().collect::<Vec<_>>()[..] else {
        panic!("one region holds the plaintext: {found:?}")
    };
    assert!(name.contains("hacher-mapped"), "{name}");
    let writable = |name: &str| maps(service.process(name).unwrap(), inode);
    assert_eq!(writable("one"), Some(true));
    assert_eq!(writable("two"), Some(false), "a consumer only reads");
    for (pid, name) in service.processes() {
        if name != "one" && name != "two" {
            assert_eq!(maps(pid, inode), None, "{name}");
        }
    }
    assert_eq!(maps(service.monitor_pid(), inode), None);
}
