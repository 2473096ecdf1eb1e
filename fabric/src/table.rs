//! Text tables: columns as wide as their widest cell, numbers to the right.

use std::fmt::Write as _;

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table in the making.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns
            .iter()
            .map(|(name, align)| ((*name).to_owned(), *align))
            .collect();
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Appends a row; missing cells are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table as text, each line indented by two spaces.
    #[must_use]
    pub fn render(&self) -> String {
        let heads: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = core::iter::once(&heads).chain(&self.rows);
                cells
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in core::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for (column, (width, (_, align))) in widths.iter().zip(&self.columns).enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                let _ = match align {
                    Align::Left => write!(line, "  {cell:<width$}"),
                    Align::Right => write!(line, "  {cell:>width$}"),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A duration with three significant digits.
#[must_use]
pub fn duration(ns: u64) -> String {
    let scaled = |unit: u64, name: &str| {
        let rounded = |parts: u64| {
            let part = u128::from(unit / parts);
            (u128::from(ns) + part / 2) / part
        };
        match (rounded(100), rounded(10)) {
            (hundredths @ 0..1_000, _) => format!("{}.{:02} {name}", hundredths / 100, hundredths % 100),
            (_, tenths @ 0..1_000) => format!("{}.{} {name}", tenths / 10, tenths % 10),
            _ => format!("{} {name}", rounded(1)),
        }
    };
    match ns {
        0..1_000 => format!("{ns} ns"),
        // What would be rounded up to 1000 has the next unit.
        1_000..999_500 => scaled(1_000, "µs"),
        999_500..999_500_000 => scaled(1_000_000, "ms"),
        _ => scaled(1_000_000_000, "s"),
    }
}

/// A size with a binary unit.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or("KiB");
    while tenths >= 10_240 {
        let Some(next) = units.next() else { break };
        tenths /= 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_short_and_right() {
        assert_eq!(duration(999), "999 ns");
        assert_eq!(duration(1_234), "1.23 µs");
        assert_eq!(duration(45_678), "45.7 µs");
        assert_eq!(
            [9_994, 9_995, 99_949, 99_950].map(duration),
            ["9.99 µs", "10.0 µs", "99.9 µs", "100 µs"]
        );
        assert_eq!([999_499, 999_500].map(duration), ["999 µs", "1.00 ms"]);
        assert_eq!(duration(123_456_789), "123 ms");
        assert_eq!(duration(2_500_000_000), "2.50 s");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1 << 30), "1.0 GiB");
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[("name", Align::Left), ("count", Align::Right)]);
        table.row(["a", "1"]);
        table.row(["longer", "200"]);
        assert_eq!(
            table.render(),
            "  name    count\n  a           1\n  longer    200\n"
        );
    }
}
