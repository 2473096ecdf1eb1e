//! Lines of the log, on standard error: the one place where their form is made, and each is written in one
//! piece or not at all.
//!
//! Where standard error is the pipe to the [`crate::scribe`], its writing end does not block: a line that
//! finds no room is dropped and counted, so that a terminal that is stopped, or a reader that does not read,
//! stops nobody. Elsewhere, in a command that somebody waits for, a line waits as usual.
//!
//! What functions print, and what stands in files, is somebody else's text: no character of it steers a
//! terminal or ends a line, in either form, and it stands behind everything that the service says itself, so
//! it cannot pass for that.

/// Writes a line of the log. Unlike `eprintln!` it does not panic when nobody takes it, as a process of the
/// tree must outlive whoever reads its messages; and monitor and daemon do not wait.
#[macro_export]
macro_rules! tell {
    ($level:ident: $($argument:tt)*) => {
        $crate::tell!($level, $crate::lines::About::default(); $($argument)*)
    };
    ($level:ident, $about:expr; $($argument:tt)*) => {
        $crate::lines::say($crate::lines::Level::$level, &$about, format_args!($($argument)*))
    };
}

use crate::wall_clock;
use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use rustix::io::{Errno, write};
use std::borrow::Cow;
use std::io::stderr;
use std::sync::OnceLock;

/// The longest piece. Up to this size (`PIPE_BUF`, pipe(7)) a pipe takes all of a write or nothing, and
/// nothing of another writer comes in between.
pub const PIECE_MAX_BYTES: usize = 4096;
/// Room that a piece has for text, whatever stands around it: all that does is shorter than the rest.
const TEXT_MIN_BYTES: usize = 512;

static DROPPED: AtomicU64 = AtomicU64::new(0);
/// Those of [`DROPPED`] that no line has told of yet.
static UNTOLD: AtomicU64 = AtomicU64::new(0);
/// A [`Format`], by its number.
static FORMAT: AtomicU8 = AtomicU8::new(0);
static SOURCE: OnceLock<&'static str> = OnceLock::new();

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For whoever waits for a command: no time.
    Bare,
    /// For people.
    Text,
    /// For programs: each line is one JSON object.
    Json,
}

impl Format {
    /// The word for it on a command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// The one with this word; [`Self::Text`] if there is none.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "bare" => Self::Bare,
            "json" => Self::Json,
            _ => Self::Text,
        }
    }
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What happens.
    Info,
    /// What somebody should look at.
    Warning,
    /// What ends a command, a process or the service.
    Error,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Whom a line is about, as far as that is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    /// The chain; empty if it is none alone.
    pub chain: &'a str,
    /// The function, or `gateway`.
    pub function: &'a str,
    /// Which instance of it.
    pub instance: Option<u32>,
    /// The low half of a request's id.
    pub invocation: Option<u64>,
    /// Which attempt at a record of it.
    pub attempt: Option<u32>,
}

/// What an event has besides.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// A text, perhaps somebody else's.
    Text(&'a str),
    /// A number.
    Number(u64),
}

/// A line in the making.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// How much it matters.
    pub level: Level,
    /// Which process says so, or `function` or `access`.
    pub source: &'a str,
    /// Whom it is about.
    pub about: About<'a>,
    /// What it has besides, with names of ours.
    pub more: &'a [(&'a str, Value<'a>)],
    /// What it says.
    pub text: &'a str,
}

/// The source of what functions print: their text stands alone behind who they are.
pub const FUNCTION: &str = "function";
/// The source of lines about requests.
pub const ACCESS: &str = "access";

/// From here on this process writes lines so, under this name. Its panics are lines too.
pub fn begin(format: Format, source: &'static str) {
    FORMAT.store(format as u8, Ordering::Relaxed);
    if SOURCE.set(source).is_ok() && format != Format::Bare {
        std::panic::set_hook(Box::new(|panic| {
            say(Level::Error, &About::default(), format_args!("{panic}"));
        }));
    }
}

/// How this process writes lines.
#[must_use]
pub fn format() -> Format {
    match FORMAT.load(Ordering::Relaxed) {
        1 => Format::Text,
        2 => Format::Json,
        _ => Format::Bare,
    }
}

/// Writes a line, or several. Never fails: there is nobody else to tell.
pub fn say(level: Level, about: &About<'_>, message: fmt::Arguments<'_>) {
    let text = message.to_string();
    let line = Line {
        level,
        source: SOURCE.get().copied().unwrap_or_default(),
        about: *about,
        more: &[],
        text: &text,
    };
    say_line(&line);
}

/// Writes a line, or several, of whatever source.
pub fn say_line(line: &Line<'_>) {
    // Whoever takes the number tells of it, or gives it back.
    let untold = UNTOLD.swap(0, Ordering::Relaxed);
    if untold > 0 {
        let notice = dropped_notice(untold);
        let told = Line {
            level: Level::Warning,
            source: SOURCE.get().copied().unwrap_or_default(),
            about: About::default(),
            more: &[],
            text: &notice,
        };
        if !told.pieces().iter().all(|piece| try_write(piece.as_bytes())) {
            UNTOLD.fetch_add(untold, Ordering::Relaxed);
            return drop_lines(1);
        }
    }
    for piece in line.pieces() {
        if !try_write(piece.as_bytes()) {
            drop_lines(1);
        }
    }
}

/// The text with what a terminal would obey made visible: control characters but line breaks and tabs, and
/// what changes the direction of text (which can make it read as something else). Text of others goes through
/// here before people see it.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut visible = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_obeyed(character) {
            visible.extend(character.escape_unicode());
        } else {
            visible.push(character);
        }
    }
    Cow::Owned(visible)
}

fn is_obeyed(character: char) -> bool {
    steers(character) && !matches!(character, '\n' | '\t')
}

/// Says that so many lines were dropped.
#[must_use]
pub fn dropped_notice(count: u64) -> String {
    let lines = if count == 1 { "line was" } else { "lines were" };
    format!("{count} {lines} dropped, because standard error was not read in time")
}

/// Messages of this process that were dropped.
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn drop_lines(count: u64) {
    DROPPED.fetch_add(count, Ordering::Relaxed);
    UNTOLD.fetch_add(count, Ordering::Relaxed);
}

/// Writes at most [`PIECE_MAX_BYTES`]; `false` if there is no room for them now. What can never be written,
/// because nobody has the other end, counts as written.
#[must_use]
pub fn try_write(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match write(stderr(), bytes) {
            Err(Errno::INTR) => {}
            Err(errno) => return errno != Errno::AGAIN,
            // Less than all only where standard error is no pipe.
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
        }
    }
    true
}

impl Line<'_> {
    /// The line as this process writes lines, in pieces of at most [`PIECE_MAX_BYTES`], each with a newline:
    /// more than one only of a long text. Each piece says all but the text anew.
    #[must_use]
    pub fn pieces(&self) -> Vec<String> {
        self.pieces_as(format(), &wall_clock::now())
    }

    fn pieces_as(&self, format: Format, time: &str) -> Vec<String> {
        if format == Format::Json {
            let (head, tail) = self.around_json(time);
            return wrapped(&head, self.text, &tail, in_json);
        }
        let head = self.before_text(format, time);
        let tail = self.after_text();
        // A message of ours may have several lines; in what others say, the end of a line is shown as such.
        let is_ours = !matches!(self.source, FUNCTION | ACCESS);
        let lines = self.text.split(|c| is_ours && c == '\n');
        lines
            .flat_map(|line| wrapped(&head, line, &tail, in_text))
            .collect()
    }

    fn before_text(&self, format: Format, time: &str) -> String {
        let mut head = String::with_capacity(128);
        let _ = match (format, self.level) {
            (Format::Bare, Level::Info) => Ok(()),
            (Format::Bare, level) => write!(head, "{}: ", level.word()),
            (_, level) => write!(head, "{time} {}: ", level.word()),
        };
        let about = &self.about;
        if let Some(invocation) = about.invocation {
            let _ = write!(head, "invocation={invocation:016x} ");
        }
        if let Some(attempt) = about.attempt {
            let _ = write!(head, "attempt={attempt} ");
        }
        let who = self.who();
        if !who.is_empty() {
            let _ = write!(head, "[{who}] ");
        }
        // What ends a command is said to whoever has started it, not to who knows its processes.
        let is_own = !matches!(self.source, FUNCTION | ACCESS | "") && self.level != Level::Error;
        if is_own && format != Format::Bare {
            let _ = write!(head, "{}: ", self.source);
        }
        head
    }

    /// Chain, function and instance, as far as known.
    fn who(&self) -> String {
        let About {
            chain,
            function,
            instance,
            ..
        } = self.about;
        let slash = if chain.is_empty() || function.is_empty() {
            ""
        } else {
            "/"
        };
        let mut who = format!("{chain}{slash}{function}");
        if let Some(instance) = instance {
            let _ = write!(who, "#{instance}");
        }
        who
    }

    fn after_text(&self) -> String {
        let mut tail = String::new();
        for (name, value) in self.more {
            let _ = match value {
                Value::Number(number) => write!(tail, " {name}={number}"),
                Value::Text(text) => write!(tail, " {name}=\"{}\"", escaped(text, in_json)),
            };
        }
        tail
    }

    /// What stands before and behind the text of a JSON object.
    fn around_json(&self, time: &str) -> (String, String) {
        let about = &self.about;
        let mut head = format!("{{\"time\":\"{time}\",\"level\":\"{}\"", self.level.word());
        let texts = [
            ("source", self.source),
            ("chain", about.chain),
            ("function", about.function),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            let _ = write!(head, ",\"{name}\":\"{}\"", escaped(text, in_json));
        }
        if let Some(instance) = about.instance {
            let _ = write!(head, ",\"instance\":{instance}");
        }
        if let Some(invocation) = about.invocation {
            let _ = write!(head, ",\"invocation\":\"{invocation:016x}\"");
        }
        if let Some(attempt) = about.attempt {
            let _ = write!(head, ",\"attempt\":{attempt}");
        }
        for (name, value) in self.more {
            let _ = match value {
                Value::Number(number) => write!(head, ",\"{name}\":{number}"),
                Value::Text(text) => write!(head, ",\"{name}\":\"{}\"", escaped(text, in_json)),
            };
        }
        head.push_str(",\"message\":\"");
        (head, "\"}".to_owned())
    }
}

/// A text between what stands around it, in as many pieces as it takes; at least one.
fn wrapped(head: &str, text: &str, tail: &str, escape: Escape) -> Vec<String> {
    let around = head.len() + tail.len() + 1;
    let room = PIECE_MAX_BYTES.saturating_sub(around).max(TEXT_MIN_BYTES);
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut one = String::new();
    for c in text.chars() {
        one.clear();
        escape(c, &mut one);
        if piece.len() + one.len() > room {
            pieces.push(format!("{head}{piece}{tail}\n"));
            piece.clear();
        }
        piece.push_str(&one);
    }
    if !piece.is_empty() || pieces.is_empty() {
        let line = format!("{head}{piece}{tail}");
        pieces.push(format!("{}\n", line.trim_end_matches(' ')));
    }
    pieces
}

/// Writes a character so that it does no more than be read.
type Escape = fn(char, &mut String);

fn escaped(text: &str, escape: Escape) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| escape(c, &mut out));
    out
}

/// Whether a character steers what shows it: a control character, or one that ends lines or reverses what
/// follows.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn in_text(c: char, out: &mut String) {
    if steers(c) && c != '\t' {
        let _ = write!(out, "{}", c.escape_default());
    } else {
        out.push(c);
    }
}

/// As strings of JSON have it (RFC 8259, section 7).
fn in_json(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // All of them lie in the first plane, so one code unit is enough.
        c if steers(c) => {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIME: &str = "2026-11-25T18:53:25.000001Z";

    fn line<'a>(text: &'a str, more: &'a [(&'a str, Value<'a>)]) -> Line<'a> {
        Line {
            level: Level::Info,
            source: FUNCTION,
            about: About {
                chain: "t",
                function: "a",
                instance: Some(0),
                invocation: Some(0xabc),
                attempt: Some(2),
            },
            more,
            text,
        }
    }

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        let hostile = "a\u{1b}]0;owned\u{7}b\u{9b}2Jc\rd\u{7f}\u{202e}e\tf\ng";
        let shown = visible(hostile);
        assert!(!shown.contains(is_obeyed));
        assert_eq!(
            shown,
            "a\\u{1b}]0;owned\\u{7}b\\u{9b}2Jc\\u{d}d\\u{7f}\\u{202e}e\tf\ng"
        );
        assert!(matches!(visible("größer\tals\nfünf"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_line_has_all_that_is_known_in_either_form() {
        let more = [("status", Value::Number(200)), ("cause", Value::Text("a \"b\""))];
        let full = line("said", &more);
        assert_eq!(
            full.pieces_as(Format::Text, TIME),
            [format!(
                "{TIME} info: invocation=0000000000000abc attempt=2 [t/a#0] said status=200 cause=\"a \\\"b\\\"\"\n"
            )]
        );
        assert_eq!(
            full.pieces_as(Format::Json, TIME),
            [format!(
                "{{\"time\":\"{TIME}\",\"level\":\"info\",\"source\":\"function\",\"chain\":\"t\",\"function\":\"a\",\"instance\":0,\
                 \"invocation\":\"0000000000000abc\",\"attempt\":2,\"status\":200,\"cause\":\"a \\\"b\\\"\",\"message\":\"said\"}}\n"
            )]
        );
        let own = Line {
            level: Level::Warning,
            source: "hacher-daemon",
            about: About::default(),
            more: &[],
            text: "one\ntwo",
        };
        let expected = ["one", "two"].map(|text| format!("{TIME} warning: hacher-daemon: {text}\n"));
        assert_eq!(own.pieces_as(Format::Text, TIME), expected);
        assert_eq!(
            own.pieces_as(Format::Bare, TIME),
            ["warning: one\n", "warning: two\n"]
        );
        let last = Line {
            level: Level::Error,
            ..own
        };
        assert_eq!(last.pieces_as(Format::Bare, TIME)[0], "error: one\n");
    }

    #[test]
    fn a_line_cannot_steer_a_terminal() {
        let hostile = "a\x1b[2Jb\tc\u{202e}d\u{9b}e\rf";
        let text = line(hostile, &[]).pieces_as(Format::Text, TIME).concat();
        assert!(
            text.ends_with("[t/a#0] a\\u{1b}[2Jb\tc\\u{202e}d\\u{9b}e\\rf\n"),
            "{text}"
        );
        let json = line(hostile, &[]).pieces_as(Format::Json, TIME).concat();
        assert!(
            json.ends_with("\"message\":\"a\\u001b[2Jb\\tc\\u202ed\\u009be\\rf\"}\n"),
            "{json}"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_lines_of_bounded_length_without_control_characters(
            text in ".{0,3000}|[\\x00-\\x1f\"\\\\]{0,3000}", value in ".{0,300}",
        ) {
            for format in [Format::Bare, Format::Text, Format::Json] {
                let pieces = line(&text, &[("value", Value::Text(&value))]).pieces_as(format, TIME);
                prop_assert!(!pieces.is_empty());
                for piece in pieces {
                    prop_assert!(piece.len() <= PIECE_MAX_BYTES);
                    let said = piece.strip_suffix('\n').unwrap();
                    prop_assert!(!said.chars().any(|c| steers(c) && c != '\t'));
                    if format == Format::Json {
                        let is_object = said.starts_with("{\"time\":\"") && said.ends_with("\"}");
                        prop_assert!(is_object);
                    }
                }
            }
        }
    }
}
