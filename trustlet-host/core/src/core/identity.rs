//! What the monitor and its gateways are known by: keys that were never there before. That of statements is
//! made when the monitor starts, that of requests whenever their gateway is. Private halves stay here, but
//! for that of a chain's request key, which its gateway gets (I7).

use crate::platform::{Platform, PlatformError};
use hacher_data_path::aead::keys::SecretBytes;
use hacher_data_path::attach::message::SECRET_BYTES;
use hacher_evidence::KEY_BYTES;
use hacher_evidence::cryptography::SigningKey;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Signs what the monitor states.
pub(crate) struct StatementKey(SigningKey);

impl StatementKey {
    pub(crate) fn new<P: Platform>(platform: &mut P) -> Result<Self, PlatformError> {
        let seed = random(platform)?;
        Ok(Self(SigningKey::from_seed(&seed)))
    }

    pub(crate) fn public_key(&self) -> [u8; KEY_BYTES] {
        self.0.public_key()
    }
}

/// Opens requests that are sealed for one chain (X25519). One process has it and no other: a gateway
/// remembers which requests it has opened, and a successor, which does not, has another key.
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
