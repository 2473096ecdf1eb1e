//! A short soak: what `cargo run -p hacher-tests --bin soak -- --minutes 60` does for an hour.
#![allow(clippy::unwrap_used, reason = "test code")]

use hacher_tests::soak::Soak;
use std::time::Duration;

#[test]
fn traffic_poison_kills_and_slow_clients_cause_no_failure_but_their_own() {
    let soak = Soak {
        length: Duration::from_secs(10),
        seed: 1,
    };
    let report = soak.run().unwrap();
    assert!(report.is_good(), "{report}");
    println!("{report}");
}
