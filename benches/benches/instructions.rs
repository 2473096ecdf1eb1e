//! One hop over and over in a single process, for counting its instructions, which do not depend on a
//! machine's noise:
//!
//! ```sh
//! cargo bench -p hacher-benches --bench instructions --no-run
//! valgrind --tool=callgrind --callgrind-out-file=hop.out target/release/deps/instructions-* 20000 64
//! callgrind_annotate --inclusive=yes hop.out
//! ```
//!
//! The gateway's end sends a record; the trustlet takes it, runs a handler that copies it, and settles; the
//! gateway's end takes the answer: two hops. Nobody sleeps, so there is no system call and no wake-up in it.
//! Valgrind does not know AVX-512, so the cipher takes more instructions there than it does alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark stops at what it did not expect"
)]

use hacher_in_process::{Draft, Runner};
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::clock;
use hacher_libos_net::inlet::Step;
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::seal::RecordContext;
use std::time::Duration;

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse::<usize>().ok());
    let round_trips = numbers.next().unwrap_or(20_000);
    let payload_bytes = numbers.next().unwrap_or(64);
    let mut draft = Draft::new();
    let gateway = draft.gateway(&["out"]);
    let echo = draft.function("echo", &["out"]);
    draft.edge((gateway, "out"), echo);
    draft.edge((echo, "out"), gateway);
    let mut monitor = draft.define();
    let mut trustlet = Runner::new(
        |mut input, output| output.send(input.bytes()?),
        monitor.attach(echo, 0),
    );
    let mut gateway = monitor.attach(gateway, 0);
    // No headers, then the body.
    let plain = vec![0; 2 + payload_bytes];
    let mut opened = Vec::new();
    for count in 0..round_trips {
        send(&mut gateway, count, &plain);
        trustlet.settle();
        receive(&mut gateway, &mut opened);
        assert_eq!(opened.len(), plain.len());
    }
    println!("{} hops of {payload_bytes} bytes", round_trips * 2);
}

fn send(gateway: &mut Attachment, count: usize, plain: &[u8]) {
    let Attachment { own, sender, .. } = gateway;
    let record = RecordContext {
        invocation: InvocationId::new(count as u128),
        deadline: clock::now().after(Duration::from_secs(10)),
        attempt: 1,
    };
    for (last, segment) in segments(plain) {
        sender.send(own, 0, &record, segment, last).unwrap();
    }
}

fn segments(plain: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    let segment_bytes = hacher_libos_net::layout::SEGMENT_BYTES;
    let count = plain.len().div_ceil(segment_bytes);
    let numbered = plain.chunks(segment_bytes).enumerate();
    numbered.map(move |(at, segment)| (at + 1 == count, segment))
}

fn receive(gateway: &mut Attachment, opened: &mut Vec<u8>) {
    let Attachment { own, receiver, .. } = gateway;
    opened.clear();
    while let Some(ring) = receiver.ring_with_news() {
        match receiver.step(own, ring, opened) {
            Step::Opened(segment) if segment.descriptor.last => receiver.release(own, segment.record),
            Step::Opened(_) => {}
            other => panic!("expected a record, found {other:?}"),
        }
    }
}
