//! Text to TOML tree, with every syntax error of the file.
//!
//! The TOML parser recovers from an error and goes on, and bounds how deep values nest, so hostile
//! nesting ends in a diagnostic and not in an exhausted stack.

use std::collections::BTreeSet;

use toml::de::{DeTable, Error};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::source::{Source, Span};

/// What the TOML parser calls a key that is there already.
const DUPLICATE_KEY: &str = "duplicate key";

/// What could be read of a file.
pub(crate) struct Document<'t> {
    pub(crate) root: DeTable<'t>,
    /// Whether the tree holds all that the file says. If not, what is missing from it must not be reported.
    pub(crate) complete: bool,
    broken_lines: BTreeSet<usize>,
}

impl<'t> Document<'t> {
    pub(crate) fn read(source: &'t Source, problems: &mut Problems) -> Self {
        let (root, mut errors) = DeTable::parse_recoverable(source.text());
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        let mut document = Self {
            root: root.into_inner(),
            complete: true,
            broken_lines: BTreeSet::new(),
        };
        let mut reopened = false;
        for error in &errors {
            let span = source.clamp(error.span().map_or(Span::new(0, 0), Span::from));
            let line = source.line(span.start());
            if problems.is_full() {
                document.complete &= error.message() == DUPLICATE_KEY;
                problems.omit();
                continue;
            }
            if error.message() == DUPLICATE_KEY {
                let (diagnostic, header) = duplicate(source, span);
                // In a table that is opened twice, its keys follow from that.
                if header || !reopened || !diagnostic.related().is_empty() {
                    problems.push(diagnostic);
                }
                reopened |= header;
                continue;
            }
            document.complete = false;
            // One slip often makes the parser stumble several times in the same line.
            if !document.broken_lines.insert(line) {
                continue;
            }
            if let Some(diagnostic) = unclosed_array(source, span) {
                // All that follows is read as part of the array.
                problems.push(diagnostic);
                break;
            }
            problems.push(syntax(source, span, error));
        }
        document
    }

    /// Drops what was found in lines that are no TOML: it follows from the syntax error.
    pub(crate) fn drop_consequences(&self, source: &Source, problems: &mut Problems) {
        problems.retain(|diagnostic| {
            diagnostic.code() == Code::TomlSyntax
                || !self
                    .broken_lines
                    .contains(&source.line(diagnostic.primary().span().start()))
        });
    }
}

fn syntax(source: &Source, span: Span, error: &Error) -> Diagnostic {
    let (line_start, line) = source.line_at(span.start());
    let (what, expected) = match error.message().split_once(", expected ") {
        Some((what, expected)) => (what, Some(expected)),
        None => (error.message(), None),
    };
    let mut diagnostic = match unquoted_value(line) {
        Some((at, value)) => {
            let span = Span::new(line_start + at, line_start + at + value.len());
            let message = format!("`{value}` is a text and stands in quotes");
            Diagnostic::new(Code::TomlSyntax, span, message, "quotes are missing")
                .with_expected(format!("\"{value}\""))
                .with_help(format!("write \"{value}\""))
        }
        None => {
            let label = expected.map_or_else(|| what.to_owned(), |expected| format!("expected {expected}"));
            let message = format!("the file is not TOML here: {what}");
            let diagnostic = Diagnostic::new(Code::TomlSyntax, span, message, label);
            match expected {
                Some(expected) => diagnostic.with_expected(expected),
                None => diagnostic,
            }
        }
    };
    if what.contains("recurs") {
        diagnostic = diagnostic.with_help("no value of a chain file nests more than two deep");
    }
    diagnostic
}

/// A table that opens where an array still goes on: the `]` is missing.
fn unclosed_array(source: &Source, span: Span) -> Option<Diagnostic> {
    let (line_start, line) = source.line_at(span.start());
    let header = line.trim_end();
    let name = header.strip_prefix('[')?.strip_suffix(']')?;
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    let mut at = line_start;
    while at > 0 {
        let (start, candidate) = source.line_at(at - 1);
        at = start;
        let Some((_, value)) = candidate.split_once('=') else {
            continue;
        };
        if value.contains(']') || !value.trim_start().starts_with('[') {
            return None;
        }
        let opened = start + candidate.find('[')?;
        let table = Span::new(line_start, line_start + header.len());
        let label = "a table cannot begin here";
        return Some(
            Diagnostic::new(Code::TomlSyntax, table, "an array is not closed", label)
                .with_related(Span::new(opened, opened + 1), "the array begins here")
                .with_expected("`]`")
                .with_help(format!("write `]` before `{header}`")),
        );
    }
    None
}

/// Longer values are not repeated in a message.
const MAX_WORD_BYTES: usize = 64;

/// A bare word or number with a unit after `=`, such as `256MiB` in `memory = 256MiB`, and where it begins.
fn unquoted_value(line: &str) -> Option<(usize, &str)> {
    let equals = line.find('=')?;
    let after = line.get(equals + 1..)?;
    let value = after.trim_start();
    let at = equals + 1 + (after.len() - value.len());
    let value = value.split_once('#').map_or(value, |(value, _)| value).trim_end();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':' | 'µ');
    let toml_word = matches!(value, "true" | "false" | "inf" | "nan");
    let has_letter = value.chars().any(char::is_alphabetic);
    (value.len() <= MAX_WORD_BYTES && has_letter && !toml_word && value.chars().all(plain))
        .then_some((at, value))
}

/// The diagnostic, and whether it is a table that is opened again.
fn duplicate(source: &Source, span: Span) -> (Diagnostic, bool) {
    let name = source.slice(span);
    let (line_start, line) = source.line_at(span.start());
    let header = line.trim_start().starts_with('[');
    let message = match header {
        true => format!("the table {} is opened twice", header_of(line)),
        false => format!("the key `{name}` is written twice"),
    };
    let mut diagnostic = Diagnostic::new(Code::DuplicateKey, span, message, "written again here");
    if let Some(first) = first_writing(source, line_start, line, name) {
        diagnostic = diagnostic.with_related(first, "first written here");
    }
    if header && line.contains("function") {
        diagnostic = diagnostic.with_help("two functions cannot have one name: rename one of them");
    }
    (diagnostic, header)
}

/// `[function.a]` of a line that may go on with a comment.
fn header_of(line: &str) -> String {
    let end = line.find(']').map_or(line.len(), |at| at + 1);
    format!("`{}`", line.get(..end).unwrap_or(line).trim())
}

/// Looks backwards for the line that wrote the same key in the same table, or opened the same table.
fn first_writing(source: &Source, line_start: usize, line: &str, name: &str) -> Option<Span> {
    let header = line.trim_start().starts_with('[');
    let mut end = line_start;
    while end > 0 {
        let (start, candidate) = source.line_at(end - 1);
        end = start;
        let trimmed = candidate.trim_start();
        let at = start + (candidate.len() - trimmed.len());
        if header && trimmed.starts_with('[') && header_of(candidate) == header_of(line) {
            return Some(Span::new(at, at + header_of(candidate).len() - 2));
        }
        if !header && trimmed.starts_with('[') {
            return None;
        }
        let key = trimmed.split_once('=').map(|(key, _)| key.trim_end());
        if !header && key == Some(name) {
            return Some(Span::new(at, at + name.len()));
        }
    }
    None
}
