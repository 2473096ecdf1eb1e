//! Fault notices: what a function tells the gateway when it gives up on a record. They travel sealed, over a
//! port of their own that every function has.

use crate::sdk::failure::{Failure, REASON_MAX_BYTES};
use hacher_data_path::attach::limits::FunctionLimits;
use hacher_data_path::fault::cause::Cause;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Why a record that was given up did not leave by the `error` port, though the chain has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeptBack {
    /// It is larger than this function's outbox.
    TooLarge,
    /// There was no room for it before the deadline.
    Backlogged,
    /// There was no memory to copy it.
    NoMemory,
    /// It was no longer whole.
    NotWhole,
    /// An earlier try to pass it on ended the process.
    Fatal,
}

impl KeptBack {
    const ALL: [Self; 5] = [
        Self::TooLarge,
        Self::Backlogged,
        Self::NoMemory,
        Self::NotWhole,
        Self::Fatal,
    ];

    /// The reason in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::TooLarge => "it is larger than the function's outbox",
            Self::Backlogged => "there was no room for it before the deadline",
            Self::NoMemory => "the function has not enough memory to copy it",
            Self::NotWhole => "its sender gave up on it, or changed it",
            Self::Fatal => "passing it on killed the trustlet",
        }
    }

    fn code(self) -> u32 {
        let index = Self::ALL.iter().position(|other| *other == self).unwrap_or(0);
        u32::try_from(index + 1).unwrap_or(0)
    }

    fn from_code(code: u32) -> Option<Self> {
        let index = usize::try_from(code.checked_sub(1)?).ok()?;
        Self::ALL.get(index).copied()
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
    code: u32,
    kept_back: u32,
    size_bytes: u64,
    limit_bytes: u64,
    cause_limit: u64,
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
    /// Exit code, number of a signal, or number of a limit, as the cause says; else 0.
    pub code: u32,
    /// The handler's own words, fixed at its compile time; empty if it said none.
    pub reason: String,
    /// Why the record did not leave by the `error` port, if the chain has one.
    pub kept_back: Option<KeptBack>,
    /// Of what is too large, be it an output or the record on its way to the `error` port: its size, as far
    /// as it is known, and the size of the outbox.
    pub sizes_bytes: Option<(u64, u64)>,
    /// The limit that the cause names, as [`Described::limit_of`] gives it; 0 if it names none.
    ///
    /// [`Described::limit_of`]: hacher_data_path::fault::cause::Described::limit_of
    pub cause_limit: u64,
}

/// Why a record is given up, with what there is to say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) cause: Cause,
    pub(crate) code: u32,
    pub(crate) reason: Option<Failure>,
    pub(crate) kept_back: Option<KeptBack>,
    pub(crate) sizes_bytes: Option<(u64, u64)>,
}

impl From<Cause> for Fault {
    fn from(cause: Cause) -> Self {
        Self {
            cause,
            code: 0,
            reason: None,
            kept_back: None,
            sizes_bytes: None,
        }
    }
}

/// Encodes a notice of function number `function` into `body`, which has `limits`.
pub(crate) fn encode(
    function: u32,
    limits: &FunctionLimits,
    attempts: u32,
    fault: &Fault,
    body: &mut Vec<u8>,
) {
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
        code: fault.code,
        kept_back: fault.kept_back.map_or(0, KeptBack::code),
        size_bytes,
        limit_bytes,
        cause_limit: fault.cause.with(fault.code).limit_of(limits),
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
            code: wire.code,
            reason: core::str::from_utf8(reason).ok()?.to_owned(),
            kept_back: KeptBack::from_code(wire.kept_back),
            sizes_bytes: (wire.limit_bytes > 0).then_some((wire.size_bytes, wire.limit_bytes)),
            cause_limit: wire.cause_limit,
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
            let limits = FunctionLimits {
                timeout_ns: 5,
                ..FunctionLimits::NONE
            };
            encode(
                7,
                &limits,
                3,
                &Fault {
                    cause,
                    code: 9,
                    reason,
                    kept_back: Some(KeptBack::Fatal),
                    sizes_bytes: Some((10, 5)),
                },
                &mut body,
            );
            let notice = Notice::decode(&body).unwrap();
            assert_eq!((notice.function, notice.attempts, notice.cause), (7, 3, cause));
            assert_eq!((notice.code, notice.kept_back), (9, Some(KeptBack::Fatal)));
            assert_eq!(notice.reason, "not a photograph");
            assert_eq!(notice.sizes_bytes, Some((10, 5)));
            assert_eq!(notice.cause_limit, if cause == Cause::TimedOut { 5 } else { 0 });
        }
    }

    #[test]
    fn a_reason_for_keeping_a_record_back_has_a_code_of_its_own() {
        for (at, kept_back) in KeptBack::ALL.into_iter().enumerate() {
            assert_eq!(kept_back.code() as usize, at + 1);
            assert_eq!(KeptBack::from_code(kept_back.code()), Some(kept_back));
        }
        assert_eq!(KeptBack::from_code(0), None);
        assert_eq!(KeptBack::from_code(u32::MAX), None);
    }

    #[test]
    fn other_bytes_are_no_notice() {
        let mut body = Vec::new();
        encode(7, &FunctionLimits::NONE, 3, &Cause::Died.into(), &mut body);
        assert!(Notice::decode(&body[1..]).is_none());
        body[8] = 99;
        assert!(Notice::decode(&body).is_none());
        body[8] = 0;
        body[12] = 255;
        assert!(Notice::decode(&body).is_none());
    }
}
