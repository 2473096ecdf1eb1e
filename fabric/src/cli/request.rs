//! What `call` and `run` send, and what they show of the reply.

use clap::Args;
use hyper::Method;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct RequestArgs {
    /// The request's body; `-` reads standard input. Not needed with --method
    #[arg(long, short, required_unless_present = "method")]
    pub input: Option<PathBuf>,
    /// The method of the request
    #[arg(long, short = 'X', visible_alias = "request", value_parser = method)]
    pub method: Option<Method>,
    /// Path and query below /chains/NAME: a path that begins with `/`, or a query that begins with `?`, or
    /// both
    #[arg(long, default_value = "", hide_default_value = true, value_parser = below)]
    pub path: String,
    /// A header of the request; may be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// Media type of the body; guessed from the name of the input if not given
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
}

#[derive(Debug, Args)]
pub struct ReplyArgs {
    /// Write the body of a successful reply to this file instead of standard output. With --format json the
    /// report then goes to standard output, otherwise to standard error in one line
    #[arg(long, short)]
    pub output: Option<PathBuf>,
    /// Show status and headers before the body, on standard output
    #[arg(long)]
    pub include: bool,
    /// Of a reply that joins several records (`egress = "join"`), show or write the body of this part alone:
    /// a function, or FUNCTION.PORT
    #[arg(long, value_name = "SOURCE")]
    pub part: Option<String>,
}

fn method(text: &str) -> Result<Method, String> {
    // Methods are told apart by case; no chain answers one in lower case.
    Method::from_bytes(text.to_ascii_uppercase().as_bytes()).map_err(|_| "not a method".to_owned())
}

fn below(text: &str) -> Result<String, String> {
    let is_target = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if is_target && (text.is_empty() || text.starts_with(['/', '?'])) {
        Ok(text.to_owned())
    } else {
        Err("begins with `/` or `?`, and is percent-encoded".to_owned())
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once(':') else {
        return Err("a name, `:` and a value".to_owned());
    };
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let is_name = hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok();
    let is_value = value
        .chars()
        .all(|character| !character.is_control() || character == '\t');
    if is_name && is_value {
        Ok((name, value.to_owned()))
    } else {
        Err("no header of HTTP".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_request_has_is_refused() {
        assert_eq!(header("X-A:  b: c "), Ok(("x-a".to_owned(), "b: c".to_owned())));
        for text in ["x", ": a", "x y: a", "x: a\nb: c"] {
            assert!(header(text).is_err(), "{text}");
        }
        for text in ["", "/a/b?c", "?c", "/%20"] {
            assert_eq!(below(text).as_deref(), Ok(text));
        }
        for text in ["a", "/a b", "/a#b", "/\u{fc}"] {
            assert!(below(text).is_err(), "{text}");
        }
        assert_eq!(method("get"), Ok(Method::GET));
        assert!(method("a b").is_err());
    }
}
