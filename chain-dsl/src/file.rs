//! TOML tree to file tree: every key read, every value within its bounds, nothing resolved yet.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::address::address;
use crate::chain::{Egress, Placement, Protection};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::environment::{env, secrets};
use crate::flow::LineText;
use crate::function::SecretRef;
use crate::image::{args, files as files_of};
use crate::keys;
use crate::name::check_name;
use crate::program::FileRef;
use crate::program_tree::{self, ProgramTree};
use crate::request::{RequestTree, request};
use crate::route::{Route, route};
use crate::section::{Entry, Section, entries, excerpt, string, table_of, too_many, wrong_type};
use crate::settings::{SettingsTree, settings};
use crate::source::{Source, Span, Spanned};
use crate::system_calls::SystemCallsTree;
use crate::units::ByteSize;

/// What a file says, each value where it was right.
pub(crate) struct FileTree {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) placement: Placement,
    pub(crate) protection: Protection,
    pub(crate) edges: Vec<EdgeTree>,
    pub(crate) egress: Option<Spanned<Egress>>,
    /// Whether `egress` is written at all, right or wrong.
    pub(crate) says_egress: bool,
    pub(crate) max_body: Option<Spanned<ByteSize>>,
    pub(crate) max_reply: Option<Spanned<ByteSize>>,
    pub(crate) deadline: Option<Spanned<Duration>>,
    pub(crate) in_flight: Option<Spanned<u32>>,
    pub(crate) request: RequestTree,
    pub(crate) route: Option<Spanned<Route>>,
    pub(crate) listen: Option<Spanned<SocketAddr>>,
    /// Whether `listen` is written at all, right or wrong.
    pub(crate) has_listen: bool,
    pub(crate) tls: Option<TlsTree>,
    /// Whether `tls` is written at all, right or wrong.
    pub(crate) has_tls: bool,
    pub(crate) defaults: SettingsTree,
    pub(crate) functions: Vec<FunctionTree>,
    pub(crate) flow: Vec<LineText>,
    /// Whether no function is written at all, not even a wrong one.
    pub(crate) lacks_functions: bool,
    /// Whether `flow` is there and is an array, so that what is not in it is really missing.
    pub(crate) has_flow: bool,
}

/// The `tls` table of `[ingress]`.
pub(crate) struct TlsTree {
    pub(crate) span: Span,
    pub(crate) cert: Option<Spanned<String>>,
    pub(crate) key: Option<Spanned<String>>,
    pub(crate) client_ca: Option<Spanned<String>>,
}

/// The table of one edge.
pub(crate) struct EdgeTree {
    /// As written: source, arrow, target.
    pub(crate) name: Spanned<String>,
    pub(crate) protection: Option<Protection>,
    pub(crate) stream: Option<Spanned<bool>>,
}

/// The table of one function.
pub(crate) struct FunctionTree {
    pub(crate) name: Spanned<String>,
    /// What it is; nothing if it is wrong.
    pub(crate) program: Option<ProgramTree>,
    pub(crate) build: Option<String>,
    /// Whether a flow line could name it at all.
    pub(crate) nameable: bool,
    pub(crate) ports: PortsTree,
    pub(crate) args: Vec<String>,
    pub(crate) files: Vec<Spanned<FileRef>>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) secrets: BTreeMap<String, Spanned<SecretRef>>,
    pub(crate) stream: Option<Spanned<bool>>,
    pub(crate) system_calls: SystemCallsTree,
    pub(crate) settings: SettingsTree,
}

impl FunctionTree {
    /// Whether it reads its input as a stream.
    pub(crate) fn streams(&self) -> bool {
        self.stream
            .as_ref()
            .map_or(keys::STREAM.kind.default, |stream| stream.value)
    }
}

/// The output ports of a function.
pub(crate) enum PortsTree {
    /// The key is not written: there is one, `out`.
    Default,
    /// As written.
    Listed(Vec<Spanned<String>>),
    /// What was right of a list with errors; what is not in it must not be reported.
    Broken(Vec<Spanned<String>>),
}

impl PortsTree {
    /// The ports that are written.
    pub(crate) fn written(&self) -> &[Spanned<String>] {
        match self {
            Self::Default => &[],
            Self::Listed(ports) | Self::Broken(ports) => ports,
        }
    }
}

/// Reads the whole file.
pub(crate) fn read(root: &DeTable<'_>, source: &Source, complete: bool, problems: &mut Problems) -> FileTree {
    let file = Section::open("the chain file", root, keys::ROOT_KEYS, problems);
    if complete {
        require(&file, "chain", "chain = \"my-chain\"", problems);
        require(&file, "flow", "flow = [\"ingress -> NAME -> egress\"]", problems);
    }
    let ingress = file.table(&keys::INGRESS, "`[ingress]`", problems);
    let ingress = ingress.as_ref();
    let defaults = file.table(&keys::DEFAULTS, "`[defaults]`", problems);
    let flow = file.entry(keys::FLOW.name);
    FileTree {
        name: chain_name(&file, problems),
        version: version(&file, problems),
        description: file.text(&keys::DESCRIPTION, problems).map(|text| text.value),
        placement: file
            .choice(&keys::PLACEMENT, problems)
            .and_then(Placement::parse)
            .unwrap_or_default(),
        protection: file
            .choice(&keys::PROTECTION, problems)
            .and_then(Protection::parse)
            .unwrap_or_default(),
        edges: edges(&file, problems),
        egress: file
            .entry(keys::EGRESS.name)
            .and_then(|entry| egress(&entry, problems)),
        says_egress: file.entry(keys::EGRESS.name).is_some(),
        max_body: ingress.and_then(|table| table.size(&keys::MAX_BODY, problems)),
        max_reply: ingress.and_then(|table| table.size(&keys::MAX_REPLY, problems)),
        deadline: ingress.and_then(|table| table.duration(&keys::DEADLINE, problems)),
        in_flight: ingress.and_then(|table| table.integer(&keys::IN_FLIGHT, problems)),
        request: ingress.map(|table| request(table, problems)).unwrap_or_default(),
        route: ingress
            .and_then(|table| table.entry(keys::ROUTE.name))
            .and_then(|entry| route(&entry, problems)),
        listen: ingress
            .and_then(|table| table.entry(keys::LISTEN.name))
            .and_then(|entry| address(&entry, problems)),
        has_listen: ingress.is_some_and(|table| table.entry(keys::LISTEN.name).is_some()),
        tls: ingress.and_then(|table| tls(table, complete, problems)),
        has_tls: ingress.is_some_and(|table| table.entry(keys::TLS.name).is_some()),
        defaults: defaults
            .map(|table| settings(&table, "[defaults]", problems))
            .unwrap_or_default(),
        lacks_functions: file.entry(keys::FUNCTION.name).is_none_or(|entry| {
            entry
                .value
                .get_ref()
                .as_table()
                .is_some_and(|table| table.is_empty())
        }),
        functions: functions(&file, complete, problems),
        has_flow: flow.is_some_and(|entry| entry.value.get_ref().is_array()),
        flow: flow
            .map(|entry| flow_lines(&entry, source, problems))
            .unwrap_or_default(),
    }
}

fn tls(ingress: &Section<'_>, complete: bool, problems: &mut Problems) -> Option<TlsTree> {
    let entry = ingress.entry(keys::TLS.name)?;
    let table = ingress.table(&keys::TLS, "`tls` of `[ingress]`", problems)?;
    for key in [&keys::TLS_CERT, &keys::TLS_KEY] {
        if complete && table.entry(key.name).is_none() {
            let message = format!("`tls` has no `{}`", key.name);
            let example = format!("{} = \"{}\"", key.name, key.kind.example);
            problems.push(
                Diagnostic::new(
                    Code::MissingKey,
                    entry.key_span,
                    message,
                    "a certificate and its key belong together",
                )
                .with_expected(example.clone())
                .with_help(format!("add {example} to `tls`")),
            );
        }
    }
    Some(TlsTree {
        span: entry.key_span,
        cert: table.text(&keys::TLS_CERT, problems),
        key: table.text(&keys::TLS_KEY, problems),
        client_ca: table.text(&keys::TLS_CLIENT_CA, problems),
    })
}

fn require(file: &Section<'_>, key: &str, example: &str, problems: &mut Problems) {
    if file.entry(key).is_none() {
        problems.push(
            Diagnostic::new(
                Code::MissingKey,
                Span::new(0, 0),
                format!("the key `{key}` is missing"),
                "",
            )
            .with_expected(example)
            .with_help(format!("add {example} above the first `[table]`")),
        );
    }
}

fn chain_name(file: &Section<'_>, problems: &mut Problems) -> Option<String> {
    let entry = file.entry(keys::CHAIN.name)?;
    let name = string(&entry, "the name of the chain, a string", problems)?;
    check_name(name, "chain", entry.span(), problems).then(|| name.to_owned())
}

fn version(file: &Section<'_>, problems: &mut Problems) -> Option<String> {
    const EXPECTED: &str = "a version such as \"1.2.0\"";
    let entry = file.entry(keys::VERSION.name)?;
    let text = string(&entry, EXPECTED, problems)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    if text.is_empty() || text.len() > keys::MAX_NAME_BYTES || !text.chars().all(plain) {
        let label = "1 to 63 letters, digits, `.`, `-` and `+`";
        let message = format!("\"{}\" is not a version", excerpt(text));
        problems.push(Diagnostic::new(Code::BadText, entry.span(), message, label).with_expected(EXPECTED));
        return None;
    }
    Some(text.to_owned())
}

fn flow_lines(entry: &Entry<'_>, source: &Source, problems: &mut Problems) -> Vec<LineText> {
    const EXPECTED: &str = "an array of strings such as [\"ingress -> decode -> egress\"]";
    let Some(array) = entry.value.get_ref().as_array() else {
        let diagnostic = wrong_type(entry, EXPECTED);
        problems.push(match entry.value.get_ref() {
            DeValue::String(_) => diagnostic.with_help("put brackets around it: flow = [\"...\"]"),
            _ => diagnostic,
        });
        return Vec::new();
    };
    let mut lines = Vec::new();
    for item in array.iter() {
        let item = Entry {
            name: "flow",
            key_span: entry.key_span,
            value: item,
        };
        if let Some(text) = string(&item, "a flow line, which is a string", problems) {
            lines.push(LineText::new(text, item.span(), source));
        }
    }
    lines
}

/// What `egress` says of several records.
fn egress(entry: &Entry<'_>, problems: &mut Problems) -> Option<Spanned<Egress>> {
    let words: Vec<String> = keys::EGRESS_WORDS
        .iter()
        .map(|word| format!("\"{word}\""))
        .collect();
    let expected = words.join(" or ");
    let DeValue::String(word) = entry.value.get_ref() else {
        problems.push(wrong_type(entry, &expected));
        return None;
    };
    let egress = Egress::parse(word);
    if egress.is_none() {
        let message = format!("`egress` cannot be \"{}\"", excerpt(word));
        let label = format!("expected {expected}");
        problems
            .push(Diagnostic::new(Code::UnknownChoice, entry.span(), message, label).with_expected(expected));
    }
    egress.map(|egress| Spanned::new(egress, entry.span()))
}

fn edges(file: &Section<'_>, problems: &mut Problems) -> Vec<EdgeTree> {
    const EXPECTED: &str = "a table of edges, each opened with [edge.\"SOURCE -> TARGET\"]";
    let Some(entry) = file.entry(keys::EDGE.name) else {
        return Vec::new();
    };
    let Some(table) = table_of(&entry, EXPECTED, problems) else {
        return Vec::new();
    };
    if table.len() > keys::MAX_EDGES {
        problems.push(too_many(&entry, keys::EDGE.name, table.len(), keys::MAX_EDGES));
    }
    let mut list = Vec::new();
    for entry in entries(table).into_iter().take(keys::MAX_EDGES) {
        let Some(table) = table_of(&entry, "the table of an edge", problems) else {
            continue;
        };
        let title = format!("`[edge.\"{}\"]`", excerpt(entry.name));
        let section = Section::open(title, table, keys::EDGE_KEYS, problems);
        list.push(EdgeTree {
            name: Spanned::new(entry.name.to_owned(), entry.key_span),
            protection: section
                .choice(&keys::EDGE_PROTECTION, problems)
                .and_then(Protection::parse),
            stream: section.flag(&keys::EDGE_STREAM, problems).and_then(|stream| {
                let entry = section.entry(keys::EDGE_STREAM.name)?;
                Some(Spanned::new(stream, entry.key_span))
            }),
        });
    }
    list
}

fn functions(file: &Section<'_>, complete: bool, problems: &mut Problems) -> Vec<FunctionTree> {
    let Some(entry) = file.entry(keys::FUNCTION.name) else {
        return Vec::new();
    };
    let Some(table) = table_of(
        &entry,
        "a table of functions, each opened with [function.NAME]",
        problems,
    ) else {
        return Vec::new();
    };
    let mut list = Vec::new();
    for entry in entries(table) {
        if list.len() == keys::MAX_FUNCTIONS {
            let message = format!("the chain has {} functions", table.len());
            let label = format!("at most {} functions", keys::MAX_FUNCTIONS);
            problems.push(
                Diagnostic::new(Code::ChainTooLarge, entry.key_span, message, label)
                    .with_help("split the chain in two"),
            );
            break;
        }
        if let Some(function) = function(&entry, complete, problems) {
            list.push(function);
        }
    }
    list
}

fn function(entry: &Entry<'_>, complete: bool, problems: &mut Problems) -> Option<FunctionTree> {
    let name = entry.name;
    let mut nameable = check_name(name, "function", entry.key_span, problems);
    if keys::RESERVED_FUNCTIONS.contains(&name) {
        nameable = false;
        let message = format!("a function cannot be called `{name}`");
        problems.push(
            Diagnostic::new(Code::ReservedName, entry.key_span, message, "reserved name")
                .with_note(format!("reserved are {}", keys::RESERVED_FUNCTIONS.join(", "))),
        );
    }
    let Some(table) = entry.value.get_ref().as_table() else {
        let help = format!("open a table: [function.{}]", excerpt(name));
        problems.push(wrong_type(entry, "the table of a function").with_help(help));
        return None;
    };
    let title = format!("[function.{}]", excerpt(name));
    let section = Section::open(format!("`{title}`"), table, keys::FUNCTION_KEYS, problems);
    if complete && program_tree::is_missing(&section) {
        let message = format!("function `{}` has no `exec`", excerpt(name));
        problems.push(
            Diagnostic::new(Code::MissingKey, entry.key_span, message, "which program is it?")
                .with_expected(format!("exec = \"{}\"", keys::EXEC.kind.example))
                .with_help(format!("add exec = \"{}\" to {title}", keys::EXEC.kind.example)),
        );
    }
    let files = section.entry(keys::FILES.name);
    let files = files.map(|entry| files_of(&entry, problems)).unwrap_or_default();
    let env_entry = section.entry(keys::ENV.name);
    let env = env_entry
        .as_ref()
        .map(|entry| env(entry, problems))
        .unwrap_or_default();
    let program = ProgramTree::read(&section, &title, &files, problems);
    if let (Some(program), Some(entry)) = (&program, &env_entry) {
        program.check_env(entry, env.keys().cloned(), problems);
    }
    Some(FunctionTree {
        name: Spanned::new(name.to_owned(), entry.key_span),
        build: section.text(&keys::BUILD, problems).map(|text| text.value),
        nameable,
        ports: section
            .entry(keys::PORTS.name)
            .map_or(PortsTree::Default, |entry| ports(&entry, problems)),
        args: section
            .entry(keys::ARGS.name)
            .map(|entry| args(&entry, problems))
            .unwrap_or_default(),
        files,
        env,
        secrets: section
            .entry(keys::SECRETS.name)
            .map(|entry| secrets(&entry, problems))
            .unwrap_or_default(),
        stream: section.flag(&keys::STREAM, problems).and_then(|stream| {
            let entry = section.entry(keys::STREAM.name)?;
            Some(Spanned::new(stream, entry.key_span))
        }),
        system_calls: SystemCallsTree::read(&section, program.as_ref(), problems),
        program,
        settings: settings(&section, &title, problems),
    })
}

fn ports(entry: &Entry<'_>, problems: &mut Problems) -> PortsTree {
    const EXPECTED: &str = "an array of port names such as [\"out\", \"reject\"]";
    let Some(array) = entry.value.get_ref().as_array() else {
        problems.push(wrong_type(entry, EXPECTED));
        return PortsTree::Broken(Vec::new());
    };
    if array.is_empty() {
        let diagnostic = Diagnostic::new(
            Code::BadText,
            entry.span(),
            "`ports` is empty",
            "expected at least one port",
        );
        problems.push(diagnostic.with_help("drop the key: a function without `ports` has one, `out`"));
    }
    if array.len() > keys::MAX_PORTS {
        problems.push(too_many(entry, "ports", array.len(), keys::MAX_PORTS));
    }
    let mut broken = array.is_empty() || array.len() > keys::MAX_PORTS;
    let mut ports: Vec<Spanned<String>> = Vec::new();
    for item in array.iter().take(keys::MAX_PORTS) {
        let item = Entry {
            name: "ports",
            key_span: entry.key_span,
            value: item,
        };
        let Some(name) = string(&item, "the name of a port, a string", problems) else {
            broken = true;
            continue;
        };
        let span = item.span();
        if !check_name(name, "port", span, problems) {
            broken = true;
            continue;
        }
        if keys::RESERVED_PORTS.contains(&name) {
            let diagnostic = Diagnostic::new(
                Code::ReservedName,
                span,
                format!("a port cannot be called `{name}`"),
                "reserved name",
            );
            problems.push(match name == keys::ERROR_PORT {
                true => diagnostic.with_help("every function has `error` already: drop it from the list"),
                false => diagnostic,
            });
        } else if let Some(first) = ports.iter().find(|port| port.value == name) {
            problems.push(
                Diagnostic::new(
                    Code::DuplicatePort,
                    span,
                    format!("port `{name}` is declared twice"),
                    "again here",
                )
                .with_related(first.span, "first declared here"),
            );
        } else {
            ports.push(Spanned::new(name.to_owned(), span));
        }
    }
    if broken {
        PortsTree::Broken(ports)
    } else {
        PortsTree::Listed(ports)
    }
}
