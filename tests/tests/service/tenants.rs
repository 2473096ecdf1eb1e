//! Chains with gateways of their own: each is served at its own address by its own process, and what becomes
//! of one is nothing to the others.

use hacher_skipped::skipped;
use hacher_tests::process_memory::{Mappings, digest_bytes, memory_holds};
use hacher_tests::tenants::{Tenants, command, get, post, until};
use hacher_tests::{function, functions};
use rustix::process::Signal;
use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A chain of one function, with these lines in `[ingress]`.
fn chain(name: &str, ingress: &str, what: &str) -> String {
    format!(
        "chain = \"{name}\"\nversion = \"1\"\nflow = [\"ingress -> f -> egress\"]\n[ingress]\nmax_body = \"1MiB\"\n{ingress}\n{}",
        functions(["f"], what, "outbox = \"1MiB\"\ntimeout = \"4s\"")
    )
}

const OWN: &str = "listen = \"127.0.0.1:0\"";

fn three(what: &str) -> Vec<(&'static str, String)> {
    vec![
        ("a", chain("a", OWN, what)),
        ("b", chain("b", OWN, what)),
        ("c", chain("c", "", what)),
    ]
}

#[test]
fn each_chain_is_served_at_its_own_address_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let service = Tenants::start(folder.path(), &three("echo"), &[]).unwrap();
    let addresses: Vec<SocketAddr> = ["a", "b", "c"].map(|name| service.address(name)).to_vec();
    assert_eq!(addresses.iter().collect::<HashSet<_>>().len(), 3, "{addresses:?}");
    for (at, address) in addresses.iter().enumerate() {
        for (of, name) in ["a", "b", "c"].into_iter().enumerate() {
            let reply = post(*address, name, "x").unwrap();
            let expected = if at == of { 200 } else { 404 };
            assert_eq!(reply.status, expected, "chain {name} at {address}");
            if at != of {
                // Nor does it tell who else there is.
                let alone = ["a", "b", "c"][at];
                assert_eq!(reply.json()["chains"], serde_json::json!([alone]));
            }
        }
        for path in ["/healthz", "/readyz"] {
            assert_eq!(get(*address, path).unwrap().status, 200);
        }
    }
    let mut gateways: Vec<String> = service.gateways().into_iter().map(|(name, _)| name).collect();
    gateways.sort_unstable();
    assert_eq!(gateways, ["", "a", "b"], "three processes");
    assert_eq!(
        service.ready["listen"],
        addresses[2].to_string(),
        "the shared one, as before"
    );
    let status = service.status().unwrap();
    assert_eq!(status["gateway"], addresses[2].to_string());
    assert_eq!(status["gateway_state"], "ready");
    for (at, own) in [true, true, false].into_iter().enumerate() {
        for report in [&service.ready["chains"][at], &status["chains"][at]] {
            assert_eq!(report["listen"], addresses[at].to_string());
            assert_eq!(report["own_gateway"], own);
            assert_eq!(report["tls"], false);
        }
        assert_eq!(status["chains"][at]["gateway"]["state"], "ready");
    }
    let admin = service.ready["admin"].as_str().unwrap();
    let (code, text, _) = command(&["status", "--admin", admin]).unwrap();
    assert_eq!(code, Some(0));
    assert!(
        text.contains(&format!("gateway of its own {}", addresses[0])),
        "{text}"
    );
}

/// Sends requests to a chain until it is told to stop; how many were answered with 200, and the first that
/// was not.
fn load(address: SocketAddr, name: &str, stop: &AtomicBool, done: &AtomicUsize) -> Result<(), String> {
    let runtime = hacher_tests::runtime();
    runtime.block_on(async {
        let mut connection = hacher_fabric::http::Connection::open(address)
            .await
            .map_err(|error| error.to_string())?;
        let path = format!("/chains/{name}");
        while !stop.load(Ordering::Relaxed) {
            let sent = connection.send(hyper::Method::POST, &path, None, "load".into());
            let reply = sent.await.map_err(|error| error.to_string())?;
            if reply.status != 200 {
                return Err(format!("{}", reply.status));
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })
}

#[test]
fn killing_one_gateway_fails_no_request_of_another_and_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let service = Tenants::start(folder.path(), &three("echo"), &[]).unwrap();
    let stop = AtomicBool::new(false);
    let done = [AtomicUsize::new(0), AtomicUsize::new(0)];
    std::thread::scope(|scope| {
        let loads: Vec<_> = ["b", "c"]
            .into_iter()
            .zip(&done)
            .map(|(name, done)| {
                let (address, stop) = (service.address(name), &stop);
                scope.spawn(move || load(address, name, stop, done))
            })
            .collect();
        for _ in 0..3 {
            let counts = done.each_ref().map(|done| done.load(Ordering::Relaxed));
            let victim = service.gateway("a").unwrap();
            service.signal(victim, Signal::KILL);
            assert!(until(|| service.gateway("a").is_some_and(|pid| pid != victim)));
            assert!(until(
                || post(service.address("a"), "a", "back").is_ok_and(|reply| reply.body == "back")
            ));
            let goes_on = |(done, before): (&AtomicUsize, usize)| done.load(Ordering::Relaxed) > before + 20;
            assert!(
                until(|| done.iter().zip(counts).all(goes_on)),
                "the others serve meanwhile"
            );
        }
        stop.store(true, Ordering::Relaxed);
        for load in loads {
            load.join().unwrap().unwrap();
        }
    });
    let status = service.status().unwrap();
    let epochs: Vec<_> = (0..3)
        .map(|at| status["chains"][at]["gateway"]["epoch"].clone())
        .collect();
    assert_eq!(epochs, [4, 1, 1], "{status:#}");
}

/// What a process has mapped of regions: device and inode of each.
fn regions(pid: i32) -> HashSet<(String, String)> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mapped = maps.lines().filter(|line| line.contains("/memfd:hacher-"));
    let place = |line: &str| {
        let mut words = line.split_whitespace().skip(3);
        let (device, inode) = (words.next().unwrap(), words.next().unwrap());
        (device.to_owned(), inode.to_owned())
    };
    mapped
        .filter(|line| line.contains("outbox") || line.contains("page"))
        .map(place)
        .collect()
}

/// The regions among the descriptors of a process.
fn region_descriptors(pid: i32) -> HashSet<(u64, u64)> {
    let folder = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let regions = paths.filter(|path| {
        let target = std::fs::read_link(path).unwrap_or_default();
        let target = target.to_string_lossy();
        target.starts_with("/memfd:hacher-outbox") || target.starts_with("/memfd:hacher-instance-page")
    });
    let place = |path: std::path::PathBuf| std::fs::metadata(path).ok();
    regions
        .filter_map(place)
        .map(|found| (found.dev(), found.ino()))
        .collect()
}

#[test]
fn a_gateway_has_no_region_no_digest_and_no_plaintext_of_another_chain() {
    if !rustix::process::geteuid().is_root() {
        skipped!("only root can look into processes that are not dumpable");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let service = Tenants::start(folder.path(), &three("echo"), &[]).unwrap();
    // Composed at run time, so that the test's own image does not hold it.
    let marker: Vec<u8> = (0..48_u32)
        .map(|i| u8::try_from(33 + (i * 37 + std::process::id() % 50) % 90).unwrap())
        .collect();
    for _ in 0..20 {
        assert_eq!(
            post(service.address("b"), "b", marker.clone()).unwrap().body,
            marker
        );
        assert_eq!(post(service.address("a"), "a", "else").unwrap().body, "else");
    }
    let names = ["a", "b", ""];
    let pids = names.map(|name| service.gateway(name).unwrap());
    let holds = |pid, needle: &[u8]| memory_holds(pid, Mappings::Readable, needle).unwrap();
    assert!(holds(pids[1], &marker), "the search finds it where it is");
    assert!(!holds(pids[0], &marker) && !holds(pids[2], &marker));
    for (at, pid) in pids.into_iter().enumerate() {
        assert!(regions(pid).len() >= 2, "an outbox and a page at least");
        for other in pids.into_iter().skip(at + 1) {
            assert!(regions(pid).is_disjoint(&regions(other)), "{at}");
            assert!(
                region_descriptors(pid).is_disjoint(&region_descriptors(other)),
                "{at}"
            );
        }
        // Beside the digest of a chain a gateway keeps what its keys are derived from.
        for (of, name) in ["a", "b", "c"].into_iter().enumerate() {
            let digest = digest_bytes(service.chain(name)["digest"].as_str().unwrap());
            assert_eq!(holds(pid, &digest), at == of, "chain {name}, gateway {at}");
        }
    }
}

#[test]
fn sigterm_answers_what_is_in_flight_at_every_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = Tenants::start(folder.path(), &three("slow"), &[]).unwrap();
    let addresses = ["a", "b", "c"].map(|name| (name, service.address(name)));
    let requests = addresses.map(|(name, address)| std::thread::spawn(move || post(address, name, "last")));
    let in_flight = || {
        let status = service.status().unwrap();
        (0..3).all(|at| status["chains"][at]["in_flight"] == 1)
    };
    assert!(until(in_flight), "the requests are under way");
    service.signal(service.monitor_pid(), Signal::TERM);
    for request in requests {
        assert_eq!(request.join().unwrap().unwrap().body, "last");
    }
    assert_eq!(service.wait().unwrap(), Some(0));
}

#[test]
fn a_handler_that_overruns_is_ended_in_a_chain_with_a_gateway_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "chain = \"a\"\nflow = [\"ingress -> f -> egress\"]\n[ingress]\n{OWN}\ndeadline = \"30s\"\n{}",
        function("f", "hang", "timeout = \"100ms\"\nretry = { attempts = 1 }")
    );
    let chains = [("a", text), ("c", chain("c", "", "echo"))];
    let service = Tenants::start(folder.path(), &chains, &[]).unwrap();
    // The daemon sleeps until the gateway rings its bell.
    assert_eq!(post(service.address("a"), "a", "hang").unwrap().status, 502);
    assert_eq!(post(service.address("c"), "c", "x").unwrap().status, 200);
}

#[test]
fn where_every_chain_has_its_own_there_is_no_shared_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let chains = &three("echo")[..2];
    let service = Tenants::start(folder.path(), chains, &[]).unwrap();
    assert_eq!(service.ready["listen"], serde_json::Value::Null);
    assert_eq!(service.gateways().len(), 2);
    assert!(service.has_said("--listen is not opened", 1));
    for name in ["a", "b"] {
        assert_eq!(post(service.address(name), name, "x").unwrap().body, "x");
    }
    let status = service.status().unwrap();
    assert_eq!(status["gateway"], serde_json::Value::Null);
}

#[test]
fn an_address_that_is_in_use_is_named_with_its_key_and_its_chain() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let chains = [("a", chain("a", &format!("listen = \"{address}\""), "echo"))];
    let (code, text) = Tenants::refused(folder.path(), &chains, &["--listen", "127.0.0.1:0"]).unwrap();
    assert_eq!(code, Some(1), "{text}");
    for word in [&address.to_string(), "`listen` of chain `a`", "a.toml", "in use"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
}

#[test]
fn two_chains_with_one_address_are_refused_by_check_and_by_serve() {
    let folder = tempfile::tempdir().unwrap();
    let place = "listen = \"127.0.0.1:9\"";
    let chains = [("a", chain("a", place, "echo")), ("b", chain("b", place, "echo"))];
    let (code, text) = Tenants::refused(folder.path(), &chains, &["--listen", "127.0.0.1:0"]).unwrap();
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("E0512") && text.contains("chain `a` has it"),
        "{text}"
    );
    let paths = ["a.toml", "b.toml"].map(|name| folder.path().join(name));
    let paths = paths.each_ref().map(|path| path.to_str().unwrap());
    let (code, out, err) = command(&["check", paths[0], paths[1]]).unwrap();
    assert_eq!(code, Some(1));
    assert!(
        out.contains("a.toml: chain `a`") && out.contains("served by a gateway of its own at 127.0.0.1:9")
    );
    assert!(err.contains("E0512") && err.contains("b.toml:"), "{err}");
    for path in paths {
        assert_eq!(command(&["check", path]).unwrap().0, Some(0), "alone it is good");
    }
}

#[test]
fn plain_http_beyond_loopback_is_refused_for_a_chains_own_gateway_too() {
    let folder = tempfile::tempdir().unwrap();
    let chains = [("a", chain("a", "listen = \"0.0.0.0:0\"", "echo"))];
    let (code, text) = Tenants::refused(folder.path(), &chains, &[]).unwrap();
    assert_eq!(code, Some(1));
    assert!(text.contains("E0217"), "{text}");
}

fn digest(path: &Path) -> String {
    let (code, out, err) = command(&["measure", path.to_str().unwrap(), "--format", "json"]).unwrap();
    assert_eq!(code, Some(0), "{err}");
    let measured: serde_json::Value = serde_json::from_str(&out).unwrap();
    measured["digest"].as_str().unwrap().to_owned()
}

#[test]
fn the_digest_tells_an_own_gateway_and_its_tls_but_not_its_address_and_measure_agrees_with_serve() {
    let folder = tempfile::tempdir().unwrap();
    let service = Tenants::start(folder.path(), &three("echo"), &[]).unwrap();
    for name in ["a", "c"] {
        let measured = digest(&folder.path().join(format!("{name}.toml")));
        assert_eq!(service.chain(name)["digest"], measured, "{name}");
    }
    let of = |ingress: &str| {
        let path = folder.path().join("d.toml");
        std::fs::write(&path, chain("d", ingress, "echo")).unwrap();
        digest(&path)
    };
    // The files need not be there: what they hold is no part of it.
    let tls = |more: &str| of(&format!("{OWN}\ntls = {{ cert = \"c\", key = \"k\"{more} }}"));
    let all = [of(""), of(OWN), tls(""), tls(", client_ca = \"ca\"")];
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 4, "{all:#?}");
    assert_eq!(of(OWN), of("listen = \"127.0.0.1:9001\""));
}

#[test]
fn run_puts_an_input_through_a_chain_while_its_address_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ingress = format!("listen = \"{address}\"\ntls = {{ cert = \"none\", key = \"none\" }}");
    let path = folder.path().join("a.toml");
    std::fs::write(&path, chain("a", &ingress, "echo")).unwrap();
    let input = folder.path().join("input");
    std::fs::write(&input, "through").unwrap();
    let arguments = ["run", path.to_str().unwrap(), "--input", input.to_str().unwrap()];
    let (code, out, err) = command(&arguments).unwrap();
    assert_eq!((code, out.as_str()), (Some(0), "through"), "{err}");
    drop(TcpStream::connect(address));
}
