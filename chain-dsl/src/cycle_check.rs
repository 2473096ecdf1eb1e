//! Cycles of a graph, each with its shortest way round.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::graph::{From, Graph, NodeId, To};
use crate::source::Span;

/// Reports each cycle once, by its shortest way round. Answers the nodes on cycles and behind them.
pub(crate) fn report_cycles(graph: &Graph, order: &[NodeId], problems: &mut Problems) -> BTreeSet<NodeId> {
    let sorted: BTreeSet<NodeId> = order.iter().copied().collect();
    let left: BTreeSet<NodeId> = graph.nodes().filter(|id| !sorted.contains(id)).collect();
    let outgoing = outgoing(graph, &left);
    let mut told: BTreeSet<NodeId> = BTreeSet::new();
    for start in &left {
        if told.contains(start) {
            continue;
        }
        let way = shortest_way_round(graph, *start, &outgoing);
        if way.is_empty()
            || way
                .iter()
                .any(|edge| edge_nodes(graph, *edge).any(|id| told.contains(&id)))
        {
            continue;
        }
        told.extend(way.iter().flat_map(|edge| edge_nodes(graph, *edge)));
        problems.push(cycle(graph, *start, &way));
    }
    left
}

fn edge_nodes(graph: &Graph, edge: usize) -> impl Iterator<Item = NodeId> {
    graph
        .edges
        .get(edge)
        .into_iter()
        .filter_map(|edge| match edge.from {
            From::Node(id, _) => Some(id),
            From::Ingress => None,
        })
}

/// For each node the edges from it, with their targets, as far as both ends are among `within`.
type Outgoing = BTreeMap<NodeId, Vec<(usize, NodeId)>>;

fn outgoing(graph: &Graph, within: &BTreeSet<NodeId>) -> Outgoing {
    let mut outgoing = Outgoing::new();
    for (index, edge) in graph.edges.iter().enumerate() {
        if let (From::Node(from, _), To::Node(to)) = (edge.from, edge.to)
            && within.contains(&from)
            && within.contains(&to)
        {
            outgoing.entry(from).or_default().push((index, to));
        }
    }
    outgoing
}

/// The edges of the shortest way from a node back to itself, by breadth; empty when there is none.
fn shortest_way_round(graph: &Graph, start: NodeId, outgoing: &Outgoing) -> Vec<usize> {
    let mut came_by: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(at) = next.pop_front() {
        for (index, to) in outgoing.get(&at).into_iter().flatten() {
            if came_by.contains_key(to) {
                continue;
            }
            came_by.insert(*to, *index);
            if *to == start {
                return way_back(graph, start, &came_by);
            }
            next.push_back(*to);
        }
    }
    Vec::new()
}

fn way_back(graph: &Graph, start: NodeId, came_by: &BTreeMap<NodeId, usize>) -> Vec<usize> {
    let mut way = Vec::new();
    let mut at = start;
    while let Some(index) = came_by.get(&at) {
        way.push(*index);
        at = edge_nodes(graph, *index).next().unwrap_or(start);
        if at == start {
            break;
        }
    }
    way.reverse();
    way
}

fn cycle(graph: &Graph, start: NodeId, way: &[usize]) -> Diagnostic {
    /// The most edges of a cycle that are underlined.
    const MAX_SHOWN: usize = 8;
    let names: Vec<&str> = way
        .iter()
        .flat_map(|edge| edge_nodes(graph, *edge))
        .map(|id| graph.name(id))
        .collect();
    let path = format!("{} -> {}", names.join(" -> "), graph.name(start));
    let mut edges: Vec<(Span, Span)> = way
        .iter()
        .filter_map(|index| graph.edges.get(*index))
        .map(|edge| (edge.span, edge.to_span))
        .collect();
    edges.sort();
    // The edge that is written last closes the circle.
    let (span, to_span) = edges.pop().unwrap_or_default();
    let message = match way.len() {
        1 => format!("`{}` sends to itself", graph.name(start)),
        _ => format!("records go round in a circle: {path}"),
    };
    let mut diagnostic = Diagnostic::new(Code::Cycle, span, message, "this closes the circle")
        .with_help("to try again after a failure use `retry`; a chain itself has no loops");
    for (edge, _) in edges
        .iter()
        .filter(|(edge, _)| *edge != span && *edge != to_span)
        .take(MAX_SHOWN)
    {
        diagnostic = diagnostic.with_related(*edge, "");
    }
    diagnostic
}
