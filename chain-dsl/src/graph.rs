//! Flow lines to a graph of nodes, edges and groups, with the place of each.
//!
//! A name that has no table becomes a node all the same, so that one slip does not make its neighbours
//! look unused or unreachable; it has been reported, so no chain comes of it.

use std::collections::BTreeMap;

use crate::chain::Egress;
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::file::{FileTree, FunctionTree, PortsTree};
use crate::flow::{self, Joiner, Line, Step, Term};
use crate::keys;
use crate::nearest::nearest;
use crate::section::excerpt;
use crate::source::{Span, Spanned};

/// A function of the file by its place, or after them a name that has no table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) usize);

/// An output port: declared by its place, `error`, or one that is not declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Port {
    Declared(u16),
    Error,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum From {
    Ingress,
    Node(NodeId, Port),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum To {
    Node(NodeId),
    Egress,
}

pub(crate) struct Edge {
    pub(crate) from: From,
    pub(crate) to: To,
    /// From its source to its target in the flow line.
    pub(crate) span: Span,
    pub(crate) from_span: Span,
    pub(crate) to_span: Span,
    /// By place in [`Graph::groups`].
    pub(crate) group: usize,
}

pub(crate) struct Group {
    pub(crate) to: To,
    /// By place in [`Graph::edges`]; all of a group stand together.
    pub(crate) first: usize,
    pub(crate) len: usize,
    pub(crate) span: Span,
}

pub(crate) struct Graph {
    /// The names of all nodes: first the functions of the file, in its order.
    pub(crate) names: Vec<String>,
    /// How many of the nodes are functions of the file.
    pub(crate) declared: usize,
    pub(crate) edges: Vec<Edge>,
    pub(crate) groups: Vec<Group>,
    /// Where each node is first named in the flow.
    pub(crate) mentions: BTreeMap<NodeId, Span>,
    /// Functions that a misspelt name probably meant; nothing is concluded from their absence.
    pub(crate) guessed: Vec<NodeId>,
    /// Whether every flow line could be read. If not, what is missing must not be reported.
    pub(crate) complete: bool,
}

impl Graph {
    pub(crate) fn name(&self, id: NodeId) -> &str {
        self.names.get(id.0).map_or("?", String::as_str)
    }

    pub(crate) fn edges_of(&self, group: &Group) -> &[Edge] {
        self.edges
            .get(group.first..group.first + group.len)
            .unwrap_or(&[])
    }

    pub(crate) fn groups_into(&self, id: NodeId) -> impl Iterator<Item = &Group> {
        self.groups_to(To::Node(id))
    }

    pub(crate) fn groups_to(&self, to: To) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(move |group| group.to == to)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.names.len()).map(NodeId)
    }
}

/// Builds the graph and reports everything about a flow line that can be judged alone.
pub(crate) fn build(file: &FileTree, problems: &mut Problems) -> Graph {
    let graph = Graph {
        names: file
            .functions
            .iter()
            .map(|function| function.name.value.clone())
            .collect(),
        declared: file.functions.len(),
        edges: Vec::new(),
        groups: Vec::new(),
        mentions: BTreeMap::new(),
        guessed: Vec::new(),
        complete: true,
    };
    let mut builder = Builder {
        ids: file
            .functions
            .iter()
            .map(|function| function.name.value.as_str())
            .zip((0..).map(NodeId))
            .collect(),
        phantoms: BTreeMap::new(),
        functions: &file.functions,
        seen: BTreeMap::new(),
        looked_at: 0,
        full: false,
        // A wrong word has been reported.
        joins_egress: file.says_egress
            && file
                .egress
                .as_ref()
                .is_none_or(|egress| egress.value == Egress::Join),
        graph,
    };
    for text in &file.flow {
        let line = flow::parse(text, problems);
        builder.line(&line, problems);
        if builder.full {
            break;
        }
    }
    builder.report_unknown(problems);
    builder.graph
}

struct Builder<'f> {
    ids: BTreeMap<&'f str, NodeId>,
    /// Names without a table, and everywhere they are used.
    phantoms: BTreeMap<String, (NodeId, Vec<Span>)>,
    functions: &'f [FunctionTree],
    /// The place of each edge that is there.
    seen: BTreeMap<(From, To), Span>,
    /// How many edges were looked at, those that are written again included.
    looked_at: usize,
    /// Whether a bound was passed; the rest of the flow is not read.
    full: bool,
    /// Whether a join may lead to `egress`.
    joins_egress: bool,
    graph: Graph,
}

/// Edges that are written again cost time too, so a flow may not have many of them.
const MAX_LOOKED_AT: usize = 4 * keys::MAX_EDGES;

/// The most names without a table that are followed.
const MAX_PHANTOMS: usize = keys::MAX_EDGES;

/// The most places of one unknown name that are shown.
const MAX_PLACES: usize = 4;

impl Builder<'_> {
    fn line(&mut self, line: &Line, problems: &mut Problems) {
        let last = line.steps.len().saturating_sub(1);
        let mut sound = !line.broken;
        for (index, step) in line.steps.iter().enumerate() {
            // What follows the last step of a broken line could not be read.
            if index < last || !line.broken {
                sound &= check_step(step, index == 0, index == last, problems);
            }
            for term in &step.terms {
                if !matches!(term.name.value.as_str(), "ingress" | "egress") {
                    let id = self.node(&term.name);
                    self.graph.mentions.entry(id).or_insert(term.name.span);
                    if self.phantoms.len() > MAX_PHANTOMS {
                        self.full = true;
                        self.graph.complete = false;
                        return;
                    }
                }
            }
        }
        if !sound {
            self.graph.complete = false;
            return;
        }
        for (source, target) in line.steps.iter().zip(line.steps.iter().skip(1)) {
            self.hand_over(source, target, problems);
        }
    }

    /// The edges between two steps.
    fn hand_over(&mut self, source: &Step, target: &Step, problems: &mut Problems) {
        let froms: Vec<(From, &Term)> = source
            .terms
            .iter()
            .map(|term| (self.from(term, problems), term))
            .collect();
        let (joined, source_span) = (source.joiner == Joiner::All, source.span());
        if joined && froms.len() > keys::MAX_JOIN_WIDTH {
            let message = format!("a join waits for {} records", froms.len());
            let label = format!("expected at most {}", keys::MAX_JOIN_WIDTH);
            problems.push(
                Diagnostic::new(Code::ChainTooLarge, source_span, message, label)
                    .with_expected(format!("at most {}", keys::MAX_JOIN_WIDTH))
                    .with_help("join in two steps, with a function between"),
            );
            self.graph.complete = false;
            return;
        }
        for to_term in &target.terms {
            if self.full {
                return;
            }
            let to = match to_term.name.value.as_str() {
                "egress" => To::Egress,
                _ => To::Node(self.node(&to_term.name)),
            };
            if joined && to == To::Egress && !self.joins_egress {
                problems.push(join_into_egress(&froms, source_span, to_term.span));
            }
            if joined && (to != To::Egress || self.joins_egress) {
                self.group(&froms, source_span, to, to_term, problems);
            } else {
                for from in &froms {
                    if self.full {
                        return;
                    }
                    self.group(std::slice::from_ref(from), from.1.span, to, to_term, problems);
                }
            }
        }
    }

    /// One way into a target.
    fn group(
        &mut self,
        froms: &[(From, &Term)],
        from_span: Span,
        to: To,
        to_term: &Term,
        problems: &mut Problems,
    ) {
        if self.full {
            return;
        }
        if to == To::Egress && froms.iter().any(|(from, _)| *from == From::Ingress) {
            let label = "no function has run here";
            let message = "`ingress` leads straight to `egress`";
            problems.push(
                Diagnostic::new(Code::PassThrough, from_span.to(to_term.span), message, label)
                    .with_help("put a function between them: \"ingress -> NAME -> egress\""),
            );
            self.graph.complete = false;
            return;
        }
        let (group, first) = (self.graph.groups.len(), self.graph.edges.len());
        for (from, term) in froms {
            let span = term.span.to(to_term.span);
            self.looked_at += 1;
            if self.graph.edges.len() == keys::MAX_EDGES || self.looked_at > MAX_LOOKED_AT {
                let label = format!("at most {} edges", keys::MAX_EDGES);
                problems.push(
                    Diagnostic::new(Code::ChainTooLarge, span, "the chain has too many edges", label)
                        .with_help("split the chain in two"),
                );
                self.full = true;
                self.graph.complete = false;
                break;
            }
            let known_port = !matches!(from, From::Node(_, Port::Unknown));
            if let Some(before) = self.seen.get(&(*from, to)).filter(|_| known_port) {
                problems.push(duplicate_edge(term, to_term, *before));
                continue;
            }
            self.seen.insert((*from, to), span);
            let edge = Edge {
                from: *from,
                to,
                span,
                from_span: term.span,
                to_span: to_term.span,
                group,
            };
            self.graph.edges.push(edge);
        }
        let len = self.graph.edges.len() - first;
        if len > 0 {
            self.graph.groups.push(Group {
                to,
                first,
                len,
                span: from_span,
            });
        }
    }

    /// The node of a name; a new one when the name has no table.
    fn node(&mut self, name: &Spanned<String>) -> NodeId {
        if let Some(id) = self.ids.get(name.value.as_str()) {
            return *id;
        }
        let next = NodeId(self.graph.names.len());
        let (id, places) = self
            .phantoms
            .entry(name.value.clone())
            .or_insert((next, Vec::new()));
        if *id == next {
            self.graph.names.push(name.value.clone());
        }
        if places.len() < MAX_PLACES && !places.contains(&name.span) {
            places.push(name.span);
        }
        *id
    }

    fn from(&mut self, term: &Term, problems: &mut Problems) -> From {
        if term.name.value == "ingress" {
            return From::Ingress;
        }
        let id = self.node(&term.name);
        let port = match self.functions.get(id.0) {
            Some(function) => port(function, term, problems),
            None => Port::Unknown,
        };
        From::Node(id, port)
    }

    /// Names without a table, each once with its places.
    fn report_unknown(&mut self, problems: &mut Problems) {
        if self.functions.is_empty() {
            return; // That there are no functions at all is said once, elsewhere.
        }
        for (name, (_, places)) in &self.phantoms {
            let Some((first, more)) = places.split_first() else {
                continue;
            };
            if problems.is_full() {
                problems.omit();
                continue;
            }
            let message = format!("unknown function `{}`", excerpt(name));
            let known = self.functions.iter().map(|function| function.name.value.as_str());
            let mut diagnostic = match nearest(name, known.clone()) {
                Some(meant) => {
                    self.graph.guessed.extend(self.ids.get(meant));
                    let label = format!("did you mean `{meant}`?");
                    Diagnostic::new(Code::UnknownFunction, *first, message, label).with_nearest(meant)
                }
                None => {
                    let help = format!(
                        "add a table [function.{}], or use one of: {}",
                        excerpt(name),
                        listed(known)
                    );
                    Diagnostic::new(Code::UnknownFunction, *first, message, "no table of this name")
                        .with_help(help)
                }
            };
            for place in more {
                diagnostic = diagnostic.with_related(*place, "here too");
            }
            problems.push(diagnostic);
        }
    }
}

/// A few names for a message.
pub(crate) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    const MAX_LISTED: usize = 8;
    let names: Vec<&str> = names.collect();
    let shown: Vec<String> = names
        .iter()
        .take(MAX_LISTED)
        .map(|name| format!("`{}`", excerpt(name)))
        .collect();
    match names.len().saturating_sub(MAX_LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The port that a source names.
fn port(function: &FunctionTree, term: &Term, problems: &mut Problems) -> Port {
    let written = term.port.as_ref().map(|port| port.value.as_str());
    let wanted = written.unwrap_or(keys::DEFAULT_PORT);
    if wanted == keys::ERROR_PORT {
        return Port::Error;
    }
    let place = match &function.ports {
        PortsTree::Default => (wanted == keys::DEFAULT_PORT).then_some(0),
        PortsTree::Listed(ports) | PortsTree::Broken(ports) => {
            ports.iter().position(|port| port.value == wanted)
        }
    };
    if let Some(index) = place.and_then(|place| u16::try_from(place).ok()) {
        return Port::Declared(index);
    }
    if !matches!(function.ports, PortsTree::Broken(_)) {
        problems.push(undeclared_port(function, term, wanted));
    }
    Port::Unknown
}

fn undeclared_port(function: &FunctionTree, term: &Term, wanted: &str) -> Diagnostic {
    let name = &function.name.value;
    let message = format!("function `{name}` has no port `{}`", excerpt(wanted));
    let declared: Vec<&str> = match &function.ports {
        PortsTree::Default => vec![keys::DEFAULT_PORT],
        PortsTree::Listed(ports) | PortsTree::Broken(ports) => {
            ports.iter().map(|port| port.value.as_str()).collect()
        }
    };
    let known = declared.iter().copied().chain([keys::ERROR_PORT]);
    let meant = nearest(wanted, known);
    let span = term.port.as_ref().map_or(term.name.span, |port| port.span);
    let label = match (meant, &term.port) {
        (_, None) => "without a port, `out` is meant".to_owned(),
        (Some(meant), _) => format!("did you mean `{meant}`?"),
        (None, _) => "not declared".to_owned(),
    };
    let mut diagnostic = Diagnostic::new(Code::UndeclaredPort, span, message, label).with_related(
        function.name.span,
        format!("its ports: {}", listed(declared.iter().copied())),
    );
    if let Some(meant) = meant {
        diagnostic = diagnostic.with_nearest(meant);
    }
    match (&term.port, declared.first()) {
        (None, Some(first)) => diagnostic.with_help(format!("name the port: `{name}.{first}`")),
        _ if meant.is_none() => {
            let list: Vec<String> = declared
                .iter()
                .chain([&wanted])
                .map(|port| format!("\"{}\"", excerpt(port)))
                .collect();
            diagnostic.with_help(format!("declare it: ports = [{}]", list.join(", ")))
        }
        _ => diagnostic,
    }
}

/// What can be said of a step from its position in the line; false when something is wrong.
fn check_step(step: &Step, first: bool, last: bool, problems: &mut Problems) -> bool {
    let mut sound = true;
    let mut refuse = |diagnostic: Diagnostic| {
        problems.push(diagnostic);
        sound = false;
    };
    if step.joiner == Joiner::Any && !first {
        let names: Vec<&str> = step
            .terms
            .iter()
            .map(|term| term.name.value.as_str())
            .take(2)
            .collect();
        let both = names.join(" & ");
        refuse(
            Diagnostic::new(
                Code::AlternativeTarget,
                step.span(),
                "a record cannot be sent to one *or* the other",
                "`|` stands after an arrow",
            )
            .with_help(format!("to send it to both, write `{}`", excerpt(&both)))
            .with_help(
                "to choose, let the function before write to one of two ports, and give each its own line",
            )
            .with_help("to go on from whichever arrives, begin a new flow line with the alternatives"),
        );
    }
    for term in &step.terms {
        let name = term.name.value.as_str();
        let end = matches!(name, "ingress" | "egress");
        if name == "ingress" && !first {
            let diagnostic = Diagnostic::new(
                Code::IngressAsTarget,
                term.span,
                "nothing can be sent to `ingress`",
                "requests come in here",
            );
            refuse(diagnostic.with_help("the answer leaves through `egress`"));
        }
        if name == "egress" && !last {
            let diagnostic = Diagnostic::new(
                Code::EgressAsSource,
                term.span,
                "nothing comes out of `egress`",
                "the answer leaves here",
            );
            refuse(diagnostic.with_help("requests come in through `ingress`"));
        }
        let Some(port) = &term.port else { continue };
        if end {
            let message = format!("`{name}` has no ports");
            refuse(Diagnostic::new(
                Code::PortNotAllowed,
                port.span,
                message,
                "drop the port",
            ));
        } else if last {
            let message = format!("a port of `{}` at the end of a line", excerpt(name));
            refuse(
                Diagnostic::new(
                    Code::PortNotAllowed,
                    port.span,
                    message,
                    "a port names an output, but nothing follows",
                )
                .with_help(format!(
                    "send to `{}`, or go on: `{}.{} -> NAME`",
                    excerpt(name),
                    excerpt(name),
                    excerpt(&port.value)
                )),
            );
        }
    }
    sound
}

fn join_into_egress(froms: &[(From, &Term)], span: Span, egress: Span) -> Diagnostic {
    let names: Vec<&str> = froms
        .iter()
        .map(|(_, term)| term.name.value.as_str())
        .take(3)
        .collect();
    Diagnostic::new(
        Code::JoinIntoEgress,
        span,
        "a join into `egress`",
        "these are several records",
    )
    .with_related(egress, "the answer is one record")
    .with_help(format!(
        "join in a function: \"{} -> NAME -> egress\"",
        names.join(" & ")
    ))
    .with_help("if all of them are the answer, write egress = \"join\" at the top of the file: the reply is `multipart/mixed`")
    .with_help("if whichever arrives first is the answer, write `|` instead of `&`")
}

fn duplicate_edge(from: &Term, to: &Term, before: Span) -> Diagnostic {
    let port = from
        .port
        .as_ref()
        .map(|port| format!(".{}", excerpt(&port.value)))
        .unwrap_or_default();
    let (from_name, to_name) = (excerpt(&from.name.value), excerpt(&to.name.value));
    let message = format!("`{from_name}{port}` is handed to `{to_name}` twice");
    Diagnostic::new(Code::DuplicateEdge, from.span.to(to.span), message, "again here")
        .with_related(before, "first here")
        .with_help("drop one of them")
}
