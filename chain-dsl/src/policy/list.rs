//! Lists of a policy file, item by item.

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::image::{items, list};
use crate::kinds::{IntegerKind, ItemKind, Key, ListKind};
use crate::nearest::nearest;
use crate::section::{Entry, Section, excerpt, integer, string, usable};

/// The longest name of an isolation layer.
const MAX_NAME_BYTES: usize = 63;

/// The items of a list.
fn items_of<'t>(key: &Key<ListKind>, entry: &Entry<'t>, problems: &mut Problems) -> Option<Vec<Entry<'t>>> {
    let expected = match key.kind.item {
        ItemKind::Hex(bytes, what) => {
            format!(
                "an array of strings, each {what}: {} hexadecimal digits",
                2 * bytes
            )
        }
        ItemKind::Word(words) => format!("an array of some of {}", quoted(words)),
        ItemKind::Name => "an array of names".to_owned(),
        ItemKind::Integer(IntegerKind { min, max, .. }) => {
            format!("an array of whole numbers from {min} to {max}")
        }
    };
    let expected = match key.kind.or_any {
        true => format!("{expected}, or \"any\""),
        false => expected,
    };
    let array = list(entry, &expected, key.kind.max, problems)?;
    if array.is_empty() {
        let message = format!("`{}` accepts nothing: the list is empty", key.name);
        problems.push(
            Diagnostic::new(Code::OutOfRange, entry.span(), message, "an empty list")
                .with_expected(expected)
                .with_help("write what is accepted, or drop the key to leave it open"),
        );
        return None;
    }
    Some(items(entry, array, key.kind.max).collect())
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    quoted.join(", ")
}

/// Some of a few words, or names.
pub(super) fn words(
    section: &Section<'_>,
    key: &Key<ListKind>,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let entry = section.entry(key.name)?;
    let items = items_of(key, &entry, problems)?;
    let words = items
        .iter()
        .filter_map(|item| {
            let word = string(item, "a string", problems)?;
            match key.kind.item {
                ItemKind::Word(known) => known_word(word, known, key, item, problems),
                _ => usable(word, item, MAX_NAME_BYTES, problems).map(|word| word.value),
            }
        })
        .collect();
    Some(words)
}

fn known_word(
    word: &str,
    known: &[&str],
    key: &Key<ListKind>,
    item: &Entry<'_>,
    problems: &mut Problems,
) -> Option<String> {
    if known.contains(&word) {
        return Some(word.to_owned());
    }
    let expected = format!("one of {}", quoted(known));
    let message = format!("`{}` cannot hold \"{}\"", key.name, excerpt(word));
    let mut diagnostic = Diagnostic::new(
        Code::UnknownChoice,
        item.span(),
        message,
        format!("expected {expected}"),
    )
    .with_expected(expected);
    if let Some(meant) = nearest(word, known.iter().copied()) {
        diagnostic = diagnostic
            .with_nearest(meant)
            .with_help(format!("did you mean \"{meant}\"?"));
    }
    problems.push(diagnostic);
    None
}

/// Whether the word "any" stands instead of a list that may be replaced by it.
pub(super) fn is_any(section: &Section<'_>, key: &Key<ListKind>) -> bool {
    let entry = section.entry(key.name);
    key.kind.or_any && entry.is_some_and(|entry| entry.value.get_ref().as_str() == Some("any"))
}

/// Bytes in hexadecimal, each item of the same length.
pub(super) fn hex<const N: usize>(
    section: &Section<'_>,
    key: &Key<ListKind>,
    problems: &mut Problems,
) -> Option<Vec<[u8; N]>> {
    let entry = section.entry(key.name)?;
    let items = items_of(key, &entry, problems)?;
    let what = match key.kind.item {
        ItemKind::Hex(_, what) => what,
        _ => "bytes",
    };
    let found = items
        .iter()
        .filter_map(|item| {
            let text = string(item, "a string", problems)?;
            let bytes = bytes_of::<N>(text);
            if bytes.is_none() {
                problems.push(no_hex::<N>(text, what, key, item));
            }
            bytes
        })
        .collect();
    Some(found)
}

fn no_hex<const N: usize>(text: &str, what: &str, key: &Key<ListKind>, item: &Entry<'_>) -> Diagnostic {
    let message = format!("`{}` holds something that is not {what}", key.name);
    let stranger = text.chars().find(|c| !c.is_ascii_hexdigit());
    let label = match stranger {
        Some(stranger) => format!("`{}` is not a hexadecimal digit", stranger.escape_debug()),
        None => format!("it has {} digits, not {}", text.len(), 2 * N),
    };
    Diagnostic::new(Code::BadText, item.span(), message, label)
        .with_expected(format!("{} hexadecimal digits", 2 * N))
}

fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    let (pairs, _) = digits.as_chunks::<2>();
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// Whole numbers.
pub(super) fn numbers(
    section: &Section<'_>,
    key: &Key<ListKind>,
    problems: &mut Problems,
) -> Option<Vec<u8>> {
    let entry = section.entry(key.name)?;
    let items = items_of(key, &entry, problems)?;
    let ItemKind::Integer(kind) = key.kind.item else {
        return None;
    };
    let numbers = items.iter().filter_map(|item| integer(item, kind, problems));
    Some(
        numbers
            .filter_map(|number| u8::try_from(number.value).ok())
            .collect(),
    )
}
