//! What a consumer does with the payload of a segment that its inlet has found: it *opens* what is sealed,
//! and *copies* what lies on a mapped edge or leaves it where it is to be *viewed*. To *relay* it, sealed as
//! it is, takes no key, and is a [`crate::carrier`]'s.

pub(crate) mod open;

use crate::aead::keys::SecretBytes;
use crate::attach::message::{Begin, Inbound};
use crate::inlet::step::{RecordPlace, Taking};
use crate::inlet::{Inlet, Peeked};
use crate::record::descriptor::Descriptor;
use crate::record::refusal::Refusal;
use crate::region::memory::PeerSpan;
use alloc::vec::Vec;
use open::Opener;

/// How the payload gets out of the producer's region.
pub(crate) enum Payload {
    /// It is opened with the key of its port.
    Sealed(Opener),
    /// Likewise, but whoever may write to it has no key: the cipher may read a byte twice, and what a carrier
    /// changes in between would pass for sealed. So it is copied first.
    Carried {
        /// With the key of its port.
        opener: Opener,
        /// What is sealed, in private memory.
        copy: Vec<u8>,
    },
    /// It lies there as it is.
    Mapped,
}

impl Payload {
    /// What an entry says of the payload that comes through its ring.
    pub(crate) fn of(inbound: &Inbound, begin: &Begin) -> Self {
        if inbound.mapped == 1 {
            return Self::Mapped;
        }
        let opener = Opener::new(
            SecretBytes::new(inbound.port_secret),
            begin.chain_digest,
            begin.chain_epoch,
            inbound.port,
            inbound.producer_instance,
        );
        match inbound.carried {
            1 => Self::Carried {
                opener,
                copy: Vec::new(),
            },
            _ => Self::Sealed(opener),
        }
    }

    /// Whether what was opened is known to be its producer's.
    pub(crate) const fn is_authenticated(&self) -> bool {
        matches!(self, Self::Sealed(_) | Self::Carried { .. })
    }

    /// Appends the plaintext of a segment to `into`, or leaves it in place; whether it did that.
    ///
    /// # Errors
    /// When it is not what its producer sealed, or on a mapped edge lies where another record is held.
    #[inline(always)]
    pub(crate) fn open(
        &mut self,
        inlet: &mut Inlet,
        found: &Peeked,
        into: &mut Vec<u8>,
        taking: Taking,
    ) -> Result<bool, Refusal> {
        let descriptor = &found.descriptor;
        match self {
            Self::Sealed(opener) => {
                let sealed = inlet.segment(descriptor).ok_or(Refusal::Malformed)?;
                sealed.prefetch();
                inlet.prefetch_next();
                let opened = opener.open(descriptor, sealed, into);
                opened.map_err(|_| Refusal::Forged)?;
                Ok(false)
            }
            Self::Carried { opener, copy } => {
                let sealed = inlet.segment(descriptor).ok_or(Refusal::Malformed)?;
                open_carried(opener, copy, descriptor, sealed, into)?;
                Ok(false)
            }
            Self::Mapped => {
                let in_place = taking == Taking::InPlace;
                inlet.hold(descriptor)?;
                if !in_place {
                    let segment = inlet.segment(descriptor).ok_or(Refusal::Malformed)?;
                    segment.append_to(into);
                }
                Ok(in_place)
            }
        }
    }

    /// Opens a segment of a record that is held once more. `None` when the record has no such segment.
    pub(crate) fn open_again(
        &mut self,
        inlet: &Inlet,
        record: RecordPlace,
        segment: u64,
        into: &mut Vec<u8>,
    ) -> Option<Result<Descriptor, Refusal>> {
        Some(inlet.look_again(record, segment)?.and_then(|descriptor| {
            let sealed = inlet.segment(&descriptor).ok_or(Refusal::Malformed)?;
            match self {
                Self::Sealed(opener) => {
                    sealed.prefetch();
                    let opened = opener.open(&descriptor, sealed, into);
                    opened.map_err(|_| Refusal::Forged)?;
                }
                Self::Carried { opener, copy } => open_carried(opener, copy, &descriptor, sealed, into)?,
                Self::Mapped => sealed.append_to(into),
            }
            Ok(descriptor)
        }))
    }
}

/// Opens what lies in memory that somebody without a key may write.
fn open_carried(
    opener: &mut Opener,
    copy: &mut Vec<u8>,
    descriptor: &Descriptor,
    sealed: PeerSpan<'_>,
    into: &mut Vec<u8>,
) -> Result<(), Refusal> {
    copy.clear();
    sealed.append_to(copy);
    let opened = opener.open(descriptor, PeerSpan::of_private(copy), into);
    opened.map_err(|_| Refusal::Forged)
}
