//! What a trustlet, and the daemon, cannot do; and where plaintext and keys are not to be found.

use hacher_skipped::skipped;
use hacher_tests::process_memory::{Mappings, contains, known_to, memory_holds, port_secrets};
use hacher_tests::{Service, function, functions};
use std::fs::File;
use std::io::Read;

const HEAD: &str = "chain = \"t\"\nversion = \"1\"\n";

#[test]
fn a_hostile_function_is_refused_everything_and_the_chain_goes_on() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> evil -> good -> egress\"]\n{}{}",
        function("evil", "hostile", ""),
        function("good", "echo", "")
    );
    let service = Service::start(&chain).unwrap();
    for _ in 0..2 {
        let reply = service
            .post("t", service.chain_file().to_str().unwrap().to_owned())
            .unwrap();
        let report = String::from_utf8(reply.body.to_vec()).unwrap();
        println!("{report}");
        assert_eq!(reply.status, 200);
        assert_eq!(report.lines().count(), 16);
        for line in report.lines() {
            assert!(line.starts_with("refused"), "{line}");
        }
    }
    let status = service.status().unwrap();
    assert_eq!(
        status["chains"][0]["instances"][0]["epoch"], 1,
        "it was not even replaced"
    );
}

#[test]
fn plaintext_is_in_its_trustlets_and_neither_in_the_daemon_nor_in_shared_memory() {
    if !rustix::process::geteuid().is_root() {
        skipped!("only root can read the memory of processes that are not dumpable");
        return;
    }
    let chain = format!(
        "{HEAD}flow = [\"ingress -> keeper -> other -> egress\"]\n{}{}",
        function("keeper", "keep", "outbox = \"1MiB\""),
        function("other", "echo", "outbox = \"1MiB\"")
    );
    let service = Service::start(&chain).unwrap();
    // Composed at run time, so that the test's own image does not hold it.
    let marker: Vec<u8> = (0..48_u32)
        .map(|i| u8::try_from(33 + (i * 37 + std::process::id() % 50) % 90).unwrap())
        .collect();
    for _ in 0..20 {
        assert_eq!(service.post("t", marker.clone()).unwrap().body, marker);
    }
    let keeper = service.process("keeper").unwrap();
    let daemon = service.process("hacher-daemon").unwrap();
    let holds = |pid| memory_holds(pid, Mappings::Readable, &marker).unwrap();
    assert!(holds(keeper), "the search finds what is there");
    assert!(!holds(daemon) && !holds(service.monitor_pid()));
    let mut regions = 0;
    for entry in std::fs::read_dir(format!("/proc/{}/fd", service.monitor_pid())).unwrap() {
        let path = entry.unwrap().path();
        let target = std::fs::read_link(&path).unwrap_or_default();
        if !target.to_string_lossy().starts_with("/memfd:") {
            continue;
        }
        let Ok(mut file) = File::open(&path) else { continue };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        regions += 1;
        assert!(!contains(&bytes, &marker), "{}", target.display());
    }
    assert!(
        regions >= 6,
        "an outbox and a page for each instance and the gateway, found {regions}"
    );
}

#[test]
fn port_keys_are_with_monitor_and_trustlet_and_not_with_the_daemon() {
    if !rustix::process::geteuid().is_root() {
        skipped!("only root can read the memory of processes that are not dumpable");
        return;
    }
    let chain = format!(
        "{HEAD}flow = [\"ingress -> first -> second -> egress\"]\n{}",
        functions(["first", "second"], "echo", "outbox = \"1MiB\"")
    );
    let service = Service::start(&chain).unwrap();
    assert_eq!(service.post("t", "x").unwrap().status, 200);
    let secrets = port_secrets(&service, service.process("second").unwrap()).unwrap();
    let daemon = service.process("hacher-daemon").unwrap();
    assert!(
        known_to(daemon, &secrets).unwrap().is_empty(),
        "the daemon knows a key"
    );
}

#[test]
fn nobody_but_root_can_look_into_the_processes_of_the_tree() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> egress\"]\n{}",
        functions(["a"], "echo", "")
    );
    let service = Service::start(&chain).unwrap();
    let mut pids: Vec<(i32, String)> = service.processes();
    pids.push((service.monitor_pid(), "monitor".to_owned()));
    assert!(pids.len() >= 4, "{pids:?}");
    for (pid, name) in pids {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |key: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .map(str::trim)
                .unwrap()
                .to_owned()
        };
        if name != "monitor" {
            assert_eq!(field("Seccomp:"), "2", "{name} is behind a filter");
            assert_eq!(field("NoNewPrivs:"), "1", "{name}");
            assert_eq!(
                u64::from_str_radix(&field("CapEff:"), 16).unwrap(),
                0,
                "{name} has no capability"
            );
        }
        // Files of a process that is not dumpable belong to root.
        use std::os::unix::fs::MetadataExt;
        let owner = std::fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid();
        assert_eq!(owner, 0, "{name} is not dumpable");
    }
}
