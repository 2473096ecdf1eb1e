//! The prepared table: measurements alone, standardised, and their layout in the record from `prepare` to the
//! classifiers (integers and numbers little-endian):
//!
//! | bytes | field |
//! |---|---|
//! | 4 | the letters `BIO1` |
//! | 4 | rows, 401 to 100,000 |
//! | 4 | columns, 1 to 256 |
//! | 4 | identifying columns that were dropped, at most 256 |
//! | 1 + n, 1 + m | the names of both classes, each after a byte with its length (1 to 64) |
//! | 8 × rows × columns | the standardised measurements, row by row, as IEEE 754 double precision; all finite |
//! | rows | the class of each row, 0 or 1 |
//!
//! The first [`TRAINING_ROWS`] rows are for training, the others for testing.

use crate::table::{Class, MAX_CLASS_NAME_BYTES, MAX_COLUMNS, MAX_ROWS, MAX_VALUES, TRAINING_ROWS, Table};

/// What the record is, for the header `content-type`.
pub const CONTENT_TYPE: &str = "application/vnd.hacher.biopsy-dataset";

const MAGIC: [u8; 4] = *b"BIO1";

/// A column is constant when its standard deviation is no more than this part of its mean: what is left then
/// is rounding, and scaling it up would make measurements of it.
const CONSTANT: f64 = 1e-9;

/// A prepared table.
#[derive(Clone, PartialEq)]
pub struct Dataset {
    class_names: [String; 2],
    identifying_columns: u32,
    columns: usize,
    values: Vec<f64>,
    classes: Vec<Class>,
}

/// A record is not a dataset in the layout of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record is not a dataset")]
#[non_exhaustive]
pub struct NotADataset;

impl core::fmt::Debug for Dataset {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Dataset")
            .field("rows", &self.classes.len())
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

impl Dataset {
    /// Moves and scales each column so that over the training rows its mean is 0 and its standard
    /// deviation 1. The rows for testing have no part in that: what is known of them must not reach the
    /// training. A column that is constant over the training rows says nothing, and becomes 0.
    #[must_use]
    pub fn standardise(table: &Table) -> Self {
        let columns = table.columns();
        let training = || table.values().chunks_exact(columns).take(TRAINING_ROWS);
        let rows = count(training().len());

        let mut means = vec![0.0; columns];
        for row in training() {
            add(&mut means, row.iter().map(|value| value / rows));
        }
        let mut variances = vec![0.0; columns];
        for row in training() {
            let deviations = row.iter().zip(&means).map(|(value, mean)| value - mean);
            add(
                &mut variances,
                deviations.map(|deviation| deviation * deviation / rows),
            );
        }
        let deviations = variances.into_iter().map(f64::sqrt);
        let scales: Vec<f64> = deviations
            .zip(&means)
            .map(|(deviation, mean)| {
                if deviation > CONSTANT * mean.abs() {
                    deviation.recip()
                } else {
                    0.0
                }
            })
            .collect();

        let values = table
            .values()
            .chunks_exact(columns)
            .flat_map(|row| row.iter().zip(&means).zip(&scales))
            .map(|((value, mean), scale)| (value - mean) * scale)
            .collect();
        Self {
            class_names: table.class_names().clone(),
            identifying_columns: u32::try_from(table.identifying_columns()).unwrap_or(u32::MAX),
            columns,
            values,
            classes: table.classes().to_vec(),
        }
    }

    /// What the classes are called.
    #[must_use]
    pub const fn class_names(&self) -> &[String; 2] {
        &self.class_names
    }

    /// How many columns identified people, and were dropped.
    #[must_use]
    pub const fn identifying_columns(&self) -> u32 {
        self.identifying_columns
    }

    /// How many measurements a row has; at least 1.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// The rows to learn from.
    pub fn training(&self) -> impl Iterator<Item = (&[f64], Class)> {
        self.rows().take(TRAINING_ROWS)
    }

    /// The rows to test with.
    pub fn test(&self) -> impl Iterator<Item = (&[f64], Class)> {
        self.rows().skip(TRAINING_ROWS)
    }

    fn rows(&self) -> impl Iterator<Item = (&[f64], Class)> {
        self.values
            .chunks_exact(self.columns)
            .zip(self.classes.iter().copied())
    }

    /// The record.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut record = MAGIC.to_vec();
        for number in [self.classes.len(), self.columns] {
            record.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
        }
        record.extend(self.identifying_columns.to_le_bytes());
        for name in &self.class_names {
            record.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            record.extend(name.bytes());
        }
        record.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        record.extend(self.classes.iter().map(|class| match class {
            Class::First => 0,
            Class::Second => 1,
        }));
        record
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`NotADataset`] when anything is not as the layout says.
    pub fn from_bytes(record: &[u8]) -> Result<Self, NotADataset> {
        read(record).ok_or(NotADataset)
    }
}

/// A number of rows, as a number to calculate with.
pub(crate) fn count(rows: usize) -> f64 {
    u32::try_from(rows).map_or(f64::INFINITY, f64::from)
}

/// Adds to each sum.
pub(crate) fn add(sums: &mut [f64], values: impl Iterator<Item = f64>) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

fn read(record: &[u8]) -> Option<Dataset> {
    let record = record.strip_prefix(&MAGIC)?;
    let (rows, record) = read_number(record)?;
    let (columns, record) = read_number(record)?;
    let (identifying_columns, record) = read_number(record)?;
    let (first, record) = read_name(record)?;
    let (second, record) = read_name(record)?;

    let (rows, columns) = (usize::try_from(rows).ok()?, usize::try_from(columns).ok()?);
    let in_bounds = (TRAINING_ROWS + 1..=MAX_ROWS).contains(&rows)
        && (1..=MAX_COLUMNS).contains(&columns)
        && usize::try_from(identifying_columns).ok()? <= MAX_COLUMNS
        && rows * columns <= MAX_VALUES;
    if !in_bounds || record.len() != rows * columns * size_of::<f64>() + rows {
        return None;
    }
    let (values, classes) = record.split_at_checked(rows * columns * size_of::<f64>())?;
    let (values, _) = values.as_chunks();
    let values: Vec<f64> = values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    let classes = classes.iter().map(|byte| match byte {
        0 => Some(Class::First),
        1 => Some(Class::Second),
        _ => None,
    });
    let dataset = Dataset {
        class_names: [first, second],
        identifying_columns,
        columns,
        values,
        classes: classes.collect::<Option<_>>()?,
    };
    dataset
        .values
        .iter()
        .all(|value| value.is_finite())
        .then_some(dataset)
}

fn read_number(record: &[u8]) -> Option<(u32, &[u8])> {
    let (bytes, record) = record.split_first_chunk()?;
    Some((u32::from_le_bytes(*bytes), record))
}

fn read_name(record: &[u8]) -> Option<(String, &[u8])> {
    let (len_bytes, record) = record.split_first()?;
    let len_bytes = usize::from(*len_bytes);
    if !(1..=MAX_CLASS_NAME_BYTES).contains(&len_bytes) {
        return None;
    }
    let (name, record) = record.split_at_checked(len_bytes)?;
    Some((core::str::from_utf8(name).ok()?.to_owned(), record))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real() -> Dataset {
        Dataset::standardise(&Table::parse(include_bytes!("../breast_cancer.csv")).unwrap())
    }

    #[test]
    fn training_rows_have_mean_0_and_deviation_1() {
        let dataset = real();
        for column in 0..dataset.columns() {
            let values = || dataset.training().map(|(row, _)| row[column]);
            let mean = values().sum::<f64>() / 400.0;
            let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / 400.0;
            assert!(mean.abs() < 1e-9 && (variance - 1.0).abs() < 1e-9);
        }
        assert_eq!((dataset.training().count(), dataset.test().count()), (400, 169));
    }

    #[test]
    fn rows_for_testing_have_no_part_in_the_scale() {
        let csv = include_str!("../breast_cancer.csv");
        let (kept, tested) = csv.split_at(csv.match_indices('\n').nth(400).unwrap().0);
        let changed = format!("{kept}{}", tested.replace("\n1", "\n9"));
        let changed = Dataset::standardise(&Table::parse(changed.as_bytes()).unwrap());
        assert!(changed != real());
        assert!(changed.training().eq(real().training()));
    }

    #[test]
    fn a_constant_column_becomes_0() {
        let rows = (0..500).map(|row| format!("0.1,{row},{}\n", row % 2));
        let csv = format!("500,2,a,b\n{}", rows.collect::<String>());
        let dataset = Dataset::standardise(&Table::parse(csv.as_bytes()).unwrap());
        assert!(dataset.rows().all(|(row, _)| row[0] == 0.0 && row[1].is_finite()));
    }

    #[test]
    fn a_dataset_survives_its_layout() {
        assert!(Dataset::from_bytes(&real().to_bytes()).unwrap() == real());
    }

    #[test]
    fn records_that_are_cut_or_wrong_are_refused() {
        let record = real().to_bytes();
        for len in [0, 3, 4, 15, 20, record.len() - 1] {
            assert_eq!(Dataset::from_bytes(&record[..len]), Err(NotADataset));
        }
        let mut longer = record.clone();
        longer.push(0);
        assert_eq!(Dataset::from_bytes(&longer), Err(NotADataset));
        for (at, value) in [
            (0, b'X'),
            (4, 0),
            (7, 255),
            (8, 0),
            (13, 9),
            (16, 0),
            (record.len() - 1, 2),
        ] {
            let mut wrong = record.clone();
            wrong[at] = value;
            assert_eq!(Dataset::from_bytes(&wrong), Err(NotADataset), "byte {at}");
        }
        let mut infinite = record;
        let values_at = 16 + 1 + "malignant".len() + 1 + "benign".len();
        infinite[values_at..values_at + 8].copy_from_slice(&f64::NAN.to_le_bytes());
        assert_eq!(Dataset::from_bytes(&infinite), Err(NotADataset));
    }

    proptest::proptest! {
        #[test]
        fn no_record_makes_the_reader_panic(
            junk in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
            at in 0_usize..60,
            value in proptest::num::u8::ANY,
        ) {
            let _ = Dataset::from_bytes(&junk);
            let _ = Dataset::from_bytes(&[&MAGIC[..], &junk].concat());
            let mut record = real().to_bytes();
            record[at] = value;
            let _ = Dataset::from_bytes(&record);
        }
    }
}
