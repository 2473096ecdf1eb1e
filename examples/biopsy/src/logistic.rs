//! Logistic regression: the probability of the second class is the logistic function of a weighted sum of the
//! measurements. The weights minimise the mean logarithmic loss over the training rows and a small penalty on
//! large weights, by plain gradient descent from 0. There is no chance in it: the same rows give the same
//! weights.

use crate::dataset::{Dataset, add, count};
use crate::evaluation::Classifier;
use crate::table::Class;

/// Steps of the descent. Enough for the real table to settle, and a bound on the time for any other.
const STEPS: usize = 1000;

/// How much the penalty on large weights counts.
const PENALTY: f64 = 0.001;

/// One weight for each measurement, and one for the constant.
#[derive(Debug, Clone)]
pub struct Logistic {
    weights: Vec<f64>,
    bias: f64,
}

impl Classifier for Logistic {
    const NAME: &'static str = "logistic regression";

    fn train(dataset: &Dataset) -> Self {
        let mut model = Self {
            weights: vec![0.0; dataset.columns()],
            bias: 0.0,
        };
        let rows = count(dataset.training().count());
        // The loss bends at most by a quarter of the mean squared length of a row and its constant, which for
        // standardised columns is their number and 1. A step of the inverse never overshoots.
        let rate = ((count(dataset.columns()) + 1.0) / 4.0 + PENALTY).recip();
        for _ in 0..STEPS {
            let mut slope = vec![0.0; dataset.columns()];
            let mut slope_of_bias = 0.0;
            for (row, class) in dataset.training() {
                let target = match class {
                    Class::First => 0.0,
                    Class::Second => 1.0,
                };
                let error = (model.probability(row) - target) / rows;
                add(&mut slope, row.iter().map(|value| error * value));
                slope_of_bias += error;
            }
            for (weight, slope) in model.weights.iter_mut().zip(&slope) {
                *weight -= rate * (slope + PENALTY * *weight);
            }
            model.bias -= rate * slope_of_bias;
        }
        model
    }

    fn predict(&self, row: &[f64]) -> Class {
        if self.probability(row) < 0.5 {
            Class::First
        } else {
            Class::Second
        }
    }
}

impl Logistic {
    /// The probability that the row is of the second class.
    fn probability(&self, row: &[f64]) -> f64 {
        let weighted = row
            .iter()
            .zip(&self.weights)
            .map(|(value, weight)| value * weight);
        let sum = self.bias + weighted.sum::<f64>();
        (1.0 + (-sum).exp()).recip()
    }
}
