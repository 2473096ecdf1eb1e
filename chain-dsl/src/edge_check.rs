//! Tables of edges: each must name an edge of the flow, and no two the same one.

use crate::chain::Protection;
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::file::{EdgeTree, FileTree, FunctionTree, PortsTree};
use crate::graph::{self, Graph, Port};
use crate::keys;
use crate::nearest::nearest;
use crate::section::excerpt;
use crate::source::Span;

/// What the table of an edge says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OwnSettings {
    pub(crate) protection: Option<Protection>,
    /// Whether it streams, and where that is written.
    pub(crate) stream: Option<(bool, Span)>,
}

/// What the edges of the graph say of themselves, by their places.
pub(crate) struct OwnOfEdges(Vec<OwnSettings>);

impl OwnOfEdges {
    /// What the edge at this place says.
    pub(crate) fn of(&self, at: usize) -> OwnSettings {
        self.0.get(at).copied().unwrap_or_default()
    }

    /// Whether the reader of the edge at this place reads records as streams, as [`crate::Chain::streams`]
    /// says it.
    pub(crate) fn streams(&self, file: &FileTree, graph: &Graph, at: usize) -> bool {
        let Some(edge) = graph.edges.get(at) else {
            return false;
        };
        if graph.groups.get(edge.group).is_none_or(|group| group.len > 1) {
            return false;
        }
        if let Some((stream, _)) = self.of(at).stream {
            return stream;
        }
        let says_so = match (edge.from, edge.to) {
            (_, graph::To::Node(id)) | (graph::From::Node(id, _), graph::To::Egress) => id,
            (graph::From::Ingress, graph::To::Egress) => return false,
        };
        let function = file.functions.get(says_so.0);
        function.is_some_and(FunctionTree::streams)
    }
}

/// For each edge of the graph, what its own table says.
pub(crate) fn settings(file: &FileTree, graph: &Graph, problems: &mut Problems) -> OwnOfEdges {
    let mut settings = vec![OwnSettings::default(); graph.edges.len()];
    // What is wrong with the flow has been reported; no edge can be missed because of it.
    if problems.has_errors() {
        return OwnOfEdges(settings);
    }
    let names: Vec<String> = graph.edges.iter().map(|edge| name(file, edge)).collect();
    let mut named: Vec<Option<&EdgeTree>> = vec![None; names.len()];
    for table in &file.edges {
        let wanted = canonical(&table.name.value);
        let at = names.iter().position(|name| *name == wanted);
        let (Some(at), Some(own)) = (at, at.and_then(|at| named.get_mut(at))) else {
            problems.push(unknown(table, &wanted, &names));
            continue;
        };
        if let Some(first) = own {
            problems.push(twice(table, first, &wanted));
            continue;
        }
        *own = Some(table);
        if let Some(settings) = settings.get_mut(at) {
            *settings = OwnSettings {
                protection: table.protection,
                stream: table.stream.as_ref().map(|stream| (stream.value, stream.span)),
            };
        }
    }
    OwnOfEdges(settings)
}

fn unknown(table: &EdgeTree, wanted: &str, names: &[String]) -> Diagnostic {
    let message = format!("no flow line makes the edge `{}`", excerpt(wanted));
    let expected = "the source and the target of an edge of the flow";
    let report = |label: String| {
        Diagnostic::new(Code::UnknownEdge, table.name.span, message, label).with_expected(expected)
    };
    match nearest(wanted, names.iter().map(String::as_str)) {
        Some(meant) => report(format!("did you mean `{meant}`?")).with_nearest(meant),
        None if wanted.contains("->") => report("no such edge".to_owned()).with_note(format!(
            "the edges of the flow are {}",
            excerpt(&names.join(", "))
        )),
        None => report("not an edge".to_owned()).with_help("write [edge.\"SOURCE -> TARGET\"]"),
    }
}

fn twice(table: &EdgeTree, first: &EdgeTree, name: &str) -> Diagnostic {
    Diagnostic::new(
        Code::Contradiction,
        table.name.span,
        format!("the edge `{name}` has two tables"),
        "again here",
    )
    .with_related(first.name.span, "first written here")
}

/// The name of a table as [`name`] writes it: one space around the arrow, and no port where it is `out`.
fn canonical(text: &str) -> String {
    let Some((from, to)) = text.split_once("->") else {
        return text.trim().to_owned();
    };
    let from = from.trim();
    let from = from
        .strip_suffix(keys::DEFAULT_PORT)
        .and_then(|from| from.strip_suffix('.'))
        .unwrap_or(from);
    format!("{from} -> {}", to.trim())
}

fn name(file: &FileTree, edge: &graph::Edge) -> String {
    let function = |id: graph::NodeId| {
        file.functions
            .get(id.0)
            .map_or("?", |function| function.name.value.as_str())
    };
    let to = match edge.to {
        graph::To::Egress => "egress",
        graph::To::Node(id) => function(id),
    };
    match edge.from {
        graph::From::Ingress => format!("ingress -> {to}"),
        graph::From::Node(id, port) => {
            let from = function(id);
            match port_name(file, id, port) {
                keys::DEFAULT_PORT => format!("{from} -> {to}"),
                port => format!("{from}.{port} -> {to}"),
            }
        }
    }
}

fn port_name(file: &FileTree, id: graph::NodeId, port: Port) -> &str {
    let at = match port {
        Port::Declared(at) => usize::from(at),
        Port::Error => return keys::ERROR_PORT,
        Port::Unknown => return "?",
    };
    match file.functions.get(id.0).map(|function| &function.ports) {
        Some(ports @ (PortsTree::Listed(_) | PortsTree::Broken(_))) => {
            ports.written().get(at).map_or("?", |port| port.value.as_str())
        }
        _ => keys::DEFAULT_PORT,
    }
}
