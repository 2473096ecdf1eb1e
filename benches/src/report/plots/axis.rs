//! Axes: from a value to its place between two ends, and the marks between them.

use crate::report::table::payload_cell;
use hacher_fabric::table::duration;

/// Up to 10 s, and its multiples up to 90 s.
const DECADES: usize = 11;

/// What an axis measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Bytes, by powers of two.
    Bytes,
    /// A number of things, by powers of two.
    Count,
    /// Nanoseconds, by powers of ten.
    Time,
    /// A quantile, by how few samples lie beyond it.
    Quantile,
    /// Things in a second, from 0.
    Rate,
}

/// An axis with its ends.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    scale: Scale,
    pub(super) label: &'static str,
    low: f64,
    high: f64,
}

/// A mark on an axis: where, from 0 to 1, and what it says; minor marks say nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
}

impl Axis {
    /// An axis that holds all these values.
    pub(super) fn over(scale: Scale, label: &'static str, values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = values
            .map(|value| scale.place(value))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| {
                (low.min(place), high.max(place))
            });
        match scale {
            Scale::Rate | Scale::Quantile => low = 0.0,
            Scale::Time => {
                // To the next of 1, 2, 5 on both sides.
                low = step_below(low);
                high = step_above(high);
            }
            Scale::Bytes | Scale::Count => {}
        }
        if high - low < 1e-9 {
            (low, high) = (low - 0.5, high + 0.5);
        }
        Self {
            scale,
            label,
            low,
            high,
        }
    }

    /// Where a value lies, from 0 to 1.
    pub(super) fn at(&self, value: f64) -> f64 {
        (self.scale.place(value) - self.low) / (self.high - self.low)
    }

    /// The marks, minor ones with an empty label.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let mut ticks: Vec<Tick> = self
            .marks()
            .into_iter()
            .map(|(value, label)| Tick {
                at: self.at(value),
                label,
            })
            .collect();
        ticks.retain(|tick| (-1e-9..=1.0 + 1e-9).contains(&tick.at));
        ticks
    }

    fn marks(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Bytes => powers(2)
                .enumerate()
                .map(|(exponent, bytes)| {
                    let label = if exponent % 2 == 0 {
                        payload_cell(bytes)
                    } else {
                        String::new()
                    };
                    (float(bytes), label)
                })
                .collect(),
            Scale::Count => powers(2).map(|count| (float(count), count.to_string())).collect(),
            Scale::Time => {
                let is_short = self.high - self.low < 2.5;
                let decade = |ns: u64| {
                    (1..10).map(move |digit| {
                        let is_labelled = digit == 1 || (is_short && (digit == 2 || digit == 5));
                        let value = ns * digit;
                        let label = if is_labelled { time(value) } else { String::new() };
                        (float(value), label)
                    })
                };
                powers(10).take(DECADES).flat_map(decade).collect()
            }
            Scale::Quantile => [
                (0.0, "0 %"),
                (0.5, "50 %"),
                (0.9, "90 %"),
                (0.99, "99 %"),
                (0.999, "99.9 %"),
                (0.9999, "99.99 %"),
                (0.99999, "99.999 %"),
            ]
            .map(|(value, label)| (value, label.to_owned()))
            .to_vec(),
            Scale::Rate => {
                let step = nice_step(self.high / 6.0);
                (0..=12u32)
                    .map(|count| f64::from(count) * step)
                    .map(|rate| (rate, thousands(rate)))
                    .collect()
            }
        }
    }
}

impl Scale {
    /// A value on a straight line.
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Bytes | Self::Count => value.max(1.0).log2(),
            Self::Time => value.max(1.0).log10(),
            Self::Quantile => -(1.0 - value).max(1e-6).log10(),
            Self::Rate => value,
        }
    }
}

/// The logarithms of 1, 2, 5 and 10.
const STEPS: [f64; 4] = [
    0.0,
    std::f64::consts::LOG10_2,
    1.0 - std::f64::consts::LOG10_2,
    1.0,
];

/// The logarithm of the greatest of 1, 2, 5 times a power of ten that is not above this one.
fn step_below(place: f64) -> f64 {
    let decade = place.floor();
    let below = STEPS.into_iter().rfind(|step| decade + step <= place + 1e-9);
    decade + below.unwrap_or(0.0)
}

/// The logarithm of the least of 1, 2, 5 times a power of ten that is not below this one.
fn step_above(place: f64) -> f64 {
    let decade = place.floor();
    let above = STEPS.into_iter().find(|step| decade + step >= place - 1e-9);
    decade + above.unwrap_or(1.0)
}

/// All powers of `base`.
fn powers(base: u64) -> impl Iterator<Item = u64> {
    core::iter::successors(Some(1u64), move |power| power.checked_mul(base))
}

/// The least of 1, 2, 5 times a power of ten that is not below `step`.
fn nice_step(step: f64) -> f64 {
    10f64.powf(step_above(step.max(1.0).log10())).round()
}

/// A mark of 1, 2 or 5 without decimals.
fn time(ns: u64) -> String {
    duration(ns).replace(".00 ", " ").replace(".0 ", " ")
}

fn thousands(rate: f64) -> String {
    if rate >= 1000.0 {
        format!("{} k", rate / 1000.0)
    } else {
        format!("{rate}")
    }
}

#[allow(clippy::cast_precision_loss, reason = "marks of axes are far below 2^53")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        let ticks = axis.ticks().into_iter().map(|tick| tick.label);
        ticks.filter(|label| !label.is_empty()).collect()
    }

    #[test]
    fn marks_of_a_rate_are_round_whatever_the_highest_rate_is() {
        for (highest, expected) in [
            (28_346.9, "0, 5 k, 10 k, 15 k, 20 k, 25 k"),
            (7_000.0, "0, 2 k, 4 k, 6 k"),
            (450.0, "0, 100, 200, 300, 400"),
        ] {
            let axis = Axis::over(Scale::Rate, "", [100.0, highest].into_iter());
            assert_eq!(labels(&axis).join(", "), expected);
        }
    }

    #[test]
    fn an_axis_of_time_ends_at_round_values_and_holds_all() {
        let values = [130.0, 7_400.0, 2_345_678.0];
        let axis = Axis::over(Scale::Time, "", values.into_iter());
        assert_eq!(labels(&axis).join(", "), "100 ns, 1 µs, 10 µs, 100 µs, 1 ms");
        assert!(axis.at(100.0).abs() < 1e-9 && (axis.at(5e6) - 1.0).abs() < 1e-9);
        assert!(values.iter().all(|value| (0.0..=1.0).contains(&axis.at(*value))));
        // A short one has more marks.
        let axis = Axis::over(Scale::Time, "", [130.0, 900.0].into_iter());
        assert_eq!(labels(&axis).join(", "), "100 ns, 200 ns, 500 ns, 1 µs");
    }

    #[test]
    fn an_axis_of_one_value_still_has_a_length() {
        let axis = Axis::over(Scale::Count, "", [4.0].into_iter());
        assert!((axis.at(4.0) - 0.5).abs() < 1e-9);
        let axis = Axis::over(Scale::Bytes, "", core::iter::empty());
        assert!(axis.ticks().is_empty());
    }
}
