//! Other projects' transports, with processes of the real executable.
#![allow(clippy::unwrap_used, reason = "test code")]

use hacher_benches::peers::{Peer, subjects_of};
use hacher_fabric::bench::subject::Cores;
use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};
use std::path::Path;

fn measured(peer: &Peer, payload_bytes: usize, hops: u32) {
    let Some(mut subject) = peer.start().unwrap() else {
        return;
    };
    assert_eq!(subject.identity(), peer.identity);
    let mut samples = 0;
    subject
        .measure(payload_bytes, hops, 5, &mut |_| samples += 1)
        .unwrap();
    assert_eq!(samples, 5, "{:?}", peer.identity);
    assert!(subject.measure(64, peer.hops_max + 1, 1, &mut |_| ()).is_err());
    drop(subject);
    let has_no_children = matches!(wait(WaitOptions::NOHANG), Err(Errno::CHILD));
    assert!(has_no_children, "{:?}", peer.identity);
}

#[test]
fn every_peer_delivers_payloads_and_leaves_no_process() {
    let program = Path::new(env!("CARGO_BIN_EXE_hacher-bench"));
    for peer in subjects_of(program, Cores::choose(), 3) {
        for payload_bytes in [0, 64, 100_000] {
            for hops in [1, peer.hops_max] {
                measured(&peer, payload_bytes, hops);
            }
        }
    }
}
