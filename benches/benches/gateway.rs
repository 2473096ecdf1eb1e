//! What the gateway does with a request, on one core and over a connection that is kept:
//! `cargo bench -p hacher-benches --bench gateway`.
//!
//! `ready` is HTTP alone; `no_such_chain` and `no_such_method` add a problem in JSON; `chain` adds a chain of
//! one function, isolated and sealed as any other. The client runs on the same core, so its share is in every
//! figure.
#![allow(clippy::unwrap_used, reason = "a benchmark stops at what it did not expect")]

use bytes::Bytes;
use divan::{Bencher, black_box};
use hacher_benches::fabric::{Protection, Shape, serve};
use hacher_benches::place::Pinned;
use hacher_benches::role;
use hacher_benches::step::Work;
use hacher_benches::subject::{Cores, Place, payload};
use hacher_fabric::http::Connection;
use hyper::Method;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::runtime::Runtime;

const SHAPE: Shape = Shape {
    functions: 1,
    work: Work::Forward,
    protection: Protection::Sealed,
    place: Place::Packed,
    touched: true,
};

fn main() -> ExitCode {
    if let Some(ended) = role::played() {
        return ended;
    }
    if is_of_the_service() {
        return hacher_fabric::main();
    }
    divan::main();
    ExitCode::SUCCESS
}

/// Whether this process is the service or a part of it: the executable of a service is started again under
/// names without a folder.
fn is_of_the_service() -> bool {
    let mut arguments = std::env::args();
    let is_role = arguments.next().is_some_and(|name| !name.contains('/'));
    is_role || arguments.next().is_some_and(|command| command == "serve")
}

/// A client of the service, which runs as long as `measure` does.
fn with_service(measure: impl FnOnce(&Runtime, Connection)) {
    let cores = Cores::choose();
    let tree = serve(&std::env::current_exe().unwrap(), &SHAPE, cores, &[]).unwrap();
    let _pinned = Pinned::to(Place::Packed, cores).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let connection = runtime.block_on(connect(tree.gateway));
    measure(&runtime, connection);
}

async fn connect(gateway: SocketAddr) -> Connection {
    Connection::open(gateway).await.unwrap()
}

/// Sends the same request over and over, and expects this status.
fn requests(bencher: Bencher<'_, '_>, method: &Method, path: &str, body: &Bytes, status: u16) {
    with_service(|runtime, mut connection| {
        bencher.bench_local(|| {
            let reply = connection.send(method.clone(), path, None, body.clone());
            let reply = runtime.block_on(reply).unwrap();
            assert_eq!(reply.status, status);
            black_box(reply)
        });
    });
}

#[divan::bench(sample_count = 1000)]
fn ready(bencher: Bencher<'_, '_>) {
    requests(bencher, &Method::GET, "/readyz", &Bytes::new(), 200);
}

#[divan::bench(sample_count = 1000)]
fn no_such_chain(bencher: Bencher<'_, '_>) {
    requests(bencher, &Method::POST, "/chains/none", &Bytes::new(), 404);
}

#[divan::bench(sample_count = 1000)]
fn no_such_method(bencher: Bencher<'_, '_>) {
    let path = format!("/chains/{}", SHAPE.name());
    requests(bencher, &Method::GET, &path, &Bytes::new(), 405);
}

/// By the bytes of the body.
#[divan::bench(sample_count = 1000, args = [0, 4096, 65536])]
fn chain(bencher: Bencher<'_, '_>, len: usize) {
    let path = format!("/chains/{}", SHAPE.name());
    requests(bencher, &Method::POST, &path, &Bytes::from(payload(len)), 200);
}
