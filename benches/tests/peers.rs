//! Other projects' transports, with processes of the real executable.
#![allow(clippy::unwrap_used, reason = "test code")]

use hacher_benches::peers::guests_of;
use hacher_benches::subject::{Cores, Started, Subject};
use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};
use std::path::Path;

const HOPS_MAX: u32 = 3;

/// How many samples there were.
fn samples(subject: &mut dyn Subject, payload_bytes: usize, hops: u32) -> u32 {
    let mut samples = 0;
    subject
        .measure(payload_bytes, hops, 5, &mut |_| samples += 1)
        .unwrap();
    samples
}

#[test]
fn every_peer_delivers_payloads_and_leaves_no_process() {
    let program = Path::new(env!("CARGO_BIN_EXE_hacher-bench"));
    for guest in guests_of(program) {
        let Started::Ready(mut subject) = guest(Cores::choose(), HOPS_MAX).unwrap() else {
            continue;
        };
        let name = subject.identity();
        let hops_max = subject.hops().unwrap_or(HOPS_MAX);
        for payload_bytes in [0, 64, 100_000, 100_000] {
            for hops in [1, hops_max] {
                assert_eq!(samples(&mut *subject, payload_bytes, hops), 5, "{name:?}");
            }
        }
        assert!(
            subject.measure(64, hops_max + 1, 1, &mut |_| ()).is_err(),
            "{name:?}"
        );
        drop(subject);
        let has_no_children = matches!(wait(WaitOptions::NOHANG), Err(Errno::CHILD));
        assert!(has_no_children, "{name:?}");
    }
}
