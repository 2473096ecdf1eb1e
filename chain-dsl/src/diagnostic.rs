//! What the checker has to say about a file: diagnostics with places, and the list of them.

use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::code::{Code, Severity};
use crate::keys::{BROKER_SCHEME, SECRET_SCHEME};
use crate::source::{Position, Source, Span};

/// More than this many diagnostics help nobody; the rest are counted.
pub const MAX_DIAGNOSTICS: usize = 100;

/// The longest piece of the file that is repeated in a diagnostic's data, in bytes.
const MAX_SNIPPET_BYTES: usize = 200;

/// A place in the file and what is said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    span: Span,
    text: String,
}

impl Label {
    /// The place.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// What is said there; may be empty.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// One problem of a chain file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    code: Code,
    message: String,
    primary: Label,
    related: Vec<Label>,
    expected: Option<String>,
    nearest: Option<String>,
    helps: Vec<String>,
    notes: Vec<String>,
}

impl Diagnostic {
    /// A diagnostic at a place; `label` stands under the underlined text and may be empty.
    #[must_use]
    pub fn new(code: Code, span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            primary: Label {
                span,
                text: label.into(),
            },
            related: Vec::new(),
            expected: None,
            nearest: None,
            helps: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.helps.push(help.into());
        self
    }

    /// Adds a remark.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds another place that has to do with the problem.
    #[must_use]
    pub fn with_related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Says what would have been right.
    #[must_use]
    pub fn with_expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Names the known word that is closest to what was written.
    #[must_use]
    pub fn with_nearest(mut self, nearest: impl Into<String>) -> Self {
        self.nearest = Some(nearest.into());
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Whether it stops the chain.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The place that is underlined, and the text under it.
    #[must_use]
    pub fn primary(&self) -> &Label {
        &self.primary
    }

    /// Other places that have to do with it.
    #[must_use]
    pub fn related(&self) -> &[Label] {
        &self.related
    }

    /// What would have been right.
    #[must_use]
    pub fn expected(&self) -> Option<&str> {
        self.expected.as_deref()
    }

    /// The closest known word.
    #[must_use]
    pub fn nearest(&self) -> Option<&str> {
        self.nearest.as_deref()
    }

    /// What to do about it, one line each.
    #[must_use]
    pub fn helps(&self) -> &[String] {
        &self.helps
    }

    /// Remarks, one line each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Where the checker's modules put what they find; bounded.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Diagnostic>,
    omitted: usize,
    any_error: bool,
}

impl Problems {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.any_error |= diagnostic.severity() == Severity::Error;
        if self.found.len() < MAX_DIAGNOSTICS {
            self.found.push(diagnostic);
        } else {
            self.omitted += 1;
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.any_error
    }

    /// Whether one more would only be counted. What is costly to find asks first.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MAX_DIAGNOSTICS
    }

    /// Counts an error that is not worth finding out about, because the list is full.
    pub(crate) fn omit(&mut self) {
        self.any_error = true;
        self.omitted += 1;
    }

    pub(crate) fn any(&self, code: Code) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.code == code)
    }

    /// Keeps those that `keep` accepts.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Diagnostic) -> bool) {
        self.found.retain(keep);
    }

    pub(crate) fn into_diagnostics(self, source: Arc<Source>) -> Diagnostics {
        Diagnostics::new(source, self.found, self.omitted)
    }
}

/// All that was found in one file, in the order of the file.
///
/// Serialises to an object with the file's name, the counts, and the list; [`Diagnostics::render`]
/// prints the same for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    source: Arc<Source>,
    found: Vec<Diagnostic>,
    omitted: usize,
}

impl Diagnostics {
    pub(crate) fn new(source: Arc<Source>, mut found: Vec<Diagnostic>, omitted: usize) -> Self {
        for diagnostic in &mut found {
            diagnostic.primary.span = source.clamp(diagnostic.primary.span);
            for label in &mut diagnostic.related {
                label.span = source.clamp(label.span);
            }
        }
        let source = without_secrets(source, &found);
        found.sort_by_key(|diagnostic| (diagnostic.primary.span, diagnostic.code));
        Self {
            source,
            found,
            omitted,
        }
    }

    /// The name of the file, as it was given to the checker.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.source.name()
    }

    /// The diagnostics, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.found.iter()
    }

    /// How many are listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many more there were than are listed.
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// How many of those listed are errors.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.found
            .iter()
            .filter(|diagnostic| diagnostic.severity() == Severity::Error)
            .count()
    }

    /// How many of those listed are warnings.
    #[must_use]
    pub fn warning_count(&self) -> usize {
        self.found.len() - self.error_count()
    }

    /// Where a span begins and ends, in lines and columns.
    #[must_use]
    pub fn positions(&self, span: Span) -> (Position, Position) {
        (
            self.source.position(span.start()),
            self.source.position(span.end()),
        )
    }

    /// These and more, in the order of the file.
    pub fn with_more(&self, more: impl IntoIterator<Item = Diagnostic>) -> Self {
        let found = self.found.iter().cloned().chain(more).collect();
        Self::new(Arc::clone(&self.source), found, self.omitted)
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }
}

/// What was written where a reference to a secret belongs may be the secret itself, and diagnostics end in
/// logs: it is starred out of the text that they quote. Offsets stay as they are.
fn without_secrets(source: Arc<Source>, found: &[Diagnostic]) -> Arc<Source> {
    let hidden: Vec<Span> = found
        .iter()
        .filter(|diagnostic| diagnostic.code == Code::BadSecret)
        .map(|diagnostic| diagnostic.primary.span)
        .filter(|span| {
            let text = source.slice(*span).trim_start_matches(['"', '\'']);
            !text.starts_with(SECRET_SCHEME) && !text.starts_with(BROKER_SCHEME)
        })
        .collect();
    if hidden.is_empty() {
        return source;
    }
    let star = |(at, c): (usize, char)| match hidden.iter().any(|span| span.range().contains(&at)) {
        true if !matches!(c, '"' | '\'' | '\n' | '\r') => "*".repeat(c.len_utf8()),
        _ => c.to_string(),
    };
    let text: String = source.text().char_indices().map(star).collect();
    Arc::new(Source::new(source.name(), &text))
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// As [`Diagnostics::render`] without colours.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

impl Serialize for Diagnostics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let list: Vec<Located<'_>> = self
            .found
            .iter()
            .map(|diagnostic| Located {
                source: &self.source,
                diagnostic,
            })
            .collect();
        let mut out = serializer.serialize_struct("Diagnostics", 5)?;
        out.serialize_field("file", self.source.name())?;
        out.serialize_field("errors", &self.error_count())?;
        out.serialize_field("warnings", &self.warning_count())?;
        out.serialize_field("omitted", &self.omitted)?;
        out.serialize_field("diagnostics", &list)?;
        out.end()
    }
}

/// A diagnostic with its source, to be serialised with lines and columns.
struct Located<'a> {
    source: &'a Source,
    diagnostic: &'a Diagnostic,
}

impl Serialize for Located<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { source, diagnostic } = self;
        let primary = Place {
            source,
            label: &diagnostic.primary,
        };
        let related: Vec<Place<'_>> = diagnostic
            .related
            .iter()
            .map(|label| Place { source, label })
            .collect();
        let start = source.position(diagnostic.primary.span.start());
        let end = source.position(diagnostic.primary.span.end());
        let mut out = serializer.serialize_struct("Diagnostic", 15)?;
        out.serialize_field("code", diagnostic.code.as_str())?;
        out.serialize_field("severity", &diagnostic.severity())?;
        out.serialize_field("message", &diagnostic.message)?;
        out.serialize_field("file", source.name())?;
        out.serialize_field("line", &start.line)?;
        out.serialize_field("column", &start.column)?;
        out.serialize_field("end_line", &end.line)?;
        out.serialize_field("end_column", &end.column)?;
        out.serialize_field("snippet", primary.snippet())?;
        out.serialize_field("label", &diagnostic.primary.text)?;
        out.serialize_field("expected", &diagnostic.expected)?;
        out.serialize_field("nearest", &diagnostic.nearest)?;
        out.serialize_field("help", &diagnostic.helps)?;
        out.serialize_field("notes", &diagnostic.notes)?;
        out.serialize_field("related", &related)?;
        out.end()
    }
}

/// A label with its source.
struct Place<'a> {
    source: &'a Source,
    label: &'a Label,
}

impl Place<'_> {
    /// The text that the label underlines, cut when it is long.
    fn snippet(&self) -> &str {
        let text = self.source.slice(self.label.span);
        text.get(..text.floor_char_boundary(MAX_SNIPPET_BYTES))
            .unwrap_or("")
    }
}

impl Serialize for Place<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let start = self.source.position(self.label.span.start());
        let end = self.source.position(self.label.span.end());
        let mut out = serializer.serialize_struct("Label", 6)?;
        out.serialize_field("line", &start.line)?;
        out.serialize_field("column", &start.column)?;
        out.serialize_field("end_line", &end.line)?;
        out.serialize_field("end_column", &end.column)?;
        out.serialize_field("snippet", self.snippet())?;
        out.serialize_field("label", &self.label.text)?;
        out.end()
    }
}
