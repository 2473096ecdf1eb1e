//! Fault notices: what a function tells the gateway when it gives up on a record. They travel sealed, over a port of
//! their own that every function has.

use crate::sdk::failure::Failure;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The longest reason, in bytes; the reasons of handlers are cut to it.
pub const REASON_MAX_BYTES: usize = 240;

/// Why a record was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The handler said so.
    Failed,
    /// The handler panicked.
    Panicked,
    /// The handler took longer than its timeout allows, and its trustlet was replaced.
    TimedOut,
    /// The trustlet died while it ran.
    Died,
    /// The input was refused: it is not what its producer sealed.
    InputRefused,
    /// The output is larger than the outbox.
    OutputTooLarge,
    /// The handler produced no output.
    NoOutput,
    /// The output could not leave before the deadline, as a consumer was too slow.
    Backlogged,
}

impl Cause {
    /// All causes, in the order of their codes.
    pub const ALL: [Self; 8] = [
        Self::Failed,
        Self::Panicked,
        Self::TimedOut,
        Self::Died,
        Self::InputRefused,
        Self::OutputTooLarge,
        Self::NoOutput,
        Self::Backlogged,
    ];

    /// The cause in words, for problem reports.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Failed => "the handler failed",
            Self::Panicked => "the handler panicked",
            Self::TimedOut => "the handler took longer than its timeout",
            Self::Died => "the trustlet died while it ran",
            Self::InputRefused => "the input failed authentication",
            Self::OutputTooLarge => "the output is larger than the outbox",
            Self::NoOutput => "the handler produced no output",
            Self::Backlogged => "a later function was too slow to take the output",
        }
    }

    fn code(self) -> u32 {
        let index = Self::ALL.iter().position(|cause| *cause == self).unwrap_or(0);
        u32::try_from(index).unwrap_or(0)
    }
}

/// The body of a fault notice.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Wire {
    function: u32,
    attempts: u32,
    cause: u32,
    reason_len: u32,
    size_bytes: u64,
    limit_bytes: u64,
    reason: [u8; REASON_MAX_BYTES],
}

/// What a function says about a record that it gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The function's number in the chain.
    pub function: u32,
    /// How often it tried.
    pub attempts: u32,
    /// Why it gave up.
    pub cause: Cause,
    /// The handler's own words, fixed at its compile time; empty if it said none.
    pub reason: String,
    /// Of an output that is too large: its size, as far as it is known, and the size of the outbox.
    pub sizes_bytes: Option<(u64, u64)>,
}

/// Why a record is given up, with what there is to say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) cause: Cause,
    pub(crate) reason: Option<Failure>,
    pub(crate) sizes_bytes: Option<(u64, u64)>,
}

impl From<Cause> for Fault {
    fn from(cause: Cause) -> Self {
        Self {
            cause,
            reason: None,
            sizes_bytes: None,
        }
    }
}

/// Encodes a notice into `body`.
pub(crate) fn encode(function: u32, attempts: u32, fault: &Fault, body: &mut Vec<u8>) {
    let text = fault.reason.as_ref().map_or("", Failure::reason);
    let (size_bytes, limit_bytes) = fault.sizes_bytes.unwrap_or((0, 0));
    let mut end = text.len().min(REASON_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or("");
    let mut wire = Wire {
        function,
        attempts,
        cause: fault.cause.code(),
        reason_len: u32::try_from(text.len()).unwrap_or(0),
        size_bytes,
        limit_bytes,
        reason: [0; REASON_MAX_BYTES],
    };
    for (to, from) in wire.reason.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    body.extend_from_slice(wire.as_bytes());
}

impl Notice {
    /// Reads a notice's body; `None` if it is none.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        let wire = Wire::read_from_bytes(body).ok()?;
        let reason = wire.reason.get(..usize::try_from(wire.reason_len).ok()?)?;
        Some(Self {
            function: wire.function,
            attempts: wire.attempts,
            cause: *Cause::ALL.get(usize::try_from(wire.cause).ok()?)?,
            reason: core::str::from_utf8(reason).ok()?.to_owned(),
            sizes_bytes: (wire.limit_bytes > 0).then_some((wire.size_bytes, wire.limit_bytes)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_arrives_as_it_was_sent() {
        for cause in Cause::ALL {
            let mut body = Vec::new();
            let reason = Some(Failure::permanent("not a photograph"));
            encode(
                7,
                3,
                &Fault {
                    cause,
                    reason,
                    sizes_bytes: Some((10, 5)),
                },
                &mut body,
            );
            let notice = Notice::decode(&body).unwrap();
            assert_eq!((notice.function, notice.attempts, notice.cause), (7, 3, cause));
            assert_eq!(notice.reason, "not a photograph");
            assert_eq!(notice.sizes_bytes, Some((10, 5)));
        }
    }

    #[test]
    fn other_bytes_are_no_notice() {
        let mut body = Vec::new();
        encode(7, 3, &Cause::Died.into(), &mut body);
        assert!(Notice::decode(&body[1..]).is_none());
        body[8] = 99;
        assert!(Notice::decode(&body).is_none());
        body[8] = 0;
        body[12] = 255;
        assert!(Notice::decode(&body).is_none());
    }
}
