//! Traces, as tests compare them.

/// How many bytes of a `traceparent` come before the digits of its parent.
const PARENT_AT: usize = 36;
/// Digits of a parent.
const PARENT_DIGITS: usize = 16;

/// A `traceparent` without its parent, which is another at each function: what stays is the trace and its
/// flags.
#[must_use]
pub fn without_parent(traceparent: &str) -> String {
    let trace = traceparent.get(..PARENT_AT).unwrap_or(traceparent);
    let flags = traceparent.get(PARENT_AT + PARENT_DIGITS..).unwrap_or_default();
    format!("{trace}*{flags}")
}
