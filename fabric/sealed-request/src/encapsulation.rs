//! The key encapsulation: DHKEM(X25519, HKDF-SHA256) with HKDF-SHA256, base mode, for its exported secrets
//! alone (RFC 9180, sections 5.3 and 7.3).

mod x25519;

use crate::{DIGEST_BYTES, KEY_BYTES, Refused};
use hpke::aead::ExportOnlyAead;
use hpke::kdf::HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use x25519::{PublicKey, X25519};
use zeroize::Zeroizing;

type Sender = hpke::aead::AeadCtxS<ExportOnlyAead, HkdfSha256, X25519>;
type Receiver = hpke::aead::AeadCtxR<ExportOnlyAead, HkdfSha256, X25519>;

/// What every encapsulation is bound to, before the chain digest.
const INFO_LABEL: &[u8; 25] = b"hacher sealed request v1\0";
/// Bytes of an exported secret: a key of AES-256-GCM.
pub(crate) const SECRET_BYTES: usize = 32;

/// What both ends of a request export secrets from.
pub(crate) enum Context {
    /// Of who sealed the request.
    Sender(Box<Sender>),
    /// Of who opened it.
    Receiver(Box<Receiver>),
}

impl Context {
    /// Encapsulates a new secret to a public key.
    pub(crate) fn encapsulate(
        to: &[u8; KEY_BYTES],
        chain_digest: &[u8; DIGEST_BYTES],
    ) -> Result<([u8; KEY_BYTES], Self), Refused> {
        let to = PublicKey::from_bytes(to).map_err(|_| Refused::Key)?;
        let (encapsulated, sender) = hpke::setup_sender::<ExportOnlyAead, HkdfSha256, X25519>(
            &OpModeS::Base,
            &to,
            &info(chain_digest),
        )
        .map_err(|_| Refused::Key)?;
        let mut bytes = [0; KEY_BYTES];
        encapsulated.write_exact(&mut bytes);
        Ok((bytes, Self::Sender(Box::new(sender))))
    }

    /// Takes the secret out again.
    pub(crate) fn decapsulate(
        encapsulated: &[u8; KEY_BYTES],
        private: &PrivateKey,
        chain_digest: &[u8; DIGEST_BYTES],
    ) -> Result<Self, Refused> {
        let encapsulated = PublicKey::from_bytes(encapsulated).map_err(|_| Refused::Key)?;
        let receiver = hpke::setup_receiver::<ExportOnlyAead, HkdfSha256, X25519>(
            &OpModeR::Base,
            &private.0,
            &encapsulated,
            &info(chain_digest),
        )
        .map_err(|_| Refused::Key)?;
        Ok(Self::Receiver(Box::new(receiver)))
    }

    /// A secret of its own for each purpose.
    pub(crate) fn export(&self, purpose: &[u8]) -> Zeroizing<[u8; SECRET_BYTES]> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        let exported = match self {
            Self::Sender(context) => context.export(purpose, secret.as_mut()),
            Self::Receiver(context) => context.export(purpose, secret.as_mut()),
        };
        exported.expect("32 bytes are less than the most that HKDF expands to, 8,160");
        secret
    }
}

/// What takes secrets out again.
pub(crate) struct PrivateKey(x25519::PrivateKey);

impl PrivateKey {
    /// The key with these bytes.
    pub(crate) fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let key = x25519::PrivateKey::from_bytes(bytes);
        Self(key.expect("any 32 bytes are a scalar, once clamped, and there is memory"))
    }

    /// Its public half.
    pub(crate) fn public_key(&self) -> [u8; KEY_BYTES] {
        let mut public = [0; KEY_BYTES];
        X25519::sk_to_pk(&self.0).write_exact(&mut public);
        public
    }
}

fn info(chain_digest: &[u8; DIGEST_BYTES]) -> [u8; INFO_LABEL.len() + DIGEST_BYTES] {
    let mut info = [0; INFO_LABEL.len() + DIGEST_BYTES];
    let (label, digest) = info.split_at_mut(INFO_LABEL.len());
    label.copy_from_slice(INFO_LABEL);
    digest.copy_from_slice(chain_digest);
    info
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code")]
mod vectors;
