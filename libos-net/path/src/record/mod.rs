//! What travels: a segment's descriptor, the request that it belongs to, and why a consumer refuses it.

pub(crate) mod context;
pub mod descriptor;
pub mod invocation;
pub mod refusal;
pub mod span_id;
