//! What `/traces` says: where the time of the last runs went.

use super::filter::Filter;
use super::status::id;
use super::tables::{Instance, Tables};
use hacher_libos_net::clock::Monotonic;
use hacher_libos_net::telemetry::{Outcome, Trace};
use hacher_trustlet_host::wall_clock::of_monotonic;
use serde_json::{Value, json};

/// The keys of a query.
pub(super) const KEYS: &[&str] = &["chain", "function", "invocation", "failed", "limit"];

impl Instance {
    fn trace(&self, chain: &str, trace: &Trace) -> Value {
        let inbound = usize::try_from(trace.inbound)
            .ok()
            .and_then(|ring| self.inbound.get(ring));
        let outcome = match trace.outcome {
            Outcome::Succeeded => "succeeded",
            Outcome::Retried => "retried",
            Outcome::Abandoned => "abandoned",
            _ => "failed",
        };
        let mut data = json!({
            "chain": chain, "function": self.function, "ordinal": self.ordinal,
            "from": inbound.map_or("?", |inbound| inbound.from.as_str()),
            "port": inbound.map_or("?", |inbound| inbound.port.as_str()),
            "invocation": id(trace.invocation), "attempt": trace.attempt, "outcome": outcome,
            "seen_at": of_monotonic(Monotonic::from_ns(trace.seen_ns)),
            "seen_ns": trace.seen_ns, "queued_ns": trace.queued_ns, "hand_over_ns": trace.hand_over_ns,
            "open_ns": trace.open_ns, "run_ns": trace.run_ns, "seal_ns": trace.seal_ns,
            "in_bytes": trace.in_bytes, "out_bytes": trace.out_bytes,
        });
        if let (Some((cause, _)), Some(data)) = (trace.cause, data.as_object_mut()) {
            data.insert("cause".to_owned(), cause.word().into());
        }
        data
    }
}

impl Tables {
    /// The last runs as data, oldest first in each instance. Of more than `limit` the latest are left.
    #[must_use]
    pub(super) fn traces(&self, filter: &Filter) -> Value {
        let mut found = Vec::new();
        for chain in self.chains.iter().filter(|chain| filter.wants_chain(&chain.name)) {
            for instance in chain
                .functions()
                .filter(|instance| filter.wants_function(&instance.function))
            {
                let wanted = |trace: &Trace| {
                    filter
                        .invocation
                        .is_none_or(|invocation| invocation == trace.invocation)
                        && (!filter.failed || trace.outcome != Outcome::Succeeded)
                };
                let traces = instance.page.traces().into_iter().filter(wanted);
                found.extend(traces.map(|trace| (trace.seen_ns, chain, instance, trace)));
            }
        }
        if let Some(limit) = filter.limit
            && found.len() > limit
        {
            found.sort_by_key(|(seen_ns, ..)| *seen_ns);
            found.drain(..found.len() - limit);
        }
        let traces: Vec<Value> = found
            .iter()
            .map(|(_, chain, instance, trace)| instance.trace(&chain.name, trace))
            .collect();
        json!({ "traces": traces })
    }
}
