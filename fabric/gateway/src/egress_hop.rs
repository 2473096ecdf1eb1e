//! The last hop of a request that is traced: from a function to the gateway, told in its page as functions
//! tell of theirs.

use super::endpoint::Endpoint;
use super::record::Record;
use hacher_libos_net::headers;
use hacher_libos_net::inlet::Opened;
use hacher_libos_net::span_id::SpanId;
use hacher_libos_net::telemetry::{Outcome, Span, SpanKind, Trace};
use hacher_libos_net::trace_parent::{TRACEPARENT, TraceParent};

/// The gateway's number among the functions of a chain.
const FUNCTION: u32 = 0;

impl Endpoint {
    /// Tells in the page how a record came, if its request is traced.
    pub(super) fn tell_arrival(&self, opened: &Opened, record: &Record) {
        let Ok((encoded, body)) = headers::split(record.first()) else {
            return;
        };
        let trace = headers::find(encoded, TRACEPARENT).and_then(TraceParent::parse);
        let Some(trace) = trace.filter(TraceParent::is_sampled) else {
            return;
        };
        let (now, ring) = (self.own.now(), opened.record.ring);
        let inbound = u32::try_from(ring).unwrap_or(u32::MAX);
        let (invocation, _) = opened.descriptor.invocation.halves();
        self.own.span(&Span {
            kind: SpanKind::Arrival,
            id: SpanId::of_hop(trace.parent, invocation, FUNCTION, inbound),
            parent: trace.parent,
            started_ns: now.as_ns(),
            ended_ns: now.as_ns(),
            run: Trace {
                invocation,
                inbound,
                attempt: 1,
                outcome: Outcome::Succeeded,
                cause: None,
                seen_ns: now.as_ns(),
                queued_ns: 0,
                hand_over_ns: now.ns_since(opened.published.min(now)),
                open_ns: 0,
                run_ns: 0,
                seal_ns: 0,
                in_bytes: body.len() as u64,
                out_bytes: 0,
            },
        });
    }
}
