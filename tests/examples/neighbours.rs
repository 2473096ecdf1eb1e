//! Measures what functions of one chain that spin cost the clients of another chain: `cargo run --release -p hacher-tests
//! --example neighbours`. How to read the figures: `tests/README.md`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measuring program: it ends where something is wrong"
)]

use hacher_fabric::http::Connection;
use hacher_tests::{Service, function};
use hyper::Method;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Clients of `echo`, each with one connection, one request after another.
const CLIENTS: usize = 4;
const BODY_BYTES: usize = 1024;
/// Functions that spin.
const SPINNERS: u32 = 4;
/// For how long is measured, and for how long the spinners run before.
const MEASURED: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_secs(1);
/// How often both are measured, in turns.
const ROUNDS: usize = 7;

fn chain(name: &str, what: &str, instances: u32) -> String {
    let function = function("a", what, &format!("timeout = \"60s\"\ninstances = {instances}"));
    format!(
        "chain = \"{name}\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\ndeadline = \"60s\"\n{function}"
    )
}

/// Latencies of `echo` in microseconds, sorted.
fn measure(address: SocketAddr) -> Vec<u64> {
    let client = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut took = Vec::new();
            let mut connection = Connection::open(address).await.unwrap();
            let end = Instant::now() + MEASURED;
            while Instant::now() < end {
                let start = Instant::now();
                let body = vec![b'x'; BODY_BYTES].into();
                let reply = connection
                    .send(Method::POST, "/chains/echo", None, body)
                    .await
                    .unwrap();
                took.push(u64::try_from(start.elapsed().as_micros()).unwrap());
                assert_eq!((reply.status.as_u16(), reply.body.len()), (200, BODY_BYTES));
            }
            took
        })
    };
    let threads: Vec<_> = (0..CLIENTS).map(|_| std::thread::spawn(client)).collect();
    let mut all: Vec<u64> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    all.sort_unstable();
    all
}

/// Keeps all functions of `spin` busy until told to stop.
fn spin(address: SocketAddr, stop: &AtomicBool) {
    std::thread::scope(|scope| {
        for _ in 0..SPINNERS {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let mut connection = Connection::open(address).await.unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        let sent = connection.send(Method::POST, "/chains/spin", None, "500".into());
                        assert_eq!(sent.await.unwrap().status, 200);
                    }
                });
            });
        }
    });
}

fn report(what: &str, took: &[u64]) -> [f64; 3] {
    let at = |part: usize| took[(took.len() * part / 1000).min(took.len() - 1)];
    println!(
        "{what:<14} requests {:>7}  p50 {:>6} us  p99 {:>6} us  p99.9 {:>6} us",
        took.len(),
        at(500),
        at(990),
        at(999)
    );
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    [took.len() as f64, at(500) as f64, at(990) as f64]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("spin.toml");
    std::fs::write(&other, chain("spin", "spin", SPINNERS)).unwrap();
    let service = Service::start_with(&chain("echo", "echo", 1), &[other.to_str().unwrap()]).unwrap();
    let address = service.gateway;
    let mut ratios = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let alone = report("alone", &measure(address));
        let stop = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            scope.spawn(|| spin(address, &stop));
            std::thread::sleep(WARM_UP);
            let took = measure(address);
            stop.store(true, Ordering::Relaxed);
            report("beside spinners", &took)
        });
        for (at, ratios) in ratios.iter_mut().enumerate() {
            ratios.push(beside[at] / alone[at]);
        }
    }
    let [throughput, p50, p99] = ratios.map(median);
    println!("medians of {ROUNDS} ratios: throughput {throughput:.2}, p50 {p50:.2}, p99 {p99:.2}");
}
