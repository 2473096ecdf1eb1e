//! `ring`.

use super::InPlace;
use crate::aead::keys::SecretBytes;
use crate::aead::sealed::Refused;
use crate::record::descriptor::NONCE_BYTES;
use alloc::vec::Vec;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// An expanded key.
pub struct Cipher(LessSafeKey);

impl InPlace for Cipher {
    fn new(secret: &SecretBytes) -> Result<Self, Refused> {
        let key = UnboundKey::new(&AES_256_GCM, secret.expose()).map_err(|_| Refused)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    fn seal(&self, nonce: &[u8; NONCE_BYTES], additional: &[u8], bytes: &mut Vec<u8>) -> Result<(), Refused> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0
            .seal_in_place_append_tag(nonce, Aad::from(additional), bytes)
            .map_err(|_| Refused)
    }

    fn open<'b>(
        &self,
        nonce: &[u8; NONCE_BYTES],
        additional: &[u8],
        bytes: &'b mut [u8],
    ) -> Result<&'b [u8], Refused> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0
            .open_in_place(nonce, Aad::from(additional), bytes)
            .map(|plain| &*plain)
            .map_err(|_| Refused)
    }
}
