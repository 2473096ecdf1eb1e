//! `seal`: one port's plaintext to ciphertext in the outbox, each segment under a nonce of its own (I3, I4).

use crate::aead::keys::{SecretBytes, generation_key};
use crate::aead::{Key, Refused};
use crate::attach::message;
pub use crate::record::context::RecordContext;
use crate::record::descriptor::Descriptor;
use crate::record::descriptor::TAG_BYTES;
use crate::region::memory::SealedSpan;

/// AES blocks that one key seals before the port takes the next: 64 GiB. An attacker's advantage stays below
/// 2^-64; the AEAD's own limits (RFC 8446, section 5.5, and NIST SP 800-38D, section 8.3) are far away.
const BLOCKS_PER_KEY: u64 = 1 << 32;

/// Seals the records of one output port, in one epoch of one instance.
pub(crate) struct PortSealer {
    port: u16,
    epoch: u32,
    secret: SecretBytes,
    key: Key,
    generation: u16,
    blocks: u64,
    sequence: u64,
    /// The number of the record after all that have one.
    next_sequence: u64,
    /// Segments of the present record that have been sealed.
    segment: u32,
}

/// How far a record has come that goes on later.
#[derive(Clone, Copy)]
pub(crate) struct Count {
    sequence: u64,
    segment: u32,
}

impl PortSealer {
    pub(crate) fn new(port: &message::Port, epoch: u32) -> Result<Self, Refused> {
        let secret = SecretBytes::new(port.epoch_secret);
        let key = Key::new(&generation_key(&secret, 0))?;
        let port = u16::try_from(port.port).map_err(|_| Refused)?;
        Ok(Self {
            port,
            epoch,
            secret,
            key,
            generation: 0,
            blocks: 0,
            sequence: 0,
            next_sequence: 1,
            segment: 0,
        })
    }

    /// Lets another record be numbered before the present one, of which something was sealed, goes on.
    pub(crate) fn set_aside(&mut self) -> Count {
        let count = Count {
            sequence: self.sequence,
            segment: self.segment,
        };
        self.sequence = self.next_sequence;
        self.next_sequence = self.next_sequence.saturating_add(1);
        self.segment = 0;
        count
    }

    /// Goes on with a record that was set aside. Nothing was sealed under the number that the next record was
    /// to have, so it has that still: on some rings a gap is a loss.
    pub(crate) fn go_on(&mut self, with: Count) {
        self.next_sequence = self.sequence;
        self.sequence = with.sequence;
        self.segment = with.segment;
    }

    /// Segments of the present record that have been sealed.
    pub(crate) fn segments(&self) -> usize {
        usize::try_from(self.segment).unwrap_or(usize::MAX)
    }

    /// Takes the next key in time, in the middle of a record too: a stream may be of any length.
    ///
    /// # Errors
    /// [`Refused`] when an epoch has used all its 65,536 generations (4 PiB); a replacement starts afresh.
    fn rekey_if_due(&mut self) -> Result<(), Refused> {
        if self.blocks < BLOCKS_PER_KEY {
            return Ok(());
        }
        self.generation = self.generation.checked_add(1).ok_or(Refused)?;
        self.key = Key::new(&generation_key(&self.secret, self.generation))?;
        self.blocks = 0;
        Ok(())
    }

    /// Seals the next segment into `into`, which starts at `offset` of the outbox, and describes it. `abort`
    /// ends the record instead; `plain` is then empty.
    pub(crate) fn seal(
        &mut self,
        context: &RecordContext,
        plain: &[u8],
        end: End,
        offset: usize,
        into: &mut SealedSpan<'_>,
    ) -> Result<Descriptor, Refused> {
        self.rekey_if_due()?;
        let mut descriptor = self.describe(context, plain.len(), end)?;
        descriptor.offset = offset;
        self.key
            .seal(&descriptor.nonce(), &descriptor.additional_data(), plain, into)?;
        // Counted up whatever happens to the descriptor: no nonce twice (I4).
        self.blocks += (plain.len().div_ceil(16) + TAG_BYTES / 16 + 4) as u64;
        self.count(end);
        Ok(descriptor)
    }

    /// Describes the next segment of a port that seals nothing, as all its records go over mapped rings.
    pub(crate) fn number(
        &mut self,
        context: &RecordContext,
        len_bytes: usize,
        end: End,
    ) -> Result<Descriptor, Refused> {
        let descriptor = self.describe(context, len_bytes, end)?;
        self.count(end);
        Ok(descriptor)
    }

    fn describe(&self, context: &RecordContext, len_bytes: usize, end: End) -> Result<Descriptor, Refused> {
        // Both counters must be able to go on before anything is sealed under the present ones (I4).
        self.segment.checked_add(1).ok_or(Refused)?;
        self.next_sequence.checked_add(1).ok_or(Refused)?;
        Ok(Descriptor {
            sequence: self.sequence,
            offset: 0,
            len_bytes,
            segment: self.segment,
            attempt: context.attempt,
            last: end != End::More,
            abort: end == End::Abort,
            invocation: context.invocation,
            deadline: context.deadline,
            epoch: self.epoch,
            port: self.port,
            generation: self.generation,
        })
    }

    fn count(&mut self, end: End) {
        if end == End::More {
            self.segment += 1;
        } else {
            self.segment = 0;
            self.sequence = self.next_sequence;
            self.next_sequence += 1;
        }
    }
}

/// What comes after a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Another segment of the same record.
    More,
    /// Nothing; the record is whole.
    Last,
    /// Nothing; the record must be dropped.
    Abort,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::clock::Monotonic;
    use crate::name::Name;
    use crate::payload::open::Opener;
    use crate::record::invocation::InvocationId;
    use crate::region::heap::Heap;
    use crate::region::memory::{PeerRegion, SealedRegion};

    #[test]
    fn a_port_takes_a_new_key_in_time_and_its_consumer_follows() {
        let memory = Heap::new(4096);
        let own = SealedRegion::new(Box::new(memory.clone()));
        let peer = PeerRegion::new(Box::new(memory));
        let context = crate::aead::keys::KeyContext {
            chain_digest: &[1; 48],
            chain_epoch: 1,
            port: 9,
            instance: 2,
        };
        let port_secret = SecretBytes::new([5; 32]);
        let epoch_secret = *crate::aead::keys::epoch_secret(&port_secret, context, 3).expose();
        let name = Name::new("out").unwrap();
        let mut sealer = PortSealer::new(
            &message::Port {
                name,
                port: 9,
                fault: 0,
                epoch_secret,
            },
            3,
        )
        .unwrap();
        let mut opener = Opener::new(port_secret, [1; 48], 1, 9, 2);
        let record = RecordContext {
            invocation: InvocationId::new(1),
            deadline: Monotonic::from_ns(1),
            attempt: 1,
        };
        for (blocks, generation) in [
            (0, 0),
            (BLOCKS_PER_KEY, 1),
            (1, 1),
            (BLOCKS_PER_KEY - 1, 1),
            (BLOCKS_PER_KEY, 2),
        ] {
            sealer.blocks = blocks;
            let mut span = own.span(0, 64).unwrap();
            let descriptor = sealer.seal(&record, b"hello", End::Last, 0, &mut span).unwrap();
            assert_eq!(descriptor.generation, generation);
            let mut opened = Vec::new();
            opener
                .open(&descriptor, peer.span(0, 5 + TAG_BYTES).unwrap(), &mut opened)
                .unwrap();
            assert_eq!(opened, b"hello");
        }
    }

    #[test]
    fn sequences_and_segments_never_repeat_a_nonce() {
        let own = SealedRegion::new(Box::new(Heap::new(4096)));
        let name = Name::new("out").unwrap();
        let port = message::Port {
            name,
            port: 1,
            fault: 0,
            epoch_secret: [1; 32],
        };
        let mut sealer = PortSealer::new(&port, 1).unwrap();
        let record = RecordContext {
            invocation: InvocationId::new(1),
            deadline: Monotonic::from_ns(1),
            attempt: 1,
        };
        let mut nonces = std::collections::HashSet::new();
        for end in [
            End::More,
            End::More,
            End::Last,
            End::Last,
            End::More,
            End::Abort,
            End::Last,
        ] {
            let mut span = own.span(0, 64).unwrap();
            assert!(nonces.insert(sealer.seal(&record, b"", end, 0, &mut span).unwrap().nonce()));
        }
    }
}
