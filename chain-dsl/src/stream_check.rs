//! Functions that are to read their input as a stream, where the graph has something else read all of it.

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::file::FileTree;
use crate::graph::{Edge, From, Graph, NodeId, To};

/// Streams into joins, and streams of which another reader holds the whole.
pub(crate) fn report(file: &FileTree, graph: &Graph, problems: &mut Problems) {
    report_joins(file, graph, problems);
    report_held(file, graph, problems);
}

fn report_joins(file: &FileTree, graph: &Graph, problems: &mut Problems) {
    for (id, function) in (0..).map(NodeId).zip(&file.functions) {
        let Some(stream) = function.stream.as_ref().filter(|stream| stream.value) else {
            continue;
        };
        let Some(join) = graph.groups_into(id).find(|group| group.len > 1) else {
            continue;
        };
        let name = &function.name.value;
        let message = format!("`{name}` cannot read a join as a stream");
        problems.push(
            Diagnostic::new(
                Code::StreamIntoJoin,
                stream.span,
                message,
                "reads one record as it arrives",
            )
            .with_related(join.span, format!("but `{name}` waits for all of these"))
            .with_help(format!(
                "remove `stream` from [function.{name}]: the records that a join waits for are held"
            )),
        );
    }
}

fn report_held(file: &FileTree, graph: &Graph, problems: &mut Problems) {
    for (at, held) in graph.edges.iter().enumerate() {
        if streams(file, held)
            || graph
                .edges
                .iter()
                .take(at)
                .any(|edge| is_holder_beside(file, edge, held))
        {
            continue;
        }
        let streaming = graph
            .edges
            .iter()
            .find(|edge| edge.from == held.from && streams(file, edge));
        let Some(streaming) = streaming else { continue };
        let (reader, holder) = (reader(graph, streaming), reader(graph, held));
        let message = format!("`{reader}` reads a stream of which `{holder}` holds the whole");
        let help = match held.to {
            To::Node(_) => format!(
                "set stream = true in [function.{holder}] too, or write what it needs to a port of its own"
            ),
            To::Egress => "write what the client gets to a port of its own".to_owned(),
        };
        problems.push(
            Diagnostic::new(
                Code::StreamHeld,
                held.to_span,
                message,
                "needs all of the record at once",
            )
            .with_related(streaming.to_span, "reads the same record as a stream")
            .with_help(help),
        );
    }
}

/// Whether an edge from the same port holds records as `held` does: one warning for each port is enough.
fn is_holder_beside(file: &FileTree, edge: &Edge, held: &Edge) -> bool {
    edge.from == held.from && !streams(file, edge)
}

fn reader<'g>(graph: &'g Graph, edge: &Edge) -> &'g str {
    match edge.to {
        To::Node(id) => graph.name(id),
        To::Egress => "egress",
    }
}

/// Whether the reader of an edge reads records as streams, as [`crate::Chain::streams`] says it.
fn streams(file: &FileTree, edge: &Edge) -> bool {
    let says_so = match (edge.from, edge.to) {
        (_, To::Node(id)) | (From::Node(id, _), To::Egress) => id,
        (From::Ingress, To::Egress) => return false,
    };
    file.functions
        .get(says_so.0)
        .is_some_and(crate::file::FunctionTree::streams)
}
