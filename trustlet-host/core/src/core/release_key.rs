//! The key that a key broker seals one secret for, and the opening of what it sealed: JSON Web Encryption
//! (RFC 7516) with `ECDH-ES+A256KW` on P-256 (RFC 7518, section 4.6) and `A256GCM`, which is what Trustee
//! speaks.
//!
//! Key agreement, hash and cipher are `ring`'s, or, where there is no operating system that it knows, written
//! in Rust alone (`--cfg portable_crypto`).

mod lengths;
#[cfg(any(test, portable_crypto))]
mod portable;
#[cfg(any(test, not(portable_crypto)))]
mod ring;

#[cfg(portable_crypto)]
use portable as chosen;
#[cfg(not(portable_crypto))]
use ring as chosen;

use super::refusal::{Refusal, refuse};
use crate::calls::{ResultCode, SealedSecret};
use crate::platform::Platform;
use aes_kw::{KeyInit, KwAes256};
use alloc::vec::Vec;
use hacher_evidence::release::{COORDINATE_BYTES, ReleaseKey};
use lengths::{IV_BYTES, KEY_BYTES, POINT_BYTES, TAG_BYTES};
use zeroize::{Zeroize, Zeroizing};

/// How the algorithm names itself where keys are derived (RFC 7518, section 4.6.2).
const ALGORITHM: &[u8] = b"ECDH-ES+A256KW";
/// Bytes of a key that is wrapped (RFC 3394).
const WRAPPED_BYTES: usize = KEY_BYTES + 8;
/// Begins a point on a curve that is not compressed.
const UNCOMPRESSED: u8 = 4;

/// The private half of a key for one secret. It agrees on one key, and is gone then.
pub(super) struct ReleaseSecret {
    private: chosen::Private,
    public: ReleaseKey,
}

impl ReleaseSecret {
    pub(super) fn new<P: Platform>(platform: &mut P) -> Result<Self, Refusal> {
        let mut made = || {
            let (private, point) = chosen::Private::new(platform)?;
            let public = key_at(&point)?;
            Some(Self { private, public })
        };
        match made() {
            Some(key) => Ok(key),
            None => refuse(ResultCode::Platform, "no key can be made"),
        }
    }

    pub(super) const fn public_key(&self) -> ReleaseKey {
        self.public
    }

    /// What was sealed for this key; `None` if that was for another one, or was altered. `protected` is the
    /// header as it was sent, which is authenticated as well.
    pub(super) fn open(
        self,
        sealed: &SealedSecret,
        protected: &[u8],
        ciphertext: Zeroizing<Vec<u8>>,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let SealedSecret {
            x,
            y,
            encrypted_key,
            iv,
            tag,
        } = *sealed;
        // A point that is not on the curve is refused by the agreement.
        let agreed = self.private.agree(&point_of(&ReleaseKey { x, y }))?;
        let content_key = unwrap_key(&derive(&agreed), &encrypted_key)?;
        open(&content_key, &iv, protected, ciphertext, &tag)
    }
}

fn key_at(point: &[u8; POINT_BYTES]) -> Option<ReleaseKey> {
    let (x, y) = point
        .strip_prefix(&[UNCOMPRESSED])?
        .split_at_checked(COORDINATE_BYTES)?;
    Some(ReleaseKey {
        x: x.try_into().ok()?,
        y: y.try_into().ok()?,
    })
}

fn point_of(key: &ReleaseKey) -> [u8; POINT_BYTES] {
    let mut point = [UNCOMPRESSED; POINT_BYTES];
    let (x, y) = point.split_at_mut(1 + COORDINATE_BYTES);
    for (to, from) in x.iter_mut().skip(1).chain(y).zip(key.x.iter().chain(&key.y)) {
        *to = *from;
    }
    point
}

/// Concat KDF for one block, without names of the parties (RFC 7518, section 4.6.2).
fn derive(agreed: &[u8; KEY_BYTES]) -> Zeroizing<[u8; KEY_BYTES]> {
    let numbers = [1, ALGORITHM.len(), 0, 0, 8 * KEY_BYTES].map(|number| {
        // All of them are small.
        u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes()
    });
    let [round, algorithm_bytes, apu_bytes, apv_bytes, key_bits] = &numbers;
    chosen::sha256(&[
        round,
        agreed,
        algorithm_bytes,
        ALGORITHM,
        apu_bytes,
        apv_bytes,
        key_bits,
    ])
}

/// AES key unwrap (RFC 3394).
fn unwrap_key(
    wrapping_key: &[u8; KEY_BYTES],
    wrapped: &[u8; WRAPPED_BYTES],
) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let cipher = KwAes256::new_from_slice(wrapping_key).ok()?;
    cipher.unwrap_key(wrapped, &mut *key).ok()?;
    Some(key)
}

/// Opens the content, in place.
fn open(
    key: &[u8; KEY_BYTES],
    iv: &[u8; IV_BYTES],
    protected: &[u8],
    mut content: Zeroizing<Vec<u8>>,
    tag: &[u8; TAG_BYTES],
) -> Option<Zeroizing<Vec<u8>>> {
    let len = content.len();
    content.extend_from_slice(tag);
    if chosen::open(key, iv, protected, &mut content).is_none() {
        content.zeroize();
        return None;
    }
    content.truncate(len);
    Some(content)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
pub(super) mod tests;
