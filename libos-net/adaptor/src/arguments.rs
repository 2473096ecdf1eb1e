//! The arguments of the adaptor, as `args` of a chain file gives them.

use std::ffi::OsString;
use std::time::Duration;

/// What `--help` says.
pub const USAGE: &str = "\
hacher-adaptor: a function of a Hacher chain that is a program

  hacher-adaptor http --port PORT [OPTION...] -- PROGRAM [ARGUMENT...]
      PROGRAM serves HTTP at 127.0.0.1:PORT; each record becomes a request.

  --path PREFIX        before the path of each request (/)
  --ready PATH         the program is ready when this path answers with a status of 2xx;
                       without it, when its port accepts a connection
  --start-within TIME  how long it may take until then (25s)

  hacher-adaptor lambda [OPTION...] -- PROGRAM [ARGUMENT...]
      PROGRAM is a Lambda handler with its runtime; each record becomes an event.

  --port PORT          where it finds the Lambda Runtime API, at 127.0.0.1 (9001)
  --start-within TIME  how long it may take until it asks for its first event (25s)

PROGRAM is the path at which `files` of the chain file places it, which needs `syscalls = \"program\"`.";

/// How long a program may take until it is ready: less than the service waits for a function
/// (`--start-timeout`, 30 s), so that the adaptor can say what it waited for.
const START_WITHIN: Duration = Duration::from_secs(25);
/// Where runtimes look for the API unless they are told, as AWS has it.
const LAMBDA_PORT: u16 = 9001;
/// The longest that can be asked for.
const START_WITHIN_MAX_S: u64 = 3600;

/// The arguments, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// How records reach the program.
    pub way: Way,
    /// The program.
    pub program: Program,
    /// How long it may take until it is ready.
    pub start_within: Duration,
}

/// How records reach the program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// As requests to a server of its own.
    Http(HttpOptions),
    /// As events, which it asks for.
    Lambda(LambdaOptions),
}

/// Where a program serves HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Its port, never 0.
    pub port: u16,
    /// Before the path of each request; begins with `/`.
    pub path: String,
    /// The path that answers with 2xx as soon as the program is ready; begins with `/`.
    pub ready: Option<String>,
}

/// Where a Lambda handler finds its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LambdaOptions {
    /// The port of the Runtime API, never 0.
    pub port: u16,
}

/// What the adaptor starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its path.
    pub path: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// Arguments that cannot be understood: what is wrong, and what would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("in `args` of the adaptor, {0}")]
pub struct UsageError(String);

impl Arguments {
    /// Understands `words`, which do not have the adaptor's own name.
    ///
    /// # Errors
    /// [`UsageError`].
    pub fn parse(words: Vec<OsString>) -> Result<Self, UsageError> {
        let mut words = words.into_iter();
        let way = words.next().unwrap_or_default();
        let known: &[&str] = match way.to_str() {
            Some("http") => &["port", "path", "ready", "start-within"],
            Some("lambda") => &["port", "start-within"],
            _ => {
                return Err(wrong(format!(
                    "`{}` is no way to reach a program: the first word is `http` or `lambda`",
                    way.display()
                )));
            }
        };
        let mut options = Options::read(&mut words, known)?;
        let path = words.next().ok_or_else(|| {
            wrong("there is no program: its path follows `--`, as in `\"--\", \"/opt/app/server\"`")
        })?;
        let program = Program {
            path,
            args: words.collect(),
        };
        let start_within = match options.take("start-within") {
            Some(text) => seconds(&text)?,
            None => START_WITHIN,
        };
        let way = if way == "http" {
            Way::Http(HttpOptions::from(&mut options)?)
        } else {
            Way::Lambda(LambdaOptions::from(&mut options)?)
        };
        Ok(Self {
            way,
            program,
            start_within,
        })
    }
}

impl HttpOptions {
    fn from(options: &mut Options) -> Result<Self, UsageError> {
        let port = options.take("port").ok_or_else(|| {
            wrong("`--port` is missing, at which the program serves, as in `\"--port\", \"8000\"`")
        })?;
        let port = port_number(&port, "8000")?;
        let path = options.take("path").unwrap_or_else(|| "/".to_owned());
        let ready = options.take("ready");
        for (name, path) in [("path", Some(&path)), ("ready", ready.as_ref())] {
            if let Some(path) = path
                && !is_path(path)
            {
                return Err(wrong(format!(
                    "`--{name} {path}` is no path: it begins with `/` and has no spaces and no `#`, such as /api"
                )));
            }
        }
        Ok(Self { port, path, ready })
    }
}

impl LambdaOptions {
    fn from(options: &mut Options) -> Result<Self, UsageError> {
        let port = match options.take("port") {
            Some(port) => port_number(&port, "9001")?,
            None => LAMBDA_PORT,
        };
        Ok(Self { port })
    }
}

/// Options before the program, each once.
struct Options(Vec<(&'static str, String)>);

impl Options {
    /// Reads up to `--`.
    fn read(words: &mut impl Iterator<Item = OsString>, known: &[&'static str]) -> Result<Self, UsageError> {
        let mut read: Vec<(&'static str, String)> = Vec::new();
        while let Some(word) = words.next() {
            if word == "--" {
                return Ok(Self(read));
            }
            let word = text(word)?;
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value.to_owned())),
                None => (&*word, None),
            };
            let is_it = |name: &&&'static str| option.strip_prefix("--") == Some(**name);
            let name = *known.iter().find(is_it).ok_or_else(|| {
                wrong(format!(
                    "`{option}` is no option: there are --{}, and `--` before the program",
                    known.join(", --")
                ))
            })?;
            let value = match value {
                Some(value) => value,
                None => text(
                    words
                        .next()
                        .ok_or_else(|| wrong(format!("`--{name}` has no value")))?,
                )?,
            };
            if read.iter().any(|(known, _)| *known == name) {
                return Err(wrong(format!("`--{name}` stands twice")));
            }
            read.push((name, value));
        }
        Err(wrong("`--` is missing, which stands before the program"))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

fn text(word: OsString) -> Result<String, UsageError> {
    word.into_string()
        .map_err(|word| wrong(format!("`{}` is not UTF-8", word.display())))
}

fn wrong(what: impl Into<String>) -> UsageError {
    UsageError(what.into())
}

fn port_number(text: &str, such_as: &str) -> Result<u16, UsageError> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| {
        wrong(format!(
            "`--port {text}` is no number from 1 to 65535, such as {such_as}"
        ))
    })
}

/// Whole seconds, with or without their unit.
fn seconds(text: &str) -> Result<Duration, UsageError> {
    let number = text.strip_suffix('s').unwrap_or(text).parse().ok();
    number
        .filter(|seconds| (1..=START_WITHIN_MAX_S).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            wrong(format!(
                "`--start-within {text}` is no time from 1s to {START_WITHIN_MAX_S}s, such as 25s"
            ))
        })
}

/// Whether it can stand in a request as it is.
fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Arguments, String> {
        let words = words.split_whitespace().map(OsString::from).collect();
        Arguments::parse(words).map_err(|error| error.to_string())
    }

    #[test]
    fn options_stand_before_the_program_whose_arguments_are_its_own() {
        let parsed =
            parse("http --port 8000 --path=/api --ready /ok --start-within 7s -- /opt/app --port 1").unwrap();
        let http = HttpOptions {
            port: 8000,
            path: "/api".to_owned(),
            ready: Some("/ok".to_owned()),
        };
        assert_eq!(parsed.way, Way::Http(http));
        assert_eq!(parsed.program.path, "/opt/app");
        assert_eq!(parsed.program.args, ["--port", "1"]);
        assert_eq!(parsed.start_within, Duration::from_secs(7));
        let Way::Http(http) = parse("http --port 1 -- /a").unwrap().way else {
            panic!("it is HTTP");
        };
        assert_eq!((&*http.path, http.ready), ("/", None));
    }

    #[test]
    fn a_lambda_handler_has_a_port_of_its_own_choice() {
        let parsed = parse("lambda -- /var/task/bootstrap --port 1").unwrap();
        assert_eq!(parsed.way, Way::Lambda(LambdaOptions { port: 9001 }));
        assert_eq!(parsed.program.args, ["--port", "1"]);
        let parsed = parse("lambda --port=8000 --start-within 7 -- /a").unwrap();
        assert_eq!(parsed.way, Way::Lambda(LambdaOptions { port: 8000 }));
        assert_eq!(parsed.start_within, Duration::from_secs(7));
    }

    #[test]
    fn a_wrong_argument_is_told_with_what_would_do() {
        for (words, told) in [
            ("", "the first word is `http` or `lambda`"),
            ("lambda", "`--` is missing"),
            (
                "lambda --ready /a -- /a",
                "`--ready` is no option: there are --port, --start-within",
            ),
            ("lambda --port 0 -- /a", "from 1 to 65535, such as 9001"),
            ("ftp --port 8000 -- /a", "`ftp` is no way"),
            ("http -- /a", "`--port` is missing"),
            ("http --port 0 -- /a", "from 1 to 65535, such as 8000"),
            ("http --port 65536 -- /a", "from 1 to 65535"),
            ("http --port", "`--port` has no value"),
            ("http --port 1 --port 2 -- /a", "`--port` stands twice"),
            ("http --port 1 /a", "`/a` is no option: there are --port, --path"),
            ("http --port 1", "`--` is missing"),
            ("http --port 1 --", "there is no program"),
            ("http --port 1 --path api -- /a", "begins with `/`"),
            ("http --port 1 --ready=/a#b -- /a", "`--ready /a#b` is no path"),
            (
                "http --port 1 --start-within 0s -- /a",
                "from 1s to 3600s, such as 25s",
            ),
            ("http --port 1 --start-within soon -- /a", "from 1s to 3600s"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(told), "{words}: {error}");
        }
    }
}
