//! Why a consumer refuses what a producer published. Each reason has a counter of its own.

/// The peer misbehaved, or its memory was tampered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The slot's stamp is of no position that could be there.
    #[error("a ring slot is corrupt")]
    CorruptSlot,
    /// The descriptor points outside the outbox, or in a mapped region at what is not released, or has bits
    /// that mean nothing.
    #[error("a descriptor is malformed")]
    Malformed,
    /// The descriptor names another port.
    #[error("a record came over the wrong edge")]
    WrongPort,
    /// The record, or one after it, was accepted before.
    #[error("a record was replayed")]
    Replayed,
    /// A record or a segment of one is missing before this one.
    #[error("a record came out of order")]
    OutOfOrder,
    /// The AEAD refused: ciphertext, tag or context is not what was sealed.
    #[error("a segment failed authentication")]
    Forged,
    /// The record opened, but its headers cannot be read.
    #[error("a record has malformed headers")]
    BadHeaders,
}

impl Refusal {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 7] = [
        Self::CorruptSlot,
        Self::Malformed,
        Self::WrongPort,
        Self::Replayed,
        Self::OutOfOrder,
        Self::Forged,
        Self::BadHeaders,
    ];

    /// Never: what was refused is refused again. Its producer's own retry may help.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        false
    }

    /// Its place among [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::CorruptSlot => 0,
            Self::Malformed => 1,
            Self::WrongPort => 2,
            Self::Replayed => 3,
            Self::OutOfOrder => 4,
            Self::Forged => 5,
            Self::BadHeaders => 6,
        }
    }

    /// The reason as a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::CorruptSlot => "corrupt_slot",
            Self::Malformed => "malformed",
            Self::WrongPort => "wrong_port",
            Self::Replayed => "replayed",
            Self::OutOfOrder => "out_of_order",
            Self::Forged => "forged",
            Self::BadHeaders => "bad_headers",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_place_of_its_own() {
        for (at, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal.index(), at);
        }
    }
}
