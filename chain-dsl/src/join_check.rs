//! Joins that can never complete, because their members exclude each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::graph::{From, Graph, Group, NodeId, Port, To};
use crate::source::Span;

/// What a record's coming implies: that these ports have been written to.
type Implied = BTreeSet<(NodeId, Port)>;

/// Joins whose members exclude each other: one comes only when a function succeeds, another only when the
/// same function fails. And a warning where members imply two ports of one function.
///
/// Going through the functions in order, `implied` holds for each what must have been written for it to
/// run at all: in a join the union of its members, over alternatives only what is common to all.
pub(crate) fn report_contradicting_joins(graph: &Graph, order: &[NodeId], problems: &mut Problems) {
    let mut implied: BTreeMap<NodeId, Implied> = BTreeMap::new();
    let nodes = order.iter().map(|id| To::Node(*id));
    for to in nodes.chain([To::Egress]) {
        let mut common: Option<Implied> = None;
        for group in graph.groups_to(to) {
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
        if let To::Node(id) = to {
            implied.insert(id, common.unwrap_or_default());
        }
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

/// How messages call a join.
pub(crate) fn join_name(graph: &Graph, group: &Group) -> String {
    match group.to {
        To::Node(id) => format!("the join before `{}`", graph.name(id)),
        To::Egress => "the join before `egress`".to_owned(),
    }
}
