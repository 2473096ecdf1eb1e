//! Killing parts of the tree: what clients see, and what is left behind.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_tests::tenants::{Tenants, post};
use hacher_tests::{Service, function, functions, instances};
use rustix::process::Signal;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const HEAD: &str = "chain = \"t\"\nversion = \"1\"\n";

fn until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < end, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn killing_the_daemon_fails_no_request_and_it_comes_back() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> b -> egress\"]\n{}",
        functions(["a", "b"], "echo", "")
    );
    let service = Service::start(&chain).unwrap();
    let done = AtomicUsize::new(0);
    let gateway = service.gateway;
    let before = service.process("hacher-daemon").unwrap();
    std::thread::scope(|scope| {
        let requests = scope.spawn(|| {
            let runtime = hacher_tests::runtime();
            runtime.block_on(async {
                let mut connection = hacher_fabric::http::Connection::open(gateway).await.unwrap();
                for i in 0..1000 {
                    let body = format!("request {i}");
                    let sent = connection.send(hyper::Method::POST, "/chains/t", None, body.clone().into());
                    let reply = sent.await.unwrap();
                    assert_eq!(
                        (reply.status.as_u16(), reply.body.as_ref()),
                        (200, body.as_bytes())
                    );
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        until("the first hundred requests", Duration::from_secs(20), || {
            done.load(Ordering::Relaxed) >= 100
        });
        service.signal(before, Signal::KILL);
        requests.join().unwrap();
    });
    assert_eq!(done.load(Ordering::Relaxed), 1000);
    until("a new daemon answers", Duration::from_secs(10), || {
        service.status().is_ok()
    });
    let status = service.status_after(1000).unwrap();
    assert_ne!(service.process("hacher-daemon"), Some(before));
    assert_eq!(status["daemon_restarts"], 1);
    let instances = status["chains"][0]["instances"].as_array().unwrap();
    assert!(
        instances
            .iter()
            .all(|instance| instance["state"] == "ready" && instance["runs_succeeded"] == 1000)
    );
    assert_eq!(service.post("t", "after").unwrap().body, "after");
}

#[test]
fn killing_the_monitor_ends_everything_and_leaves_nothing() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> b -> egress\"]\n{}",
        functions(["a", "b"], "echo", "")
    );
    let mut service = Service::start(&chain).unwrap();
    assert_eq!(service.post("t", "x").unwrap().body, "x");
    let pids = service.processes();
    assert!(pids.len() >= 4, "{pids:?}");
    let shared = |folder: &str| {
        std::fs::read_dir(folder)
            .map(|entries| entries.count())
            .unwrap_or(0)
    };
    let before = shared("/dev/shm");
    service.signal(service.monitor_pid(), Signal::KILL);
    service.wait().unwrap();
    for (pid, name) in pids {
        until(&format!("{name} is gone"), Duration::from_secs(5), || {
            !is_alive(pid)
        });
    }
    assert_eq!(shared("/dev/shm"), before);
}

#[test]
fn a_killed_function_is_replaced_and_its_record_is_redelivered() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> b -> egress\"]\n[ingress]\ndeadline = \"20s\"\n{}{}",
        function("a", "slow", "timeout = \"10s\""),
        function("b", "echo", "")
    );
    let service = Service::start(&chain).unwrap();
    let gateway = service.gateway;
    std::thread::scope(|scope| {
        let requests: Vec<_> = (0..4)
            .map(|i| {
                scope.spawn(move || {
                    let runtime = hacher_tests::runtime();
                    runtime.block_on(async {
                        let mut connection = hacher_fabric::http::Connection::open(gateway).await.unwrap();
                        let body = format!("record {i}");
                        let sent =
                            connection.send(hyper::Method::POST, "/chains/t", None, body.clone().into());
                        let reply = sent.await.unwrap();
                        assert_eq!(
                            (reply.status.as_u16(), reply.body.as_ref()),
                            (200, body.as_bytes())
                        );
                    });
                })
            })
            .collect();
        // The first record has gone on to `b`, and others wait for `a` or are in it.
        service
            .status_when("a request has been run by `a`", |status| {
                instances(status)
                    .any(|instance| instance["function"] == "a" && instance["runs_succeeded"] == 1)
            })
            .unwrap();
        service.signal(service.process("a").unwrap(), Signal::KILL);
        std::thread::sleep(Duration::from_millis(100));
        service.signal(service.process("b").unwrap(), Signal::KILL);
        for request in requests {
            request.join().unwrap();
        }
    });
    let status = service
        .status_when("both have been replaced", |status| {
            instances(status).all(|instance| instance["epoch"] == 2 && instance["state"] == "ready")
        })
        .unwrap();
    assert!(
        instances(&status).all(|instance| instance["refused"] == 0),
        "{status:#}"
    );
}

#[test]
fn sigterm_answers_what_is_in_flight_and_then_stops() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> egress\"]\n[ingress]\ndeadline = \"30s\"\n{}",
        function("a", "slower", "timeout = \"20s\"")
    );
    let mut service = Service::start(&chain).unwrap();
    let gateway = service.gateway;
    let request = std::thread::spawn(move || {
        let runtime = hacher_tests::runtime();
        runtime.block_on(async {
            let mut connection = hacher_fabric::http::Connection::open(gateway).await.unwrap();
            connection
                .send(hyper::Method::POST, "/chains/t", None, "last".into())
                .await
                .unwrap()
        })
    });
    service
        .status_when("the request is in flight", |status| {
            status["chains"][0]["in_flight"] == 1
        })
        .unwrap();
    service.signal(service.monitor_pid(), Signal::TERM);
    assert_eq!(request.join().unwrap().body, "last");
    assert_eq!(service.wait().unwrap(), Some(0));
}

#[test]
fn a_function_that_cannot_start_is_reported_and_the_service_gives_up() {
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> egress\"]\n{}",
        function("a", "no-such-function", "")
    );
    assert!(matches!(
        Service::start(&chain),
        Err(hacher_tests::ServiceError::NotReady { .. })
    ));
}

#[test]
fn a_service_whose_output_is_a_file_that_is_full_still_serves() {
    use std::process::{Command, Stdio};
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.toml");
    let chain = format!(
        "{HEAD}flow = [\"ingress -> a -> egress\"]\n{}",
        functions(["a"], "echo", "")
    );
    std::fs::write(&path, chain).unwrap();
    // A port that was free a moment ago, as nothing that this service says can be read.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let listen = format!("127.0.0.1:{port}");
    let mut monitor = Command::new(env!("CARGO_BIN_EXE_fabric-under-test"))
        .args([
            "serve",
            path.to_str().unwrap(),
            "--listen",
            &listen,
            "--admin",
            "127.0.0.1:0",
            "--tied",
        ])
        .stdin(Stdio::null())
        .stdout(full.try_clone().unwrap())
        .stderr(full)
        .spawn()
        .unwrap();
    let runtime = hacher_tests::runtime();
    let answers = || {
        runtime.block_on(async {
            let mut connection = hacher_fabric::http::Connection::open(listen.parse().unwrap())
                .await
                .ok()?;
            let sent = connection.send(hyper::Method::POST, "/chains/t", None, "x".into());
            tokio::time::timeout(Duration::from_secs(5), sent)
                .await
                .ok()?
                .ok()
        })
    };
    until("it answers", Duration::from_secs(20), || {
        answers().is_some_and(|reply| reply.body == "x")
    });
    monitor.kill().unwrap();
    monitor.wait().unwrap();
}

#[test]
fn nobody_goes_on_with_the_requests_of_a_gateway_that_was_killed() {
    let chain = |ingress: &str| {
        let a = "timeout = \"2s\"\nretry = { attempts = 6, backoff = \"1ms\" }";
        format!(
            "{HEAD}flow = [\"ingress -> a -> egress\"]\n[ingress]\ndeadline = \"60s\"\n{ingress}\n{}",
            function("a", "hang", a)
        )
    };
    // The shared gateway, and one of the chain's own.
    for ingress in ["", "listen = \"127.0.0.1:0\""] {
        let folder = tempfile::tempdir().unwrap();
        let service = Tenants::start(folder.path(), &[("t", chain(ingress))], &[]).unwrap();
        let address = service.address("t");
        let hanging = std::thread::spawn(move || post(address, "t", "hang"));
        let instance = || service.status().unwrap()["chains"][0]["instances"][0].clone();
        until(
            "the first attempt has been ended",
            Duration::from_secs(60),
            || instance()["epoch"].as_u64() >= Some(2),
        );
        let (name, gateway) = service.gateways().remove(0);
        service.signal(gateway, Signal::KILL);
        assert!(
            hanging.join().unwrap().is_err(),
            "of `{name}`: its client cannot be answered"
        );
        until("the gateway answers", Duration::from_secs(60), || {
            post(address, "t", "x").is_ok_and(|reply| reply.status == 200)
        });
        until("the record is given up", Duration::from_secs(60), || {
            instance()["records_cancelled"].as_u64() >= Some(1)
        });
        let lives = instance()["epoch"].as_u64().unwrap();
        assert!(lives <= 4, "attempts went on: {lives} processes");
    }
}
