//! What a function says that it is: one of `exec`, `python`, `http` and `lambda`, with the keys that belong
//! to it.

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::guest::GuestTree;
use crate::keys;
use crate::program::{FileRef, Program};
use crate::python::{self, InterpreterTree, PythonSpans, PythonTree};
use crate::section::{Entry, Section};
use crate::source::{Span, Spanned};

/// What a function is, and where that stands.
pub(crate) struct ProgramTree {
    pub(crate) program: Program,
    /// The executable, or what is named in its place.
    pub(crate) span: Span,
    /// Of what is run by an interpreter of Python.
    pub(crate) python: Option<PythonSpans>,
}

/// Whether the table of a function says nothing of what it is.
pub(crate) fn is_missing(section: &Section<'_>) -> bool {
    keys::WAYS.iter().all(|way| section.entry(way).is_none())
}

impl ProgramTree {
    /// Reads it out of the table of a function, `title`, which has these `files`.
    pub(crate) fn read(
        section: &Section<'_>,
        title: &str,
        files: &[Spanned<FileRef>],
        problems: &mut Problems,
    ) -> Option<Self> {
        let is_one = check_ways(section, title, problems);
        let interpreter = InterpreterTree::read(section, problems);
        let exec = section.text(&keys::EXEC, problems).map(|exec| Self {
            program: Program::Executable(exec.value),
            span: exec.span,
            python: None,
        });
        let python = PythonTree::read(section, &interpreter, problems).map(|tree| {
            tree.check(files, problems);
            Self {
                span: tree.spans.python,
                python: Some(tree.spans),
                program: Program::Python(tree.python),
            }
        });
        let guest = GuestTree::read(section, title, files, &interpreter, problems).map(|tree| {
            let has_interpreter = tree.guest.interpreter().is_some();
            Self {
                span: tree.span,
                python: has_interpreter.then(|| interpreter.spans(tree.span)),
                program: Program::Guest(tree.guest),
            }
        });
        let found = exec.or(python).or(guest);
        if let Some(spans) = found.as_ref().and_then(|found| found.python) {
            python::check_files(files, spans.python, problems);
        }
        check_interpreter(section, title, found.as_ref(), problems);
        found.filter(|_| is_one)
    }

    /// Refuses variables that the loader sets.
    pub(crate) fn check_env(
        &self,
        entry: &Entry<'_>,
        names: impl IntoIterator<Item = String>,
        problems: &mut Problems,
    ) {
        if self.python.is_some() {
            python::check_env(entry, names, problems);
        }
    }
}

/// Refuses a function that says twice what it is.
fn check_ways(section: &Section<'_>, title: &str, problems: &mut Problems) -> bool {
    let mut ways: Vec<Entry<'_>> = keys::WAYS.iter().filter_map(|way| section.entry(way)).collect();
    ways.sort_by_key(|way| way.key_span);
    let [first, second, ..] = ways.as_slice() else {
        return true;
    };
    let message = format!(
        "a function is one of `exec`, `python`, `http` and `lambda`, not both `{}` and `{}`",
        first.name, second.name
    );
    problems.push(
        Diagnostic::new(
            Code::Contradiction,
            second.key_span,
            message,
            "which of them is it?",
        )
        .with_related(first.key_span, "already said here")
        .with_expected("one of `exec`, `python`, `http` and `lambda`")
        .with_help(format!("remove one of them from {title}")),
    );
    false
}

/// Refuses what only a function in Python has.
fn check_interpreter(
    section: &Section<'_>,
    title: &str,
    found: Option<&ProgramTree>,
    problems: &mut Problems,
) {
    let has_python = section.entry(keys::PYTHON.name).is_some();
    let is_guest = [keys::HTTP.name, keys::LAMBDA.name]
        .iter()
        .any(|way| section.entry(way).is_some());
    for name in [keys::VENV.name, keys::INTERPRETER.name, keys::PRELOAD.name] {
        let Some(entry) = section.entry(name) else {
            continue;
        };
        let is_of_handlers = name == keys::PRELOAD.name;
        let found_interpreter = found.is_some_and(|found| found.python.is_some());
        // Of a guest that could not be read nothing is known.
        if has_python || is_guest && !is_of_handlers && (found_interpreter || found.is_none()) {
            continue;
        }
        let diagnostic = if is_guest && !is_of_handlers {
            let message =
                format!("`{name}` is for functions in Python, and `command` starts another program");
            Diagnostic::new(
                Code::Contradiction,
                entry.key_span,
                message,
                "of which interpreter?",
            )
            .with_expected("command = [\"python3\", ...]")
            .with_help(format!(
                "begin the command in {title} with \"python3\", or remove `{name}`"
            ))
        } else {
            let message = format!("`{name}` is for functions in Python, and there is no `python`");
            let example = format!("python = \"{}\"", keys::PYTHON.kind.example);
            Diagnostic::new(Code::Contradiction, entry.key_span, message, "of which handler?")
                .with_expected(example.clone())
                .with_help(format!("add {example} to {title}, or remove `{name}`"))
        };
        problems.push(diagnostic);
    }
}
