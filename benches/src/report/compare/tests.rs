//! Comparisons of made-up reports.

use super::*;
use crate::report::fixture;

fn report(rows: Vec<Row>) -> Report {
    Report::new(fixture::conditions(), rows, Vec::new())
}

/// A hop of this median, whose repeats lie `spread` thousandths apart.
fn hop(median_ns: u64, spread: u64) -> Row {
    let mut row = fixture::hop("fabric", "sealed", "packed", 64, median_ns);
    let half = median_ns * spread / 2000;
    row.rounds_p50_ns = vec![
        median_ns - half,
        median_ns - half,
        median_ns,
        median_ns + half,
        median_ns + half,
    ];
    row
}

fn verdict_of(before: Row, after: Row) -> Verdict {
    let comparison = Comparison::of(&report(vec![before]), &report(vec![after]));
    let [change] = &comparison.rows[..] else {
        panic!("{comparison:?}")
    };
    change.verdict
}

#[test]
fn a_change_within_the_spread_of_either_side_is_noise() {
    assert_eq!(verdict_of(hop(10_000, 20), hop(10_400, 60)), Verdict::WithinNoise);
    assert_eq!(verdict_of(hop(10_000, 60), hop(10_400, 20)), Verdict::WithinNoise);
    assert_eq!(verdict_of(hop(10_000, 60), hop(9_600, 20)), Verdict::WithinNoise);
}

#[test]
fn a_change_beyond_the_spread_is_named_in_its_direction() {
    assert_eq!(verdict_of(hop(10_000, 20), hop(10_400, 20)), Verdict::Slower);
    assert_eq!(verdict_of(hop(10_000, 20), hop(9_600, 20)), Verdict::Faster);
    // The least noise counts even where all repeats agree.
    assert_eq!(verdict_of(hop(10_000, 0), hop(10_150, 0)), Verdict::WithinNoise);
}

#[test]
fn more_records_in_a_second_are_faster_whatever_the_median_says() {
    let throughput = |rate: f64| {
        let mut row = hop(300, 0);
        row.experiment = "throughput".to_owned();
        row.rate_per_s = Some(rate);
        row
    };
    assert_eq!(verdict_of(throughput(1e6), throughput(2e6)), Verdict::Faster);
    assert_eq!(verdict_of(throughput(2e6), throughput(1e6)), Verdict::Slower);
}

#[test]
fn rows_of_one_side_only_are_listed_and_not_judged() {
    let other = fixture::hop("https", "tls1.3", "packed", 64, 20_000);
    let comparison = Comparison::of(
        &report(vec![hop(1_000, 0)]),
        &report(vec![hop(1_000, 0), other.clone()]),
    );
    assert_eq!(comparison.new, ["hop https/tls1.3/packed, 64 B, hops 1"]);
    assert_eq!(
        (comparison.missing.len(), comparison.rows.len()),
        (0, 1),
        "{comparison:?}"
    );
    let back = Comparison::of(&report(vec![hop(1_000, 0), other]), &report(vec![hop(1_000, 0)]));
    assert_eq!(back.missing, comparison.new);
}

#[test]
fn another_machine_is_warned_of_and_another_date_is_not() {
    let before = report(vec![hop(1_000, 0)]);
    let mut after = before.clone();
    after.conditions.date = "2002-02-02T02:02:02Z".to_owned();
    after.conditions.load_after = None;
    let same = Comparison::of(&before, &after);
    assert_eq!(
        (&same.warnings[..], &same.conditions[..]),
        (&[][..], &[][..]),
        "{same:?}"
    );

    after.conditions.cpu = "Another Processor".to_owned();
    after.conditions.mode = "full".to_owned();
    let other = Comparison::of(&before, &after);
    assert!(
        other.warnings[0].contains("(cpu): absolute times do not compare"),
        "{other:?}"
    );
    assert!(other.warnings[1].contains("a quick run is compared with a full run"));
    assert_eq!(other.conditions[0].name, "mode");
}

#[test]
fn a_target_that_is_no_longer_met_stands_out() {
    let before = fixture::report();
    let mut after = before.clone();
    after.ratios[0].value = 9.0;
    after.ratios[0].met = Some(false);
    let comparison = Comparison::of(&before, &after);
    assert_eq!(comparison.ratios.len(), before.ratios.len());
    let text = comparison.render();
    assert!(text.contains("pass -> MISS"), "{text}");
    assert!(text.contains(&format!("{} rows in both: 0 faster, 0 slower", before.rows.len())));
}

#[test]
fn builds_of_different_profiles_are_compared_with_a_warning() {
    let of = |profile: Option<&str>| {
        let mut report = report(vec![hop(10_000, 20)]);
        report.conditions.profile = profile.map(str::to_owned);
        report
    };
    let warned = |one, other| {
        let warnings = Comparison::of(&of(one), &of(other)).warnings;
        warnings.iter().any(|warning| warning.contains("profile"))
    };
    assert!(warned(Some("release"), Some("dist")));
    assert!(!warned(Some("release"), Some("release")));
    assert!(!warned(None, Some("release")), "not known to differ");
}
