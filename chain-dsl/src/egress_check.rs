//! Several records that may reach `egress` for one request: which of them make the reply.

use std::collections::{BTreeMap, BTreeSet};

use crate::chain::Egress;
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::file::{FileTree, FunctionTree};
use crate::graph::{From, Graph, Group, NodeId, Port, To};
use crate::source::Span;

/// Pairs of ways that are compared at most: all of up to 256 ways into `egress`. A larger chain may go
/// without the warning.
const PAIRS_MAX: usize = 1 << 15;

/// What has to happen for a record to come.
#[derive(Debug, Clone, Default)]
struct Need {
    /// Each of these functions writes to one of these ports, and not to another: those that stream may have
    /// several open at a time, and are not among them.
    ports: BTreeMap<NodeId, BTreeSet<Port>>,
    /// Some function fails.
    failure: bool,
}

/// What the file says of several records against what the flow does.
pub(crate) fn report(file: &FileTree, graph: &Graph, order: &[NodeId], problems: &mut Problems) {
    match &file.egress {
        Some(egress)
            if egress.value == Egress::Join && !graph.groups_to(To::Egress).any(|group| group.len > 1) =>
        {
            problems.push(nothing_to_join(graph, egress.span));
        }
        // The file says what becomes of several: the way that is complete first is the reply.
        Some(_) => {}
        None => report_races(file, graph, order, problems),
    }
}

fn nothing_to_join(graph: &Graph, span: Span) -> Diagnostic {
    let into_egress = graph.edges.iter().filter(|edge| edge.to == To::Egress);
    let sources: Vec<&str> = into_egress
        .filter_map(|edge| match edge.from {
            From::Node(id, Port::Declared(_)) => Some(graph.name(id)),
            From::Node(..) | From::Ingress => None,
        })
        .take(2)
        .collect();
    let [one, other] = sources.as_slice() else {
        return Diagnostic::new(
            Code::NothingToJoin,
            span,
            "`egress` joins nothing",
            "one record reaches it",
        )
        .with_help("drop the key");
    };
    Diagnostic::new(
        Code::NothingToJoin,
        span,
        "`egress` joins nothing",
        "no flow line joins records before it",
    )
    .with_help(format!(
        "write their ways into `egress` as one flow line: \"{one} & {other} -> egress\""
    ))
}

/// Warns of the first two ways into `egress` that may both bring a reply for one request. They exclude each
/// other where a function has to write to different ports for the one and for the other, unless it streams:
/// what it writes to one port has left when it writes to the next. What comes only when
/// something fails comes instead of something else.
fn report_races(file: &FileTree, graph: &Graph, order: &[NodeId], problems: &mut Problems) {
    let needs = Needs::of(file, graph, order);
    let ends: Vec<(&Group, Need)> = graph
        .groups_to(To::Egress)
        .map(|group| (group, needs.of_all(graph, group)))
        .filter(|(_, need)| !need.failure)
        .collect();
    let mut pairs = (1..)
        .zip(&ends)
        .flat_map(|(next, one)| ends.iter().skip(next).map(move |other| (one, other)))
        .take(PAIRS_MAX);
    let race = pairs.find(|((_, one), (_, other))| !exclude_each_other(one, other));
    if let Some(((first, _), (second, _))) = race {
        let message = "several records of one request may reach `egress`";
        let (first_way, second_way) = match (first.len, second.len) {
            (1, 1) => ("brings a record", "brings another"),
            _ => ("makes a reply", "makes another"),
        };
        let (word, join) = (Egress::First.as_str(), Egress::Join.as_str());
        problems.push(
            Diagnostic::new(Code::EgressRace, second.span, message, second_way)
                .with_related(first.span, first_way)
                .with_help(format!(
                    "the one that is complete first is the reply, and the others are dropped: write egress = \"{word}\" if that is \
                     meant"
                ))
                .with_help(format!(
                    "to answer with all of them, join them in one flow line with egress = \"{join}\", or in a function"
                )),
        );
    }
}

/// What each function needs to run.
struct Needs<'f> {
    file: &'f FileTree,
    of: BTreeMap<NodeId, Need>,
}

impl<'f> Needs<'f> {
    /// In a join all that its members need, over alternatives what all of them need.
    fn of(file: &'f FileTree, graph: &Graph, order: &[NodeId]) -> Self {
        let mut needs = Self {
            file,
            of: BTreeMap::new(),
        };
        for id in order {
            let mut of_all: Option<Need> = None;
            for group in graph.groups_into(*id) {
                let joined = needs.of_all(graph, group);
                of_all = Some(match of_all {
                    None => joined,
                    Some(others) => either(others, &joined),
                });
            }
            needs.of.insert(*id, of_all.unwrap_or_default());
        }
        needs
    }

    /// What the members of a group need together.
    fn of_all(&self, graph: &Graph, group: &Group) -> Need {
        let mut joined = Need::default();
        for edge in graph.edges_of(group) {
            let member = self.of_record(edge.from);
            joined.failure |= member.failure;
            for (function, ports) in member.ports {
                joined.ports.entry(function).or_default().extend(ports);
            }
        }
        joined
    }

    fn of_record(&self, from: From) -> Need {
        let From::Node(id, port) = from else {
            return Need::default();
        };
        let mut need = self.of.get(&id).cloned().unwrap_or_default();
        need.failure |= port == Port::Error;
        if !self.file.functions.get(id.0).is_some_and(FunctionTree::streams) {
            need.ports.entry(id).or_default().insert(port);
        }
        need
    }
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

/// Whether some function has to write to different ports for the one and for the other.
fn exclude_each_other(one: &Need, other: &Need) -> bool {
    one.ports.iter().any(|(function, ports)| {
        let others = other.ports.get(function);
        others.is_some_and(|others| ports.is_disjoint(others))
    })
}
