//! The text of one chain file, and places in it.
//!
//! Every node that the parser makes carries a [`Span`]; lines and columns are computed from it only
//! when something is to be shown.

use std::ops::Range;

/// A place in the text of a chain file: byte offsets, the end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// A span from `start` up to `end`; an `end` before `start` gives an empty span.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }

    /// The first byte.
    #[must_use]
    pub fn start(self) -> usize {
        self.start
    }

    /// The byte after the last.
    #[must_use]
    pub fn end(self) -> usize {
        self.end
    }

    /// The smallest span that holds both.
    pub(crate) fn to(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self::new(range.start, range.end)
    }
}

/// A value together with the place where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T> Spanned<T> {
    pub(crate) fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// A line and a column, both counted from one; columns count characters, not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// The text of one file with its name and where its lines begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    name: String,
    text: String,
    line_starts: Vec<usize>,
}

/// What some editors put before the text of a UTF-8 file.
const BYTE_ORDER_MARK: char = '\u{feff}';

impl Source {
    /// The text of a file without its byte-order mark, and with plain line feeds where it has carriage
    /// returns before them: so columns count what an editor shows, and a text over several lines has the
    /// same value from every editor.
    pub(crate) fn of_file(name: &str, text: &str) -> Self {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        Self::new(name, &text.replace("\r\n", "\n"))
    }

    pub(crate) fn new(name: &str, text: &str) -> Self {
        let starts = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at + 1);
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            line_starts: std::iter::once(0).chain(starts).collect(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty when the span does not lie on character boundaries of this text.
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or("")
    }

    /// The nearest span at or around `span` that lies within the text and on character boundaries.
    pub(crate) fn clamp(&self, span: Span) -> Span {
        let start = self.text.floor_char_boundary(span.start);
        let end = self.text.ceil_char_boundary(span.end);
        Span::new(start, end)
    }

    /// The line alone, from 1: unlike the column, this takes no walk along the line.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    pub(crate) fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.line(offset);
        let start = line
            .checked_sub(1)
            .and_then(|index| self.line_starts.get(index))
            .copied()
            .unwrap_or(0);
        let column = self.slice(Span::new(start, offset)).chars().count() + 1;
        Position { line, column }
    }

    /// The whole line that holds `offset`, without its line break, and where it begins.
    pub(crate) fn line_at(&self, offset: usize) -> (usize, &str) {
        let line = self.line(offset);
        let start_of = |line: usize| self.line_starts.get(line).copied();
        let start = line.checked_sub(1).and_then(start_of).unwrap_or(0);
        let end = start_of(line).unwrap_or(self.text.len());
        (
            start,
            self.slice(Span::new(start, end)).trim_end_matches(['\n', '\r']),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let source = Source::new("f", "aé\nß = 1\n");
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(3), Position { line: 1, column: 3 });
        assert_eq!(source.position(4), Position { line: 2, column: 1 });
        assert_eq!(source.position(6), Position { line: 2, column: 2 });
        assert_eq!(source.position(usize::MAX).line, 3);
    }

    #[test]
    fn a_byte_order_mark_and_carriage_returns_are_not_counted() {
        let source = Source::of_file("f", "\u{feff}a = 1\r\nb = 2\r\n");
        assert_eq!(source.text(), "a = 1\nb = 2\n");
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(6), Position { line: 2, column: 1 });
    }

    #[test]
    fn a_span_inside_a_character_is_widened_to_it() {
        let source = Source::new("f", "é");
        assert_eq!(source.clamp(Span::new(1, 1)), Span::new(0, 2));
        assert_eq!(source.clamp(Span::new(5, 9)), Span::new(2, 2));
    }
}
