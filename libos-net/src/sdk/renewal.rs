//! The trace context of a run: its input names the run itself as the parent of whatever it causes.

use super::part::Part;
use hacher_data_path::record::invocation::InvocationId;
use hacher_data_path::record::span_id::SpanId;

/// The span of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunSpan {
    pub(crate) id: SpanId,
    /// The span that sent its input; of a join, the first part.
    pub(crate) parent: SpanId,
    pub(crate) is_sampled: bool,
}

/// The span of attempt `attempt` of function number `function` on this input; `None` if it has no trace.
pub(crate) fn of_run(
    parts: &[Part],
    invocation: InvocationId,
    function: u32,
    attempt: u32,
) -> Option<RunSpan> {
    let came = parts.iter().find_map(Part::trace)?;
    Some(RunSpan {
        id: SpanId::of_run(came.parent, invocation.halves().0, function, attempt),
        parent: came.parent,
        is_sampled: came.is_sampled,
    })
}

/// Has the input of that attempt name it as the parent of whatever it causes.
pub(crate) fn renew(
    parts: &mut [Part],
    invocation: InvocationId,
    function: u32,
    attempt: u32,
) -> Option<RunSpan> {
    let span = of_run(parts, invocation, function, attempt)?;
    for part in parts {
        part.renew_trace(span.id);
    }
    Some(span)
}
