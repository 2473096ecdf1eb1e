//! By `p256`, `sha2` and `aes-gcm`, which need no operating system.

use super::lengths::{IV_BYTES, KEY_BYTES, POINT_BYTES, TAG_BYTES};
use crate::platform::Platform;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes that are no private key are one in 2^32 of those that are drawn.
const DRAWN_MAX: usize = 8;

/// A private key on P-256; wiped when dropped.
pub(super) struct Private(SecretKey);

impl Private {
    /// A new one, and its public half.
    pub(super) fn new<P: Platform>(platform: &mut P) -> Option<(Self, [u8; POINT_BYTES])> {
        let mut drawn = Zeroizing::new([0; KEY_BYTES]);
        for _ in 0..DRAWN_MAX {
            platform.random(&mut *drawn).ok()?;
            if let Ok(private) = SecretKey::from_slice(&*drawn) {
                let point = private.public_key().to_sec1_point(false);
                return Some((Self(private), point.as_bytes().try_into().ok()?));
            }
        }
        None
    }

    /// What both ends agree on; `None` for a point that is not on the curve.
    pub(super) fn agree(self, peer: &[u8; POINT_BYTES]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        let peer = PublicKey::from_sec1_bytes(peer).ok()?;
        let agreed = p256::ecdh::diffie_hellman(self.0.to_nonzero_scalar(), peer.as_affine());
        let mut kept = Zeroizing::new([0; KEY_BYTES]);
        kept.copy_from_slice(agreed.raw_secret_bytes());
        Some(kept)
    }
}

/// SHA-256 of all parts.
pub(super) fn sha256(parts: &[&[u8]]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut context = Sha256::new();
    parts.iter().for_each(|part| context.update(part));
    Zeroizing::new(context.finalize().into())
}

/// Opens in place what is followed by its tag, by AES-256-GCM.
pub(super) fn open(
    key: &[u8; KEY_BYTES],
    iv: &[u8; IV_BYTES],
    additional: &[u8],
    content: &mut [u8],
) -> Option<()> {
    let (text, tag) = content.split_last_chunk_mut::<TAG_BYTES>()?;
    Aes256Gcm::new(key.into())
        .decrypt_inout_detached(&Nonce::from(*iv), additional, text.into(), &Tag::from(*tag))
        .ok()
}
