//! Functions in Python: a file with a handler, in place of an executable.

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::function::FileRef;
use crate::image::{Misplaced, items, list, overlap, place};
use crate::keys;
use crate::program::Python;
use crate::section::{Entry, Section, excerpt, string, unpassable};
use crate::source::{Span, Spanned};

/// Where what a function in Python names stands in the file; the key `python` where one is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PythonSpans {
    /// The file and the handler.
    pub python: Span,
    /// The virtual environment.
    pub venv: Span,
    /// The interpreter.
    pub interpreter: Span,
    /// The modules.
    pub preload: Span,
}

/// What a file says of it.
pub(crate) struct PythonTree {
    pub(crate) python: Python,
    pub(crate) spans: PythonSpans,
}

impl PythonTree {
    /// Reads it out of the table of a function, `title`.
    pub(crate) fn read(section: &Section<'_>, title: &str, problems: &mut Problems) -> Option<Self> {
        let venv = section.text(&keys::VENV, problems);
        let interpreter = section.text(&keys::INTERPRETER, problems);
        let preload = section.entry(keys::PRELOAD.name);
        let modules = preload.as_ref().map(|entry| modules(entry, problems));
        let Some(entry) = section.entry(keys::PYTHON.name) else {
            without_python(section, title, problems);
            return None;
        };
        if let Some(exec) = section.entry(keys::EXEC.name) {
            let message = "a function is a program (`exec`) or a handler in Python (`python`), not both";
            problems.push(
                Diagnostic::new(
                    Code::Contradiction,
                    entry.key_span,
                    message,
                    "which of them is it?",
                )
                .with_related(exec.key_span, "a program here")
                .with_expected("one of `exec` and `python`")
                .with_help(format!("remove one of them from {title}")),
            );
        }
        let named = section.text(&keys::PYTHON, problems)?;
        let (file, handler, place) = parts(&entry, &named, problems)?;
        let or_python = |span: Option<Span>| span.unwrap_or(named.span);
        let spans = PythonSpans {
            python: named.span,
            venv: or_python(venv.as_ref().map(|venv| venv.span)),
            interpreter: or_python(interpreter.as_ref().map(|interpreter| interpreter.span)),
            preload: or_python(preload.as_ref().map(Entry::span)),
        };
        let python = Python {
            file,
            handler,
            place,
            venv: venv.map(|venv| venv.value),
            interpreter: interpreter.map(|interpreter| interpreter.value),
            preload: modules.unwrap_or_default(),
        };
        Some(Self { python, spans })
    }

    /// Refuses files at places that the interpreter has.
    pub(crate) fn check(&self, files: &[Spanned<FileRef>], problems: &mut Problems) {
        for file in files {
            let place = &file.value.to;
            let is_below = |folder: &str| overlap(folder, place) && folder.len() < place.len();
            // In a folder that is given, the file comes with it.
            let label = if overlap(keys::PYTHON_PLACE, place) {
                "functions in Python find the interpreter there"
            } else if is_below(&self.python.place) || self.python.place == *place {
                "the file that `python` names is there"
            } else {
                continue;
            };
            let message = format!("a file of a function cannot be at `{}`", excerpt(place));
            problems.push(
                Diagnostic::new(Code::BadPlace, file.span, message, label)
                    .with_related(self.spans.python, "a function in Python")
                    .with_expected("a place apart from it"),
            );
        }
        if overlap(keys::PYTHON_PLACE, &self.python.place) {
            let place = excerpt(&self.python.place);
            let message = format!("the file of a function in Python cannot be at `{place}`");
            let label = "the interpreter is there";
            problems.push(Diagnostic::new(Code::BadPlace, self.spans.python, message, label));
        }
    }
}

/// Refuses what only a function in Python has.
fn without_python(section: &Section<'_>, title: &str, problems: &mut Problems) {
    for name in [keys::VENV.name, keys::INTERPRETER.name, keys::PRELOAD.name] {
        if let Some(entry) = section.entry(name) {
            let message = format!("`{name}` is for functions in Python, and there is no `python`");
            let example = format!("python = \"{}\"", keys::PYTHON.kind.example);
            problems.push(
                Diagnostic::new(Code::Contradiction, entry.key_span, message, "of which handler?")
                    .with_expected(example.clone())
                    .with_help(format!("add {example} to {title}, or remove `{name}`")),
            );
        }
    }
}

/// Refuses variables that the loader sets.
pub(crate) fn check_env(entry: &Entry<'_>, names: impl IntoIterator<Item = String>, problems: &mut Problems) {
    for name in names {
        if keys::PYTHON_VARIABLES.contains(&&*name) {
            let message = format!("`{name}` cannot be set for a function in Python");
            let label = "it says where the interpreter's library and packages are";
            problems.push(
                Diagnostic::new(Code::ReservedName, entry.span(), message, label)
                    .with_help("give modules as `files` beside the file of `python`, or packages by `venv`"),
            );
        }
    }
}

/// File, handler and place of `FILE:HANDLER`.
fn parts(
    entry: &Entry<'_>,
    named: &Spanned<String>,
    problems: &mut Problems,
) -> Option<(String, String, String)> {
    const EXPECTED: &str = "a file and the handler in it, such as \"app.py:handler\"";
    let mut refuse = |label: &str| {
        let message = format!("\"{}\" names no handler in Python", excerpt(&named.value));
        problems.push(Diagnostic::new(Code::BadText, named.span, message, label).with_expected(EXPECTED));
    };
    let Some((file, handler)) = named.value.rsplit_once(':') else {
        refuse("`:` and the name of the handler are missing");
        return None;
    };
    if !file.ends_with(".py") || file.ends_with("/.py") || file == ".py" {
        refuse("the file before `:` ends in .py");
        return None;
    }
    if !is_identifier(handler) {
        refuse("what is behind `:` is no name of Python");
        return None;
    }
    match place(&rooted(file)) {
        Ok(found) => Some((file.to_owned(), handler.to_owned(), found)),
        Err(misplaced) => {
            problems.push(misplaced.diagnostic(entry, file));
            None
        }
    }
}

/// Where `files` would place it; one that climbs, at the root.
fn rooted(file: &str) -> String {
    if file.starts_with('/') {
        return file.to_owned();
    }
    let place = format!("/{file}");
    match self::place(&place) {
        Err(Misplaced::Climbs) => format!("/{}", file.rsplit('/').next().unwrap_or(file)),
        _ => place,
    }
}

/// Identifiers are of ASCII here: others can be imported under such a name.
fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    let begins = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    begins
        && name.len() <= keys::MAX_MODULE_BYTES
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Modules that an array lists.
fn modules(entry: &Entry<'_>, problems: &mut Problems) -> Vec<String> {
    const EXPECTED: &str = "an array of modules such as [\"numpy\", \"PIL.Image\"]";
    let Some(array) = list(entry, EXPECTED, keys::MAX_PRELOAD, problems) else {
        return Vec::new();
    };
    let mut modules = Vec::new();
    for item in items(entry, array, keys::MAX_PRELOAD) {
        let Some(text) = string(&item, "a module, which is a string", problems) else {
            continue;
        };
        if let Some((message, label)) = unpassable(text, &item, keys::MAX_MODULE_BYTES) {
            problems.push(Diagnostic::new(Code::BadText, item.span(), message, label));
        } else if text.split('.').all(is_identifier) {
            modules.push(text.to_owned());
        } else {
            let message = format!("\"{}\" is no module", excerpt(text));
            let label = "names of Python, with dots in between";
            problems.push(
                Diagnostic::new(Code::BadText, item.span(), message, label)
                    .with_expected("a module such as \"PIL.Image\""),
            );
        }
    }
    modules
}
