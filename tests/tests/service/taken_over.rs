//! A process that was taken over, in the place of a function and of the daemon: clean replacements work,
//! neighbours do not notice, operators see it, and nothing of it reaches a terminal or waits for it.

use hacher_skipped::skipped;
use hacher_tests::tenants::{Tenants, command, get, post, until, write};
use hacher_tests::{Service, function};
use serde_json::Value;
use std::os::unix::fs::MetadataExt;
use tempfile::TempDir;

/// `ingress -> first -> evil -> last -> egress`, of which `evil` does what its input says.
fn chain(name: &str, protection: &str) -> String {
    let functions = [
        function("first", "echo", "outbox = \"1MiB\""),
        function("evil", "taken-over", "outbox = \"1MiB\"\ninstances = 1"),
        function("last", "echo", "outbox = \"1MiB\""),
    ];
    format!(
        "chain = \"{name}\"\nversion = \"1\"\nprotection = \"{protection}\"\n\
         flow = [\"ingress -> first -> evil -> last -> egress\"]\n[ingress]\ndeadline = \"3s\"\n{}",
        functions.concat()
    )
}

fn neighbour() -> String {
    format!(
        "chain = \"n\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n{}",
        function("a", "echo", "outbox = \"1MiB\"")
    )
}

fn evil_of(status: &Value) -> Value {
    let chains = status["chains"].as_array().unwrap();
    let chain = chains.iter().find(|chain| chain["name"] == "c").unwrap();
    let instances = chain["instances"].as_array().unwrap();
    instances
        .iter()
        .find(|instance| instance["function"] == "evil")
        .unwrap()
        .clone()
}

#[test]
fn what_a_function_leaves_keeps_neither_its_replacement_nor_its_neighbours_from_working() {
    for protection in ["sealed", "mapped"] {
        let folder = TempDir::new().unwrap();
        let chains = [("c", chain("c", protection)), ("n", neighbour())];
        let service = Tenants::start(folder.path(), &chains, &[]).unwrap();
        let (address, admin) = (
            service.address("c"),
            service.ready["admin"].as_str().unwrap().parse().unwrap(),
        );
        for attack in ["attack zeros", "attack ones", "attack noise", "attack figures"] {
            for round in 0..2 {
                let before = evil_of(&service.status().unwrap())["epoch"].as_u64().unwrap();
                let attacked = post(address, "c", attack).unwrap();
                println!("{protection}, {attack}: {}", attacked.status);
                assert!(!attacked.status.is_success(), "{attack}");
                let recovered = until(|| {
                    // Nobody else notices.
                    let neighbour = post(service.address("n"), "n", "meanwhile").unwrap();
                    assert_eq!(
                        (neighbour.status.as_u16(), &neighbour.body[..]),
                        (200, &b"meanwhile"[..])
                    );
                    post(address, "c", "fine").unwrap().status == 200
                });
                assert!(recovered, "{protection}, {attack}, round {round}");
                for _ in 0..20 {
                    let reply = post(address, "c", "fine").unwrap();
                    assert_eq!(
                        (reply.status.as_u16(), &reply.body[..]),
                        (200, &b"fine"[..]),
                        "{attack}"
                    );
                }
                // Operators see it.
                let seen = until(|| {
                    let evil = evil_of(&service.status().unwrap());
                    evil["epoch"].as_u64().unwrap() > before && evil["last_end"]["cause"].is_string()
                });
                assert!(seen, "{attack}");
                let metrics = get(admin, "/metrics").unwrap();
                assert_eq!(metrics.status, 200);
                assert!(String::from_utf8_lossy(&metrics.body).contains("hacher_trustlet_deaths_total"));
                assert_eq!(get(admin, "/traces").unwrap().status, 200);
            }
        }
    }
}

#[test]
fn who_fills_and_watches_all_bells_that_it_holds_has_nobody_wait() {
    let folder = TempDir::new().unwrap();
    let chains = [("c", chain("c", "sealed")), ("n", neighbour())];
    let service = Tenants::start(folder.path(), &chains, &[]).unwrap();
    for _ in 0..20 {
        // Its own chain and that of the gateway's other guest go on while it lives.
        assert_eq!(
            post(service.address("c"), "c", "attack and live").unwrap().status,
            200
        );
        assert_eq!(post(service.address("c"), "c", "fine").unwrap().status, 200);
        assert_eq!(post(service.address("n"), "n", "meanwhile").unwrap().status, 200);
    }
    assert_eq!(evil_of(&service.status().unwrap())["epoch"], 1, "it lives");
}

#[test]
fn a_daemon_that_was_taken_over_reaches_no_terminal_and_keeps_nobody_from_working() {
    let folder = TempDir::new().unwrap();
    let chains = [("c", chain("c", "sealed")), ("n", neighbour())];
    let mut service = Tenants::start_as("fabric-haunted", folder.path(), &chains, &[]).unwrap();
    for (name, body) in [("c", "fine"), ("n", "meanwhile")].into_iter().cycle().take(40) {
        let answered =
            until(|| post(service.address(name), name, body).is_ok_and(|reply| reply.status == 200));
        assert!(answered, "{name}");
    }
    assert!(
        service.has_said("not what it seems", 1),
        "what the daemon says is written"
    );
    let said = service.messages();
    let obeyed = |character: char| character.is_control() && character != '\n' && character != '\t';
    assert!(!said.contains(obeyed), "{said:?}");
    service.signal(service.monitor_pid(), rustix::process::Signal::TERM);
    assert_eq!(service.wait().unwrap(), Some(0));
}

/// What stands beside `key` in a file of `/proc`.
fn field(text: &str, key: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_default().trim().to_owned()
}

#[test]
fn nobody_but_monitor_and_scribe_has_what_the_service_was_started_with_and_nobody_is_dumped() {
    let folder = TempDir::new().unwrap();
    let log = write(folder.path(), "log", "").unwrap();
    let outside = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    let service = Service::start_telling(&chain("c", "sealed"), &[], outside.into()).unwrap();
    let log = std::fs::metadata(&log).unwrap();
    let mut processes = service.processes();
    assert!(processes.len() >= 6, "{processes:?}");
    processes.push((service.monitor_pid(), "monitor".to_owned()));
    for (pid, name) in processes {
        let folder = format!("/proc/{pid}");
        let limits = std::fs::read_to_string(format!("{folder}/limits")).unwrap();
        assert_eq!(
            field(&limits, "Max core file size")
                .split_whitespace()
                .take(2)
                .collect::<Vec<_>>(),
            ["1", "1"],
            "{name}: at 1 byte no dump is written, and no handler started"
        );
        let filter = std::fs::read_to_string(format!("{folder}/coredump_filter"));
        assert!(
            filter.is_err() || filter.unwrap().trim() == "00000000",
            "{name}: no memory in a dump"
        );
        assert_eq!(
            std::fs::metadata(format!("{folder}/environ")).unwrap().uid(),
            0,
            "{name} is not dumpable"
        );
        let Ok(open) = std::fs::read_dir(format!("{folder}/fd")) else {
            skipped!("only root sees what {name} has open");
            continue;
        };
        let has_log = open.flatten().any(|entry| {
            std::fs::metadata(entry.path())
                .is_ok_and(|found| (found.dev(), found.ino()) == (log.dev(), log.ino()))
        });
        let may_have = ["monitor", "hacher-scribe"].contains(&name.as_str());
        assert!(may_have || !has_log, "{name} has the service's standard error");
    }
}

#[test]
fn secrets_come_from_beneath_their_folder_alone() {
    let folder = TempDir::new().unwrap();
    let secrets = folder.path().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    let inside = write(&secrets, "key", "x").unwrap();
    let outside = write(folder.path(), "key", "x").unwrap();
    let link = secrets.join("link");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    let secrets = secrets.to_str().unwrap();
    for (file, good) in [(&inside, true), (&outside, false), (&link, false)] {
        let more = format!("secrets = {{ KEY = \"file:{}\" }}", file.display());
        let text = format!(
            "chain = \"s\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n{}",
            function("a", "echo", &more)
        );
        let path = write(folder.path(), "chain.toml", &text).unwrap();
        let path = path.to_str().unwrap();
        let input = write(folder.path(), "input", "hello").unwrap();
        let run = ["run", path, "--input", input.to_str().unwrap()];
        for arguments in [&["check", path][..], &["measure", path][..], &run[..]] {
            let (code, _, _) = command(arguments).unwrap();
            assert_eq!(code, Some(0), "{arguments:?}");
            let confined = [arguments, &["--secrets-dir", secrets]].concat();
            let (code, _, said) = command(&confined).unwrap();
            assert_eq!(code == Some(0), good, "{confined:?}: {said}");
            assert!(good || said.contains("not beneath --secrets-dir"), "{said}");
        }
    }
    let missing = ["check", "x.toml", "--secrets-dir", "/nowhere/at/all"];
    let (code, _, said) = command(&missing).unwrap();
    assert_eq!(code, Some(1));
    assert!(said.contains("--secrets-dir `/nowhere/at/all`"), "{said}");
}

#[test]
fn what_a_stranger_answers_reaches_no_terminal_as_it_is() {
    // A service that is none, and says in its status what a terminal would obey.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stranger = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut client, _) = listener.accept().unwrap();
        let _ = client.read(&mut [0; 4096]).unwrap();
        let status =
            "{\"gateway\":\"\\u001b]0;owned\\u0007\",\"gateway_state\":\"\\u001b[2J\",\"chains\":[]}";
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", status.len());
        client.write_all(format!("{head}{status}").as_bytes()).unwrap();
    });
    let (code, out, said) = command(&["status", "--admin", &address]).unwrap();
    stranger.join().unwrap();
    assert!(code.is_some(), "{said}");
    assert!(
        out.contains("owned") && !out.contains('\u{1b}') && !out.contains('\u{7}'),
        "{out:?}"
    );
}
