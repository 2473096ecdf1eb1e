//! Under a service manager: sockets that outlive the service, what it says of itself, and restarts that
//! refuse nobody.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_fabric::http::{Connection, Reply};
use hacher_skipped::skipped;
use hacher_tests::activation::{Activated, Activation};
use hacher_tests::{descendants, function};
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// To detect what hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the service is restarted, unless `HACHER_RESTARTS` says otherwise.
const RESTARTS: u32 = 5;

fn chain(name: &str, ingress: &str) -> String {
    format!(
        "chain = \"{name}\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\ndeadline = \"60s\"\n{ingress}\n{}",
        function("a", "nap", "timeout = \"60s\"\ninstances = 2")
    )
}

fn ask(address: SocketAddr, method: Method, path: &str, body: &str) -> Reply {
    let runtime = hacher_tests::runtime();
    let sent = async {
        let mut connection = Connection::open(address).await.unwrap();
        connection
            .send(method, path, None, body.to_owned().into())
            .await
            .unwrap()
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, sent).await.unwrap() })
}

fn stop(service: &mut Activated) -> Option<i32> {
    service.signal(Signal::TERM);
    service.wait(PATIENCE)
}

#[test]
fn every_socket_serves_whom_its_name_or_address_says_and_is_left_open() {
    let activation = Activation::new(&[("t", &chain("t", ""))], &["own", "gateway", "admin"]).unwrap();
    let listen = format!("listen = \"{}\"", activation.address("own"));
    std::fs::write(activation.folder().join("own.toml"), chain("own", &listen)).unwrap();
    let mut service = activation
        .start(&["t", "own"], &["--drain-delay", "0"], &[])
        .unwrap();
    let ready = activation.hear("READY=1", PATIENCE);
    assert!(ready.is_some(), "{}", service.told());
    assert_eq!(
        ask(activation.address("gateway"), Method::POST, "/chains/t", "1").body,
        "1"
    );
    assert_eq!(
        ask(activation.address("own"), Method::POST, "/chains/own", "2").body,
        "2"
    );
    let status = ask(activation.address("admin"), Method::GET, "/status", "").json();
    assert_eq!(status["chains"].as_array().map(Vec::len), Some(2), "{status:#}");
    assert_eq!(stop(&mut service), Some(0), "{}", service.told());
    // Who connects while nothing runs waits in the queue, at every socket.
    let waiting =
        ["gateway", "own"].map(|name| (name, TcpStream::connect(activation.address(name)).unwrap()));
    let _service = activation
        .start(&["t", "own"], &["--drain-delay", "0"], &[])
        .unwrap();
    for ((name, mut client), chain) in waiting.into_iter().zip(["t", "own"]) {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST /chains/{chain} HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\nconnection: close\r\n\r\n0"
        );
        client.write_all(head.as_bytes()).unwrap();
        let mut reply = String::new();
        client.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200"), "{name}: {reply}");
    }
}

#[test]
fn a_socket_that_is_for_nobody_is_refused_and_so_is_plain_http_beyond_this_machine() {
    let activation = Activation::new(&[("t", &chain("t", ""))], &["gateway", "stranger"]).unwrap();
    let mut service = activation
        .start(&["t"], &["--admin", "127.0.0.1:0"], &[])
        .unwrap();
    assert_eq!(service.wait(PATIENCE), Some(1));
    let told = service.told();
    assert!(
        told.contains("`stranger` at 127.0.0.1:") && told.contains("FileDescriptorName="),
        "{told}"
    );
    assert_eq!(
        told.lines().filter(|line| line.contains("error:")).count(),
        1,
        "{told}"
    );
}

#[test]
fn what_the_service_manager_is_told_follows_the_service() {
    let activation = Activation::new(&[("t", &chain("t", ""))], &["gateway", "admin"]).unwrap();
    let watchdog = [("WATCHDOG_USEC", "2000000")];
    let mut service = activation
        .start(&["t"], &["--drain-delay", "0"], &watchdog)
        .unwrap();
    assert_eq!(
        activation.hear("STATUS=", PATIENCE).as_deref(),
        Some("STATUS=serving 1 chain"),
        "{}",
        service.told()
    );
    assert!(
        activation.hear("READY=1", PATIENCE).is_some(),
        "{}",
        service.told()
    );
    assert_eq!(
        activation.hear("WATCHDOG", PATIENCE).as_deref(),
        Some("WATCHDOG=1")
    );
    service.signal(Signal::HUP);
    let reloading = activation.hear("RELOADING=1", PATIENCE).unwrap();
    let micros = reloading
        .split_once("MONOTONIC_USEC=")
        .and_then(|(_, micros)| micros.parse::<u64>().ok());
    assert!(micros.is_some_and(|micros| micros > 0), "{reloading}");
    assert!(activation.hear("READY=1", PATIENCE).is_some());
    service.signal(Signal::TERM);
    assert!(
        activation
            .hear("STOPPING=1", PATIENCE)
            .unwrap()
            .contains("EXTEND_TIMEOUT_USEC=")
    );
    assert!(
        activation
            .hear("STATUS=drained: 0 served, 0 cut", PATIENCE)
            .is_some()
    );
    assert_eq!(service.wait(PATIENCE), Some(0));
}

#[test]
fn the_watchdog_is_fed_only_while_the_daemon_lives() {
    let activation = Activation::new(&[("t", &chain("t", ""))], &["gateway", "admin"]).unwrap();
    let watchdog = [("WATCHDOG_USEC", "1000000")];
    let service = activation
        .start(&["t"], &["--drain-delay", "0"], &watchdog)
        .unwrap();
    assert!(
        activation.hear("READY=1", PATIENCE).is_some(),
        "{}",
        service.told()
    );
    assert!(activation.hear("WATCHDOG=1", PATIENCE).is_some());
    let daemon = descendants(service.pid())
        .into_iter()
        .find(|(_, name)| name == "hacher-daemon");
    let daemon = Pid::from_raw(daemon.unwrap().0).unwrap();
    kill_process(daemon, Signal::STOP).unwrap();
    // It falls silent, although the monitor lives and requests flow.
    let end = Instant::now() + PATIENCE;
    loop {
        activation.forget();
        if activation.hear("WATCHDOG=1", Duration::from_secs(3)).is_none() {
            break;
        }
        assert!(Instant::now() < end, "a daemon that has stopped is said to live");
    }
    assert_eq!(
        ask(activation.address("gateway"), Method::POST, "/chains/t", "1").body,
        "1"
    );
    kill_process(daemon, Signal::CONT).unwrap();
    assert!(activation.hear("WATCHDOG=1", PATIENCE).is_some());
}

#[test]
fn the_units_of_the_examples_are_understood_by_systemd() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/operations");
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for entry in std::fs::read_dir(examples).unwrap().flatten() {
        let is_unit = |end: &str| entry.path().extension().is_some_and(|found| found == end);
        if is_unit("service") || is_unit("socket") {
            // What it would start need not be installed here.
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let unit = folder.path().join(entry.file_name());
            std::fs::write(&unit, text.replace("/usr/bin/hacher-fabric ", "/bin/true ")).unwrap();
            units.push(unit);
        }
    }
    assert_eq!(units.len(), 3, "{units:?}");
    let Ok(output) = Command::new("systemd-analyze")
        .arg("verify")
        .args(&units)
        .output()
    else {
        skipped!("there is no systemd-analyze");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("hacher"), "{said}");
}

/// What clients have seen over all restarts.
#[derive(Default)]
struct Seen {
    good: AtomicU64,
    /// 503: the drain counts these.
    turned_away: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// Sends requests one after another until told to stop, on one connection for as long as it is kept, or on a
/// new one each time.
async fn client(address: SocketAddr, keeps: bool, seen: &Seen, stop: &AtomicBool) {
    let mut kept = None;
    let mut sent = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => match Connection::open(address).await {
                Ok(connection) => connection,
                Err(error) => {
                    seen.refused.fetch_add(1, Ordering::Relaxed);
                    seen.failures.lock().unwrap().push(error.to_string());
                    continue;
                }
            },
        };
        sent += 1;
        let body = if sent.is_multiple_of(16) { "30" } else { "0" };
        match connection
            .send(Method::POST, "/chains/t", None, body.into())
            .await
        {
            Ok(reply) if reply.status == 200 && reply.body == body => {
                seen.good.fetch_add(1, Ordering::Relaxed);
                let closes = reply.header("connection") == Some("close");
                kept = (keeps && !closes).then_some(connection);
            }
            Ok(reply) if reply.status == 503 => {
                seen.turned_away.fetch_add(1, Ordering::Relaxed);
            }
            Ok(reply) => {
                seen.failed.fetch_add(1, Ordering::Relaxed);
                seen.failures
                    .lock()
                    .unwrap()
                    .push(format!("{}: {:?}", reply.status, reply.body));
            }
            Err(error) => {
                seen.failed.fetch_add(1, Ordering::Relaxed);
                seen.failures
                    .lock()
                    .unwrap()
                    .push(format!("keeps: {keeps}: {error}"));
            }
        }
    }
}

/// Served, cut and refused, as the last line of a service says.
fn drained(told: &str) -> [u64; 3] {
    let line = told
        .lines()
        .find_map(|line| line.split_once("drained: "))
        .map(|(_, rest)| rest);
    let numbers = line.unwrap_or_else(|| panic!("{told}")).split([' ', ',']);
    let numbers: Vec<u64> = numbers.filter_map(|word| word.parse().ok()).collect();
    [numbers[0], numbers[1], numbers[2]]
}

#[test]
fn restarts_under_load_refuse_nobody() {
    let restarts = std::env::var("HACHER_RESTARTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(RESTARTS);
    let activation = Activation::new(&[("t", &chain("t", ""))], &["gateway", "admin"]).unwrap();
    let address = activation.address("gateway");
    let (seen, stop) = (Seen::default(), AtomicBool::new(false));
    let mut sums = [0; 3];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = hacher_tests::runtime();
            runtime.block_on(async {
                let each = |at: u32| client(address, at.is_multiple_of(2), &seen, &stop);
                tokio::join!(
                    each(0),
                    each(1),
                    each(2),
                    each(3),
                    each(4),
                    each(5),
                    each(6),
                    each(7)
                );
            });
        });
        for restart in 0..=restarts {
            let mut service = activation.start(&["t"], &["--drain-delay", "1"], &[]).unwrap();
            assert!(
                activation.hear("READY=1", PATIENCE).is_some(),
                "{}",
                service.told()
            );
            let (before, end) = (seen.good.load(Ordering::Relaxed), Instant::now() + PATIENCE);
            while seen.good.load(Ordering::Relaxed) < before + 100 {
                assert!(
                    Instant::now() < end,
                    "{restart}: nobody is served; {}",
                    service.told()
                );
                std::thread::sleep(Duration::from_millis(5));
            }
            if restart == restarts {
                // Clients go first, so that all that they see is counted.
                stop.store(true, Ordering::Relaxed);
            }
            service.signal(Signal::TERM);
            let code = service.wait(PATIENCE);
            let told = service.told();
            let sum = drained(&told);
            assert_eq!(code, Some(if sum[1] == 0 { 0 } else { 3 }), "{told}");
            (0..3).for_each(|at| sums[at] += sum[at]);
        }
    });
    let failures = seen.failures.into_inner().unwrap();
    let (good, turned_away) = (seen.good.into_inner(), seen.turned_away.into_inner());
    let (refused, failed) = (seen.refused.into_inner(), seen.failed.into_inner());
    println!(
        "{restarts} restarts: {good} good, {refused} refused connections, {failed} failed, {turned_away} got 503; drains counted \
         {} served, {} cut, {} refused",
        sums[0], sums[1], sums[2]
    );
    assert_eq!((refused, failed), (0, 0), "{failures:?}");
    assert_eq!(
        turned_away,
        sums[1] + sums[2],
        "the drain counts what clients see"
    );
}
