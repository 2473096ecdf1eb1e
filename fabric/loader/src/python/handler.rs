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

/// Refuses a file in which nothing can be called `handler`, or is async.
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
    let Lines {
        mut functions,
        may_have,
        is_async,
    } = look(&text, handler);
    if is_async {
        let message = format!("`{handler}` in `{}` is async", path.display());
        let refused = problem(span, message, "a handler runs when it is called");
        return Err(Box::new(refused.with_help(format!(
            "write it with def: def {handler}(body: bytes) -> bytes: ..."
        ))));
    }
    if may_have {
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
    /// Whether the name may be bound: it is somewhere outside of comments, or names come from elsewhere.
    may_have: bool,
    /// Whether all that is said of the name is one `async def` without a decorator.
    is_async: bool,
}

/// Words by which a file may bind names that it does not have itself.
const BINDING: &[&str] = &[
    "__dict__",
    "__getattr__",
    "exec",
    "globals",
    "locals",
    "modules",
    "setattr",
    "vars",
];

fn look<'t>(text: &'t str, handler: &str) -> Lines<'t> {
    let mut functions = Vec::new();
    let (mut uses, mut is_bound_elsewhere, mut is_async) = (0, false, false);
    let mut before = "";
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    for line in lines {
        let first = |code: &'t str| words_of(code).next();
        let asynchronous = line.strip_prefix("async def ").and_then(first);
        functions.extend(line.strip_prefix("def ").and_then(first).or(asynchronous));
        is_async |= asynchronous == Some(handler) && !before.starts_with(['@', ')']);
        uses += words_of(line).filter(|word| *word == handler).count();
        is_bound_elsewhere |= words_of(line).any(|word| BINDING.contains(&word))
            || (words_of(line).any(|word| word == "import") && line.contains('*'))
            || line.trim() == "*";
        if !line.trim().is_empty() {
            before = line;
        }
    }
    Lines {
        functions,
        may_have: uses > 0 || is_bound_elsewhere,
        is_async: is_async && uses == 1 && !is_bound_elsewhere,
    }
}

fn words_of(code: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.split(move |c| !is_part(c)).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_bind_a_name_is_taken_and_a_file_without_it_is_not() {
        for text in [
            "def handler(body):",
            "async def handler(body):",
            "class handler:",
            "import handler",
            "from app import other as handler",
            "from app import *",
            "from app import (\n    handler,\n)",
            "from app import (\n    other, handler,\n)",
            "from app import other, \\\n    handler",
            "try: from app import handler\nexcept ImportError: pass",
            "globals()['hand' + 'ler'] = other",
            "from app import \\\n    *",
            "x = '#'; handler = x",
            "if x:\n    handler = other",
            "handler: Handler = other",
            "a, handler = b",
        ] {
            assert!(look(text, "handler").may_have, "{text}");
        }
        for text in [
            "# def handler(body):",
            "def handlers(body):",
            "import json",
            "other = handler2 * 2",
            "",
        ] {
            assert!(!look(text, "handler").may_have, "{text}");
        }
        assert_eq!(
            look("def one(x):\n  def two():\nasync def three():", "x").functions,
            ["one", "three"]
        );
    }

    #[test]
    fn an_async_handler_is_refused_unless_something_else_may_be_made_of_it() {
        let is_async = |text: &str| look(text, "handler").is_async;
        assert!(is_async("import x\nasync def handler(body):\n    return body"));
        for text in [
            "def handler(body):\n    pass\nasync def other(body):",
            "@run\nasync def handler(body):",
            "@run(\n    1,\n)\nasync def handler(body):",
            "async def handler(body):\n    pass\nhandler = run(handler)",
            "class A:\n    async def handler(body):",
            "# async def handler(body):",
        ] {
            assert!(!is_async(text), "{text}");
        }
    }
}
