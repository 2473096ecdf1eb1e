//! What the monitor and its gateways are known by: keys that were never there before. That of statements is made
//! when the monitor starts, that of requests whenever their gateway is. Private halves stay here, but for that
//! of a chain's request key, which its gateway gets (I7).

use crate::platform::{Platform, PlatformError};
use hacher_data_path::aead::keys::SecretBytes;
use hacher_data_path::attach::message::SECRET_BYTES;
use hacher_evidence::KEY_BYTES;
use ring::signature::{Ed25519KeyPair, KeyPair};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Signs what the monitor states.
pub(crate) struct StatementKey(Ed25519KeyPair);

impl StatementKey {
    pub(crate) fn new<P: Platform>(platform: &mut P) -> Result<Self, PlatformError> {
        let seed = random(platform)?;
        let key = Ed25519KeyPair::from_seed_unchecked(&*seed).expect("any 32 bytes are a seed of Ed25519");
        Ok(Self(key))
    }

    pub(crate) fn public_key(&self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        bytes
    }
}

/// Opens requests that are sealed for one chain (X25519). One process has it and no other: a gateway remembers
/// which requests it has opened, and a successor, which does not, has another key.
pub(crate) struct RequestKey {
    secret: SecretBytes,
    public: [u8; KEY_BYTES],
}

impl RequestKey {
    pub(crate) fn new<P: Platform>(platform: &mut P) -> Result<Self, PlatformError> {
        let secret = random(platform)?;
        let public = PublicKey::from(&StaticSecret::from(*secret));
        Ok(Self {
            secret: SecretBytes::new(*secret),
            public: public.to_bytes(),
        })
    }

    /// For the chain's gateway alone.
    pub(crate) const fn secret(&self) -> &SecretBytes {
        &self.secret
    }

    pub(crate) const fn public_key(&self) -> [u8; KEY_BYTES] {
        self.public
    }
}

fn random<P: Platform>(platform: &mut P) -> Result<Zeroizing<[u8; SECRET_BYTES]>, PlatformError> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    platform.random(&mut *bytes)?;
    Ok(bytes)
}
