//! What a chain file asks for of a function in Python, and how messages speak of it.

use super::super::beneath::Beneath;
use hacher_chain_dsl::{Code, Diagnostic, FileRef, Python, PythonSpans, Span};
use std::path::Path;

/// Where what a function in Python names is written, and how messages speak of it.
pub(in super::super) struct Asked<'a> {
    pub(in super::super) python: &'a Python,
    pub(in super::super) spans: PythonSpans,
    /// The chain file's folder.
    pub(in super::super) folder: &'a Path,
    pub(in super::super) files: &'a [FileRef],
    /// The function's own arguments, which follow those of the interpreter.
    pub(in super::super) own_args: &'a [String],
    /// Beneath what files are to lie.
    pub(in super::super) bound: Option<&'a Beneath>,
}

pub(in super::super) fn problem(span: Span, message: String, label: &str) -> Diagnostic {
    Diagnostic::new(Code::PythonNotUsable, span, message, label)
}
