//! Requests whose functions are killed while they work on them.

use bytes::Bytes;
use hacher_fabric::http::{Connection, Reply};
use hacher_tests::{Service, instances};
use hyper::Method;
use rustix::process::Signal;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Only to detect that something never comes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A function whose process is killed once, in its first run.
pub(crate) struct Victim<'a> {
    /// The function.
    pub(crate) function: &'a str,
    /// The name of the process; where a function has a program, the program's.
    pub(crate) process: &'a str,
}

/// The reply to a request during which each of `victims` was killed; each has served it in its second
/// process.
pub(crate) fn killed_in(
    service: &Service,
    path: &'static str,
    content_type: Option<&'static str>,
    body: impl Into<Bytes>,
    victims: &[Victim<'_>],
) -> Reply {
    let (gateway, body) = (service.gateway, body.into());
    let (answer, answered) = mpsc::channel();
    let request = std::thread::spawn(move || {
        let reply = hacher_tests::runtime().block_on(async {
            let mut connection = Connection::open(gateway).await?;
            connection.send(Method::POST, path, content_type, body).await
        });
        let _ = answer.send(reply);
    });
    let (begun, mut killed) = (Instant::now(), Vec::new());
    let reply = loop {
        if let Ok(reply) = answered.recv_timeout(Duration::from_millis(50)) {
            break reply.unwrap();
        }
        assert!(begun.elapsed() < PATIENCE);
        let status = service.status().unwrap();
        for Victim { function, process } in victims {
            let is_running = |instance: &serde_json::Value| {
                instance["function"] == *function && instance["running"].is_object()
            };
            if !killed.contains(function) && instances(&status).any(is_running) {
                let found = service.process(process);
                assert!(found.is_some(), "{process}: {:?}", service.processes());
                service.signal(found.unwrap(), Signal::KILL);
                killed.push(function);
            }
        }
    };
    request.join().unwrap();
    let status = service.status().unwrap();
    for Victim { function, .. } in victims {
        let found = instances(&status).find(|instance| instance["function"] == *function);
        assert_eq!(found.unwrap()["epoch"], 2, "{status}");
    }
    reply
}
