//! What a record belongs to.

use super::descriptor::Descriptor;
use super::invocation::InvocationId;
use crate::machine::clock::Monotonic;

/// What a record belongs to; the same for all its segments.
#[derive(Debug, Clone, Copy)]
pub struct RecordContext {
    /// The request.
    pub invocation: InvocationId,
    /// When the request is worth nothing any more.
    pub deadline: Monotonic,
    /// Which attempt of this producer makes the record.
    pub attempt: u16,
}

impl RecordContext {
    /// That of the record that a segment is part of.
    pub(crate) const fn of(segment: &Descriptor) -> Self {
        Self {
            invocation: segment.invocation,
            deadline: segment.deadline,
            attempt: segment.attempt,
        }
    }
}
