//! Functions in Python: a file with a handler, in place of an executable.

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::image::{holds, items, list, overlap, place, rooted};
use crate::keys;
use crate::program::{FileRef, Interpreter, Python};
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
    /// Reads it out of the table of a function, whose interpreter is `interpreter`.
    pub(crate) fn read(
        section: &Section<'_>,
        interpreter: &InterpreterTree,
        problems: &mut Problems,
    ) -> Option<Self> {
        let preload = section.entry(keys::PRELOAD.name);
        let modules = preload.as_ref().map(|entry| modules(entry, problems));
        let entry = section.entry(keys::PYTHON.name)?;
        let named = section.text(&keys::PYTHON, problems)?;
        let (file, handler, place) = parts(&entry, &named, problems)?;
        let spans = PythonSpans {
            preload: preload.as_ref().map_or(named.span, Entry::span),
            ..interpreter.spans(named.span)
        };
        let python = Python {
            file,
            handler,
            place,
            interpreter: interpreter.interpreter(),
            preload: modules.unwrap_or_default(),
        };
        Some(Self { python, spans })
    }

    /// Refuses files at the place of its own file.
    pub(crate) fn check(&self, files: &[Spanned<FileRef>], problems: &mut Problems) {
        let own = &self.python.place;
        for file in files {
            let place = &file.value.to;
            // In a folder that is given, the file comes with it.
            if holds(own, place) {
                let label = "the file that `python` names is there";
                problems.push(taken(file, self.spans.python, label));
            }
        }
        if overlap(keys::PYTHON_PLACE, own) {
            let place = excerpt(own);
            let message = format!("the file of a function in Python cannot be at `{place}`");
            let label = "the interpreter is there";
            problems.push(Diagnostic::new(Code::BadPlace, self.spans.python, message, label));
        }
    }
}

fn taken(file: &Spanned<FileRef>, python: Span, label: &str) -> Diagnostic {
    let message = format!("a file of a function cannot be at `{}`", excerpt(&file.value.to));
    Diagnostic::new(Code::BadPlace, file.span, message, label)
        .with_related(python, "a function in Python")
        .with_expected("a place apart from it")
}

/// The keys that choose an interpreter, as they are written.
pub(crate) struct InterpreterTree {
    pub(crate) venv: Option<Spanned<String>>,
    pub(crate) path: Option<Spanned<String>>,
}

impl InterpreterTree {
    /// Reads them out of the table of a function.
    pub(crate) fn read(section: &Section<'_>, problems: &mut Problems) -> Self {
        Self {
            venv: section.text(&keys::VENV, problems),
            path: section.text(&keys::INTERPRETER, problems),
        }
    }

    pub(crate) fn interpreter(&self) -> Interpreter {
        let text = |written: &Option<Spanned<String>>| written.as_ref().map(|text| text.value.clone());
        Interpreter {
            venv: text(&self.venv),
            path: text(&self.path),
        }
    }

    /// Where they stand, in a function that is named at `otherwise`.
    pub(crate) fn spans(&self, otherwise: Span) -> PythonSpans {
        let written = |text: &Option<Spanned<String>>| text.as_ref().map_or(otherwise, |text| text.span);
        PythonSpans {
            python: otherwise,
            venv: written(&self.venv),
            interpreter: written(&self.path),
            preload: otherwise,
        }
    }
}

/// Refuses files at the place of the interpreter of a function that is named at `python`.
pub(crate) fn check_files(files: &[Spanned<FileRef>], python: Span, problems: &mut Problems) {
    for file in files {
        if overlap(keys::PYTHON_PLACE, &file.value.to) {
            let label = "functions in Python find the interpreter there";
            problems.push(taken(file, python, label));
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
                Diagnostic::new(Code::ReservedName, entry.span(), message, label).with_help(
                    "give modules as `files` beside the file that imports them, or packages by `venv`",
                ),
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
