//! The client's table, read strictly.
//!
//! The first line says how large the table is and what the two classes are called; a second line that begins
//! with `#` may name the columns; then comes a line for each row: its columns, and last the number of its
//! class. There is no quoting, blanks around a field do not count, lines end with LF or CR LF.
//!
//! ```text
//! 569,3,malignant,benign
//! # id,radius,texture,diagnosis
//! 842302,17.99,10.38,0
//! ```
//!
//! A column whose name identifies people ([`crate::identity`]) may hold any text, which is never kept. Every
//! other one is a measurement. All broken rows are found in one go, as far as the report can list them.

use crate::identity::is_identifying;
use crate::problem::{Kind, Problems};
use core::ops::RangeInclusive;

/// How many rows, from the top, the classifiers are trained on; the others test them.
pub const TRAINING_ROWS: usize = 400;
/// Most rows of a table.
pub const MAX_ROWS: usize = 100_000;
/// Most columns of a table, the class not counted.
pub const MAX_COLUMNS: usize = 256;
/// Most values of a table.
pub const MAX_VALUES: usize = 1 << 20;
/// Longest name of a class, in bytes.
pub const MAX_CLASS_NAME_BYTES: usize = 64;

const MEASUREMENTS: RangeInclusive<f64> = -1e15..=1e15;

/// One of the two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The class that the first line names first, written as 0.
    First,
    /// The class that the first line names second, written as 1.
    Second,
}

/// A table without a problem. Holds the measurements, and nothing of the identifying columns.
#[derive(Clone, PartialEq)]
pub struct Table {
    class_names: [String; 2],
    identifying_columns: usize,
    columns: usize,
    /// Row by row.
    values: Vec<f64>,
    classes: Vec<Class>,
}

impl core::fmt::Debug for Table {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Never the values: they must not reach a log by accident.
        formatter
            .debug_struct("Table")
            .field("rows", &self.classes.len())
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// All problems of the table.
    pub fn parse(csv: &[u8]) -> Result<Self, Problems> {
        let mut problems = Problems::none();
        let table = parse(csv, &mut problems);
        match table {
            Some(table) if problems.total() == 0 => Ok(table),
            _ => Err(problems),
        }
    }

    /// What the classes are called.
    #[must_use]
    pub const fn class_names(&self) -> &[String; 2] {
        &self.class_names
    }

    /// How many columns identify people, and were left out.
    #[must_use]
    pub const fn identifying_columns(&self) -> usize {
        self.identifying_columns
    }

    /// How many measurements a row has; at least 1.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// All measurements, row by row.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The class of each row.
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }
}

/// What the first line announces.
struct Header {
    rows: usize,
    columns: usize,
    class_names: [String; 2],
}

/// `None` when what follows cannot be made sense of; otherwise the table is whole if there are no problems.
fn parse(csv: &[u8], problems: &mut Problems) -> Option<Table> {
    let csv = csv.strip_prefix(b"\xef\xbb\xbf").unwrap_or(csv); // a byte order mark, as spreadsheets write it
    let csv = csv.strip_suffix(b"\n").unwrap_or(csv);
    let mut lines = (1..).zip(csv.split(|byte| *byte == b'\n')).peekable();

    let (_, first) = lines.next()?;
    let header = parse_header(first).map_err(|kind| problems.add(1, kind)).ok()?;
    let identifying = match lines.next_if(|(_, line)| line.starts_with(b"#")) {
        Some((line, names)) => parse_names(names, header.columns)
            .map_err(|kind| problems.add(line, kind))
            .ok()?,
        None => vec![false; header.columns],
    };

    let identifying_columns = identifying
        .iter()
        .filter(|is_identifying| **is_identifying)
        .count();
    let mut table = Table {
        class_names: header.class_names,
        identifying_columns,
        columns: header.columns - identifying_columns,
        values: Vec::new(),
        classes: Vec::new(),
    };
    let mut rows = 0;
    for (line, row) in lines {
        rows += 1;
        if rows > header.rows {
            problems.add(line, Kind::WrongNumberOfRows);
            return None;
        }
        parse_row(line, row, &identifying, &mut table, problems);
    }
    check_rows(rows, header.rows, &table, problems);
    Some(table)
}

fn parse_header(line: &[u8]) -> Result<Header, Kind> {
    let fields: Vec<&str> = fields(line)?.take(5).collect();
    let [rows, columns, first, second] = fields.as_slice() else {
        return Err(Kind::HeaderMalformed);
    };
    let number = |text: &str| text.parse().ok().filter(|number: &usize| *number > 0);
    let (Some(rows), Some(columns)) = (number(rows), number(columns)) else {
        return Err(Kind::HeaderMalformed);
    };
    let is_name = |name: &str| !name.is_empty() && name.len() <= MAX_CLASS_NAME_BYTES;
    if !is_name(first) || !is_name(second) || first == second {
        return Err(Kind::HeaderMalformed);
    }
    if rows > MAX_ROWS || columns > MAX_COLUMNS || rows.saturating_mul(columns) > MAX_VALUES {
        return Err(Kind::TableTooLarge);
    }
    Ok(Header {
        rows,
        columns,
        class_names: [(*first).to_owned(), (*second).to_owned()],
    })
}

/// For each column, whether its name identifies people.
fn parse_names(line: &[u8], columns: usize) -> Result<Vec<bool>, Kind> {
    let line = line.strip_prefix(b"#").unwrap_or(line);
    let mut names: Vec<&str> = fields(line)?.take(columns + 2).collect();
    if names.len() != columns + 1 {
        return Err(Kind::NamesMalformed);
    }
    names.truncate(columns); // the class is not a column
    let identifying: Vec<bool> = names.iter().map(|name| is_identifying(name)).collect();
    names.sort_unstable();
    let is_repeated = names.array_windows().any(|[name, next]| name == next);
    if is_repeated || names.contains(&"") {
        return Err(Kind::NamesMalformed);
    }
    if identifying.iter().all(|is_identifying| *is_identifying) {
        return Err(Kind::NoMeasurements);
    }
    Ok(identifying)
}

fn parse_row(line: usize, row: &[u8], identifying: &[bool], table: &mut Table, problems: &mut Problems) {
    let row: Vec<&str> = match fields(row) {
        Ok(fields) => fields.take(MAX_COLUMNS + 2).collect(),
        Err(kind) => return problems.add(line, kind),
    };
    let Some((class, row)) = row.split_last().filter(|(_, row)| row.len() == identifying.len()) else {
        return problems.add(line, Kind::WrongNumberOfFields);
    };
    for ((column, field), is_identifying) in (1..).zip(row).zip(identifying) {
        if *is_identifying {
            continue;
        }
        match parse_measurement(field) {
            Ok(value) => table.values.push(value),
            Err(kind) => problems.add_field(line, column, kind),
        }
    }
    match *class {
        "0" => table.classes.push(Class::First),
        "1" => table.classes.push(Class::Second),
        _ => problems.add_field(line, identifying.len() + 1, Kind::UnknownClass),
    }
}

fn parse_measurement(field: &str) -> Result<f64, Kind> {
    // Rust also reads `inf` and `nan`, which are no measurements.
    if field.contains(|letter: char| letter.is_alphabetic() && !letter.eq_ignore_ascii_case(&'e')) {
        return Err(Kind::NotANumber);
    }
    let value = field.parse().map_err(|_| Kind::NotANumber)?;
    if MEASUREMENTS.contains(&value) {
        Ok(value)
    } else {
        Err(Kind::OutOfRange)
    }
}

fn check_rows(rows: usize, announced: usize, table: &Table, problems: &mut Problems) {
    if rows != announced {
        problems.add(1, Kind::WrongNumberOfRows);
    } else if rows <= TRAINING_ROWS {
        problems.add(1, Kind::TooFewRows);
    } else if problems.total() == 0 {
        let training = table.classes.iter().take(TRAINING_ROWS);
        let firsts = training.filter(|class| **class == Class::First).count();
        if firsts == 0 || firsts == TRAINING_ROWS {
            problems.add(1, Kind::OneClassOnly);
        }
    }
}

fn fields(line: &[u8]) -> Result<impl Iterator<Item = &str>, Kind> {
    let line = core::str::from_utf8(line).map_err(|_| Kind::NotText)?;
    Ok(line.split(',').map(str::trim_ascii))
}

#[cfg(test)]
mod tests;
