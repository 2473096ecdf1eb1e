//! From text to a checked chain, step by step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::chain::{
    Chain, Edge, EdgeId, FunctionId, Group, GroupId, Ingress, Protection, Source as From, Target, Tls,
};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, Problems};
use crate::document::Document;
use crate::edge_check::{self, OwnOfEdges, OwnSettings};
use crate::encoding;
use crate::file::{self, FileTree, FunctionTree, PortsTree, TlsTree};
use crate::function::{Function, Limits, PortId};
use crate::graph::{self, Graph, NodeId, Port};
use crate::graph_check;
use crate::keys;
use crate::program::Program;
use crate::python::PythonSpans;
use crate::settings::{limits, or};
use crate::source::{Source, Span};
use crate::stream_check;
use crate::units::{ByteSize, format_duration};

/// A chain that kept every rule, the warnings about it, and where its parts stand in the file.
#[derive(Debug, Clone)]
pub struct Checked {
    chain: Chain,
    warnings: Diagnostics,
    spans: Spans,
}

/// Where what a file names on its machine is written in it.
#[derive(Debug, Clone, Default)]
struct Spans {
    execs: Vec<Span>,
    pythons: BTreeMap<FunctionId, PythonSpans>,
    files: BTreeMap<FunctionId, Vec<Span>>,
    secrets: BTreeMap<(FunctionId, String), Span>,
    route: Option<Span>,
    listen: Option<Span>,
    tls: Option<TlsSpans>,
}

/// Where the files of `tls` are written in a chain file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsSpans {
    /// The certificate chain.
    pub cert: Span,
    /// The key.
    pub key: Span,
    /// Who signs clients' certificates.
    pub client_ca: Option<Span>,
}

/// Checks the text of a chain file. `file_name` is only for messages; nothing is opened.
///
/// # Errors
///
/// Every problem of the file, in its order, warnings included, when at least one is an error.
pub fn check(text: &str, file_name: &str) -> Result<Checked, Diagnostics> {
    if text.len() > keys::MAX_TEXT_BYTES {
        return Err(too_large(text.len(), file_name));
    }
    let mut problems = Problems::default();
    let source = Arc::new(Source::of_file(file_name, text));
    let document = Document::read(&source, &mut problems);
    let file = file::read(&document.root, &source, document.complete, &mut problems);
    let checked = if document.complete {
        no_functions(&file, &mut problems);
        let graph = graph::build(&file, &mut problems);
        let order = graph_check::check(&file, &graph, &mut problems);
        let own = edge_check::settings(&file, &graph, &mut problems);
        stream_check::report(&file, &graph, &own, &mut problems);
        let settings = resolve(&file, &graph, &own, &mut problems);
        (!problems.has_errors())
            .then(|| assemble(&file, &graph, &order, settings, &own))
            .flatten()
    } else {
        // What stands in the part that could not be read cannot be missed, so no graph is built.
        document.drop_consequences(&source, &mut problems);
        None
    };
    let found = problems.into_diagnostics(source);
    match checked {
        Some((chain, spans)) => Ok(Checked {
            chain,
            warnings: found,
            spans,
        }),
        None => Err(found),
    }
}

/// Checks the bytes of a chain file, which may be in another encoding than UTF-8.
///
/// # Errors
///
/// As [`check`]; of a file that is not UTF-8, one problem that names the encoding as far as it can be told.
pub fn check_bytes(bytes: &[u8], file_name: &str) -> Result<Checked, Diagnostics> {
    if bytes.len() > keys::MAX_TEXT_BYTES {
        // Checked before the encoding: a bounded read may have cut the last character in two.
        return Err(too_large(bytes.len(), file_name));
    }
    match encoding::text_of(bytes) {
        Ok(text) => check(text, file_name),
        Err((before, problem)) => {
            let mut problems = Problems::default();
            problems.push(*problem);
            Err(problems.into_diagnostics(Arc::new(Source::of_file(file_name, before))))
        }
    }
}

impl Checked {
    /// The chain.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The chain alone.
    #[must_use]
    pub fn into_chain(self) -> Chain {
        self.chain
    }

    /// What is probably not meant, but is no error.
    #[must_use]
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }

    /// Where a function's `exec`, or what it has in its place, stands in the file.
    #[must_use]
    pub fn exec_span(&self, function: FunctionId) -> Option<Span> {
        self.spans.execs.get(function.index()).copied()
    }

    /// Where what a function in Python names stands in the file.
    #[must_use]
    pub fn python_spans(&self, function: FunctionId) -> Option<PythonSpans> {
        self.spans.pythons.get(&function).copied()
    }

    /// Where one of a function's `files` stands in the file, by its place in [`Function::files`].
    #[must_use]
    pub fn file_span(&self, function: FunctionId, at: usize) -> Option<Span> {
        self.spans.files.get(&function)?.get(at).copied()
    }

    /// Where the reference of one of a function's secrets stands in the file.
    #[must_use]
    pub fn secret_span(&self, function: FunctionId, name: &str) -> Option<Span> {
        self.spans.secrets.get(&(function, name.to_owned())).copied()
    }

    /// Where the chain's route stands in the file.
    #[must_use]
    pub fn route_span(&self) -> Option<Span> {
        self.spans.route
    }

    /// Where the address of the chain's own gateway stands in the file.
    #[must_use]
    pub fn listen_span(&self) -> Option<Span> {
        self.spans.listen
    }

    /// Where the files of its TLS stand in the file.
    #[must_use]
    pub fn tls_spans(&self) -> Option<TlsSpans> {
        self.spans.tls
    }

    /// The warnings together with what the caller found on its machine, such as a missing `exec`: make
    /// these with [`Diagnostic::new`] and the spans above.
    #[must_use]
    pub fn with_found(&self, found: impl IntoIterator<Item = Diagnostic>) -> Diagnostics {
        self.warnings.with_more(found)
    }
}

pub(crate) fn too_large(len_bytes: usize, file_name: &str) -> Diagnostics {
    let message = format!(
        "the file is too large: {len_bytes} bytes, at most {}",
        keys::MAX_TEXT_BYTES
    );
    let mut problems = Problems::default();
    problems.push(
        Diagnostic::new(Code::FileTooLarge, Span::default(), message, "")
            .with_expected("at most 1 MiB of text"),
    );
    problems.into_diagnostics(Arc::new(Source::new(file_name, "")))
}

fn no_functions(file: &FileTree, problems: &mut Problems) {
    // An unknown key is probably a slip in the word `function`.
    if file.lacks_functions && !problems.any(Code::UnknownKey) {
        problems.push(
            Diagnostic::new(
                Code::MissingKey,
                Span::default(),
                "the chain has no functions",
                "",
            )
            .with_expected("[function.NAME]")
            .with_help("add one: [function.NAME], and below it exec = \"...\""),
        );
    }
}

/// The values of every function, and checks across tables.
fn resolve(
    file: &FileTree,
    graph: &Graph,
    own: &OwnOfEdges,
    problems: &mut Problems,
) -> (Ingress, Vec<Limits>) {
    let max_body = or(&file.max_body, &None, keys::MAX_BODY.kind.default);
    let ingress = Ingress {
        max_body,
        max_reply: or(&file.max_reply, &None, max_body),
        deadline: or(&file.deadline, &None, keys::DEADLINE.kind.default),
        in_flight: or(&file.in_flight, &None, keys::IN_FLIGHT.kind.default),
        methods: file.request.methods.unwrap_or_default(),
        headers: file.request.headers.clone(),
        route: file.route.as_ref().map(|route| route.value.clone()),
        listen: file.listen.as_ref().map(|listen| listen.value),
        tls: file.tls.as_ref().and_then(tls),
    };
    check_listener(file, problems);
    check_timeouts(file, ingress.deadline, problems);
    check_bodies(file, graph, own, ingress.max_body, problems);
    check_joins(file, graph, ingress.max_body, problems);
    let settings = file
        .functions
        .iter()
        .map(|function| {
            let limits = limits(&function.settings, &file.defaults, problems);
            let name = &function.name.value;
            function.system_calls.check(name, &limits, problems);
            limits
        })
        .collect();
    (ingress, settings)
}

/// The files of TLS, where both that it cannot do without are right.
fn tls(tree: &TlsTree) -> Option<Tls> {
    Some(Tls {
        cert: tree.cert.as_ref()?.value.clone(),
        key: tree.key.as_ref()?.value.clone(),
        client_ca: tree.client_ca.as_ref().map(|path| path.value.clone()),
    })
}

/// Refuses plain HTTP beyond loopback, and TLS for a gateway that the chain shares with others.
fn check_listener(file: &FileTree, problems: &mut Problems) {
    if let (Some(tls), false) = (&file.tls, file.has_listen) {
        let message = "`tls` is for a gateway of the chain's own, and there is no `listen`";
        problems.push(
            Diagnostic::new(Code::Contradiction, tls.span, message, "for which address?")
                .with_expected("listen = \"127.0.0.1:9001\"")
                .with_help(
                    "add listen = \"127.0.0.1:9001\" to [ingress]; the gateway that chains share has its TLS from \
                     `serve --tls-cert` and `--tls-key`",
                ),
        );
    }
    if let (Some(listen), false) = (&file.listen, file.has_tls)
        && !listen.value.ip().is_loopback()
    {
        let message = format!(
            "`listen` is {}, which is not loopback, and there is no `tls`",
            listen.value
        );
        problems.push(
            Diagnostic::new(
                Code::PlainText,
                listen.span,
                message,
                "plain HTTP is for loopback only",
            )
            .with_help("add tls = { cert = \"...\", key = \"...\" }, or listen on 127.0.0.1 or [::1]"),
        );
    }
}

/// Warns of timeouts, where they are written, that the deadline makes meaningless.
fn check_timeouts(file: &FileTree, deadline: Duration, problems: &mut Problems) {
    let own = file
        .functions
        .iter()
        .map(|function| function.settings.timeout.as_ref());
    for timeout in own.chain([file.defaults.timeout.as_ref()]).flatten() {
        if timeout.value <= deadline {
            continue;
        }
        let (timeout_text, deadline_text) = (format_duration(timeout.value), format_duration(deadline));
        let message = format!("the timeout, {timeout_text}, is longer than the deadline, {deadline_text}");
        let diagnostic = Diagnostic::new(
            Code::TimeoutPastDeadline,
            timeout.span,
            message,
            "the deadline ends the run first",
        );
        problems.push(match &file.deadline {
            Some(deadline) => diagnostic.with_related(deadline.span, "the whole request has this long"),
            None => diagnostic.with_help(format!(
                "the deadline is {deadline_text} unless [ingress] sets it"
            )),
        });
    }
}

/// Warns of functions that get the request itself and could not pass on one of the largest size.
fn check_bodies(
    file: &FileTree,
    graph: &Graph,
    own: &OwnOfEdges,
    max_body: ByteSize,
    problems: &mut Problems,
) {
    for (id, function) in (0..).map(NodeId).zip(&file.functions) {
        let written = function
            .settings
            .outbox
            .as_ref()
            .or(file.defaults.outbox.as_ref());
        let outbox = written.map_or(keys::OUTBOX.kind.default, |size| size.value);
        let mut body = graph
            .edges
            .iter()
            .enumerate()
            .filter(|(_, edge)| edge.from == graph::From::Ingress && edge.to == graph::To::Node(id));
        // What a function reads as a stream is as a rule passed on as one, too.
        let holds_body = body.any(|(at, _)| !own.streams(file, graph, at));
        if !holds_body || outbox >= max_body {
            continue;
        }
        let name = &function.name.value;
        let default = if written.is_none() { " (the default)" } else { "" };
        let message = format!("`max_body` is {max_body}, but the outbox of `{name}` is {outbox}{default}");
        let (span, label) = match (written, &file.max_body) {
            (Some(outbox), _) => (outbox.span, "a record of the largest body does not fit"),
            (None, Some(max_body)) => (max_body.span, "a record of this size does not fit"),
            (None, None) => (function.name.span, "a record of the largest body does not fit"),
        };
        let mut diagnostic = Diagnostic::new(Code::BodyPastOutbox, span, message, label).with_help(format!(
            "set outbox = \"{max_body}\" or more in [function.{name}], or lower max_body"
        ));
        if let (Some(_), Some(max_body)) = (written, &file.max_body) {
            diagnostic = diagnostic.with_related(max_body.span, "the largest body");
        }
        problems.push(diagnostic);
    }
}

/// Warns of joins whose records of the largest size together are more than their function's memory.
fn check_joins(file: &FileTree, graph: &Graph, max_body: ByteSize, problems: &mut Problems) {
    for (id, function) in (0..).map(NodeId).zip(&file.functions) {
        let widest = graph.groups_into(id).map(|group| group.len).max().unwrap_or(0);
        let written = function
            .settings
            .memory
            .as_ref()
            .or(file.defaults.memory.as_ref());
        let memory = written.map_or(keys::MEMORY.kind.default, |size| size.value);
        let together = max_body.bytes().saturating_mul(widest as u64);
        if widest < 2 || together <= memory.bytes() {
            continue;
        }
        let (name, together) = (&function.name.value, ByteSize::new(together));
        let message = format!(
            "`{name}` waits for {widest} records of up to {max_body} each, {together} together, and its memory is {memory}"
        );
        let (span, label) = match written {
            Some(memory) => (memory.span, "they do not fit in one piece"),
            None => (
                function.name.span,
                "the default memory is less than they have together",
            ),
        };
        let diagnostic = Diagnostic::new(Code::JoinPastMemory, span, message, label).with_help(format!(
            "set memory = \"{together}\" or more in [function.{name}] if its handler puts them together, or lower max_body"
        ));
        problems.push(match &file.max_body {
            Some(max_body) => diagnostic.with_related(max_body.span, "the largest body"),
            None => diagnostic,
        });
    }
}

/// The chain. Nothing here can fail after the checks; a part that is missing all the same makes no chain.
fn assemble(
    file: &FileTree,
    graph: &Graph,
    order: &[NodeId],
    settings: (Ingress, Vec<Limits>),
    own: &OwnOfEdges,
) -> Option<(Chain, Spans)> {
    let (ingress, limits) = settings;
    let mut functions = Vec::new();
    let mut spans = Spans {
        route: file.route.as_ref().map(|route| route.span),
        listen: file.listen.as_ref().map(|listen| listen.span),
        tls: file.tls.as_ref().and_then(tls_spans),
        ..Spans::default()
    };
    for (tree, limits) in file.functions.iter().zip(limits) {
        let id = FunctionId(u16::try_from(functions.len()).ok()?);
        let program = tree.program.as_ref()?;
        spans.execs.push(program.span);
        spans.pythons.extend(program.python.map(|python| (id, python)));
        spans
            .files
            .insert(id, tree.files.iter().map(|file| file.span).collect());
        spans.secrets.extend(
            tree.secrets
                .iter()
                .map(|(name, secret)| ((id, name.clone()), secret.span)),
        );
        functions.push(function(tree, program.program.clone(), limits));
    }
    let chain = Chain {
        name: file.name.clone()?,
        version: file
            .version
            .clone()
            .unwrap_or_else(|| keys::DEFAULT_VERSION.to_owned()),
        description: file.description.clone(),
        placement: file.placement,
        protection: file.protection,
        egress: file.egress.as_ref().map(|egress| egress.value),
        ingress,
        functions,
        edges: graph
            .edges
            .iter()
            .enumerate()
            .map(|(at, found)| edge(found, file.protection, own.of(at)))
            .collect::<Option<_>>()?,
        groups: graph.groups.iter().map(group).collect::<Option<_>>()?,
        order: order.iter().map(|id| function_id(*id)).collect::<Option<_>>()?,
    };
    Some((chain, spans))
}

fn tls_spans(tree: &TlsTree) -> Option<TlsSpans> {
    Some(TlsSpans {
        cert: tree.cert.as_ref()?.span,
        key: tree.key.as_ref()?.span,
        client_ca: tree.client_ca.as_ref().map(|path| path.span),
    })
}

fn function(tree: &FunctionTree, program: Program, limits: Limits) -> Function {
    let ports = match &tree.ports {
        PortsTree::Default => vec![keys::DEFAULT_PORT.to_owned()],
        PortsTree::Listed(ports) | PortsTree::Broken(ports) => {
            ports.iter().map(|port| port.value.clone()).collect()
        }
    };
    Function {
        name: tree.name.value.clone(),
        program,
        build: tree.build.clone(),
        ports,
        limits,
        args: tree.args.clone(),
        files: tree.files.iter().map(|file| file.value.clone()).collect(),
        env: tree.env.clone(),
        secrets: tree
            .secrets
            .iter()
            .map(|(name, secret)| (name.clone(), secret.value.clone()))
            .collect(),
        stream: tree.streams(),
        system_calls: tree.system_calls.profile(),
        jit: tree.system_calls.jit(),
    }
}

fn function_id(id: NodeId) -> Option<FunctionId> {
    u16::try_from(id.0).ok().map(FunctionId)
}

fn target(to: graph::To) -> Option<Target> {
    match to {
        graph::To::Egress => Some(Target::Egress),
        graph::To::Node(id) => function_id(id).map(Target::Function),
    }
}

fn edge(edge: &graph::Edge, of_chain: Protection, own: OwnSettings) -> Option<Edge> {
    let from = match edge.from {
        graph::From::Ingress => From::Ingress,
        graph::From::Node(id, Port::Declared(port)) => From::Function(function_id(id)?, PortId(port)),
        graph::From::Node(id, Port::Error) => From::Function(function_id(id)?, PortId::ERROR),
        graph::From::Node(_, Port::Unknown) => return None,
    };
    let group = GroupId(u16::try_from(edge.group).ok()?);
    let to = target(edge.to)?;
    Some(Edge {
        from,
        to,
        group,
        protection: own.protection.unwrap_or_else(|| of_chain.of_edge(from, to)),
        stream: own.stream.map(|(stream, _)| stream),
    })
}

fn group(group: &graph::Group) -> Option<Group> {
    let edges = (group.first..group.first + group.len).map(|index| u16::try_from(index).ok().map(EdgeId));
    Some(Group {
        to: target(group.to)?,
        edges: edges.collect::<Option<_>>()?,
    })
}
