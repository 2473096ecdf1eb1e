//! DHKEM(X25519, HKDF-SHA256) (RFC 9180, section 4.1) with the X25519 of AWS-LC, which takes a fifth to a
//! third of the time that portable code takes.

use aws_lc_rs::agreement::{self, UnparsedPublicKey};
use core::fmt;
use hpke::hybrid_array::sizes::U32;
use hpke::kdf::{HkdfSha256, Kdf};
use hpke::kem::{Kem, SharedSecret};
use hpke::rand_core::CryptoRng;
use hpke::{Deserializable, HpkeError, Serializable};
use std::sync::Arc;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// Bytes of a scalar, a point, and what is agreed.
const LEN_BYTES: usize = 32;
/// "KEM" and the identifier below (RFC 9180, sections 4.1 and 7.1).
const SUITE: [u8; 5] = *b"KEM\x00\x20";

/// The key encapsulation mechanism.
pub(crate) struct X25519;

/// A point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey([u8; LEN_BYTES]);

/// A scalar, with its point.
#[derive(Clone)]
pub(crate) struct PrivateKey {
    scalar: Zeroizing<[u8; LEN_BYTES]>,
    key: Arc<agreement::PrivateKey>,
    public: PublicKey,
}

impl PrivateKey {
    /// Any 32 bytes, clamped (RFC 7748, section 5; RFC 9180, section 7.1.2).
    fn new(mut scalar: Zeroizing<[u8; LEN_BYTES]>) -> Result<Self, HpkeError> {
        let [first, .., last] = &mut *scalar;
        *first &= 0b1111_1000;
        *last = *last & 0b0111_1111 | 0b0100_0000;
        let key = agreement::PrivateKey::from_private_key(&agreement::X25519, scalar.as_ref())
            .map_err(|_| HpkeError::ValidationError)?;
        let public = key.compute_public_key().map_err(|_| HpkeError::ValidationError)?;
        let public = PublicKey::from_bytes(public.as_ref())?;
        Ok(Self {
            scalar,
            key: Arc::new(key),
            public,
        })
    }

    /// What both ends get who know one scalar and the other's point, made their shared secret; `refused` for
    /// points of small order, with which nothing is agreed (RFC 9180, section 7.1.4).
    fn agree(
        &self,
        peer: &PublicKey,
        [encapsulated, receiver]: [&PublicKey; 2],
        refused: HpkeError,
    ) -> Result<SharedSecret<X25519>, HpkeError> {
        let mut context = [0; 2 * LEN_BYTES];
        let (sent, to) = context.split_at_mut(LEN_BYTES);
        sent.copy_from_slice(&encapsulated.0);
        to.copy_from_slice(&receiver.0);
        let peer = UnparsedPublicKey::new(&agreement::X25519, &peer.0);
        agreement::agree(&self.key, peer, refused, |agreed| {
            let mut secret = SharedSecret::default();
            HkdfSha256::extract_and_expand(agreed, &SUITE, &context, &mut secret.0)?;
            Ok(secret)
        })
    }
}

impl Kem for X25519 {
    type PublicKey = PublicKey;
    type PrivateKey = PrivateKey;
    type EncappedKey = PublicKey;
    type NSecret = U32;

    const KEM_ID: u16 = 0x0020;

    fn sk_to_pk(private: &PrivateKey) -> PublicKey {
        private.public
    }

    fn derive_keypair(material: &[u8]) -> (PrivateKey, PublicKey) {
        let scalar = Zeroizing::new(HkdfSha256::derive_x25519_sk_eph_bytes(&SUITE, material));
        let private =
            PrivateKey::new(scalar).expect("any 32 bytes are a scalar, once clamped, and there is memory");
        let public = private.public;
        (private, public)
    }

    /// In base mode alone: nothing here has an identity of a sender.
    fn encap_with_rng(
        to: &PublicKey,
        sender: Option<(&PrivateKey, &PublicKey)>,
        random: &mut impl CryptoRng,
    ) -> Result<(SharedSecret<Self>, PublicKey), HpkeError> {
        if sender.is_some() {
            return Err(HpkeError::EncapError);
        }
        let mut scalar = Zeroizing::new([0; LEN_BYTES]);
        random.fill_bytes(scalar.as_mut());
        let ephemeral = PrivateKey::new(scalar)?;
        let secret = ephemeral.agree(to, [&ephemeral.public, to], HpkeError::EncapError)?;
        Ok((secret, ephemeral.public))
    }

    /// In base mode alone, as above.
    fn decap(
        private: &PrivateKey,
        sender: Option<&PublicKey>,
        encapsulated: &PublicKey,
    ) -> Result<SharedSecret<Self>, HpkeError> {
        if sender.is_some() {
            return Err(HpkeError::DecapError);
        }
        private.agree(
            encapsulated,
            [encapsulated, &private.public],
            HpkeError::DecapError,
        )
    }
}

impl Serializable for PublicKey {
    type OutputSize = U32;

    fn write_exact(&self, into: &mut [u8]) {
        into.copy_from_slice(&self.0);
    }
}

impl Deserializable for PublicKey {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        let point = bytes.try_into().map_err(|_| wrong_length(bytes))?;
        Ok(Self(point))
    }
}

impl Serializable for PrivateKey {
    type OutputSize = U32;

    fn write_exact(&self, into: &mut [u8]) {
        into.copy_from_slice(self.scalar.as_ref());
    }
}

impl Deserializable for PrivateKey {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        let scalar = bytes.try_into().map_err(|_| wrong_length(bytes))?;
        Self::new(Zeroizing::new(scalar))
    }
}

impl ConstantTimeEq for PrivateKey {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.scalar.as_ref().ct_eq(other.scalar.as_ref())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").finish_non_exhaustive()
    }
}

const fn wrong_length(bytes: &[u8]) -> HpkeError {
    HpkeError::IncorrectInputLength(LEN_BYTES, bytes.len())
}
