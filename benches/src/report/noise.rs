//! How far the repeats of a cell lie apart, and when a figure should not be believed.
//!
//! Each cell is measured in several rounds, in an order that differs from round to round, so whatever else
//! the machine did falls on some rounds and spares others. The spread is the distance between the quartiles
//! of the rounds' medians over their median: one disturbed round in five does not move it, a machine that is
//! never quiet does.

use super::conditions::Conditions;
use super::row::Row;

/// A row with a greater spread is marked as noisy: a difference of a tenth between two such rows means
/// nothing.
pub const NOISY: f64 = 0.1;
/// The least that [`compare`](super::compare) takes for noise, however close the rounds of one run lie
/// together: they share page colours and code alignment, which differ between runs. Chosen, not measured.
pub const LEAST: f64 = 0.02;
/// Rounds below this number have no spread worth the name.
const FEWEST_ROUNDS: usize = 3;
/// Load average per usable core before the run from which on somebody else was at work.
const BUSY_LOAD: f64 = 0.5;

/// The relative spread of a row's rounds; nothing if there are too few of them.
#[must_use]
pub fn spread(row: &Row) -> Option<f64> {
    if row.rounds_p50_ns.len() < FEWEST_ROUNDS {
        return None;
    }
    let mut sorted = row.rounds_p50_ns.clone();
    sorted.sort_unstable();
    let median = at(&sorted, 0.5);
    (median > 0.0).then(|| (at(&sorted, 0.75) - at(&sorted, 0.25)) / median)
}

/// Whether a row's repeats lie too far apart.
#[must_use]
pub fn is_noisy(row: &Row) -> bool {
    spread(row).is_some_and(|spread| spread > NOISY)
}

/// By how much two rows may differ and still be the same: the greater spread of the two. An unknown spread
/// counts as [`NOISY`].
#[must_use]
pub fn between(one: &Row, other: &Row) -> f64 {
    let of = |row| spread(row).unwrap_or(NOISY);
    of(one).max(of(other)).max(LEAST)
}

/// What the reader of a report must know about its noise.
#[must_use]
pub fn notices(conditions: &Conditions, rows: &[Row]) -> Vec<String> {
    let mut notices = Vec::new();
    let busy = BUSY_LOAD * f64::from(conditions.cores_usable.max(1));
    if let Some(load) = conditions.load_before.filter(|load| load[0] > busy) {
        notices.push(format!(
            "the machine was busy before the run began (load average {:.2} on {} cores): stop what else runs and measure again",
            load[0], conditions.cores_usable
        ));
    }
    let noisy = rows.iter().filter(|row| is_noisy(row)).count();
    if noisy * 4 >= rows.len() && noisy > 0 {
        notices.push(format!(
            "the machine was too noisy to believe this run: the repeats of {noisy} of {} rows lie more than {:.0} % apart",
            rows.len(),
            NOISY * 100.0
        ));
    } else if noisy > 0 {
        notices.push(format!(
            "{noisy} of {} rows are noisy: their repeats lie more than {:.0} % apart, so do not read much into them",
            rows.len(),
            NOISY * 100.0
        ));
    }
    notices
}

/// A quantile of sorted numbers, between neighbours in proportion.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position in a short list"
)]
fn at(sorted: &[u64], quantile: f64) -> f64 {
    let position = quantile * sorted.len().saturating_sub(1) as f64;
    let below = position.floor() as usize;
    let value = |index: usize| sorted.get(index).or(sorted.last()).copied().unwrap_or(0) as f64;
    let part = position - position.floor();
    value(below).mul_add(1.0 - part, value(below + 1) * part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn rounds(medians: &[u64]) -> Row {
        let mut row = fixture::hop("fabric", "sealed", "packed", 64, 1000);
        row.rounds_p50_ns = medians.to_vec();
        row
    }

    #[test]
    fn one_disturbed_round_of_five_is_not_noise_and_two_are() {
        assert!(spread(&rounds(&[1000, 1010, 1000, 1010, 5000])).unwrap() < NOISY);
        assert!(!is_noisy(&rounds(&[1000, 1010, 1000, 1010, 5000])));
        assert!(is_noisy(&rounds(&[1000, 1010, 1000, 3000, 5000])));
    }

    #[test]
    fn quartiles_lie_between_neighbours_in_proportion() {
        let spread = spread(&rounds(&[100, 200, 300, 400])).unwrap();
        // Quartiles 175 and 325, median 250.
        assert!((spread - 0.6).abs() < 1e-9, "{spread}");
    }

    #[test]
    fn two_rounds_have_no_spread_and_count_as_noise_in_comparisons() {
        let few = rounds(&[1000, 2000]);
        assert_eq!(spread(&few), None);
        assert!((between(&few, &rounds(&[1000, 1000, 1000])) - NOISY).abs() < 1e-9);
    }

    #[test]
    fn a_busy_or_noisy_machine_is_named_and_a_quiet_one_is_not() {
        let mut conditions = fixture::conditions();
        let quiet = vec![rounds(&[1000, 1000, 1000]); 8];
        assert_eq!(notices(&conditions, &quiet), Vec::<String>::new());

        let mut some = quiet.clone();
        some[0] = rounds(&[1000, 2000, 3000]);
        assert!(notices(&conditions, &some)[0].starts_with("1 of 8 rows are noisy"));
        some[1] = some[0].clone();
        assert!(notices(&conditions, &some)[0].contains("too noisy to believe"));

        conditions.load_before = Some([2.5, 1.0, 1.0]);
        assert!(notices(&conditions, &quiet)[0].contains("busy before the run"));
    }
}
