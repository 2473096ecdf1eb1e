//! Programs that know nothing of chains: servers of HTTP, and handlers of AWS Lambda.

use toml::de::DeValue;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::image::{holds, items, list, overlap, place, rooted};
use crate::keys;
use crate::program::{FileRef, Guest, GuestProgram, HttpServer, Interpreter, Protocol};
use crate::python::InterpreterTree;
use crate::section::{Entry, Section, excerpt, string, table_of, unpassable, usable, wrong_type};
use crate::source::{Span, Spanned};
use core::time::Duration;

const COMMAND_EXPECTED: &str = "an array of a program and its arguments such as [\"python3\", \"server.py\"]";

/// What a file says of one.
pub(crate) struct GuestTree {
    pub(crate) guest: Guest,
    /// The program.
    pub(crate) span: Span,
}

/// A command, where its program stands, and whether that is a path even without a slash in it.
struct Command {
    words: Vec<String>,
    program: Spanned<String>,
    is_path: bool,
}

impl GuestTree {
    /// Reads it out of the table of a function, `title`, which has these `files` and this interpreter.
    pub(crate) fn read(
        section: &Section<'_>,
        title: &str,
        files: &[Spanned<FileRef>],
        interpreter: &InterpreterTree,
        problems: &mut Problems,
    ) -> Option<Self> {
        let http = section.entry(keys::HTTP.name).and_then(|entry| {
            let table = section.table(&keys::HTTP, &format!("`http` of `{title}`"), problems)?;
            http(&entry, &table, problems)
        });
        let lambda = section
            .entry(keys::LAMBDA.name)
            .and_then(|entry| lambda(&entry, section, title, problems));
        let (protocol, command, start_within) = http.or(lambda)?;
        let program = program(&command, files, interpreter, problems)?;
        let guest = Guest {
            protocol,
            command: command.words,
            program,
            start_within,
        };
        Some(Self {
            guest,
            span: command.program.span,
        })
    }
}

type Read = (Protocol, Command, Option<Duration>);

fn http(entry: &Entry<'_>, table: &Section<'_>, problems: &mut Problems) -> Option<Read> {
    let command = command_of(entry, table, problems);
    let start_within = table.duration(&keys::START_WITHIN, problems);
    let port = table.integer(&keys::HTTP_PORT, problems);
    let is_port_wrong = port.is_none() && table.entry(keys::HTTP_PORT.name).is_some();
    let port = port.map_or(keys::HTTP_PORT.kind.default, |port| port.value);
    let [path, ready] = [&keys::HTTP_PATH, &keys::HTTP_READY].map(|key| {
        let path = table.text(key, problems)?;
        if is_url_path(&path.value) {
            return Some(path.value);
        }
        let message = format!("\"{}\" is not the path of a request", excerpt(&path.value));
        let label = "it begins with `/`, and has neither spaces nor `#`";
        problems.push(
            Diagnostic::new(Code::BadText, path.span, message, label)
                .with_expected(format!("a path such as \"{}\"", key.kind.example)),
        );
        None
    });
    let server = HttpServer {
        port: u16::try_from(port).ok().filter(|_| !is_port_wrong)?,
        path,
        ready,
    };
    let start_within = start_within.map(|time| time.value);
    Some((Protocol::Http(server), command?, start_within))
}

fn lambda(entry: &Entry<'_>, section: &Section<'_>, title: &str, problems: &mut Problems) -> Option<Read> {
    match entry.value.get_ref() {
        DeValue::String(path) => {
            let program = usable(path, entry, keys::MAX_VALUE_BYTES, problems)?;
            let command = Command {
                words: vec![program.value.clone()],
                program,
                is_path: true,
            };
            Some((Protocol::Lambda, command, None))
        }
        DeValue::Table(_) => {
            let table = table_of(entry, "a table", problems)?;
            let title = format!("`lambda` of `{title}`");
            let table = section.below(title, table, keys::LAMBDA_KEYS, problems);
            let command = command_of(entry, &table, problems);
            let start_within = table.duration(&keys::START_WITHIN, problems);
            Some((Protocol::Lambda, command?, start_within.map(|time| time.value)))
        }
        _ => {
            let expected = "a path such as \"bootstrap\", or { command = [\"python3\", \"-m\", \"awslambdaric\", \"app.handler\"] }";
            problems.push(wrong_type(entry, expected));
            None
        }
    }
}

/// The command that a table has.
fn command_of(of: &Entry<'_>, table: &Section<'_>, problems: &mut Problems) -> Option<Command> {
    let Some(entry) = table.entry(keys::COMMAND.name) else {
        let message = format!("`{}` has no `command`", of.name);
        problems.push(
            Diagnostic::new(Code::MissingKey, of.key_span, message, "which program is it?")
                .with_expected(COMMAND_EXPECTED)
                .with_help("add command = [\"python3\", \"server.py\"]"),
        );
        return None;
    };
    let array = list(&entry, COMMAND_EXPECTED, keys::MAX_COMMAND, problems)?;
    let is_whole = array.len() <= keys::MAX_COMMAND;
    let mut words: Vec<Spanned<String>> = Vec::new();
    let mut is_right = is_whole;
    for item in items(&entry, array, keys::MAX_COMMAND) {
        let word = string(&item, "a program or an argument, which is a string", problems);
        let word = word.and_then(|text| match unpassable(text, &item, keys::MAX_VALUE_BYTES) {
            Some((message, label)) => {
                problems.push(Diagnostic::new(Code::BadText, item.span(), message, label));
                None
            }
            None => Some(Spanned::new(text.to_owned(), item.span())),
        });
        is_right &= word.is_some();
        words.extend(word);
    }
    match words.first() {
        _ if !is_right => None,
        Some(first) if !first.value.is_empty() => Some(Command {
            program: Spanned::new(first.value.clone(), first.span),
            words: words.into_iter().map(|word| word.value).collect(),
            is_path: false,
        }),
        first => {
            let span = first.map_or(entry.span(), |first| first.span);
            let message = "`command` names no program";
            problems.push(
                Diagnostic::new(Code::BadText, span, message, "a program comes first")
                    .with_expected(COMMAND_EXPECTED),
            );
            None
        }
    }
}

/// Where the program of a command comes from.
fn program(
    command: &Command,
    files: &[Spanned<FileRef>],
    interpreter: &InterpreterTree,
    problems: &mut Problems,
) -> Option<GuestProgram> {
    let (word, span) = (&command.program.value, command.program.span);
    let is_path = command.is_path || word.contains('/');
    if !is_path {
        return Some(match is_python(word) {
            true => GuestProgram::Python(interpreter.interpreter()),
            false => GuestProgram::Named(word.clone()),
        });
    }
    let at = rooted(word);
    let to = match place(&at) {
        Ok(to) => to,
        Err(misplaced) => {
            let message = format!("the program of a function cannot be at `{}`", excerpt(&at));
            problems.push(Diagnostic::new(Code::BadPlace, span, message, misplaced.label()));
            return None;
        }
    };
    if files.iter().any(|file| holds(&file.value.to, &to)) {
        return Some(GuestProgram::Given(to));
    }
    if is_python(word.rsplit('/').next().unwrap_or(word)) {
        if let Some(path) = &interpreter.path {
            let message = "`command` names an interpreter, and `interpreter` another one";
            problems.push(
                Diagnostic::new(Code::Contradiction, path.span, message, "which of them is it?")
                    .with_related(span, "an interpreter")
                    .with_expected("command = [\"python3\", ...], or no `interpreter`"),
            );
            return None;
        }
        return Some(GuestProgram::Python(Interpreter {
            path: Some(word.clone()),
            ..interpreter.interpreter()
        }));
    }
    if let Some(file) = files.iter().find(|file| overlap(&file.value.to, &to)) {
        let message = format!("the program of a function cannot be at `{}`", excerpt(&to));
        problems.push(
            Diagnostic::new(Code::BadPlace, span, message, "a file of the function is there")
                .with_related(file.span, "this one"),
        );
        return None;
    }
    Some(GuestProgram::File(FileRef {
        from: word.clone(),
        to,
    }))
}

/// Whether interpreters of Python are called so: `python`, `python3`, `python3.11`.
fn is_python(name: &str) -> bool {
    let version = name.strip_prefix("python");
    version.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

/// Whether it can stand in a request as it is.
fn is_url_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}
