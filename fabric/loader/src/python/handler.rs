//! Whether a file of Python has a name at all: a look at its lines, which finds slips before anything starts.
//! What the name stands for, the process of the function finds out.

use super::super::tree::Tree;
use super::asked::problem;
use hacher_chain_dsl::{Diagnostic, Span};
use std::io::Read;
use std::path::Path;

/// Longest file that is looked at; what a longer one has is not known.
const FILE_MAX_BYTES: u64 = 4 << 20;
/// Names that a message suggests.
const SHOWN_MAX: usize = 8;

/// Refuses a file in which nothing is called `handler`.
pub(super) fn check(tree: &Tree, path: &Path, handler: &str, span: Span) -> Result<(), Box<Diagnostic>> {
    let mut bytes = Vec::new();
    let read = tree
        .open_top()
        .and_then(|file| file.take(FILE_MAX_BYTES).read_to_end(&mut bytes));
    if read.is_err() || bytes.len() as u64 >= FILE_MAX_BYTES {
        return Ok(());
    }
    // Names are of ASCII, in whatever coding the rest is.
    let text = String::from_utf8_lossy(&bytes);
    let Lines { mut functions, has } = look(&text, handler);
    if has {
        return Ok(());
    }
    let message = format!("nothing in `{}` is called `{handler}`", path.display());
    let missing = problem(span, message, "no such handler");
    functions.truncate(SHOWN_MAX);
    Err(Box::new(if functions.is_empty() {
        missing.with_help(format!("write one: def {handler}(body: bytes) -> bytes: ..."))
    } else {
        missing.with_help(format!("its functions are {}", functions.join(", ")))
    }))
}

struct Lines<'t> {
    /// What is defined at the top.
    functions: Vec<&'t str>,
    has: bool,
}

fn look<'t>(text: &'t str, handler: &str) -> Lines<'t> {
    let mut found = Lines {
        functions: Vec::new(),
        has: false,
    };
    for line in text.lines() {
        let code = line.split('#').next().unwrap_or(line);
        let defined = code
            .strip_prefix("def ")
            .or_else(|| code.strip_prefix("async def "))
            .and_then(words_of)
            .and_then(|mut words| words.next());
        found.functions.extend(defined);
        let mut words = words_of(code).into_iter().flatten().peekable();
        match words.peek().copied() {
            Some("def" | "class" | "async" | "import" | "from" | "with" | "for" | "global") => {
                found.has |= words.any(|word| word == handler) || code.contains("import *");
            }
            // Bound by an assignment: to the left of the first `=`.
            Some(_) if code.contains('=') => {
                let left = code.split('=').next().unwrap_or(code);
                found.has |= words_of(left).into_iter().flatten().any(|word| word == handler);
            }
            // The lines that an import in brackets goes on over.
            Some(first) => found.has |= first == handler && code.trim_end().ends_with([',', ')', '(']),
            None => {}
        }
    }
    found
}

#[expect(clippy::unnecessary_wraps, reason = "for chains of options")]
fn words_of(code: &str) -> Option<impl Iterator<Item = &str>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    Some(code.split(move |c| !is_part(c)).filter(|word| !word.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_binds_a_name_is_found_and_its_use_is_not() {
        for text in [
            "def handler(body):",
            "async def handler(body):",
            "class handler:",
            "import handler",
            "from app import other as handler",
            "from app import *",
            "from app import (\n    handler,\n)",
            "if x:\n    handler = other",
            "handler: Handler = other",
            "a, handler = b",
        ] {
            assert!(look(text, "handler").has, "{text}");
        }
        for text in [
            "# def handler(body):",
            "def handlers(body):",
            "print(handler)",
            "other = handler",
            "",
        ] {
            assert!(!look(text, "handler").has, "{text}");
        }
        assert_eq!(
            look("def one(x):\n  def two():\nasync def three():", "x").functions,
            ["one", "three"]
        );
    }
}
