//! Errors by who has to change for them to pass. Each kind is a type of its own, and says whether a retry can
//! help.
//!
//! | type | what happened | a retry helps |
//! |---|---|---|
//! | [`Refusal`](crate::record::refusal::Refusal), [`BadAttachment`](crate::attach::contradiction::BadAttachment) | a peer, or the monitor, misbehaved | never |
//! | [`Exhausted`] | something is used up | if others give some back |
//! | [`Misuse`] | the caller asked for what there is not | never |
//! | [`Machine::Fault`](crate::place::machine::Machine::Fault) | the system failed | as the machine says |

/// Something is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exhausted {
    /// A consumer has not released enough yet; waiting helps.
    #[error("the outbox or a ring is full")]
    Full,
    /// The record is larger than the outbox; waiting does not help.
    #[error("a record of more than {outbox_bytes} bytes does not fit into the outbox")]
    TooLarge {
        /// Plaintext bytes that the outbox holds.
        outbox_bytes: u64,
    },
    /// The port has used up the keys of its epoch; a replaced instance has new ones.
    #[error("an output port has used all its keys")]
    Keys,
}

impl Exhausted {
    /// Whether the same call can succeed later.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        match self {
            Self::Full => true,
            Self::TooLarge { .. } | Self::Keys => false,
        }
    }
}

/// The caller asked for what there is not: its own fault, and its own to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// There is no such port.
    #[error("there is no output port number {port}")]
    NoSuchPort {
        /// The number asked for.
        port: usize,
    },
}

impl Misuse {
    /// Never: the same call is as wrong later.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        false
    }
}

/// Why a segment could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no room for it, or no key.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// It cannot be sent as it was asked.
    #[error(transparent)]
    Misused(#[from] Misuse),
}

impl SendError {
    /// Whether waiting for room, and the same call after that, can help.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        match self {
            Self::Exhausted(exhausted) => exhausted.is_transient(),
            Self::Misused(misuse) => misuse.is_transient(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_helps_where_others_give_room_back_and_nowhere_else() {
        let port = 7;
        assert!(SendError::from(Exhausted::Full).is_transient());
        assert!(!SendError::from(Exhausted::TooLarge { outbox_bytes: 1 }).is_transient());
        assert!(!SendError::from(Exhausted::Keys).is_transient());
        assert!(!SendError::from(Misuse::NoSuchPort { port }).is_transient());
    }
}
