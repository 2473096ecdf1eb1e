//! What the fabric needs of a function's memory, as the monitor adds it to the author's.

use super::define::ports_of;
use hacher_chain_dsl::{Chain, FunctionId, Target};
use hacher_libos_net::share::Shape;

/// What decides it for function `id`.
#[must_use]
pub fn of_function(chain: &Chain, id: FunctionId) -> Shape {
    let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let parts = chain
        .groups_into(Target::Function(id))
        .map(|(_, group)| group.edges().len())
        .max();
    let function = chain.function(id);
    Shape {
        threads: function.map_or(1, hacher_chain_dsl::Function::threads),
        parts: narrow(parts.unwrap_or(1)),
        ports: narrow(function.map_or(1, |function| ports_of(chain, id, function).len())),
        record_bytes: chain.ingress().max_body().bytes(),
        in_flight: chain.ingress().in_flight(),
    }
}
