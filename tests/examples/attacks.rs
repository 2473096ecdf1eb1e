//! Measures what two attacks on the gateway cost the clients of another chain that it serves. How to build
//! it, beside the executables that it starts, and how to read the figures: `tests/README.md`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measuring program: it ends where something is wrong"
)]

use hacher_tests::latency::{Measured, measure};
use hacher_tests::{Service, functions};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// For how long is measured.
const MEASURED: Duration = Duration::from_secs(20);
/// For how long an attacker holds a connection before it begins another: about as long as the gateway waits
/// for it.
const HELD: Duration = Duration::from_secs(12);
/// How far attackers stand behind everybody else: they run on the machine that they attack, where those of a
/// real attack would have processors of their own.
const BEHIND: i32 = 19;
/// How often each of the three is measured, in turns.
const ROUNDS: usize = 3;

/// Attacks the gateway at an address until it is told to stop.
type Attack = fn(SocketAddr, &AtomicBool);

fn chain(name: &str) -> String {
    let functions = functions(["a"], "echo", "");
    format!(
        "chain = \"{name}\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\ndeadline = \"10s\"\n{functions}"
    )
}

/// 128 requests that announce 32 MiB and send nothing, again and again.
fn announce(address: SocketAddr, stop: &AtomicBool) {
    let head = b"POST /chains/t HTTP/1.1\r\nhost: x\r\ncontent-length: 33554432\r\n\r\n";
    hold(address, stop, 128, head, &[]);
}

/// 140 clients that post 16 MiB and never read the echo, again and again.
fn read_nothing(address: SocketAddr, stop: &AtomicBool) {
    let head = b"POST /chains/t HTTP/1.1\r\nhost: x\r\ncontent-length: 16777216\r\n\r\n";
    hold(address, stop, 140, head, &vec![b'x'; 16 << 20]);
}

fn hold(address: SocketAddr, stop: &AtomicBool, clients: usize, head: &[u8], body: &[u8]) {
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                if std::env::args().any(|word| word == "--behind") {
                    // On Linux this is of the thread alone.
                    rustix::process::nice(BEHIND).unwrap();
                }
                while !stop.load(Ordering::Relaxed) {
                    let Ok(mut stream) = TcpStream::connect(address) else {
                        continue;
                    };
                    let _ = stream.write_all(head).and_then(|()| stream.write_all(body));
                    // Holds the connection; what comes is left where it is.
                    let end = Instant::now() + HELD;
                    while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
            });
        }
    });
}

fn report(what: &str, measured: &Measured) {
    println!("{what:<14} {measured}");
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.toml");
    std::fs::write(&other, chain("other")).unwrap();
    let service = Service::start_with(&chain("t"), &[other.to_str().unwrap()]).unwrap();
    let address = service.gateway;
    let attacks: [(&str, Attack); 2] = [("announced", announce), ("unread replies", read_nothing)];
    for _ in 0..ROUNDS {
        report("alone", &measure(address, "/chains/other", MEASURED));
        for (what, attack) in attacks {
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| attack(address, &stop));
                std::thread::sleep(Duration::from_millis(200));
                report(what, &measure(address, "/chains/other", MEASURED));
                stop.store(true, Ordering::Relaxed);
            });
        }
    }
}
