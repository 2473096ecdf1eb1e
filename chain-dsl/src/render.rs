//! Diagnostics for people: the line, the text underlined, what was expected, what to do.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::code::Severity;
use crate::diagnostic::{Diagnostic, Diagnostics};

/// Longer lines of a chain file are cut around the underlined text, in columns.
const WIDTH_COLUMNS: usize = 120;

impl Diagnostics {
    /// The diagnostics as text in the way of rustc, with a last line that counts them.
    ///
    /// `color` adds ANSI colours; the layout is the same without. Control characters of the file are
    /// made visible, so a hostile file cannot write escape sequences to a terminal.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        }
        .term_width(WIDTH_COLUMNS);
        let mut out = String::new();
        for diagnostic in self {
            out.push_str(&renderer.render(&[self.group(diagnostic)]));
            out.push_str("\n\n");
        }
        if let Some(summary) = self.summary() {
            out.push_str(&renderer.render(&[summary]));
            out.push('\n');
        }
        out
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let mut snippet = Snippet::source(self.source().text())
            .path(self.source().name())
            .fold(true);
        let primary = diagnostic.primary();
        snippet = snippet.annotation(label(
            AnnotationKind::Primary,
            primary.span().range(),
            primary.text(),
        ));
        for related in diagnostic.related() {
            snippet = snippet.annotation(label(
                AnnotationKind::Context,
                related.span().range(),
                related.text(),
            ));
        }
        let title = level(diagnostic.severity()).primary_title(diagnostic.message());
        let group = title.id(diagnostic.code().as_str()).element(snippet);
        let notes = diagnostic.notes().iter().map(|note| Level::NOTE.message(note));
        let helps = diagnostic.helps().iter().map(|help| Level::HELP.message(help));
        group.elements(notes).elements(helps)
    }

    /// The last line: how many there are. Nothing when nothing was found.
    fn summary(&self) -> Option<Group<'_>> {
        let (errors, warnings) = (self.error_count(), self.warning_count());
        let mut counts = Vec::new();
        if errors > 0 {
            counts.push(count(errors, "error"));
        }
        if warnings > 0 {
            counts.push(count(warnings, "warning"));
        }
        if self.omitted() > 0 {
            counts.push(format!("{} more not shown", self.omitted()));
        }
        let severity = if errors > 0 {
            Severity::Error
        } else {
            Severity::Warning
        };
        let text = format!("{}: {}", self.source().name(), counts.join(", "));
        (!counts.is_empty()).then(|| Group::with_title(level(severity).primary_title(text)))
    }
}

fn level(severity: Severity) -> Level<'static> {
    match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    }
}

fn label(
    kind: AnnotationKind,
    span: std::ops::Range<usize>,
    text: &str,
) -> annotate_snippets::Annotation<'_> {
    let annotation = kind.span(span);
    if text.is_empty() {
        annotation
    } else {
        annotation.label(text)
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}
