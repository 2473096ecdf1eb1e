//! What can only be seen on the whole graph: unused and unreachable functions, dead ends, and (next door)
//! cycles and joins that cannot complete.
//!
//! Each cause is reported once. A function that is cut off because another is, is mentioned there and not
//! reported again. Everything is a fixed number of sweeps over at most 1,024 edges; nothing recurses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::code::Code;
use crate::cycle_check::report_cycles;
use crate::diagnostic::{Diagnostic, Problems};
use crate::egress_check;
use crate::file::FileTree;
use crate::graph::{From, Graph, NodeId, Port, To, listed};
use crate::join_check::{join_name, report_contradicting_joins};
use crate::source::Span;

/// Checks the graph. Answers the functions in an order in which each comes after all that it takes from;
/// without errors it is complete.
pub(crate) fn check(file: &FileTree, graph: &Graph, problems: &mut Problems) -> Vec<NodeId> {
    let order = topological(graph);
    let cyclic = report_cycles(graph, &order, problems);
    report_error_ports_on_joins(graph, problems);
    if graph.complete && file.has_flow {
        let ends = report_ends(file, graph, problems);
        report_unused(file, graph, problems);
        let reached = reached(graph);
        // A cycle makes what lies behind it unreachable; it has been reported.
        if ends.ingress {
            report_unreachable(graph, &reached, &cyclic, problems);
            report_starved_joins(graph, &reached, &cyclic, problems);
        }
        if ends.egress {
            report_dead_ends(file, graph, &cyclic, problems);
        }
        report_unconnected_ports(file, graph, problems);
    }
    report_contradicting_joins(graph, &order, problems);
    // Of a graph that is not what was meant, nothing follows.
    if graph.complete && !problems.has_errors() {
        egress_check::report(file, graph, &order, problems);
    }
    order
}

/// Nodes so that each comes after all its sources; nodes on or behind a cycle are missing.
fn topological(graph: &Graph) -> Vec<NodeId> {
    let mut waiting: BTreeMap<NodeId, usize> = graph.nodes().map(|id| (id, 0)).collect();
    for edge in &graph.edges {
        if let (From::Node(..), To::Node(to)) = (edge.from, edge.to) {
            *waiting.entry(to).or_default() += 1;
        }
    }
    let mut ready: VecDeque<NodeId> = waiting
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(id, _)| *id)
        .collect();
    let mut order = Vec::new();
    while let Some(id) = ready.pop_front() {
        order.push(id);
        for to in successors(graph, id) {
            let Some(count) = waiting.get_mut(&to) else {
                continue;
            };
            *count = count.saturating_sub(1);
            if *count == 0 {
                ready.push_back(to);
            }
        }
    }
    order
}

fn successors(graph: &Graph, id: NodeId) -> impl Iterator<Item = NodeId> {
    graph
        .edges
        .iter()
        .filter_map(move |edge| match (edge.from, edge.to) {
            (From::Node(from, _), To::Node(to)) if from == id => Some(to),
            _ => None,
        })
}

/// `f.error` hands on the one record that failed, so `f` must not wait for several.
fn report_error_ports_on_joins(graph: &Graph, problems: &mut Problems) {
    let mut told = BTreeSet::new();
    for edge in &graph.edges {
        let From::Node(id, Port::Error) = edge.from else {
            continue;
        };
        let Some(join) = graph.groups_into(id).find(|group| group.len > 1) else {
            continue;
        };
        if told.insert(id) {
            let name = graph.name(id);
            let message = format!("`{name}.error` has no single record to hand on");
            problems.push(
                Diagnostic::new(Code::ErrorPortOnJoin, edge.from_span, message, "would carry the record that failed")
                    .with_related(join.span, format!("but `{name}` waits for all of these"))
                    .with_help(format!("let a function before `{name}` fail, or answer failures from `{name}` by a port of its own")),
            );
        }
    }
}

/// Whether the chain has a beginning and an end.
struct Ends {
    ingress: bool,
    egress: bool,
}

fn report_ends(file: &FileTree, graph: &Graph, problems: &mut Problems) -> Ends {
    let ends = Ends {
        ingress: graph.edges.iter().any(|edge| edge.from == From::Ingress),
        egress: graph.edges.iter().any(|edge| edge.to == To::Egress),
    };
    let span = file.flow.first().map_or(Span::default(), |line| line.span);
    let sources: BTreeSet<NodeId> = graph.edges.iter().filter_map(|edge| node_of(edge.from)).collect();
    let targets: BTreeSet<NodeId> = graph.edges.iter().filter_map(|edge| target_of(edge.to)).collect();
    if !ends.ingress {
        let first = sources
            .difference(&targets)
            .next()
            .map_or("NAME", |id| graph.name(*id));
        problems.push(
            Diagnostic::new(
                Code::NoIngress,
                span,
                "no request ever comes in",
                "no flow line begins at `ingress`",
            )
            .with_help(format!("begin one: \"ingress -> {first}\"")),
        );
    }
    if !ends.egress {
        let last = targets
            .difference(&sources)
            .next()
            .map_or("NAME", |id| graph.name(*id));
        let span = file.flow.last().map_or(span, |line| line.span);
        problems.push(
            Diagnostic::new(
                Code::NoEgress,
                span,
                "no request is ever answered",
                "no flow line ends at `egress`",
            )
            .with_help(format!("end one: \"{last} -> egress\"")),
        );
    }
    ends
}

fn node_of(from: From) -> Option<NodeId> {
    match from {
        From::Node(id, _) => Some(id),
        From::Ingress => None,
    }
}

fn target_of(to: To) -> Option<NodeId> {
    match to {
        To::Node(id) => Some(id),
        To::Egress => None,
    }
}

fn report_unused(file: &FileTree, graph: &Graph, problems: &mut Problems) {
    for (id, function) in (0..).map(NodeId).zip(&file.functions) {
        if graph.mentions.contains_key(&id) || graph.guessed.contains(&id) || !function.nameable {
            continue;
        }
        let name = &function.name;
        let message = format!("function `{}` is not used", name.value);
        problems.push(
            Diagnostic::new(Code::UnusedFunction, name.span, message, "no flow line names it")
                .with_help("name it in `flow`, or drop its table"),
        );
    }
}

/// Whether a record can come from here. Names without a table are taken to be reached.
fn comes(graph: &Graph, reached: &BTreeSet<NodeId>, from: From) -> bool {
    node_of(from).is_none_or(|id| id.0 >= graph.declared || reached.contains(&id))
}

/// The nodes that a record can get to: all members of one of their groups can come.
fn reached(graph: &Graph) -> BTreeSet<NodeId> {
    let mut reached: BTreeSet<NodeId> = graph.nodes().filter(|id| id.0 >= graph.declared).collect();
    loop {
        let before = reached.len();
        for group in &graph.groups {
            if let To::Node(id) = group.to
                && graph
                    .edges_of(group)
                    .iter()
                    .all(|edge| comes(graph, &reached, edge.from))
            {
                reached.insert(id);
            }
        }
        if reached.len() == before {
            return reached;
        }
    }
}

/// Functions that nothing is sent to. All others that are not reached are so because of these.
fn report_unreachable(
    graph: &Graph,
    reached: &BTreeSet<NodeId>,
    cyclic: &BTreeSet<NodeId>,
    problems: &mut Problems,
) {
    let cut_off: Vec<NodeId> = graph
        .mentions
        .keys()
        .copied()
        .filter(|id| !reached.contains(id) && !cyclic.contains(id) && !graph.guessed.contains(id))
        .collect();
    for id in &cut_off {
        let Some(span) = graph.mentions.get(id) else {
            continue;
        };
        if graph.groups_into(*id).next().is_some() {
            continue;
        }
        if problems.is_full() {
            problems.omit();
            continue;
        }
        let name = graph.name(*id);
        let behind = downstream(graph, *id);
        let behind: Vec<&str> = cut_off
            .iter()
            .filter(|id| behind.contains(id))
            .map(|id| graph.name(*id))
            .collect();
        let message = format!("nothing reaches function `{name}`");
        let mut diagnostic = Diagnostic::new(Code::Unreachable, *span, message, "no flow line sends to it")
            .with_help(format!("send to it, for example \"ingress -> {name}\""));
        if !behind.is_empty() {
            diagnostic = diagnostic.with_note(format!("cut off with it: {}", listed(behind.into_iter())));
        }
        problems.push(diagnostic);
    }
}

/// Everything behind a node.
fn downstream(graph: &Graph, start: NodeId) -> BTreeSet<NodeId> {
    let mut found = BTreeSet::new();
    let mut next = vec![start];
    while let Some(id) = next.pop() {
        next.extend(successors(graph, id).filter(|to| found.insert(*to)));
    }
    found
}

/// Joins of which some members come and others never do.
fn report_starved_joins(
    graph: &Graph,
    reached: &BTreeSet<NodeId>,
    cyclic: &BTreeSet<NodeId>,
    problems: &mut Problems,
) {
    for group in &graph.groups {
        let members = graph.edges_of(group);
        let Some(missing) = members.iter().find(|edge| !comes(graph, reached, edge.from)) else {
            continue;
        };
        let Some(absent) = node_of(missing.from) else {
            continue;
        };
        let some_come = members.iter().any(|edge| comes(graph, reached, edge.from));
        if !some_come || cyclic.contains(&absent) || graph.guessed.contains(&absent) {
            continue;
        }
        let message = format!("{} can never complete", join_name(graph, group));
        let label = format!("nothing ever comes from `{}`", graph.name(absent));
        problems.push(
            Diagnostic::new(Code::JoinNeverCompletes, missing.from_span, message, label)
                .with_help("drop it from the join, or send something to it"),
        );
    }
}

/// Functions whose own ports lead nowhere. All others from which nothing leaves lead to these.
fn report_dead_ends(file: &FileTree, graph: &Graph, cyclic: &BTreeSet<NodeId>, problems: &mut Problems) {
    for (id, span) in &graph.mentions {
        if id.0 >= graph.declared || cyclic.contains(id) || graph.guessed.contains(id) {
            continue;
        }
        let mut outgoing = graph
            .edges
            .iter()
            .filter(|edge| node_of(edge.from) == Some(*id))
            .peekable();
        let on_error = outgoing.peek().is_some();
        if outgoing.any(|edge| !matches!(edge.from, From::Node(_, Port::Error))) {
            continue;
        }
        let name = graph.name(*id);
        let message = format!("nothing leaves function `{name}`");
        let label = if on_error {
            "only its failures go on"
        } else {
            "no flow line takes from it"
        };
        let port = file
            .functions
            .get(id.0)
            .and_then(|function| function.ports.written().first());
        let source = match port.map(|port| port.value.as_str()) {
            None | Some("out") => name.to_owned(),
            Some(port) => format!("{name}.{port}"),
        };
        problems.push(
            Diagnostic::new(Code::NoWayOut, *span, message, label).with_help(format!(
                "say where its output goes, for example \"{source} -> egress\""
            )),
        );
    }
}

/// Declared ports that no flow line takes from, on functions that have others.
fn report_unconnected_ports(file: &FileTree, graph: &Graph, problems: &mut Problems) {
    let taken: BTreeSet<From> = graph.edges.iter().map(|edge| edge.from).collect();
    for (id, function) in (0..).map(NodeId).zip(&file.functions) {
        let ports = function.ports.written();
        let leads = |index: u16| taken.contains(&From::Node(id, Port::Declared(index)));
        if !(0..).zip(ports).any(|(index, _)| leads(index)) || taken.contains(&From::Node(id, Port::Unknown))
        {
            continue; // Unused, a dead end, or a slip in a port's name: reported already.
        }
        for (index, port) in (0..).zip(ports) {
            if leads(index) {
                continue;
            }
            let (name, port_name) = (&function.name.value, &port.value);
            let message = format!("port `{port_name}` of function `{name}` leads nowhere");
            problems.push(
                Diagnostic::new(
                    Code::UnconnectedPort,
                    port.span,
                    message,
                    "no flow line takes from it",
                )
                .with_help(format!("add \"{name}.{port_name} -> ...\", or drop the port")),
            );
        }
    }
}
