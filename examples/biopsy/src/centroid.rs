//! Nearest centroid: a row belongs to the class whose mean over the training rows is closer.

use crate::dataset::{Dataset, add, count};
use crate::evaluation::Classifier;
use crate::table::Class;

/// The mean of each class.
#[derive(Debug, Clone)]
pub struct Centroids {
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Classifier for Centroids {
    const NAME: &'static str = "nearest centroid";

    fn train(dataset: &Dataset) -> Self {
        Self {
            first: mean(dataset, Class::First),
            second: mean(dataset, Class::Second),
        }
    }

    fn predict(&self, row: &[f64]) -> Class {
        if squared_distance(row, &self.first) <= squared_distance(row, &self.second) {
            Class::First
        } else {
            Class::Second
        }
    }
}

fn mean(dataset: &Dataset, wanted: Class) -> Vec<f64> {
    let rows = || dataset.training().filter(|(_, class)| *class == wanted);
    let number = count(rows().count().max(1));
    let mut mean = vec![0.0; dataset.columns()];
    for (row, _) in rows() {
        add(&mut mean, row.iter().map(|value| value / number));
    }
    mean
}

fn squared_distance(row: &[f64], centroid: &[f64]) -> f64 {
    let differences = row.iter().zip(centroid).map(|(value, mean)| value - mean);
    differences.map(|difference| difference * difference).sum()
}
