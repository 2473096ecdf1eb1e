//! One table of the file, read key by key.
//!
//! Each reader answers the value when it is right. When it is not, it puts the diagnostic where the value
//! stands and answers nothing, so the caller goes on with the rest of the file.

use toml::de::{DeTable, DeValue};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::keys;
use crate::kinds::{
    AnyKey, ChoiceKind, DurationKind, FlagKind, IntegerKind, Key, NumberKind, SizeKind, TableKind, Tables,
    TextKind,
};
use crate::nearest::nearest;
use crate::source::{Span, Spanned};
use crate::units::{self, ByteSize, UnitProblem, format_duration};
use std::time::Duration;

/// A TOML value with its place.
pub(crate) type Value<'t> = toml::Spanned<DeValue<'t>>;

/// A table of the file and the keys that it may have.
pub(crate) struct Section<'t> {
    /// How messages call it, such as `` `[ingress]` ``.
    title: String,
    table: &'t DeTable<'t>,
    keys: &'static [AnyKey],
    tables: Tables,
}

/// A key that is there.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'t> {
    pub(crate) name: &'t str,
    pub(crate) key_span: Span,
    pub(crate) value: &'t Value<'t>,
}

impl<'t> Entry<'t> {
    pub(crate) fn span(&self) -> Span {
        self.value.span().into()
    }
}

/// The entries of a table in the order of the file.
pub(crate) fn entries<'t>(table: &'t DeTable<'t>) -> Vec<Entry<'t>> {
    let mut entries: Vec<Entry<'t>> = table
        .iter()
        .map(|(key, value)| Entry {
            name: key.get_ref(),
            key_span: key.span().into(),
            value,
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span);
    entries
}

impl<'t> Section<'t> {
    /// Opens a table of a chain file and reports the keys that it does not know.
    pub(crate) fn open(
        title: impl Into<String>,
        table: &'t DeTable<'t>,
        keys: &'static [AnyKey],
        problems: &mut Problems,
    ) -> Self {
        Self::open_of(keys::TABLES, title, table, keys, problems)
    }

    /// The same, of a file in a language with these tables.
    pub(crate) fn open_of(
        tables: Tables,
        title: impl Into<String>,
        table: &'t DeTable<'t>,
        keys: &'static [AnyKey],
        problems: &mut Problems,
    ) -> Self {
        let section = Self {
            title: title.into(),
            table,
            keys,
            tables,
        };
        for entry in entries(table) {
            if !keys.iter().any(|key| key.name() == entry.name) {
                problems.push(section.unknown(&entry));
            }
        }
        section
    }

    fn unknown(&self, entry: &Entry<'_>) -> Diagnostic {
        let name = entry.name;
        let message = format!("unknown key `{}` in {}", excerpt(name), self.title);
        let names: Vec<&str> = self.keys.iter().map(AnyKey::name).collect();
        let expected = format!("one of {}", names.join(", "));
        let report = |label: String| {
            Diagnostic::new(Code::UnknownKey, entry.key_span, message.clone(), label)
                .with_expected(expected.clone())
        };
        if let Some(meant) = nearest(name, names.iter().copied()) {
            return report(format!("did you mean `{meant}`?")).with_nearest(meant);
        }
        let tables = self.tables.iter();
        let having = tables.filter(|(_, keys)| keys.iter().any(|key| key.name() == name));
        let elsewhere: Vec<_> = having.map(|&(title, _)| title).collect();
        if !elsewhere.is_empty() {
            return report(format!("belongs {}", elsewhere.join(" or ")));
        }
        let table = entry.value.get_ref().as_table();
        if table.is_some_and(|table| table.iter().any(|(key, _)| key.get_ref() == keys::EXEC.name)) {
            return report("not a key".to_owned()).with_help(format!(
                "if this is a function, write [function.{}]",
                excerpt(name)
            ));
        }
        let note = format!("the keys of {} are {}", self.title, names.join(", "));
        report("not a key of this table".to_owned()).with_note(note)
    }

    /// The key's value, if the key is there.
    pub(crate) fn entry(&self, name: &str) -> Option<Entry<'t>> {
        let (key, value) = self.table.iter().find(|(key, _)| key.get_ref() == name)?;
        Some(Entry {
            name: key.get_ref(),
            key_span: key.span().into(),
            value,
        })
    }

    pub(crate) fn size(&self, key: &Key<SizeKind>, problems: &mut Problems) -> Option<Spanned<ByteSize>> {
        let entry = self.entry(key.name)?;
        let SizeKind { min, max, default } = key.kind;
        let expected = format!("a size such as \"{default}\"");
        let text = unit_text(&entry, &expected, &default.to_string(), problems)?;
        match units::parse_size(text) {
            Err(problem) => problems.push(bad_unit(Code::BadSize, "size", &entry, problem, &expected)),
            Ok(size) if size < min || size > max => {
                problems.push(out_of_range(
                    &entry,
                    &size.to_string(),
                    &min.to_string(),
                    &max.to_string(),
                ));
            }
            Ok(size) => return Some(Spanned::new(size, entry.span())),
        }
        None
    }

    pub(crate) fn duration(
        &self,
        key: &Key<DurationKind>,
        problems: &mut Problems,
    ) -> Option<Spanned<Duration>> {
        let entry = self.entry(key.name)?;
        let DurationKind { min, max, default } = key.kind;
        let expected = format!("a duration such as \"{}\"", format_duration(default));
        let text = unit_text(&entry, &expected, &format_duration(default), problems)?;
        match units::parse_duration(text) {
            Err(problem) => problems.push(bad_unit(
                Code::BadDuration,
                "duration",
                &entry,
                problem,
                &expected,
            )),
            Ok(duration) if duration < min || duration > max => {
                let [value, min, max] = [duration, min, max].map(format_duration);
                problems.push(out_of_range(&entry, &value, &min, &max));
            }
            Ok(duration) => return Some(Spanned::new(duration, entry.span())),
        }
        None
    }

    pub(crate) fn integer(&self, key: &Key<IntegerKind>, problems: &mut Problems) -> Option<Spanned<u32>> {
        integer(&self.entry(key.name)?, key.kind, problems)
    }

    pub(crate) fn number(&self, key: &Key<NumberKind>, problems: &mut Problems) -> Option<Spanned<f64>> {
        let entry = self.entry(key.name)?;
        let NumberKind { min, max, .. } = key.kind;
        let digits = match entry.value.get_ref() {
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            _ => {
                problems.push(wrong_type(&entry, &format!("a number from {min:?} to {max:?}")));
                return None;
            }
        };
        match digits.parse::<f64>() {
            Ok(number) if (min..=max).contains(&number) => Some(Spanned::new(number, entry.span())),
            _ => {
                problems.push(out_of_range(
                    &entry,
                    digits,
                    &format!("{min:?}"),
                    &format!("{max:?}"),
                ));
                None
            }
        }
    }

    pub(crate) fn flag(&self, key: &Key<FlagKind>, problems: &mut Problems) -> Option<bool> {
        let entry = self.entry(key.name)?;
        match entry.value.get_ref() {
            DeValue::Boolean(flag) => return Some(*flag),
            DeValue::String(word) if matches!(word.as_ref(), "true" | "false") => {
                problems.push(
                    wrong_type(&entry, "true or false").with_help(format!("write {word} without quotes")),
                );
            }
            _ => problems.push(wrong_type(&entry, "true or false")),
        }
        None
    }

    /// One of the key's words, as the file has it.
    pub(crate) fn choice(&self, key: &Key<ChoiceKind>, problems: &mut Problems) -> Option<&'t str> {
        let entry = self.entry(key.name)?;
        let ChoiceKind { words, .. } = key.kind;
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let expected = match quoted.as_slice() {
            [one] => one.clone(),
            many => format!("one of {}", many.join(", ")),
        };
        let DeValue::String(word) = entry.value.get_ref() else {
            problems.push(wrong_type(&entry, &expected));
            return None;
        };
        if words.contains(&word.as_ref()) {
            return Some(word);
        }
        let message = format!("`{}` cannot be \"{}\"", key.name, excerpt(word));
        let label = format!("expected {expected}");
        let mut diagnostic =
            Diagnostic::new(Code::UnknownChoice, entry.span(), message, label).with_expected(expected);
        if let Some(meant) = nearest(word, words.iter().copied()) {
            diagnostic = diagnostic
                .with_nearest(meant)
                .with_help(format!("did you mean \"{meant}\"?"));
        }
        problems.push(diagnostic);
        None
    }

    pub(crate) fn text(&self, key: &Key<TextKind>, problems: &mut Problems) -> Option<Spanned<String>> {
        let entry = self.entry(key.name)?;
        let example = format!("a string such as \"{}\"", key.kind.example);
        let text = string(&entry, &example, problems)?;
        usable(text, &entry, key.kind.max_bytes, problems)
    }

    /// A table below this one.
    pub(crate) fn table(
        &self,
        key: &Key<TableKind>,
        title: &str,
        problems: &mut Problems,
    ) -> Option<Section<'t>> {
        let entry = self.entry(key.name)?;
        let table = table_of(&entry, "a table", problems)?;
        Some(Section::open_of(
            self.tables,
            title,
            table,
            key.kind.keys,
            problems,
        ))
    }
}

impl<'t> Section<'t> {
    /// A table that was found below this one.
    pub(crate) fn below(
        &self,
        title: String,
        table: &'t DeTable<'t>,
        keys: &'static [AnyKey],
        problems: &mut Problems,
    ) -> Section<'t> {
        Section::open_of(self.tables, title, table, keys, problems)
    }
}

/// The table that an entry holds.
pub(crate) fn table_of<'t>(
    entry: &Entry<'t>,
    expected: &str,
    problems: &mut Problems,
) -> Option<&'t DeTable<'t>> {
    let table = entry.value.get_ref().as_table();
    if table.is_none() {
        let diagnostic = wrong_type(entry, expected);
        problems.push(match entry.value.get_ref() {
            DeValue::Array(array)
                if array.is_empty() || array.iter().any(|item| item.get_ref().is_table()) =>
            {
                diagnostic.with_help(match entry.name == keys::FUNCTION.name {
                    true => "open one table for each function: `[function.NAME]`".to_owned(),
                    false => format!(
                        "a table is opened with single brackets: `[{}]`",
                        excerpt(entry.name)
                    ),
                })
            }
            _ => diagnostic,
        });
    }
    table
}

/// The string that an entry holds.
pub(crate) fn string<'t>(entry: &Entry<'t>, expected: &str, problems: &mut Problems) -> Option<&'t str> {
    let text = entry.value.get_ref().as_str();
    if text.is_none() {
        problems.push(wrong_type(entry, expected));
    }
    text
}

/// A whole number within bounds.
pub(crate) fn integer(entry: &Entry<'_>, kind: IntegerKind, problems: &mut Problems) -> Option<Spanned<u32>> {
    let IntegerKind { min, max, .. } = kind;
    let DeValue::Integer(written) = entry.value.get_ref() else {
        let diagnostic = wrong_type(entry, &format!("a whole number from {min} to {max}"));
        problems.push(match entry.value.get_ref() {
            DeValue::String(text) if text.parse::<u32>().is_ok() => {
                diagnostic.with_help(format!("write {text} without quotes"))
            }
            _ => diagnostic,
        });
        return None;
    };
    match u32::from_str_radix(written.as_str(), written.radix()) {
        Ok(number) if (min..=max).contains(&number) => Some(Spanned::new(number, entry.span())),
        _ => {
            problems.push(out_of_range(
                entry,
                &written.to_string(),
                &min.to_string(),
                &max.to_string(),
            ));
            None
        }
    }
}

/// A text that is not empty, not too long, and can be passed to a process.
pub(crate) fn usable(
    text: &str,
    entry: &Entry<'_>,
    max_bytes: usize,
    problems: &mut Problems,
) -> Option<Spanned<String>> {
    let problem = if text.is_empty() {
        Some((
            format!("`{}` is empty", entry.name),
            "write something here, or drop the key".to_owned(),
        ))
    } else {
        unpassable(text, entry, max_bytes)
    };
    match problem {
        None => Some(Spanned::new(text.to_owned(), entry.span())),
        Some((message, label)) => {
            problems.push(Diagnostic::new(Code::BadText, entry.span(), message, label));
            None
        }
    }
}

/// Why a text cannot be passed to a process: the message and the label.
pub(crate) fn unpassable(text: &str, entry: &Entry<'_>, max_bytes: usize) -> Option<(String, String)> {
    if text.len() > max_bytes {
        let message = format!("`{}` is too long: {} bytes", entry.name, text.len());
        return Some((message, format!("at most {max_bytes} bytes")));
    }
    let control = text
        .chars()
        .find(|c| c.is_control() && !matches!(c, '\n' | '\t'))?;
    let message = format!(
        "`{}` holds a control character, U+{:04X}",
        entry.name,
        u32::from(control)
    );
    Some((message, "only text can be passed on".to_owned()))
}

/// The text of a size or duration; a bare number gets its own advice.
fn unit_text<'t>(
    entry: &Entry<'t>,
    expected: &str,
    example: &str,
    problems: &mut Problems,
) -> Option<&'t str> {
    match entry.value.get_ref() {
        DeValue::String(text) => Some(text),
        DeValue::Integer(_) | DeValue::Float(_) => {
            let help = format!("write the unit, in quotes: {} = \"{example}\"", entry.name);
            problems.push(wrong_type(entry, expected).with_help(help));
            None
        }
        _ => {
            problems.push(wrong_type(entry, expected));
            None
        }
    }
}

fn bad_unit(code: Code, noun: &str, entry: &Entry<'_>, problem: UnitProblem, expected: &str) -> Diagnostic {
    let text = entry.value.get_ref().as_str().unwrap_or("");
    let message = format!("\"{}\" is not a {noun}", excerpt(text));
    let diagnostic = Diagnostic::new(code, entry.span(), message, problem.what).with_expected(expected);
    match problem.nearest {
        Some(meant) => diagnostic
            .with_help(format!("did you mean \"{meant}\"?"))
            .with_nearest(meant),
        None => diagnostic.with_help(format!("write {expected}")),
    }
}

/// A diagnostic that names the key, what it takes and what it got.
pub(crate) fn wrong_type(entry: &Entry<'_>, expected: &str) -> Diagnostic {
    let found = type_name(entry.value.get_ref());
    let message = format!("`{}` has the wrong type", entry.name);
    let label = format!("expected {expected}, found {found}");
    Diagnostic::new(Code::WrongType, entry.span(), message, label).with_expected(expected)
}

fn out_of_range(entry: &Entry<'_>, value: &str, min: &str, max: &str) -> Diagnostic {
    let expected = format!("{min} to {max}");
    let message = format!("`{}` is out of range: {}", entry.name, excerpt(value));
    Diagnostic::new(
        Code::OutOfRange,
        entry.span(),
        message,
        format!("expected {expected}"),
    )
    .with_expected(expected)
}

/// A TOML type as a sentence calls it.
pub(crate) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// A piece of the file that fits into a message: control characters shown as escapes, long text cut.
pub(crate) fn excerpt(text: &str) -> String {
    const MAX_CHARS: usize = 40;
    let mut short: String = text
        .chars()
        .take(MAX_CHARS)
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        short.push('…');
    }
    short
}

/// A list or table with more entries than there may be.
pub(crate) fn too_many(entry: &Entry<'_>, what: &str, count: usize, max: usize) -> Diagnostic {
    let message = format!("too many {what}: {count}");
    Diagnostic::new(
        Code::TooMany,
        entry.key_span,
        message,
        format!("expected at most {max}"),
    )
    .with_expected(format!("at most {max}"))
}
