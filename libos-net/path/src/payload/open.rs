//! `open`: ciphertext in a producer's outbox to private plaintext, or a refusal (I3, I9).

use crate::aead::keys::{KeyContext, SecretBytes, epoch_secret, generation_key};
use crate::aead::{Key, Refused};
use crate::record::descriptor::Descriptor;
use crate::region::memory::PeerSpan;
use alloc::vec::Vec;

/// Opens what one instance of an upstream function writes to one port, in any epoch.
pub(crate) struct Opener {
    port_secret: SecretBytes,
    chain_digest: [u8; 48],
    chain_epoch: u64,
    port: u32,
    instance: u32,
    /// The key used last. Epochs and generations change rarely; within one, opening derives nothing.
    current: Option<(u32, u16, Key)>,
}

impl Opener {
    pub(crate) fn new(
        port_secret: SecretBytes,
        chain_digest: [u8; 48],
        chain_epoch: u64,
        port: u32,
        instance: u32,
    ) -> Self {
        Self {
            port_secret,
            chain_digest,
            chain_epoch,
            port,
            instance,
            current: None,
        }
    }

    fn derive(&self, epoch: u32, generation: u16) -> Result<Key, Refused> {
        let context = KeyContext {
            chain_digest: &self.chain_digest,
            chain_epoch: self.chain_epoch,
            port: self.port,
            instance: self.instance,
        };
        Key::new(&generation_key(
            &epoch_secret(&self.port_secret, context, epoch),
            generation,
        ))
    }

    /// Opens `sealed` and appends the plaintext to `into`. A key that opened nothing is not kept, so that
    /// made-up epochs do not push out the good one.
    #[inline(always)]
    pub(crate) fn open(
        &mut self,
        descriptor: &Descriptor,
        sealed: PeerSpan<'_>,
        into: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let (nonce, additional) = (descriptor.nonce(), descriptor.additional_data());
        match &self.current {
            Some((epoch, generation, key))
                if (*epoch, *generation) == (descriptor.epoch, descriptor.generation) =>
            {
                key.open(&nonce, &additional, sealed, into)
            }
            _ => {
                let key = self.derive(descriptor.epoch, descriptor.generation)?;
                key.open(&nonce, &additional, sealed, into)?;
                self.current = Some((descriptor.epoch, descriptor.generation, key));
                Ok(())
            }
        }
    }
}
