//! Made-up reports for tests. None of these figures was ever measured.

use super::Report;
use super::conditions::Conditions;
use super::row::{Measured, Row};
use crate::subject::{Identity, Place};
use hacher_trustlet_host::chosen::BACKEND;

/// A machine that does not exist.
pub(super) fn conditions() -> Conditions {
    Conditions {
        date: "2001-02-03T04:05:06Z".to_owned(),
        version: "0.0.0".to_owned(),
        commit: "000000000000".to_owned(),
        rustc: "rustc 0.0.0".to_owned(),
        optimised: true,
        profile: Some("release".to_owned()),
        mode: "quick".to_owned(),
        seed: 1,
        cpu: "Made-up Processor 9000".to_owned(),
        cores_online: 4,
        cores_usable: 2,
        cores_measured: vec![0, 1],
        smt: Some(false),
        hypervisor: true,
        governor: None,
        clock_source: Some("tsc".to_owned()),
        kernel: "0.0.0-fixture".to_owned(),
        cipher: "AES-256-GCM".to_owned(),
        aead: "made up".to_owned(),
        isolation_backend: BACKEND.to_owned(),
        isolation_missing: vec!["landlock".to_owned()],
        load_before: Some([0.1, 0.1, 0.1]),
        load_after: Some([0.9, 0.4, 0.2]),
    }
}

fn row(
    experiment: &'static str,
    (transport, protection, placement): (&'static str, &'static str, &str),
    payload_bytes: usize,
    hops: u32,
    median_ns: u64,
) -> Row {
    let placement = [Place::Packed, Place::Spread, Place::Floating, Place::Auto]
        .into_iter()
        .find(|place| place.as_str() == placement)
        .unwrap();
    let identity = Identity {
        transport,
        protection,
        placement,
        touched: true,
    };
    let mut measured = Measured::new(experiment, identity, payload_bytes, hops);
    for round in 0..5 {
        for step in 0..201u64 {
            // Symmetric around the median, with a tail.
            let tail = if step > 190 {
                median_ns * (step - 190) / 5
            } else {
                0
            };
            measured.record(round, median_ns * (900 + step) / 1000 + tail);
        }
    }
    measured.row().unwrap()
}

pub(super) fn hop(
    transport: &'static str,
    protection: &'static str,
    placement: &str,
    payload_bytes: usize,
    median_ns: u64,
) -> Row {
    row(
        "hop",
        (transport, protection, placement),
        payload_bytes,
        1,
        median_ns,
    )
}

pub(super) fn chain(
    transport: &'static str,
    protection: &'static str,
    placement: &str,
    payload_bytes: usize,
    functions: u32,
    median_ns: u64,
) -> Row {
    row(
        "chain",
        (transport, protection, placement),
        payload_bytes,
        functions,
        median_ns,
    )
}

/// One step of a sweep, or another phase of `load`.
pub(super) fn load(transport: &'static str, functions: u32, phase: &str, rate: f64, median_ns: u64) -> Row {
    let who = (
        transport,
        if transport == "gateway" { "none" } else { "sealed" },
        "auto",
    );
    let mut row = row("load", who, 4096, functions, median_ns);
    row.phase = Some(phase.to_owned());
    row.rate_per_s = Some(rate);
    row
}

/// A report with rows of every experiment.
pub(super) fn report() -> Report {
    let mut rows = Vec::new();
    for (step, payload) in [
        64usize,
        256,
        1024,
        4096,
        16_384,
        65_536,
        262_144,
        1 << 20,
        4 << 20,
        16 << 20,
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = payload as u64;
        let crypt = 90 + bytes / 9;
        let copy = 20 + bytes / 20;
        rows.push(hop("aead-seal", "sealed", "packed", payload, crypt));
        rows.push(hop("aead-open", "sealed", "packed", payload, crypt + 20));
        rows.push(hop("memcpy", "none", "packed", payload, copy));
        rows.push(hop("fabric", "sealed", "packed", payload, 1700 + 2 * crypt));
        rows.push(hop("fabric", "sealed", "spread", payload, 400 + crypt * 14 / 10));
        rows.push(hop("fabric", "mapped", "packed", payload, 1600 + 2 * copy));
        rows.push(hop("fabric", "mapped", "spread", payload, 260 + 2 * copy));
        if step % 2 == 0 {
            rows.push(hop("unix-socket", "none", "packed", payload, 5_000 + 4 * copy));
            rows.push(hop("http", "none", "packed", payload, 17_000 + 5 * copy));
            rows.push(hop("https", "tls1.3", "packed", payload, 22_000 + 3 * crypt));
            rows.push(hop("https-mtls", "mtls", "packed", payload, 22_400 + 3 * crypt));
            rows.push(hop(
                "https-new",
                "tls1.3",
                "floating",
                payload,
                900_000 + 3 * crypt,
            ));
        }
    }
    rows.push(hop("eventfd-wake", "none", "packed", 0, 1500));
    rows.push(hop("eventfd-wake", "none", "spread", 0, 6200));
    rows.push(hop("spin", "none", "spread", 0, 110));
    for functions in [1u32, 2, 4, 8, 16, 32] {
        for payload in [64usize, 4096, 16_384, 65_536] {
            let each = 1_800 + payload as u64 / 4;
            let times = u64::from(functions);
            let chain_row = |transport, protection, place, ns| {
                chain(transport, protection, place, payload, functions, ns)
            };
            rows.push(chain_row("fabric", "sealed", "packed", 3_000 + each * times));
            rows.push(chain_row("fabric", "sealed", "spread", 9_000 + 2 * each * times));
            rows.push(chain_row("https", "tls1.3", "packed", (22_000 + each) * times));
            rows.push(chain_row("https", "tls1.3", "floating", (70_000 + each) * times));
            rows.push(chain_row(
                "https-new",
                "tls1.3",
                "floating",
                (900_000 + each) * times,
            ));
        }
    }
    for (payload, per_s) in [(64usize, 4e6), (4096, 1.2e6), (65_536, 1e5)] {
        let mut row = hop("fabric", "sealed", "spread", payload, 300);
        row.experiment = "throughput".to_owned();
        row.rate_per_s = Some(per_s);
        row.bytes_per_s = Some(per_s * payload as f64);
        rows.push(row);
    }
    for step in 1..=8u32 {
        let rate = f64::from(step) * 4_000.0;
        let waiting = u64::from(step).pow(4) * 100;
        rows.push(load("gateway", 0, "open", rate, 60_000 + waiting / 3));
        rows.push(load("fabric", 4, "open", rate, 75_000 + waiting));
    }
    rows.push(load("gateway", 0, "half-knee", 14_000.0, 60_000));
    rows.push(load("fabric", 4, "half-knee", 14_000.0, 76_000));
    rows.push(load("fabric", 4, "closed", 31_000.0, 90_000));
    for (phase, ns) in [
        ("queued", 900),
        ("open", 650),
        ("run", 12_000),
        ("seal", 640),
        ("hand-over", 300),
    ] {
        let mut row = chain("fabric", "sealed", "auto", 4096, 4, ns);
        row.experiment = "breakdown".to_owned();
        row.phase = Some(phase.to_owned());
        rows.push(row);
    }
    Report::new(
        conditions(),
        rows,
        vec!["nats-server is not installed: no rows of NATS".to_owned()],
    )
}
