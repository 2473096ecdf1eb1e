//! Who has to be seated.

use super::model::Graph;
use hacher_chain_dsl::{Chain, FunctionId, Source, SystemCalls, Target};
use std::collections::BTreeMap;

/// The members of a chain in the order of its flow, and who takes from whom.
pub(super) struct Members {
    /// Each function with its instances.
    pub(super) functions: Vec<(FunctionId, u32)>,
    /// Who takes from whom.
    pub(super) graph: Graph,
    /// Whether a function may start programs.
    pub(super) start_programs: bool,
}

impl Members {
    pub(super) fn of(chain: &Chain) -> Self {
        let order = chain.order();
        let place: BTreeMap<FunctionId, usize> =
            order.iter().enumerate().map(|(at, id)| (*id, at + 1)).collect();
        let inputs_of = |target| {
            let from = |source| match source {
                Source::Function(id, _) => place.get(&id).copied().unwrap_or(0),
                Source::Ingress => 0,
            };
            chain
                .edges_into(target)
                .map(|(_, edge)| from(edge.from()))
                .collect()
        };
        let instances = |id: FunctionId| {
            chain
                .function(id)
                .map_or(1, hacher_chain_dsl::Function::instances)
        };
        Self {
            functions: order.iter().map(|id| (*id, instances(*id))).collect(),
            graph: Graph {
                inputs: order.iter().map(|id| inputs_of(Target::Function(*id))).collect(),
                egress: inputs_of(Target::Egress),
            },
            start_programs: chain
                .functions_with_ids()
                .any(|(_, function)| function.system_calls() == SystemCalls::Program),
        }
    }

    /// Whether one function works at a time: no output has two takers, and no function several instances.
    pub(super) fn is_line(&self) -> bool {
        let mut sources: Vec<usize> = self.graph.inputs.iter().flatten().copied().collect();
        let edges = sources.len();
        sources.sort_unstable();
        sources.dedup();
        sources.len() == edges && self.functions.iter().all(|(_, instances)| *instances == 1)
    }

    /// Instances of all functions.
    pub(super) fn instances(&self) -> usize {
        self.functions.iter().map(|(_, count)| *count as usize).sum()
    }

    /// Of a list with the gateway and each instance, the gateway's entry and that of each function's first
    /// instance.
    pub(super) fn firsts<T: Copy>(&self, of_all: &[T]) -> Vec<T> {
        let mut at = 1;
        let mut firsts: Vec<T> = of_all.first().copied().into_iter().collect();
        for (_, count) in &self.functions {
            firsts.extend(of_all.get(at).copied());
            at += *count as usize;
        }
        firsts
    }

    /// Seats in the order of the flow, put into that of the file.
    pub(super) fn in_file_order<T: Copy>(&self, chain: &Chain, seats: &[T]) -> Vec<T> {
        let mut rest = seats.iter().copied();
        let of: BTreeMap<FunctionId, Vec<T>> = self
            .functions
            .iter()
            .map(|(id, count)| (*id, rest.by_ref().take(*count as usize).collect()))
            .collect();
        chain
            .functions_with_ids()
            .filter_map(|(id, _)| of.get(&id))
            .flatten()
            .copied()
            .collect()
    }
}
