//! Measures what functions of one chain that spin cost the clients of another chain. How to build it, beside
//! the executables that it starts, and how to read the figures: `tests/README.md`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measuring program: it ends where something is wrong"
)]

use hacher_fabric::http::Connection;
use hacher_tests::latency::{Measured, measure};
use hacher_tests::{Service, function};
use hyper::Method;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

/// Keeps all functions of `spin` busy until told to stop.
fn spin(address: SocketAddr, stop: &AtomicBool) {
    std::thread::scope(|scope| {
        for _ in 0..SPINNERS {
            scope.spawn(|| {
                let runtime = hacher_tests::runtime();
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

fn report(what: &str, measured: &Measured) -> [f64; 3] {
    println!("{what:<16} {measured}");
    assert_eq!(measured.failed, 0, "every request of `echo` is answered");
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    [
        measured.requests() as f64,
        measured.at_most_us(500) as f64,
        measured.at_most_us(990) as f64,
    ]
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
        let alone = report("alone", &measure(address, "/chains/echo", MEASURED));
        let stop = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            scope.spawn(|| spin(address, &stop));
            std::thread::sleep(WARM_UP);
            let measured = measure(address, "/chains/echo", MEASURED);
            stop.store(true, Ordering::Relaxed);
            report("beside spinners", &measured)
        });
        for (at, ratios) in ratios.iter_mut().enumerate() {
            ratios.push(beside[at] / alone[at]);
        }
    }
    let [throughput, p50, p99] = ratios.map(median);
    println!("medians of {ROUNDS} ratios: throughput {throughput:.2}, p50 {p50:.2}, p99 {p99:.2}");
}
