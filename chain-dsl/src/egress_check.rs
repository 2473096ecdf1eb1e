//! Several records that may reach `egress` for one request, of which one is the reply.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::graph::{Edge, From, Graph, NodeId, Port, To};
use crate::keys;

/// Pairs of edges that are compared at most: all of up to 256 edges into `egress`. A larger chain may go
/// without the warning.
const PAIRS_MAX: usize = 1 << 15;

/// What has to happen for a record to come.
#[derive(Debug, Clone, Default)]
struct Need {
    /// Each of these functions writes to one of these ports.
    ports: BTreeMap<NodeId, BTreeSet<Port>>,
    /// Some function fails.
    failure: bool,
}

/// Warns of the first two edges into `egress` that may both bring a record of one request. They exclude each
/// other where a function has to write to different ports for the one and for the other. What comes only when
/// something fails comes instead of something else.
pub(crate) fn report_races(graph: &Graph, order: &[NodeId], problems: &mut Problems) {
    let needs = needs(graph, order);
    let into_egress = graph.edges.iter().filter(|edge| edge.to == To::Egress);
    let ends: Vec<(&Edge, Need)> = into_egress
        .map(|edge| (edge, need_of(&needs, edge.from)))
        .filter(|(_, need)| !need.failure)
        .collect();
    let mut pairs = (1..)
        .zip(&ends)
        .flat_map(|(next, one)| ends.iter().skip(next).map(move |other| (one, other)))
        .take(PAIRS_MAX);
    let race = pairs.find(|((_, one), (_, other))| !exclude_each_other(one, other));
    if let Some(((first, _), (second, _))) = race {
        let message = "several records of one request may reach `egress`";
        problems.push(
            Diagnostic::new(Code::EgressRace, second.from_span, message, "brings another")
                .with_related(first.from_span, "brings a record")
                .with_help(format!(
                    "the one that is complete first is the reply, and the others are dropped: write egress = \"{}\" if that is \
                     meant, or join them in a function",
                    keys::EGRESS_FIRST
                )),
        );
    }
}

/// What each function needs to run: in a join all that its members need, over alternatives what all of them
/// need.
fn needs(graph: &Graph, order: &[NodeId]) -> BTreeMap<NodeId, Need> {
    let mut needs: BTreeMap<NodeId, Need> = BTreeMap::new();
    for id in order {
        let mut of_all: Option<Need> = None;
        for group in graph.groups_into(*id) {
            let mut joined = Need::default();
            for edge in graph.edges_of(group) {
                let member = need_of(&needs, edge.from);
                joined.failure |= member.failure;
                for (function, ports) in member.ports {
                    joined.ports.entry(function).or_default().extend(ports);
                }
            }
            of_all = Some(match of_all {
                None => joined,
                Some(others) => either(others, &joined),
            });
        }
        needs.insert(*id, of_all.unwrap_or_default());
    }
    needs
}

/// What is needed whichever of two comes.
fn either(mut one: Need, other: &Need) -> Need {
    one.failure &= other.failure;
    one.ports.retain(|function, ports| {
        let others = other.ports.get(function);
        ports.extend(others.into_iter().flatten());
        others.is_some()
    });
    one
}

fn need_of(needs: &BTreeMap<NodeId, Need>, from: From) -> Need {
    let From::Node(id, port) = from else {
        return Need::default();
    };
    let mut need = needs.get(&id).cloned().unwrap_or_default();
    need.failure |= port == Port::Error;
    need.ports.entry(id).or_default().insert(port);
    need
}

/// Whether some function has to write to different ports for the one and for the other.
fn exclude_each_other(one: &Need, other: &Need) -> bool {
    one.ports.iter().any(|(function, ports)| {
        let others = other.ports.get(function);
        others.is_some_and(|others| ports.is_disjoint(others))
    })
}
