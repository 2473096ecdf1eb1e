//! Names of chains, functions and ports.

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::keys;
use crate::section::excerpt;
use crate::source::Span;

/// Whether a name of a chain, function or port is well formed; reports it when not.
pub(crate) fn check_name(name: &str, noun: &str, span: Span, problems: &mut Problems) -> bool {
    const RULE: &str = "a lower-case letter, then lower-case letters, digits, `-` and `_`; at most 63";
    let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if first && name.chars().all(part) && name.len() <= keys::MAX_NAME_BYTES {
        return true;
    }
    let message = match name.is_empty() {
        true => format!("the name of a {noun} is empty"),
        false => format!("`{}` cannot be the name of a {noun}", excerpt(name)),
    };
    let mut diagnostic =
        Diagnostic::new(Code::BadName, span, message, format!("expected {RULE}")).with_expected(RULE);
    let tidy: String = name
        .to_lowercase()
        .chars()
        .map(|c| if part(c) { c } else { '-' })
        .skip_while(|c| !c.is_ascii_lowercase())
        .take(keys::MAX_NAME_BYTES)
        .collect();
    if !tidy.is_empty() {
        diagnostic = diagnostic
            .with_help(format!("a name that would do: `{tidy}`"))
            .with_nearest(tidy);
    }
    problems.push(diagnostic);
    false
}
