//! Ciphers that transform in place only: a private staging copy keeps plaintext out of shared memory (I3).

#![cfg_attr(
    feature = "aws-lc",
    allow(unreachable_pub, reason = "with `aws-lc`, there for tests alone")
)]

#[cfg(any(test, portable_crypto))]
pub(super) mod portable;
#[cfg(any(test, not(portable_crypto)))]
pub(super) mod ring;

use super::sealed::{Ciphertext, Refused};
use crate::aead::keys::SecretBytes;
use crate::record::descriptor::{NONCE_BYTES, TAG_BYTES};
use crate::region::layout::SEGMENT_BYTES;
use crate::region::memory::{PeerSpan, SealedSpan};
use alloc::vec::Vec;
use core::cell::RefCell;
use zeroize::Zeroize;

/// AES-256-GCM over bytes in private memory, where they lie.
pub trait InPlace: Sized {
    /// Expands a key.
    ///
    /// # Errors
    /// When the library has no memory.
    fn new(secret: &SecretBytes) -> Result<Self, Refused>;

    /// Seals `bytes` and appends the tag.
    ///
    /// # Errors
    /// When they are too long for the cipher.
    fn seal(&self, nonce: &[u8; NONCE_BYTES], additional: &[u8], bytes: &mut Vec<u8>) -> Result<(), Refused>;

    /// Opens `bytes`, whose end is the tag; the plaintext is what comes before that.
    ///
    /// # Errors
    /// When this was not sealed with this key, nonce and additional data.
    fn open<'b>(
        &self,
        nonce: &[u8; NONCE_BYTES],
        additional: &[u8],
        bytes: &'b mut [u8],
    ) -> Result<&'b [u8], Refused>;
}

/// An expanded key and its staging buffer.
pub struct Staged<C> {
    cipher: C,
    staging: RefCell<Vec<u8>>,
}

impl<C: InPlace> Staged<C> {
    /// Expands a key.
    ///
    /// # Errors
    /// When the library has no memory.
    pub fn new(secret: &SecretBytes) -> Result<Self, Refused> {
        Ok(Self {
            cipher: C::new(secret)?,
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
        self.cipher.seal(nonce, additional, &mut staging)?;
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
        let plain = self.cipher.open(nonce, additional, &mut staging)?;
        into.extend_from_slice(plain);
        Ok(())
    }
}

impl<C> Drop for Staged<C> {
    fn drop(&mut self) {
        self.staging.get_mut().zeroize();
    }
}
