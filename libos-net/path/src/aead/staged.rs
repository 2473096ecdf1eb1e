//! `ring`, which transforms in place only: a private staging copy keeps plaintext out of shared memory (I3).

#![cfg_attr(
    feature = "aws-lc",
    allow(unreachable_pub, reason = "with `aws-lc`, there for tests alone")
)]

use super::sealed::{Ciphertext, Refused};
use crate::aead::keys::SecretBytes;
use crate::record::descriptor::{NONCE_BYTES, TAG_BYTES};
use crate::region::layout::SEGMENT_BYTES;
use crate::region::memory::{PeerSpan, SealedSpan};
use alloc::vec::Vec;
use core::cell::RefCell;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize;

/// An expanded key and its staging buffer.
pub struct Key {
    key: LessSafeKey,
    staging: RefCell<Vec<u8>>,
}

impl Key {
    /// Expands a key.
    ///
    /// # Errors
    /// When the library has no memory.
    pub fn new(secret: &SecretBytes) -> Result<Self, Refused> {
        let key = UnboundKey::new(&AES_256_GCM, secret.expose()).map_err(|_| Refused)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            staging: RefCell::new(Vec::with_capacity(SEGMENT_BYTES + TAG_BYTES)),
        })
    }

    /// As the one-pass implementation.
    ///
    /// # Errors
    /// When `into` is too short.
    pub fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        additional: &[u8],
        plain: &[u8],
        into: &mut SealedSpan<'_>,
    ) -> Result<(), Refused> {
        let mut staging = self.staging.borrow_mut();
        staging.clear();
        staging.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(additional), &mut *staging)
            .map_err(|_| Refused)?;
        if into.put(Ciphertext::of(&staging)) {
            Ok(())
        } else {
            Err(Refused)
        }
    }

    /// As the one-pass implementation; the sealed bytes are read exactly once.
    ///
    /// # Errors
    /// When this was not sealed with this key, nonce and additional data.
    pub fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        additional: &[u8],
        sealed: PeerSpan<'_>,
        into: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let mut staging = self.staging.borrow_mut();
        staging.clear();
        staging.resize(sealed.len_bytes(), 0);
        if !sealed.copy_to(&mut staging) {
            return Err(Refused);
        }
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(additional), &mut staging)
            .map_err(|_| Refused)?;
        into.extend_from_slice(plain);
        Ok(())
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.staging.get_mut().zeroize();
    }
}
