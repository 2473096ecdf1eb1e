//! `aes-gcm`, which needs no operating system. It takes the processor's instructions for AES where there
//! are some.

use super::InPlace;
use crate::aead::keys::SecretBytes;
use crate::aead::sealed::Refused;
use crate::record::descriptor::{NONCE_BYTES, TAG_BYTES};
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// An expanded key; wiped when dropped. In a box: its round keys would else be left behind wherever it was
/// moved from.
pub struct Cipher(Box<Aes256Gcm>);

impl InPlace for Cipher {
    fn new(secret: &SecretBytes) -> Result<Self, Refused> {
        Ok(Self(Box::new(Aes256Gcm::new(secret.expose().into()))))
    }

    fn seal(&self, nonce: &[u8; NONCE_BYTES], additional: &[u8], bytes: &mut Vec<u8>) -> Result<(), Refused> {
        let tag = self
            .0
            .encrypt_inout_detached(&Nonce::from(*nonce), additional, bytes.as_mut_slice().into())
            .map_err(|_| Refused)?;
        bytes.extend_from_slice(&tag);
        Ok(())
    }

    fn open<'b>(
        &self,
        nonce: &[u8; NONCE_BYTES],
        additional: &[u8],
        bytes: &'b mut [u8],
    ) -> Result<&'b [u8], Refused> {
        let (text, tag) = bytes.split_last_chunk_mut::<TAG_BYTES>().ok_or(Refused)?;
        self.0
            .decrypt_inout_detached(
                &Nonce::from(*nonce),
                additional,
                (&mut *text).into(),
                &Tag::from(*tag),
            )
            .map_err(|_| Refused)?;
        Ok(text)
    }
}
