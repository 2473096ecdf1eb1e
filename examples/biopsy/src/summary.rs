//! The report that the chain answers with.

use crate::evaluation::{Basis, Confusion, Evaluation};
use serde::Serialize;

/// What all classifiers found on one dataset.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    #[serde(flatten)]
    basis: Basis,
    /// How to read the matrices.
    confusion_is: &'static str,
    classifiers: Vec<Finding>,
}

/// What one classifier found.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    name: String,
    accuracy: f64,
    correct: u64,
    wrong: u64,
    confusion: Confusion,
}

/// The evaluations are none, or not of the same dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the evaluations are not of the same dataset")]
#[non_exhaustive]
pub struct Mismatch;

impl Summary {
    /// Joins the evaluations of several classifiers.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn of(evaluations: &[Evaluation]) -> Result<Self, Mismatch> {
        let (first, _) = evaluations.split_first().ok_or(Mismatch)?;
        let fits = |evaluation: &Evaluation| {
            evaluation.basis == first.basis
                && evaluation.confusion.total() == u64::from(first.basis.test_rows)
        };
        if first.basis.test_rows == 0 || !evaluations.iter().all(fits) {
            return Err(Mismatch);
        }
        Ok(Self {
            basis: first.basis.clone(),
            confusion_is: "one line for each actual class, in it one count for each predicted class",
            classifiers: evaluations.iter().map(Finding::of).collect(),
        })
    }
}

impl Finding {
    fn of(evaluation: &Evaluation) -> Self {
        let (total, correct) = (evaluation.confusion.total(), evaluation.confusion.correct());
        Self {
            name: evaluation.classifier.clone(),
            accuracy: share(correct, total),
            correct,
            wrong: total - correct,
            confusion: evaluation.confusion,
        }
    }
}

/// `part / total`, to four decimals.
fn share(part: u64, total: u64) -> f64 {
    let ten_thousandths = (part * 10_000 + total / 2) / total;
    u32::try_from(ten_thousandths).map_or(f64::NAN, f64::from) / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(test_rows: u32, confusion: &str) -> Evaluation {
        let text = format!(
            r#"{{"classifier": "x", "confusion": {confusion}, "basis": {{"classes": ["a", "b"],
            "training_rows": 400, "test_rows": {test_rows}, "measurements": 2, "identifying_columns_dropped": 0}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn accuracy_is_the_share_of_rows_told_rightly() {
        let summary = Summary::of(&[evaluation(8, "[[3, 1], [2, 2]]")]).unwrap();
        let finding = &summary.classifiers[0];
        assert_eq!((finding.accuracy, finding.correct, finding.wrong), (0.625, 5, 3));
    }

    #[test]
    fn evaluations_of_different_datasets_are_not_joined() {
        let eight = evaluation(8, "[[3, 1], [2, 2]]");
        let nine = evaluation(9, "[[3, 1], [2, 3]]");
        assert!(Summary::of(&[eight.clone(), nine]).is_err());
        assert!(Summary::of(&[]).is_err());
        assert!(Summary::of(&[evaluation(0, "[[0, 0], [0, 0]]")]).is_err());
        assert!(Summary::of(&[eight.clone(), evaluation(8, "[[9, 9], [9, 9]]")]).is_err());
        assert!(Summary::of(&[eight.clone(), eight]).is_ok());
    }
}
