//! What a gateway says of a request, in a line for the daemon, which checks it: for the access log, and for
//! whoever collects traces.

use serde::{Deserialize, Serialize};

/// Begins a line of the access log among what a gateway prints: no text of anybody begins so by chance.
pub const MARK: u8 = 0x1e;
/// The longest method that is written whole.
pub const METHOD_MAX_BYTES: usize = 32;
/// The longest path that is written whole.
pub const PATH_MAX_BYTES: usize = 256;
/// The longest cause that is written whole.
pub const CAUSE_MAX_BYTES: usize = 128;
/// More than a gateway can drop between two lines.
const DROPPED_MAX: u64 = 1 << 32;

/// What a line says: of a request that is not logged, neither method beyond a known one nor path; of one
/// whose head was refused, neither of both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The chain; empty if the request means none.
    pub chain: String,
    /// The low half of its id, if it has got one.
    pub invocation: Option<u64>,
    /// The method, cut if it is long.
    pub method: String,
    /// The path without the query, cut if it is long.
    pub path: String,
    /// The reply's status; 0 if there was none.
    pub status: u16,
    /// Bytes of its body that were received.
    pub received_bytes: u64,
    /// Bytes of the reply's body that were taken over by the protocol.
    pub sent_bytes: u64,
    /// From the head's arrival until then, in microseconds.
    pub duration_us: u64,
    /// Why it is no success; empty if it is.
    pub cause: String,
    /// Lines before this one that found no place.
    pub dropped: u64,
    /// Whether the access log has it.
    pub is_logged: bool,
    /// Its span, if it is traced.
    pub span: Option<Span>,
}

/// The span of a request that is traced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The trace: its high half, and its low half.
    pub trace: [u64; 2],
    /// The span.
    pub id: u64,
    /// The client's span; 0 if it has none.
    pub parent: u64,
    /// When its head had arrived, ns of `CLOCK_MONOTONIC`.
    pub began_ns: u64,
    /// When the reply had been taken over, or the client had gone.
    pub ended_ns: u64,
}

impl Record {
    /// Whether it is as short as a gateway makes it: one that was taken over could write anything.
    #[must_use]
    pub const fn is_bounded(&self) -> bool {
        self.method.len() <= METHOD_MAX_BYTES
            && self.path.len() <= PATH_MAX_BYTES
            && self.cause.len() <= CAUSE_MAX_BYTES
            && self.dropped <= DROPPED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_gateway_of_ours_writes_is_not_bounded() {
        let record = Record {
            method: "m".repeat(METHOD_MAX_BYTES),
            path: "p".repeat(PATH_MAX_BYTES),
            cause: "c".repeat(CAUSE_MAX_BYTES),
            dropped: DROPPED_MAX,
            ..Record::default()
        };
        assert!(record.is_bounded());
        let longer: [fn(&mut Record); 4] = [
            |record| record.method.push('m'),
            |record| record.path.push('p'),
            |record| record.cause.push('c'),
            |record| record.dropped += 1,
        ];
        for lengthen in longer {
            let mut record = record.clone();
            lengthen(&mut record);
            assert!(!record.is_bounded(), "{record:?}");
        }
    }
}
