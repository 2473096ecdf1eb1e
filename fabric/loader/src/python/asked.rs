//! What a chain file asks for of a function in Python, and how messages speak of it.

use super::super::beneath::Beneath;
use hacher_chain_dsl::{Code, Diagnostic, FileRef, Interpreter, Python, PythonSpans, Span};
use std::path::Path;

/// Where what chooses an interpreter is written, and what it is to run.
pub(in super::super) struct Asked<'a> {
    pub(in super::super) interpreter: &'a Interpreter,
    pub(in super::super) spans: PythonSpans,
    /// The chain file's folder.
    pub(in super::super) folder: &'a Path,
    /// Beneath what files are to lie.
    pub(in super::super) bound: Option<&'a Beneath>,
    /// The handler that it serves; `None` if it runs a program that knows nothing of chains.
    pub(in super::super) handler: Option<Handler<'a>>,
}

/// A handler in Python, and what else its function has.
pub(in super::super) struct Handler<'a> {
    pub(in super::super) python: &'a Python,
    pub(in super::super) files: &'a [FileRef],
    /// The function's own arguments, which follow those of the interpreter.
    pub(in super::super) own_args: &'a [String],
}

pub(in super::super) fn problem(span: Span, message: String, label: &str) -> Diagnostic {
    Diagnostic::new(Code::PythonNotUsable, span, message, label)
}
