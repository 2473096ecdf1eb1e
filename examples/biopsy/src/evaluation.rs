//! How a classifier does on rows that it has not learned from.

use crate::dataset::Dataset;
use crate::table::Class;
use serde::{Deserialize, Serialize};

/// Learns to tell two classes apart.
pub trait Classifier {
    /// What the report calls it.
    const NAME: &'static str;

    /// Learns from the training rows.
    fn train(dataset: &Dataset) -> Self;

    /// Tells the class of a row.
    fn predict(&self, row: &[f64]) -> Class;
}

/// How a classifier did: the record, as JSON, from a classifier to `report`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The classifier's name.
    pub classifier: String,
    /// How it did.
    pub confusion: Confusion,
    /// What it was trained and tested on.
    pub basis: Basis,
}

/// What a classifier was trained and tested on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    /// What the classes are called.
    pub classes: [String; 2],
    /// Rows that it learned from.
    pub training_rows: u32,
    /// Rows that it was tested with.
    pub test_rows: u32,
    /// Measurements of a row.
    pub measurements: u32,
    /// Columns that identified people, and that no classifier has seen.
    pub identifying_columns_dropped: u32,
}

/// Counts of tested rows: one line for each actual class, in it one count for each predicted class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confusion([[u32; 2]; 2]);

impl Confusion {
    /// Counts one tested row.
    pub fn count(&mut self, actual: Class, predicted: Class) {
        let [[first, first_as_second], [second_as_first, second]] = &mut self.0;
        *match (actual, predicted) {
            (Class::First, Class::First) => first,
            (Class::First, Class::Second) => first_as_second,
            (Class::Second, Class::First) => second_as_first,
            (Class::Second, Class::Second) => second,
        } += 1;
    }

    /// The matrix.
    #[must_use]
    pub const fn matrix(self) -> [[u32; 2]; 2] {
        self.0
    }

    /// All tested rows.
    #[must_use]
    pub fn total(self) -> u64 {
        self.0.as_flattened().iter().copied().map(u64::from).sum()
    }

    /// Rows whose class was told rightly.
    #[must_use]
    pub const fn correct(self) -> u64 {
        let [[first, _], [_, second]] = self.0;
        first as u64 + second as u64
    }
}

impl Evaluation {
    /// Trains classifier `C` on the training rows, and tests it with the others.
    #[must_use]
    pub fn of<C: Classifier>(dataset: &Dataset) -> Self {
        let classifier = C::train(dataset);
        let mut confusion = Confusion::default();
        for (row, actual) in dataset.test() {
            confusion.count(actual, classifier.predict(row));
        }
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            classifier: C::NAME.to_owned(),
            confusion,
            basis: Basis {
                classes: dataset.class_names().clone(),
                training_rows: number(dataset.training().count()),
                test_rows: number(dataset.test().count()),
                measurements: number(dataset.columns()),
                identifying_columns_dropped: dataset.identifying_columns(),
            },
        }
    }
}
