//! What a chain takes of HTTP requests: methods, and headers beside those that every chain gets.

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::image::{items, list};
use crate::keys;
use crate::nearest::nearest;
use crate::section::{Entry, Section, excerpt, string};
use crate::source::Span;

/// Methods that a chain answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Methods(u32);

impl Methods {
    /// All that a chain may answer.
    pub const NAMES: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

    /// Their names, in one order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let numbered = (0..).zip(Self::NAMES);
        numbered.filter_map(move |(at, name)| (self.0 & (1 << at) != 0).then_some(*name))
    }

    fn bit(name: &str) -> Option<u32> {
        (0..)
            .zip(Self::NAMES)
            .find_map(|(at, known)| (*known == name).then_some(1 << at))
    }

    fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let bits = names.into_iter().filter_map(Self::bit);
        let mut methods = Self(bits.fold(0, |all, bit| all | bit));
        if methods.names().any(|name| name == "GET") {
            // RFC 9110, section 9.3.2: what GET says, without content.
            methods.0 |= Self::bit("HEAD").unwrap_or(0);
        }
        methods
    }
}

impl Default for Methods {
    fn default() -> Self {
        Self::of([keys::DEFAULT_METHOD])
    }
}

/// What `[ingress]` says of requests; each value where it was right.
#[derive(Debug, Default)]
pub(crate) struct RequestTree {
    pub(crate) methods: Option<Methods>,
    pub(crate) headers: Vec<String>,
}

/// Reads it.
pub(crate) fn request(ingress: &Section<'_>, problems: &mut Problems) -> RequestTree {
    RequestTree {
        methods: ingress
            .entry(keys::METHODS.name)
            .and_then(|entry| methods(&entry, problems)),
        headers: ingress
            .entry(keys::HEADERS.name)
            .map(|entry| headers(&entry, problems))
            .unwrap_or_default(),
    }
}

fn methods(entry: &Entry<'_>, problems: &mut Problems) -> Option<Methods> {
    const EXPECTED: &str = "an array of methods such as [\"GET\", \"POST\"]";
    let array = list(entry, EXPECTED, Methods::NAMES.len(), problems)?;
    if array.is_empty() {
        let problem = Diagnostic::new(
            Code::BadText,
            entry.span(),
            "`methods` is empty",
            "expected at least one",
        );
        problems.push(
            problem
                .with_expected(EXPECTED)
                .with_help("drop the key: a chain answers POST then"),
        );
        return None;
    }
    let mut names = Vec::new();
    for item in items(entry, array, Methods::NAMES.len()) {
        let Some(word) = string(&item, "a method, which is a string", problems) else {
            continue;
        };
        if Methods::bit(word).is_some() {
            names.push(word);
        } else {
            problems.push(unknown_method(word, item.span()));
        }
    }
    Some(Methods::of(names))
}

fn unknown_method(word: &str, span: Span) -> Diagnostic {
    let known = Methods::NAMES.join(", ");
    let message = format!("`methods` cannot hold \"{}\"", excerpt(word));
    let problem = Diagnostic::new(
        Code::UnknownChoice,
        span,
        message,
        format!("expected one of {known}"),
    )
    .with_expected(format!("one of {known}"));
    let upper = word.to_ascii_uppercase();
    let is_known = Methods::NAMES.iter().copied().find(|known| *known == upper);
    match is_known.or_else(|| nearest(&upper, Methods::NAMES.iter().copied())) {
        Some(meant) => problem
            .with_nearest(meant)
            .with_help(format!("did you mean \"{meant}\"?")),
        None => problem,
    }
}

/// Names of headers in lower case, each once, in the order of their bytes: the same headers are the same
/// chain.
fn headers(entry: &Entry<'_>, problems: &mut Problems) -> Vec<String> {
    const EXPECTED: &str = "an array of header names such as [\"authorization\", \"x-tenant\"]";
    let Some(array) = list(entry, EXPECTED, keys::MAX_HEADERS, problems) else {
        return Vec::new();
    };
    let mut names: Vec<String> = Vec::new();
    for item in items(entry, array, keys::MAX_HEADERS) {
        let Some(text) = string(&item, "the name of a header, a string", problems) else {
            continue;
        };
        let name = text.to_ascii_lowercase();
        match not_carried(&name) {
            Some((label, help)) => {
                let message = format!("the header \"{}\" cannot be carried", excerpt(text));
                let problem = Diagnostic::new(Code::BadHeader, item.span(), message, label);
                problems.push(match help {
                    Some(help) => problem.with_help(help),
                    None => problem,
                });
            }
            None => names.push(name),
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Why a header cannot be carried.
fn not_carried(name: &str) -> Option<(&'static str, Option<&'static str>)> {
    let is_token = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9') || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > keys::MAX_NAME_BYTES || !name.bytes().all(is_token) {
        return Some(("a name is 1 to 63 letters, digits and !#$%&'*+-.^_`|~", None));
    }
    if keys::HEADERS_OF_THE_CONNECTION.contains(&name) {
        return Some((
            "it speaks of the connection",
            Some("such a header ends at the gateway, which speaks for itself on each side"),
        ));
    }
    if name.starts_with(keys::OWN_HEADERS) {
        return Some((
            "`hacher-` headers are the system's",
            Some(
                "functions get method, path, query and captures as `hacher-*` headers in any case; clients' are dropped",
            ),
        ));
    }
    None
}
