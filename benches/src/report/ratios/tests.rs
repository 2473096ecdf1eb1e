//! Ratios of made-up rows.

use super::*;
use crate::report::fixture::{chain, hop};

fn named<'a>(ratios: &'a [Ratio], name: &str) -> Vec<&'a Ratio> {
    ratios.iter().filter(|ratio| ratio.name == name).collect()
}

fn floors() -> Vec<Row> {
    vec![
        hop("eventfd-wake", "none", "packed", 0, 1000),
        hop("aead-seal", "sealed", "packed", 64, 100),
        hop("aead-open", "sealed", "packed", 64, 150),
    ]
}

const OVER_FLOOR: &str = "sealed hop, packed, over its floor";

#[test]
fn a_sum_of_floors_stands_below_a_hop() {
    let mut rows = floors();
    rows.push(hop("fabric", "sealed", "packed", 64, 1500));
    let ratios = of(&rows);
    let [ratio] = named(&ratios, OVER_FLOOR)[..] else {
        panic!("{ratios:?}")
    };
    assert!((ratio.value - 1.2).abs() < 1e-9);
    assert_eq!(ratio.numerator, "fabric/sealed/packed");
    assert_eq!(
        ratio.denominator,
        "eventfd-wake/none/packed + aead-seal/sealed/packed + aead-open/sealed/packed"
    );
    assert_eq!((ratio.target, ratio.met), (Some(Target::AtMost(1.5)), Some(true)));
}

#[test]
fn a_ratio_with_a_row_that_was_not_measured_does_not_exist() {
    let mut rows = floors();
    rows.push(hop("fabric", "sealed", "packed", 64, 1500));
    for missing in 0..rows.len() {
        let mut fewer = rows.clone();
        fewer.remove(missing);
        assert_eq!(of(&fewer), [], "without {}", rows[missing].key());
    }
    // Nor does a row of another payload, or one that was not read, stand in.
    let mut other = rows.clone();
    other[1].payload_bytes = 128;
    assert_eq!(of(&other), []);
    rows[3].touched = false;
    assert_eq!(of(&rows), []);
}

#[test]
fn a_missed_target_is_called_missed() {
    let mut rows = floors();
    rows.push(hop("fabric", "sealed", "packed", 64, 2000));
    assert_eq!(named(&of(&rows), OVER_FLOOR)[0].met, Some(false));
}

#[test]
fn two_cores_mean_pinned_before_left_to_the_scheduler() {
    let name = "chain over HTTPS keep-alive on two cores, over sealed as placed by default";
    let mut rows = vec![
        chain("fabric", "sealed", "packed", 16 * 1024, 32, 20_000),
        chain("fabric", "sealed", "auto", 16 * 1024, 32, 10_000),
        chain("https", "tls1.3", "packed", 16 * 1024, 32, 100_000),
        chain("https", "tls1.3", "floating", 16 * 1024, 32, 300_000),
    ];
    assert_eq!(named(&of(&rows), name)[0].numerator, "https/tls1.3/floating");
    rows.push(chain("https", "tls1.3", "spread", 16 * 1024, 32, 400_000));
    let ratios = of(&rows);
    let ratio = named(&ratios, name)[0];
    assert_eq!(ratio.numerator, "https/tls1.3/spread");
    assert!((ratio.value - 40.0).abs() < 1e-9);
}

#[test]
fn one_more_function_is_the_slope_between_two_lengths() {
    let mut rows = floors();
    rows[1].payload_bytes = 4096;
    rows[2].payload_bytes = 4096;
    rows.push(chain("fabric", "sealed", "packed", 4096, 2, 5_000));
    rows.push(chain("fabric", "sealed", "packed", 4096, 4, 7_500));
    let ratios = of(&rows);
    let [ratio] = &ratios[..] else {
        panic!("{ratios:?}")
    };
    assert!((ratio.value - 1.0).abs() < 1e-9, "{ratio:?}");
    assert_eq!(ratio.hops, 4);
}

#[test]
fn one_more_function_is_compared_with_one_more_bare_process_of_the_same_run() {
    let mut rows = floors();
    rows[1].payload_bytes = 4096;
    rows[2].payload_bytes = 4096;
    for (functions, fabric_ns, bare_ns) in [(2, 10_000, 5_000), (32, 130_000, 65_000)] {
        rows.push(chain("fabric", "sealed", "packed", 4096, functions, fabric_ns));
        // Moves no payload, and so stands for all.
        rows.push(chain("eventfd-circle", "none", "packed", 0, functions, bare_ns));
    }
    let cipher_ns = rows[1].p50_ns + rows[2].p50_ns;
    let ratios = of(&rows);
    let ratio = named(
        &ratios,
        "the same, over one more bare process in a circle, sealing and opening",
    )[0];
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let expected = 4_000.0 / (2_000.0 + cipher_ns as f64);
    assert!((ratio.value - expected).abs() < 1e-4, "{ratio:?}");
    assert_eq!(ratio.target, None);
}

#[test]
fn rates_are_compared_with_the_rates_that_medians_allow() {
    let mut rows = vec![
        hop("aead-seal", "sealed", "packed", 64, 100),
        hop("aead-open", "sealed", "packed", 64, 200),
    ];
    let mut row = hop("fabric", "sealed", "spread", 64, 300);
    row.experiment = "throughput".to_owned();
    row.rate_per_s = Some(2_000_000.0);
    rows.push(row);
    let value = |rows: &[Row]| {
        let ratios = of(rows);
        let [ratio] = &ratios[..] else {
            panic!("{ratios:?}")
        };
        (ratio.value, ratio.met)
    };
    let (ratio, met) = value(&rows);
    assert!((ratio - 0.4).abs() < 1e-9);
    assert_eq!(met, Some(false));
    // Enough records by themselves meet it as well.
    rows[0].p50_ns = 1;
    rows[1].p50_ns = 1;
    rows[2].rate_per_s = Some(3_500_000.0);
    assert_eq!(value(&rows).1, Some(true));
}

/// What is left of a call of `noop`.
fn share(transport: &'static str, placement: &str, functions: u32, ns: u64) -> Row {
    let mut row = hop(transport, "sealed", placement, 16 * 1024, ns);
    row.experiment = "functions".to_owned();
    row.function = Some("noop".to_owned());
    row.phase = Some("share".to_owned());
    row.hops = functions;
    row
}

#[test]
fn the_share_of_a_call_is_held_to_a_time_and_that_of_three_to_three_over_https() {
    let mut rows = vec![
        share("fabric", "auto", 1, 45_000),
        share("fabric", "auto", 3, 100_000),
        share("uvicorn", "floating", 3, 290_000),
    ];
    let ratios = of(&rows);
    let found: Vec<_> = ratios.iter().map(|ratio| (ratio.value, ratio.met)).collect();
    assert_eq!(found, [(0.75, Some(true)), (2.9, Some(false))], "{ratios:?}");
    assert!(
        ratios.iter().all(|ratio| ratio.name.starts_with("noop: ")),
        "{ratios:?}"
    );
    assert_eq!(ratios[0].denominator, "60 µs");
    assert_eq!(ratios[1].numerator, "uvicorn/sealed/floating/noop/share");
    // Neither times with handlers nor other functions stand in.
    for row in &mut rows {
        row.phase = Some("total".to_owned());
    }
    assert_eq!(of(&rows), []);
    rows[0] = share("fabric", "auto", 1, 45_000);
    rows[0].function = None;
    assert_eq!(of(&rows), []);
}
