//! Chains that share a machine: who takes more than its share of the processors lets the others go first.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_fabric::http::Connection;
use hacher_skipped::skipped;
use hacher_tests::programs::PROGRAM;
use hacher_tests::{Service, executable, function, until};
use hacher_trustlet_host::chosen::jail::programs_missing_here;
use hyper::Method;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Each of these wants all processors, and none is to take another's.
static ALONE: Mutex<()> = Mutex::new(());

/// `SCHED_IDLE` (sched(7)).
const BACKGROUND: i32 = 5;

fn chain(name: &str, what: &str, instances: u32) -> String {
    format!(
        "chain = \"{name}\"\nversion = \"1\"\nflow = [\"ingress -> {name}f -> egress\"]\n[ingress]\ndeadline = \"60s\"\n{}",
        function(
            &format!("{name}f"),
            what,
            &format!("timeout = \"60s\"\ninstances = {instances}")
        )
    )
}

async fn post(address: SocketAddr, chain: &str, body: &'static str) {
    let mut connection = Connection::open(address).await.unwrap();
    let path = format!("/chains/{chain}");
    let reply = connection
        .send(Method::POST, &path, None, body.into())
        .await
        .unwrap();
    assert_eq!(reply.status, 200);
}

/// Sends requests to `echo`, some hundred in a second, until told to stop.
fn works(address: SocketAddr, stop: &'static AtomicBool) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let runtime = hacher_tests::runtime();
        runtime.block_on(async {
            while !stop.load(Ordering::Relaxed) {
                post(address, "echo", "x").await;
            }
        });
    })
}

/// The scheduling policies of all threads of the processes with this name.
fn policies(service: &Service, name: &str) -> Vec<i32> {
    let found = service.processes().into_iter().filter(|(_, found)| found == name);
    let tasks = found.flat_map(|(pid, _)| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten());
    let stats = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    // Behind the name, which may hold anything, the 41st field is the 39th.
    let policy = |stat: String| stat.rsplit_once(')')?.1.split_whitespace().nth(38)?.parse().ok();
    stats.filter_map(policy).collect()
}

/// Whether a monitor of this user may bring processes back from the background.
fn can_bring_back() -> bool {
    // CAP_SYS_NICE is bit 23 of what this process may (capabilities(7)).
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let may = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let may = may.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    may.is_some_and(|bits| bits >> 23 & 1 == 1)
        || getrlimit(Resource::Nice).current.is_none_or(|limit| limit >= 20)
}

#[test]
fn functions_that_spin_go_behind_those_of_another_chain_and_come_back() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !can_bring_back() {
        skipped!("this user may not bring processes back from the background");
        return;
    }
    static STOP: AtomicBool = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("echo.toml");
    fs::write(&other, chain("echo", "echo", 1)).unwrap();
    let service = Service::start_with(&chain("spin", "spin", 4), &[other.to_str().unwrap()]).unwrap();
    assert_eq!(policies(&service, "spinf").len(), 4);
    let is_behind = |policy: &i32| *policy == BACKGROUND;
    let gateway = service.gateway;
    let client = works(gateway, &STOP);
    let spinners: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let runtime = hacher_tests::runtime();
                runtime.block_on(post(gateway, "spin", "8000"));
            })
        })
        .collect();
    until("the spinning functions go to the background", || {
        policies(&service, "spinf").iter().all(is_behind)
    });
    for name in ["echof", "hacher-gateway", "hacher-daemon"] {
        let policies = policies(&service, name);
        assert!(
            !policies.is_empty() && !policies.iter().any(is_behind),
            "{name}: {policies:?}"
        );
    }
    for spinner in spinners {
        spinner.join().unwrap();
    }
    until("they come back when they are done", || {
        !policies(&service, "spinf").iter().any(is_behind)
    });
    STOP.store(true, Ordering::Relaxed);
    client.join().unwrap();
}

#[test]
fn a_chain_that_is_alone_is_never_in_the_background() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let service = Service::start(&chain("spin", "spin", 2)).unwrap();
    let gateway = service.gateway;
    let spinner = std::thread::spawn(move || {
        let runtime = hacher_tests::runtime();
        runtime.block_on(post(gateway, "spin", "1500"));
    });
    while !spinner.is_finished() {
        assert!(!policies(&service, "spinf").contains(&BACKGROUND));
        std::thread::sleep(Duration::from_millis(50));
    }
    spinner.join().unwrap();
}

#[test]
fn programs_that_spin_take_their_functions_chain_behind_another() {
    if !can_bring_back() {
        skipped!("this user may not bring processes back from the background");
        return;
    }
    if let Some(missing) = programs_missing_here() {
        skipped!("{missing}");
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    static STOP: AtomicBool = AtomicBool::new(false);
    static IS_BEHIND: AtomicBool = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("echo.toml");
    fs::write(&other, chain("echo", "echo", 1)).unwrap();
    let program = executable("test-function");
    let more = format!(
        "timeout = \"60s\"\nthreads = 8\nsyscalls = \"program\"\nfiles = [{{ from = \"{}\", to = \"{PROGRAM}\" }}]",
        program.display()
    );
    let starts = format!(
        "chain = \"starts\"\nversion = \"1\"\nflow = [\"ingress -> f -> egress\"]\n[ingress]\ndeadline = \"60s\"\n{}",
        function("f", "programs", &more)
    );
    let service = Service::start_with(&starts, &[other.to_str().unwrap()]).unwrap();
    let gateway = service.gateway;
    let client = works(gateway, &STOP);
    let spinner = std::thread::spawn(move || {
        let runtime = hacher_tests::runtime();
        // While other work keeps all chains below their shares, there is no need to put one behind another.
        while !IS_BEHIND.load(Ordering::Relaxed) {
            runtime.block_on(post(gateway, "starts", "spin 8000 4"));
        }
    });
    let is_behind = |policy: &i32| *policy == BACKGROUND;
    until("the programs go to the background", || {
        let policies = policies(&service, PROGRAM);
        policies.len() == 4 && policies.iter().all(is_behind)
    });
    IS_BEHIND.store(true, Ordering::Relaxed);
    assert!(!policies(&service, "echof").iter().any(is_behind));
    spinner.join().unwrap();
    until("their function comes back", || {
        !policies(&service, "f").iter().any(is_behind)
    });
    STOP.store(true, Ordering::Relaxed);
    client.join().unwrap();
}
