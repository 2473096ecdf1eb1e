//! What can only be seen on the whole graph: unused and unreachable functions, dead ends, cycles, joins
//! that cannot complete.
//!
//! Each cause is reported once. A function that is cut off because another is, is mentioned there and not
//! reported again. Everything is a fixed number of sweeps over at most 1,024 edges; nothing recurses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::file::FileTree;
use crate::graph::{From, Graph, Group, NodeId, Port, To, listed};
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

/// Reports each cycle once, by its shortest way round. Answers the nodes on cycles and behind them.
fn report_cycles(graph: &Graph, order: &[NodeId], problems: &mut Problems) -> BTreeSet<NodeId> {
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

fn join_name(graph: &Graph, group: &Group) -> String {
    match group.to {
        To::Node(id) => format!("the join before `{}`", graph.name(id)),
        To::Egress => "the join before `egress`".to_owned(),
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

/// What a record's coming implies: that these ports have been written to.
type Implied = BTreeSet<(NodeId, Port)>;

/// Joins whose members exclude each other: one comes only when a function succeeds, another only when the
/// same function fails. And a warning where members imply two ports of one function.
///
/// Going through the functions in order, `implied` holds for each what must have been written for it to
/// run at all: in a join the union of its members, over alternatives only what is common to all.
fn report_contradicting_joins(graph: &Graph, order: &[NodeId], problems: &mut Problems) {
    let mut implied: BTreeMap<NodeId, Implied> = BTreeMap::new();
    for id in order {
        let mut common: Option<Implied> = None;
        for group in graph.groups_into(*id) {
            let members: Vec<(Span, Implied)> = graph
                .edges_of(group)
                .iter()
                .map(|edge| (edge.from_span, implied_by(&implied, edge.from)))
                .collect();
            if let Some(diagnostic) = contradiction(graph, group, &members) {
                problems.push(diagnostic);
            }
            let union: Implied = members.into_iter().flat_map(|(_, member)| member).collect();
            common = Some(match common {
                None => union,
                Some(common) => common.intersection(&union).copied().collect(),
            });
        }
        implied.insert(*id, common.unwrap_or_default());
    }
}

fn implied_by(implied: &BTreeMap<NodeId, Implied>, from: From) -> Implied {
    let From::Node(id, port) = from else {
        return Implied::new();
    };
    let mut all = implied.get(&id).cloned().unwrap_or_default();
    if port != Port::Unknown {
        all.insert((id, port));
    }
    all
}

/// Two members that imply different ports of one function, neither of which implies all that the other does.
fn contradiction(graph: &Graph, group: &Group, members: &[(Span, Implied)]) -> Option<Diagnostic> {
    // For each function, the sets of its ports that members imply, each set with one such member.
    let mut by_function: BTreeMap<NodeId, BTreeMap<BTreeSet<Port>, Span>> = BTreeMap::new();
    for (span, implied) in members {
        let mut ports: BTreeMap<NodeId, BTreeSet<Port>> = BTreeMap::new();
        for (id, port) in implied {
            ports.entry(*id).or_default().insert(*port);
        }
        for (id, ports) in ports {
            by_function.entry(id).or_default().entry(ports).or_insert(*span);
        }
    }
    let mut warning = None;
    for (id, sets) in &by_function {
        for (index, (one, span)) in sets.iter().enumerate() {
            for (other, other_span) in sets.iter().skip(index + 1) {
                if one.is_subset(other) || other.is_subset(one) {
                    continue;
                }
                let fails = [one, other].map(|ports| ports.contains(&Port::Error));
                if fails == [true, true] {
                    continue; // Both wait for something that cannot come; that join has been reported.
                }
                if fails != [false, false] {
                    return Some(never_completes(graph, group, *id, fails, [*span, *other_span]));
                }
                warning.get_or_insert_with(|| {
                    let name = graph.name(*id);
                    let message = format!("{} waits for two ports of `{name}`", join_name(graph, group));
                    Diagnostic::new(Code::JoinOfTwoPorts, *span, message, "comes by one port")
                        .with_related(*other_span, "comes by another")
                        .with_help(format!(
                            "it completes only when `{name}` writes to both for one record"
                        ))
                });
            }
        }
    }
    warning
}

/// `fails` says of each of two members whether it comes only when the function fails.
fn never_completes(
    graph: &Graph,
    group: &Group,
    id: NodeId,
    fails: [bool; 2],
    spans: [Span; 2],
) -> Diagnostic {
    let name = graph.name(id);
    let [label, other_label] = fails.map(|fails| match fails {
        true => format!("comes only when `{name}` fails"),
        false => format!("comes only when `{name}` succeeds"),
    });
    let [span, other_span] = spans;
    let message = format!("{} can never complete", join_name(graph, group));
    Diagnostic::new(Code::JoinNeverCompletes, span, message, label)
        .with_related(other_span, other_label)
        .with_help("give each its own flow line if either of them is enough")
}
