//! What a trustlet, and the daemon, cannot do; and where plaintext and keys are not to be found.

use hacher_tests::{Service, function, functions};
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

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

/// Every readable byte of a process, searched for `needle`; `None` if the process cannot be read.
fn memory_holds(pid: i32, needle: &[u8]) -> Option<bool> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut searched = 0_u64;
    let mut found = false;
    for line in maps.lines().filter(|line| !line.contains("[v")) {
        let mut words = line.split_whitespace();
        let (Some(range), Some(permissions)) = (words.next(), words.next()) else {
            continue;
        };
        let Some((start, end)) = range.split_once('-') else {
            continue;
        };
        if !permissions.starts_with('r') {
            continue;
        }
        let (start, end) = (
            u64::from_str_radix(start, 16).unwrap(),
            u64::from_str_radix(end, 16).unwrap(),
        );
        let mut at = start;
        let mut window = Vec::new();
        while at < end {
            let len = usize::try_from((end - at).min(4 << 20)).unwrap();
            let mut piece = vec![0; len];
            memory.seek(SeekFrom::Start(at)).unwrap();
            if memory.read_exact(&mut piece).is_err() {
                break;
            }
            searched += len as u64;
            // Pieces overlap by the needle's length.
            let keep = window.len().saturating_sub(needle.len());
            window.drain(..keep);
            window.extend_from_slice(&piece);
            found |= window.windows(needle.len()).any(|bytes| bytes == needle);
            at += len as u64;
        }
    }
    (searched > 0).then_some(found)
}

#[test]
fn plaintext_is_in_its_trustlets_and_neither_in_the_daemon_nor_in_shared_memory() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can read the memory of processes that are not dumpable");
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
    assert_eq!(
        memory_holds(keeper, &marker),
        Some(true),
        "the search finds what is there"
    );
    assert_eq!(memory_holds(daemon, &marker), Some(false));
    assert_eq!(memory_holds(service.monitor_pid(), &marker), Some(false));
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
        assert!(
            !bytes.windows(marker.len()).any(|window| window == marker),
            "{}",
            target.display()
        );
    }
    assert!(
        regions >= 6,
        "an outbox and a page for each instance and the gateway, found {regions}"
    );
}

/// All readable memory of a process.
fn memory(pid: i32) -> Vec<u8> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps
        .lines()
        .filter(|line| !line.contains("[v") && !line.contains("/memfd:"))
    {
        let mut words = line.split_whitespace();
        let (Some(range), Some(permissions)) = (words.next(), words.next()) else {
            continue;
        };
        let Some((start, end)) = range.split_once('-') else {
            continue;
        };
        if !permissions.starts_with("rw") {
            continue;
        }
        let (start, end) = (
            u64::from_str_radix(start, 16).unwrap(),
            u64::from_str_radix(end, 16).unwrap(),
        );
        let mut piece = vec![0; usize::try_from(end - start).unwrap()];
        memory.seek(SeekFrom::Start(start)).unwrap();
        if memory.read_exact(&mut piece).is_ok() {
            all.extend_from_slice(&piece);
        }
    }
    all
}

/// Which of `wanted` occur in `bytes`.
fn those_in(bytes: &[u8], wanted: &HashSet<[u8; 32]>) -> HashSet<[u8; 32]> {
    let windows = bytes.windows(32).filter_map(|window| wanted.get(window));
    windows.copied().collect()
}

#[test]
fn port_keys_are_with_monitor_and_trustlet_and_not_with_the_daemon() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can read the memory of processes that are not dumpable");
        return;
    }
    let chain = format!(
        "{HEAD}flow = [\"ingress -> first -> second -> egress\"]\n{}",
        functions(["first", "second"], "echo", "outbox = \"1MiB\"")
    );
    let service = Service::start(&chain).unwrap();
    assert_eq!(service.post("t", "x").unwrap().status, 200);
    let hex = service.ready["chains"][0]["digest"].as_str().unwrap();
    let digest: Vec<u8> = (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    // A trustlet keeps the secret of each inbound port beside the chain digest. What lies near a digest in
    // the trustlet, looks random, and is known to the monitor as well, is such a secret.
    let trustlet = memory(service.process("second").unwrap());
    let mut near = HashSet::new();
    for at in (0..trustlet.len().saturating_sub(48)).filter(|at| trustlet[*at..].starts_with(&digest)) {
        for start in at.saturating_sub(192)..(at + 240).min(trustlet.len() - 32) {
            let window: [u8; 32] = trustlet[start..start + 32].try_into().unwrap();
            let apart = start + 32 <= at || start >= at + 48;
            if apart && window.iter().collect::<HashSet<_>>().len() >= 24 {
                near.insert(window);
            }
        }
    }
    let secrets = those_in(&memory(service.monitor_pid()), &near);
    assert!(!secrets.is_empty(), "the search finds a key where there is one");
    let daemon = those_in(&memory(service.process("hacher-daemon").unwrap()), &secrets);
    assert!(daemon.is_empty(), "the daemon knows a key");
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
