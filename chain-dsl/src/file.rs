//! TOML tree to file tree: every key read, every value within its bounds, nothing resolved yet.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::address::address;
use crate::chain::{Placement, Protection};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::flow::LineText;
use crate::function::{Logs, SecretRef};
use crate::keys::{self, IntegerKind};
use crate::section::{
    Entry, Section, entries, excerpt, integer, string, table_of, unpassable, usable, wrong_type,
};
use crate::source::{Source, Span, Spanned};
use crate::units::{ByteSize, format_duration};

/// What a file says, each value where it was right.
pub(crate) struct FileTree {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) placement: Placement,
    pub(crate) protection: Protection,
    pub(crate) edges: Vec<EdgeTree>,
    pub(crate) max_body: Option<Spanned<ByteSize>>,
    pub(crate) max_reply: Option<Spanned<ByteSize>>,
    pub(crate) deadline: Option<Spanned<Duration>>,
    pub(crate) in_flight: Option<Spanned<u32>>,
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
}

/// The table of one function.
pub(crate) struct FunctionTree {
    pub(crate) name: Spanned<String>,
    pub(crate) exec: Option<Spanned<String>>,
    pub(crate) build: Option<String>,
    /// Whether a flow line could name it at all.
    pub(crate) nameable: bool,
    pub(crate) ports: PortsTree,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) secrets: BTreeMap<String, Spanned<SecretRef>>,
    pub(crate) settings: SettingsTree,
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

/// What a function and `[defaults]` may both set.
#[derive(Default)]
pub(crate) struct SettingsTree {
    pub(crate) memory: Option<Spanned<ByteSize>>,
    pub(crate) timeout: Option<Spanned<Duration>>,
    pub(crate) instances: Option<Spanned<u32>>,
    pub(crate) logs: Option<Logs>,
    pub(crate) outbox: Option<Spanned<ByteSize>>,
    pub(crate) huge_pages: Option<bool>,
    pub(crate) prefault: Option<bool>,
    pub(crate) scratch: Option<Spanned<ByteSize>>,
    pub(crate) threads: Option<Spanned<u32>>,
    pub(crate) attempts: Option<Spanned<u32>>,
    pub(crate) backoff: Option<Spanned<Duration>>,
    pub(crate) factor: Option<Spanned<f64>>,
    pub(crate) max_backoff: Option<Spanned<Duration>>,
    pub(crate) jitter: Option<bool>,
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
        max_body: ingress.and_then(|table| table.size(&keys::MAX_BODY, problems)),
        max_reply: ingress.and_then(|table| table.size(&keys::MAX_REPLY, problems)),
        deadline: ingress.and_then(|table| table.duration(&keys::DEADLINE, problems)),
        in_flight: ingress.and_then(|table| table.integer(&keys::IN_FLIGHT, problems)),
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
    if complete && section.entry(keys::EXEC.name).is_none() {
        let message = format!("function `{}` has no `exec`", excerpt(name));
        problems.push(
            Diagnostic::new(Code::MissingKey, entry.key_span, message, "which program is it?")
                .with_expected(format!("exec = \"{}\"", keys::EXEC.kind.example))
                .with_help(format!("add exec = \"{}\" to {title}", keys::EXEC.kind.example)),
        );
    }
    Some(FunctionTree {
        name: Spanned::new(name.to_owned(), entry.key_span),
        exec: section.text(&keys::EXEC, problems),
        build: section.text(&keys::BUILD, problems).map(|text| text.value),
        nameable,
        ports: section
            .entry(keys::PORTS.name)
            .map_or(PortsTree::Default, |entry| ports(&entry, problems)),
        env: section
            .entry(keys::ENV.name)
            .map(|entry| env(&entry, problems))
            .unwrap_or_default(),
        secrets: section
            .entry(keys::SECRETS.name)
            .map(|entry| secrets(&entry, problems))
            .unwrap_or_default(),
        settings: settings(&section, &title, problems),
    })
}

fn settings(section: &Section<'_>, title: &str, problems: &mut Problems) -> SettingsTree {
    let retry = section.table(&keys::RETRY, &format!("`retry` of `{title}`"), problems);
    let retry = retry.as_ref();
    let tree = SettingsTree {
        memory: section.size(&keys::MEMORY, problems),
        timeout: section.duration(&keys::TIMEOUT, problems),
        instances: section
            .entry(keys::INSTANCES.name)
            .and_then(|entry| instances(&entry, problems)),
        logs: section.choice(&keys::LOGS, problems).and_then(Logs::parse),
        outbox: section.size(&keys::OUTBOX, problems),
        huge_pages: section.flag(&keys::HUGE_PAGES, problems),
        prefault: section.flag(&keys::PREFAULT, problems),
        scratch: section.size(&keys::SCRATCH, problems),
        threads: section.integer(&keys::THREADS, problems),
        attempts: retry.and_then(|table| table.integer(&keys::ATTEMPTS, problems)),
        backoff: retry.and_then(|table| table.duration(&keys::BACKOFF, problems)),
        factor: retry.and_then(|table| table.number(&keys::FACTOR, problems)),
        max_backoff: retry.and_then(|table| table.duration(&keys::MAX_BACKOFF, problems)),
        jitter: retry.and_then(|table| table.flag(&keys::JITTER, problems)),
    };
    if let (Some(backoff), Some(max)) = (&tree.backoff, &tree.max_backoff) {
        check_backoff(backoff, max, problems);
    }
    tree
}

/// Refuses a longest wait that is shorter than the first.
pub(crate) fn check_backoff(backoff: &Spanned<Duration>, max: &Spanned<Duration>, problems: &mut Problems) {
    if max.value < backoff.value {
        let (first, longest) = (format_duration(backoff.value), format_duration(max.value));
        let message = format!("the longest back-off, {longest}, is shorter than the first, {first}");
        problems.push(
            Diagnostic::new(
                Code::Contradiction,
                max.span,
                message,
                format!("expected at least {first}"),
            )
            .with_expected(format!("at least {first}"))
            .with_related(backoff.span, "the first wait"),
        );
    }
}

fn instances(entry: &Entry<'_>, problems: &mut Problems) -> Option<Spanned<u32>> {
    let IntegerKind { min, max, .. } = keys::INSTANCES_RANGE;
    if entry.value.get_ref().is_table() {
        let message = "a range of instances is not built yet";
        let label = format!("expected a whole number from {min} to {max}");
        problems.push(
            Diagnostic::new(Code::NotBuiltYet, entry.span(), message, label)
                .with_expected(format!("a whole number from {min} to {max}"))
                .with_help("write a fixed number: instances = 1")
                .with_note("scaling with the load is refused until it is there, and never ignored"),
        );
        return None;
    }
    integer(entry, keys::INSTANCES_RANGE, problems)
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

fn env(entry: &Entry<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for item in named_values(entry, "a table such as { QUALITY = \"80\" }", problems) {
        let Some(text) = string(&item, "a string", problems) else {
            continue;
        };
        // Name and value travel together.
        let room = keys::MAX_VALUE_BYTES.saturating_sub(item.name.len());
        match unpassable(text, &item, room) {
            Some((message, label)) => {
                problems.push(Diagnostic::new(Code::BadText, item.span(), message, label))
            }
            None => _ = env.insert(item.name.to_owned(), text.to_owned()),
        }
    }
    env
}

fn secrets(entry: &Entry<'_>, problems: &mut Problems) -> BTreeMap<String, Spanned<SecretRef>> {
    let mut secrets = BTreeMap::new();
    for item in named_values(
        entry,
        "a table such as { API_KEY = \"file:/run/secrets/api\" }",
        problems,
    ) {
        let secret = match item.value.get_ref() {
            DeValue::Table(table) => secret_table(&item, table, problems),
            _ => secret_reference(&item, problems).map(|path| SecretRef { path, trim: false }),
        };
        if let Some(secret) = secret {
            secrets.insert(item.name.to_owned(), Spanned::new(secret, item.span()));
        }
    }
    secrets
}

/// `{ from = "file:/run/secrets/api", trim = true }`. Any other value may be the secret itself, so no message
/// repeats it.
fn secret_table(item: &Entry<'_>, table: &DeTable<'_>, problems: &mut Problems) -> Option<SecretRef> {
    let parts = entries(table);
    let part = |name| parts.iter().find(|part| part.name == name);
    let known = |part: &Entry<'_>| matches!(part.name, keys::SECRET_FROM | keys::SECRET_TRIM);
    let trim = match part(keys::SECRET_TRIM).map(|part| part.value.get_ref()) {
        None => Some(false),
        Some(DeValue::Boolean(trim)) => Some(*trim),
        Some(_) => None,
    };
    match (part(keys::SECRET_FROM), trim, parts.iter().all(known)) {
        (Some(from), Some(trim), true) => {
            let path = secret_reference(from, problems)?;
            Some(SecretRef { path, trim })
        }
        _ => {
            let label = "expected { from = \"file:/...\", trim = true or false }";
            problems.push(
                Diagnostic::new(Code::BadSecret, item.span(), "a secret is not a reference", label)
                    .with_expected("the keys `from`, a reference, and `trim`, true or false")
                    .with_help("put the secret in a file and refer to it; a chain file never holds one"),
            );
            None
        }
    }
}

/// The absolute path that a reference names.
fn secret_reference(item: &Entry<'_>, problems: &mut Problems) -> Option<String> {
    const EXPECTED: &str = "a reference such as \"file:/run/secrets/api\"";
    let problem = |message| {
        Diagnostic::new(Code::BadSecret, item.span(), message, "expected `file:/...`").with_expected(EXPECTED)
    };
    let reference = match item.value.get_ref().as_str() {
        Some(text) => {
            let text = usable(text, item, keys::MAX_VALUE_BYTES, problems)?;
            text.value.strip_prefix(keys::SECRET_SCHEME).map(str::to_owned)
        }
        None => None,
    };
    match reference {
        Some(path) if path.starts_with('/') => return Some(path),
        Some(_) => problems.push(problem("the path of a secret is not absolute")),
        // The value may be the secret itself: it is never repeated in the message.
        None => problems.push(
            problem("a secret is not a reference")
                .with_help("put the secret in a file and refer to it; a chain file never holds one"),
        ),
    }
    None
}

/// The entries of `env` or `secrets` that have proper names, within the bound.
fn named_values<'t>(entry: &Entry<'t>, expected: &str, problems: &mut Problems) -> Vec<Entry<'t>> {
    let Some(table) = table_of(entry, expected, problems) else {
        return Vec::new();
    };
    if table.len() > keys::MAX_ENV_ENTRIES {
        problems.push(too_many(entry, entry.name, table.len(), keys::MAX_ENV_ENTRIES));
    }
    let mut named = entries(table);
    named.truncate(keys::MAX_ENV_ENTRIES);
    named.retain(|item| check_env_name(item, problems));
    named
}

fn check_env_name(item: &Entry<'_>, problems: &mut Problems) -> bool {
    let name = item.name;
    let first = name
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !first || !rest || name.len() > keys::MAX_NAME_BYTES {
        let message = format!(
            "`{}` cannot be the name of an environment variable or secret",
            excerpt(name)
        );
        let label = format!(
            "a letter or `_`, then letters, digits and `_`, {} at most",
            keys::MAX_NAME_BYTES
        );
        problems.push(Diagnostic::new(Code::BadName, item.key_span, message, label));
        return false;
    }
    if name.starts_with(keys::RESERVED_ENV_PREFIX) {
        let message = format!("`{name}` is reserved");
        let label = format!(
            "names beginning with `{}` belong to the system",
            keys::RESERVED_ENV_PREFIX
        );
        problems.push(Diagnostic::new(Code::ReservedName, item.key_span, message, label));
        return false;
    }
    true
}

fn too_many(entry: &Entry<'_>, what: &str, count: usize, max: usize) -> Diagnostic {
    let message = format!("too many {what}: {count}");
    Diagnostic::new(
        Code::TooMany,
        entry.key_span,
        message,
        format!("expected at most {max}"),
    )
    .with_expected(format!("at most {max}"))
}

/// Whether a name of a chain, function or port is well formed; reports it when not.
fn check_name(name: &str, noun: &str, span: Span, problems: &mut Problems) -> bool {
    const RULE: &str = "a lower-case letter, then lower-case letters, digits, `-` and `_`; at most 63";
    let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if first && name.chars().all(part) && name.len() <= keys::MAX_NAME_BYTES {
        return true;
    }
    let message = match name.is_empty() {
        true => format!("the name of a {noun} is empty"),
        false => format!("`{}` cannot be the name of a {noun}", excerpt(name)),
    };
    let mut diagnostic =
        Diagnostic::new(Code::BadName, span, message, format!("expected {RULE}")).with_expected(RULE);
    let tidy: String = name
        .to_lowercase()
        .chars()
        .map(|c| if part(c) { c } else { '-' })
        .skip_while(|c| !c.is_ascii_lowercase())
        .take(keys::MAX_NAME_BYTES)
        .collect();
    if !tidy.is_empty() {
        diagnostic = diagnostic
            .with_help(format!("a name that would do: `{tidy}`"))
            .with_nearest(tidy);
    }
    problems.push(diagnostic);
    false
}
