//! Functions that are to read their input as a stream, where the graph has something else read all of it.

use std::collections::BTreeSet;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::edge_check::OwnOfEdges;
use crate::file::FileTree;
use crate::graph::{Edge, From, Graph, NodeId, To};

/// Streams into joins, and streams of which another reader holds the whole.
pub(crate) fn report(file: &FileTree, graph: &Graph, own: &OwnOfEdges, problems: &mut Problems) {
    report_joins(file, graph, problems);
    report_joined_edges(graph, own, problems);
    report_held_parts(file, graph, problems);
    report_held(file, graph, own, problems);
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

/// An edge of a join that is said to stream.
fn report_joined_edges(graph: &Graph, own: &OwnOfEdges, problems: &mut Problems) {
    for group in graph.groups.iter().filter(|group| group.len > 1) {
        for (at, edge) in (group.first..).zip(graph.edges_of(group)) {
            let Some((true, span)) = own.of(at).stream else {
                continue;
            };
            let reader = reader(graph, edge);
            let message = format!("`{reader}` cannot read an edge of a join as a stream");
            problems.push(
                Diagnostic::new(
                    Code::StreamIntoJoin,
                    span,
                    message,
                    "asks for its records as they arrive",
                )
                .with_related(group.span, format!("but `{reader}` waits for all of these"))
                .with_help("remove `stream` from this edge: the records that a join waits for are held"),
            );
        }
    }
}

/// A part of a joined reply is held until the others have come, also of a function that streams.
fn report_held_parts(file: &FileTree, graph: &Graph, problems: &mut Problems) {
    for group in graph.groups_to(To::Egress).filter(|group| group.len > 1) {
        let streaming = graph.edges_of(group).iter().find_map(|edge| {
            let From::Node(id, _) = edge.from else { return None };
            let stream = file.functions.get(id.0)?.stream.as_ref();
            Some((edge, graph.name(id), stream.filter(|stream| stream.value)?))
        });
        let Some((edge, name, stream)) = streaming else {
            continue;
        };
        let message = format!("the reply holds what `{name}` streams");
        problems.push(
            Diagnostic::new(
                Code::StreamHeld,
                edge.from_span,
                message,
                "is a part of a reply, which waits for the others",
            )
            .with_related(stream.span, format!("`{name}` writes as it reads"))
            .with_help(
                "`max_reply` bounds all parts together; to answer with a stream, lead it to `egress` alone",
            ),
        );
    }
}

/// Readers of a port that hold what another one streams; one warning for each port is enough.
fn report_held(file: &FileTree, graph: &Graph, own: &OwnOfEdges, problems: &mut Problems) {
    let streams = |at: usize| own.streams(file, graph, at);
    let mut told = BTreeSet::new();
    for (at, held) in graph.edges.iter().enumerate() {
        if streams(at) || !told.insert(held.from) {
            continue;
        }
        let mut edges = graph.edges.iter().enumerate();
        let Some((_, streaming)) = edges.find(|(at, edge)| edge.from == held.from && streams(*at)) else {
            continue;
        };
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

fn reader<'g>(graph: &'g Graph, edge: &Edge) -> &'g str {
    match edge.to {
        To::Node(id) => graph.name(id),
        To::Egress => "egress",
    }
}
