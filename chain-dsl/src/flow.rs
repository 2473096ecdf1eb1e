//! One flow line: `"a.port & b -> c"` to steps and terms, with a span on each.
//!
//! ```text
//! line  = step ("->" step)+
//! step  = term (("&" term)* | ("|" term)*)
//! term  = name ["." name]
//! ```

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::section::excerpt;
use crate::source::{Source, Span, Spanned};

/// The text of a flow line and where it stands in the file.
pub(crate) struct LineText {
    pub(crate) text: String,
    pub(crate) span: Span,
    /// Where the text begins in the file, when each of its bytes stands there as it is (no escapes).
    exact: Option<usize>,
}

impl LineText {
    /// `span` covers the string with its quotes.
    pub(crate) fn new(text: &str, span: Span, source: &Source) -> Self {
        let raw = source.slice(span);
        let exact = if text.is_empty() {
            None
        } else {
            raw.find(text).map(|at| span.start() + at)
        };
        Self {
            text: text.to_owned(),
            span,
            exact,
        }
    }

    /// The place of a piece of the text; the whole string when it has escapes.
    fn place(&self, start: usize, end: usize) -> Span {
        self.exact.map_or(self.span, |at| Span::new(at + start, at + end))
    }
}

/// A flow line as written.
pub(crate) struct Line {
    pub(crate) steps: Vec<Step>,
    /// Whether it has errors; its names may be looked at, but it says nothing sure about the graph.
    pub(crate) broken: bool,
}

/// What stands between two arrows.
pub(crate) struct Step {
    pub(crate) terms: Vec<Term>,
    pub(crate) joiner: Joiner,
}

impl Step {
    /// From its first term to its last.
    pub(crate) fn span(&self) -> Span {
        let mut spans = self.terms.iter().map(|term| term.span);
        let first = spans.next().unwrap_or_default();
        spans.fold(first, Span::to)
    }
}

/// How the terms of a step belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joiner {
    /// There is one term.
    One,
    /// `&`
    All,
    /// `|`
    Any,
}

/// A function, `ingress` or `egress`, with a port or without.
pub(crate) struct Term {
    pub(crate) name: Spanned<String>,
    pub(crate) port: Option<Spanned<String>>,
    pub(crate) span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Name(&'t str),
    Arrow,
    Each,
    And,
    Or,
    Dot,
    /// What is no token, and what was probably meant.
    Strange(&'t str, &'static str),
    End,
}

impl Token<'_> {
    fn describe(self) -> String {
        match self {
            Self::Name(name) => format!("`{}`", excerpt(name)),
            Self::Arrow => "`->`".to_owned(),
            Self::Each => "`=>`".to_owned(),
            Self::And => "`&`".to_owned(),
            Self::Or => "`|`".to_owned(),
            Self::Dot => "`.`".to_owned(),
            Self::Strange(text, _) => format!("`{}`", excerpt(text)),
            Self::End => "the end of the line".to_owned(),
        }
    }
}

/// What people write for the signs of the language, longest first.
const LOOKALIKES: &[(&str, &str)] = &[
    ("-->", "an arrow is written `->`"),
    ("==>", "an arrow is written `->`"),
    ("--", "an arrow is written `->`"),
    (
        "<-",
        "arrows point to the right: write the line the other way round",
    ),
    ("&&", "write a single `&`"),
    ("||", "write a single `|`"),
    ("→", "an arrow is written `->`"),
    ("⇒", "an arrow is written `->`"),
    ("–>", "an arrow is written `->`"),
    ("—>", "an arrow is written `->`"),
    (">", "an arrow is written `->`"),
    ("-", "an arrow is written `->`"),
    ("=", "an arrow is written `->`"),
    (
        ",",
        "to send to several functions, or to wait for several, write `&`",
    ),
    (
        "+",
        "to send to several functions, or to wait for several, write `&`",
    ),
    (
        ";",
        "each flow line is a string of its own: [\"a -> b\", \"c -> d\"]",
    ),
    ("(", "there are no brackets: write one flow line for each way"),
    (")", "there are no brackets: write one flow line for each way"),
    ("[", "there are no brackets: write one flow line for each way"),
    ("]", "there are no brackets: write one flow line for each way"),
    (":", "a port is written with a dot: `name.port`"),
    ("/", "a port is written with a dot: `name.port`"),
];

/// The tokens of a line, each with where it begins and ends.
struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    fn take(&mut self) -> (Token<'t>, usize, usize) {
        let rest = self.text.get(self.at..).unwrap_or("");
        let trimmed = rest.trim_start();
        let start = self.at + (rest.len() - trimmed.len());
        let (token, len) = Self::first(trimmed);
        self.at = start + len;
        (token, start, self.at)
    }

    fn first(text: &'t str) -> (Token<'t>, usize) {
        let name_len = name_len(text);
        if let Some(name) = text.get(..name_len).filter(|name| !name.is_empty()) {
            return (Token::Name(name), name_len);
        }
        for (sign, token) in [("->", Token::Arrow), ("=>", Token::Each)] {
            if text.starts_with(sign) {
                return (token, sign.len());
            }
        }
        for (lookalike, meant) in LOOKALIKES {
            if text.starts_with(lookalike) {
                return (Token::Strange(lookalike, meant), lookalike.len());
            }
        }
        let Some(first) = text.chars().next() else {
            return (Token::End, 0);
        };
        let len = first.len_utf8();
        let token = match first {
            '&' => Token::And,
            '|' => Token::Or,
            '.' => Token::Dot,
            _ => Token::Strange(text.get(..len).unwrap_or(""), ""),
        };
        (token, len)
    }
}

/// How much of the beginning is a name; a `-` that begins an arrow is not part of it.
fn name_len(text: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let run = text.trim_start_matches(is_part);
    let name = text.get(..text.len() - run.len()).unwrap_or("");
    if name.starts_with('-') {
        return 0;
    }
    // Dashes before a `>` are the beginning of an arrow: `a->b`, `a-->b`.
    let name = if run.starts_with('>') {
        name.trim_end_matches('-')
    } else {
        name
    };
    name.len()
}

/// Reads one line. What is wrong with it goes to `problems`; what could be read comes back.
pub(crate) fn parse(line: &LineText, problems: &mut Problems) -> Line {
    let mut tokens = Tokens {
        text: &line.text,
        at: 0,
    };
    let mut parsed = Line {
        steps: Vec::new(),
        broken: false,
    };
    let mut step = Step {
        terms: Vec::new(),
        joiner: Joiner::One,
    };
    if line.text.trim().is_empty() {
        problems.push(
            Diagnostic::new(
                Code::FlowSyntax,
                line.span,
                "a flow line is empty",
                "nothing is written here",
            )
            .with_help("write, for example, \"ingress -> decode -> egress\", or drop the line"),
        );
        return Line {
            broken: true,
            ..parsed
        };
    }
    let mut after = "at the beginning of the line".to_owned();
    loop {
        // A term ...
        let (token, start, end) = tokens.take();
        let Token::Name(name) = token else {
            problems.push(unexpected(
                token,
                line.place(start, end),
                "the name of a function",
                &after,
            ));
            parsed.broken = true;
            break;
        };
        let name = Spanned::new(name.to_owned(), line.place(start, end));
        let (mut token, mut start, mut end) = tokens.take();
        let mut port = None;
        if token == Token::Dot {
            let (port_token, port_start, port_end) = tokens.take();
            let Token::Name(port_name) = port_token else {
                let place = line.place(port_start, port_end);
                problems.push(unexpected(port_token, place, "the name of a port", "after `.`"));
                parsed.broken = true;
                break;
            };
            port = Some(Spanned::new(
                port_name.to_owned(),
                line.place(port_start, port_end),
            ));
            (token, start, end) = tokens.take();
        }
        let span = port.as_ref().map_or(name.span, |port| name.span.to(port.span));
        after = format!("after `{}`", excerpt(&name.value));
        step.terms.push(Term { name, port, span });
        // ... and what follows it.
        let place = line.place(start, end);
        match token {
            Token::End => break,
            Token::And => parsed.broken |= !join(&mut step, Joiner::All, place, problems),
            Token::Or => parsed.broken |= !join(&mut step, Joiner::Any, place, problems),
            Token::Arrow | Token::Each => {
                if token == Token::Each {
                    problems.push(
                        Diagnostic::new(
                            Code::EachReserved,
                            place,
                            "`=>` is not built yet",
                            "expected `->`",
                        )
                        .with_expected("`->`")
                        .with_help("`->` hands the whole record on")
                        .with_note("`=>` is kept for one run for each item that a function emits"),
                    );
                    parsed.broken = true;
                }
                parsed.steps.push(std::mem::replace(
                    &mut step,
                    Step {
                        terms: Vec::new(),
                        joiner: Joiner::One,
                    },
                ));
            }
            Token::Name(_) | Token::Dot | Token::Strange(..) => {
                problems.push(unexpected(token, place, "`->`, `&` or `|`", &after));
                parsed.broken = true;
                break;
            }
        }
        after = format!("after {}", token.describe());
    }
    if !step.terms.is_empty() {
        parsed.steps.push(step);
    }
    if parsed.steps.len() < 2 && !parsed.broken {
        problems.push(
            Diagnostic::new(
                Code::FlowSyntax,
                line.span,
                "a flow line without an arrow",
                "expected at least one `->`",
            )
            .with_expected("`->`")
            .with_help("say where the record goes: \"a -> b\""),
        );
        parsed.broken = true;
    }
    parsed
}

/// Sets the joiner of a step; false when the step already has the other one.
fn join(step: &mut Step, joiner: Joiner, place: Span, problems: &mut Problems) -> bool {
    if step.joiner == Joiner::One || step.joiner == joiner {
        step.joiner = joiner;
        return true;
    }
    let sign = if step.joiner == Joiner::All { "&" } else { "|" };
    let label = format!("the step is joined by `{sign}` so far");
    problems.push(
        Diagnostic::new(Code::MixedStep, place, "`&` and `|` are mixed in one step", label)
            .with_related(step.span(), "this step")
            .with_help("write one flow line for each alternative: \"a & b -> d\" and \"c -> d\""),
    );
    false
}

fn unexpected(token: Token<'_>, place: Span, expected: &str, after: &str) -> Diagnostic {
    let message = match token {
        Token::End => format!("the flow line ends {after}"),
        _ => format!("unexpected {} in a flow line", token.describe()),
    };
    let label = format!("expected {expected} {after}");
    let diagnostic = Diagnostic::new(Code::FlowSyntax, place, message, label).with_expected(expected);
    match token {
        Token::Strange(_, meant) if !meant.is_empty() => diagnostic.with_help(meant),
        Token::Name(_) => diagnostic.with_help("names hold no spaces; steps are joined by `->`"),
        Token::Dot if expected.starts_with('`') => {
            diagnostic.with_help("a function has ports, a port has none")
        }
        _ => diagnostic,
    }
}
