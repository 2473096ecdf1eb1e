//! What a function's image has beside its executable and libraries: arguments of its process, and files at
//! places of their own.

use toml::de::{DeArray, DeTable, DeValue};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::keys;
use crate::program::FileRef;
use crate::section::{Entry, entries, excerpt, string, too_many, unpassable, usable, wrong_type};
use crate::source::Spanned;

/// The arguments that an array lists. One may be empty.
pub(crate) fn args(entry: &Entry<'_>, problems: &mut Problems) -> Vec<String> {
    const EXPECTED: &str = "an array of strings such as [\"--quality\", \"80\"]";
    let Some(array) = list(entry, EXPECTED, keys::MAX_ARGS, problems) else {
        return Vec::new();
    };
    let mut args = Vec::new();
    for item in items(entry, array, keys::MAX_ARGS) {
        let Some(text) = string(&item, "an argument, which is a string", problems) else {
            continue;
        };
        match unpassable(text, &item, keys::MAX_VALUE_BYTES) {
            Some((message, label)) => {
                problems.push(Diagnostic::new(Code::BadText, item.span(), message, label));
            }
            None => args.push(text.to_owned()),
        }
    }
    args
}

/// The files and folders that an array lists, with the place of each.
pub(crate) fn files(entry: &Entry<'_>, problems: &mut Problems) -> Vec<Spanned<FileRef>> {
    const EXPECTED: &str = "an array such as [\"labels.txt\", { from = \"models\", to = \"/opt/models\" }]";
    let Some(array) = list(entry, EXPECTED, keys::MAX_FILES, problems) else {
        return Vec::new();
    };
    let mut files: Vec<Spanned<FileRef>> = Vec::new();
    for item in items(entry, array, keys::MAX_FILES) {
        let found = match item.value.get_ref() {
            DeValue::Table(table) => file_table(&item, table, problems),
            DeValue::String(_) => file_path(&item, problems),
            _ => {
                problems.push(wrong_type(
                    &item,
                    "a path, or { from = \"models\", to = \"/opt/models\" }",
                ));
                None
            }
        };
        let Some(found) = found else { continue };
        if let Some(first) = files.iter().find(|first| overlap(&first.value.to, &found.to)) {
            let message = if first.value.to == found.to {
                format!("two files have the place `{}`", excerpt(&found.to))
            } else {
                format!(
                    "the places `{}` and `{}` lie within each other",
                    excerpt(&first.value.to),
                    excerpt(&found.to)
                )
            };
            problems.push(
                Diagnostic::new(Code::BadPlace, item.span(), message, "not apart from another")
                    .with_related(first.span, "the other place")
                    .with_expected("places of which none holds another"),
            );
        } else {
            files.push(Spanned::new(found, item.span()));
        }
    }
    files
}

/// The array that an entry holds; reports one with too many items.
pub(crate) fn list<'t>(
    entry: &Entry<'t>,
    expected: &str,
    max: usize,
    problems: &mut Problems,
) -> Option<&'t DeArray<'t>> {
    let Some(array) = entry.value.get_ref().as_array() else {
        let diagnostic = wrong_type(entry, expected);
        problems.push(match entry.value.get_ref() {
            DeValue::String(_) => {
                diagnostic.with_help(format!("put brackets around it: {} = [\"...\"]", entry.name))
            }
            _ => diagnostic,
        });
        return None;
    };
    if array.len() > max {
        problems.push(too_many(entry, entry.name, array.len(), max));
    }
    Some(array)
}

pub(crate) fn items<'t>(
    entry: &Entry<'t>,
    array: &'t DeArray<'t>,
    max: usize,
) -> impl Iterator<Item = Entry<'t>> + use<'t> {
    let (name, key_span) = (entry.name, entry.key_span);
    array.iter().take(max).map(move |value| Entry {
        name,
        key_span,
        value,
    })
}

/// `"models/small.bin"`: found at `/models/small.bin`.
fn file_path(item: &Entry<'_>, problems: &mut Problems) -> Option<FileRef> {
    let text = string(item, "a path", problems)?;
    let from = usable(text, item, keys::MAX_VALUE_BYTES, problems)?.value;
    let rooted = if from.starts_with('/') {
        from.clone()
    } else {
        format!("/{from}")
    };
    match place(&rooted) {
        Ok(to) => Some(FileRef { from, to }),
        Err(Misplaced::Climbs | Misplaced::Root) => {
            let message = format!("`{}` does not say where the function finds it", excerpt(&from));
            let table = format!("{{ from = \"{}\", to = \"/...\" }}", excerpt(&from));
            problems.push(
                Diagnostic::new(Code::BadPlace, item.span(), message, "a place is missing")
                    .with_expected("a path below the chain file, or a table with `from` and `to`")
                    .with_help(format!("write {table}")),
            );
            None
        }
        Err(misplaced) => {
            problems.push(misplaced.diagnostic(item, &rooted));
            None
        }
    }
}

/// `{ from = "models", to = "/opt/models" }`.
fn file_table(item: &Entry<'_>, table: &DeTable<'_>, problems: &mut Problems) -> Option<FileRef> {
    let parts = entries(table);
    let part = |name| parts.iter().find(|part| part.name == name);
    let known = |part: &Entry<'_>| matches!(part.name, keys::FILE_FROM | keys::FILE_TO);
    if let Some(other) = parts.iter().find(|part| !known(part)) {
        let message = format!("unknown key `{}` in a file of `files`", excerpt(other.name));
        problems.push(
            Diagnostic::new(Code::UnknownKey, other.key_span, message, "not `from` or `to`")
                .with_expected("one of from, to"),
        );
        return None;
    }
    let (Some(from), Some(to)) = (part(keys::FILE_FROM), part(keys::FILE_TO)) else {
        let missing = if part(keys::FILE_FROM).is_none() {
            keys::FILE_FROM
        } else {
            keys::FILE_TO
        };
        let message = format!("a file of `files` has no `{missing}`");
        problems.push(
            Diagnostic::new(
                Code::MissingKey,
                item.span(),
                message,
                "`from` and `to` belong together",
            )
            .with_expected("{ from = \"models\", to = \"/opt/models\" }"),
        );
        return None;
    };
    let path = string(from, "a path", problems)?;
    let path = usable(path, from, keys::MAX_VALUE_BYTES, problems);
    let written = string(to, "a place such as \"/opt/models\"", problems)?;
    let written = usable(written, to, keys::MAX_VALUE_BYTES, problems)?.value;
    match place(&written) {
        Ok(place) => Some(FileRef {
            from: path?.value,
            to: place,
        }),
        Err(misplaced) => {
            problems.push(misplaced.diagnostic(to, &written));
            None
        }
    }
}

/// The canonical form of a place that files of a function can have; nothing if they cannot.
#[must_use]
pub fn usable_place(text: &str) -> Option<String> {
    place(text).ok()
}

const PLACE_EXPECTED: &str = "an absolute path such as \"/opt/models\"";

/// Why a text is no place for a file.
pub(crate) enum Misplaced {
    Relative,
    Climbs,
    Root,
    TooLong,
    Reserved(&'static str),
}

impl Misplaced {
    pub(crate) fn diagnostic(&self, item: &Entry<'_>, text: &str) -> Diagnostic {
        let message = format!("a file of a function cannot be at `{}`", excerpt(text));
        Diagnostic::new(Code::BadPlace, item.span(), message, self.label()).with_expected(PLACE_EXPECTED)
    }

    pub(crate) fn label(&self) -> String {
        match self {
            Self::Relative => format!("expected {PLACE_EXPECTED}"),
            Self::Climbs => "a place has no `..` in it".to_owned(),
            Self::Root => "the root itself holds more than one file or folder".to_owned(),
            Self::TooLong => format!(
                "at most {} bytes and {} names, each of at most {} bytes",
                keys::MAX_PLACE_BYTES,
                keys::MAX_PLACE_DEPTH,
                keys::MAX_FILE_NAME_BYTES
            ),
            Self::Reserved(taken) => format!("`{taken}` is taken in every function"),
        }
    }
}

/// The canonical form of a place: a slash before each name and nowhere else.
pub(crate) fn place(text: &str) -> Result<String, Misplaced> {
    if !text.starts_with('/') {
        return Err(Misplaced::Relative);
    }
    let names: Vec<&str> = text
        .split('/')
        .filter(|name| !matches!(*name, "" | "."))
        .collect();
    if names.contains(&"..") {
        return Err(Misplaced::Climbs);
    }
    if names.is_empty() {
        return Err(Misplaced::Root);
    }
    let place = format!("/{}", names.join("/"));
    let fits = place.len() <= keys::MAX_PLACE_BYTES
        && names.len() <= keys::MAX_PLACE_DEPTH
        && names.iter().all(|name| name.len() <= keys::MAX_FILE_NAME_BYTES);
    if !fits {
        return Err(Misplaced::TooLong);
    }
    match keys::RESERVED_PLACES.iter().find(|taken| overlap(taken, &place)) {
        Some(taken) => Err(Misplaced::Reserved(taken)),
        None => Ok(place),
    }
}

/// Where `files` would place the file or folder at `path`; one that climbs, at the root.
pub(crate) fn rooted(path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let whole = format!("/{path}");
    match place(&whole) {
        Err(Misplaced::Climbs) => format!("/{}", path.rsplit('/').next().unwrap_or(path)),
        _ => whole,
    }
}

/// Whether two places are one, or one holds the other.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    holds(one, other) || holds(other, one)
}

/// Whether a place is that of `folder` or below it.
pub(crate) fn holds(folder: &str, place: &str) -> bool {
    let rest = place.strip_prefix(folder);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
