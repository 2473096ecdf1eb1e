//! What is wrong with a table: where, and of which kind. Values are never quoted: a report of problems leaves
//! the chain, and a broken row is about a person as any other row is.

use serde::Serialize;

/// Most problems that a report lists; it counts all.
pub const MAX_LISTED: usize = 100;

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// The first line is not `rows,columns,class,class`.
    HeaderMalformed,
    /// The first line announces more than the chain takes.
    TableTooLarge,
    /// The line of names does not name every column, each once.
    NamesMalformed,
    /// Without the identifying columns there is none left.
    NoMeasurements,
    /// The line is not UTF-8.
    NotText,
    /// The line has more or fewer fields than the first line announces.
    WrongNumberOfFields,
    /// A measurement is not a decimal number.
    NotANumber,
    /// A measurement is too large to be one.
    OutOfRange,
    /// The last field is not the number of a class.
    UnknownClass,
    /// There are more or fewer rows than the first line announces.
    WrongNumberOfRows,
    /// There are too few rows to train and to test.
    TooFewRows,
    /// The rows for training are all of one class.
    OneClassOnly,
}

impl Kind {
    /// What would have been right. Fixed text.
    const fn expected(self) -> &'static str {
        match self {
            Self::HeaderMalformed => {
                "rows,columns,first class,second class: two numbers over 0, two different names"
            }
            Self::TableTooLarge => "at most 100,000 rows, 256 columns, and 1,048,576 values",
            Self::NamesMalformed => "after #, a name for every column and for the class, each once",
            Self::NoMeasurements => "at least one column that does not identify people",
            Self::NotText => "UTF-8 text",
            Self::WrongNumberOfFields => "as many fields as the first line announces columns, and the class",
            Self::NotANumber => "a decimal number",
            Self::OutOfRange => "a number from -1e15 to 1e15",
            Self::UnknownClass => "0 for the first class, 1 for the second",
            Self::WrongNumberOfRows => "as many rows as the first line announces",
            Self::TooFewRows => "at least 401 rows: 400 to train the classifiers, the others to test them",
            Self::OneClassOnly => "both classes among the first 400 rows",
        }
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// The field of the line, counted from 1, if it is one field's problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What is wrong.
    pub kind: Kind,
    expected: &'static str,
}

/// All problems of a table: the report that leaves by the port `reject`, as in RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problems {
    r#type: &'static str,
    title: &'static str,
    problems_total: usize,
    problems: Vec<Problem>,
}

impl Problems {
    /// None yet.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            r#type: "urn:problem-type:biopsy:broken-table",
            title: "the table is broken",
            problems_total: 0,
            problems: Vec::new(),
        }
    }

    /// A problem of a whole line.
    pub fn add(&mut self, line: usize, kind: Kind) {
        self.push(line, None, kind);
    }

    /// A problem of one field.
    pub fn add_field(&mut self, line: usize, column: usize, kind: Kind) {
        self.push(line, Some(column), kind);
    }

    /// How many there are.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.problems_total
    }

    /// The first [`MAX_LISTED`] of them, as they were found from the top.
    #[must_use]
    pub fn listed(&self) -> &[Problem] {
        &self.problems
    }

    fn push(&mut self, line: usize, column: Option<usize>, kind: Kind) {
        self.problems_total += 1;
        if self.problems.len() < MAX_LISTED {
            self.problems.push(Problem {
                line,
                column,
                kind,
                expected: kind.expected(),
            });
        }
    }
}
