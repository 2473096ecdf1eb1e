//! By `ring`.

use super::lengths::{IV_BYTES, KEY_BYTES, POINT_BYTES};
use crate::platform::Platform;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::digest::{Context, SHA256};
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

/// A private key on P-256.
pub(super) struct Private(EphemeralPrivateKey);

impl Private {
    /// A new one, and its public half. `ring` takes its randomness from the system itself.
    pub(super) fn new<P: Platform>(_: &mut P) -> Option<(Self, [u8; POINT_BYTES])> {
        let private = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).ok()?;
        let point = private.compute_public_key().ok()?;
        Some((Self(private), point.as_ref().try_into().ok()?))
    }

    /// What both ends agree on; `None` for a point that is not on the curve.
    pub(super) fn agree(self, peer: &[u8; POINT_BYTES]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        let peer = UnparsedPublicKey::new(&ECDH_P256, peer);
        let agreed = agree_ephemeral(self.0, &peer, |agreed| {
            let mut kept = Zeroizing::new([0; KEY_BYTES]);
            kept.copy_from_slice(agreed);
            kept
        });
        agreed.ok()
    }
}

/// SHA-256 of all parts.
pub(super) fn sha256(parts: &[&[u8]]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = Zeroizing::new([0; KEY_BYTES]);
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Opens in place what is followed by its tag, by AES-256-GCM.
pub(super) fn open(
    key: &[u8; KEY_BYTES],
    iv: &[u8; IV_BYTES],
    additional: &[u8],
    content: &mut [u8],
) -> Option<()> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let nonce = Nonce::assume_unique_for_key(*iv);
    key.open_in_place(nonce, Aad::from(additional), content).ok()?;
    Some(())
}
