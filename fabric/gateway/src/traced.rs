//! The trace of a request: gone on with where its client has one, begun otherwise, and recorded or not. The
//! record that the request makes names the request's own span as the parent, so that functions follow it.

use super::carried::put;
use super::endpoint::Endpoint;
use super::problem::Problem;
use super::sampling::Traced;
use super::trace_context::TraceContext;
use hacher_libos_net::headers;
use hacher_libos_net::trace_parent::{TRACEPARENT, TraceParent};
use hyper::HeaderMap;

/// The flag that says that the low 56 bits of a trace id are random (Trace Context, level 2): a client's is
/// handed on, as its trace id is. All other flags but *sampled* have no meaning yet.
const RANDOM: u8 = 2;

/// Puts the trace of a request into its record. `None` if there is no room for one that the client has not
/// asked for. `is_sealed`: the headers are those inside of a sealed request.
pub(super) fn put_trace(
    from: &HeaderMap,
    endpoint: &Endpoint,
    is_sealed: bool,
    plain: &mut Vec<u8>,
) -> Result<Option<Traced>, Problem> {
    let context = TraceContext::of(from);
    let client = context
        .as_ref()
        .and_then(|context| TraceParent::parse(context.parent));
    let (trace, span) = {
        let mut ids = endpoint.ids.borrow_mut();
        match client {
            Some(client) => (client.trace, ids.span()),
            None => ids.trace(),
        }
    };
    let asked = client.map(|client| client.is_sampled());
    let is_recorded = endpoint.sampling.is_recorded(trace, asked, is_sealed);
    let random = client.map_or(0, |client| client.flags & RANDOM);
    let value = TraceParent {
        trace,
        parent: span,
        flags: random | TraceParent::flags_of(is_recorded),
    };
    let value = value.to_text();
    if client.is_some() {
        put(plain, TRACEPARENT, &value)?;
    } else if headers::set(plain, TRACEPARENT, &value).is_err() {
        return Ok(None);
    }
    if let Some(state) = context.and_then(|context| context.state) {
        put(plain, "tracestate", &state)?;
    }
    Ok(Some(Traced {
        chain: endpoint.begin.chain,
        trace,
        span,
        parent: client.map(|client| client.parent),
        is_recorded,
    }))
}
