//! AWS-LC through its C interface. The safe wrapper (`aws-lc-rs`) takes slices; a slice over memory that a
//! hostile peer can write is what I2 forbids, so addresses are passed instead.
#![allow(
    unsafe_code,
    reason = "C interface that reads and writes shared memory by address"
)]

use super::sealed::Refused;
use crate::aead::keys::SecretBytes;
use crate::record::descriptor::{NONCE_BYTES, TAG_BYTES};
use crate::region::memory::{PeerSpan, SealedSpan};
use alloc::vec::Vec;
use aws_lc_sys::{
    EVP_AEAD_CTX, EVP_AEAD_CTX_free, EVP_AEAD_CTX_new, EVP_AEAD_CTX_open_gather, EVP_AEAD_CTX_seal_scatter,
    EVP_aead_aes_256_gcm,
};
use core::ptr::NonNull;

/// An expanded key; wiped and freed when dropped (AWS-LC's allocator clears what it frees).
pub struct Key(NonNull<EVP_AEAD_CTX>);

// SAFETY: an AEAD context belongs to no thread, and sealing and opening do not change it.
unsafe impl Send for Key {}
// SAFETY: as above (aead.h: one context may be used by several threads at once).
unsafe impl Sync for Key {}

impl Key {
    /// Expands a key.
    ///
    /// # Errors
    /// When the library has no memory.
    pub fn new(secret: &SecretBytes) -> Result<Self, Refused> {
        let key = secret.expose();
        // SAFETY: returns a static.
        let aead = unsafe { EVP_aead_aes_256_gcm() };
        // SAFETY: `key` has the 32 bytes that this AEAD takes; the result is null or owned by us.
        let context = unsafe { EVP_AEAD_CTX_new(aead, key.as_ptr(), key.len(), TAG_BYTES) };
        NonNull::new(context).map(Self).ok_or(Refused)
    }

    /// Seals `plain` into the beginning of `into`: ciphertext, tag.
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
        if into.len_bytes() < plain.len() + TAG_BYTES {
            return Err(Refused);
        }
        let out = into.as_mut_ptr();
        // SAFETY: within the span, as was just checked.
        let out_tag = unsafe { out.add(plain.len()) };
        let mut tag_len = 0;
        // SAFETY: the outputs have room for ciphertext and tag; the inputs are live slices; there is no extra
        // input; input (private) and output (shared) do not overlap.
        let done = unsafe {
            EVP_AEAD_CTX_seal_scatter(
                self.0.as_ptr(),
                out,
                out_tag,
                &raw mut tag_len,
                TAG_BYTES,
                nonce.as_ptr(),
                nonce.len(),
                plain.as_ptr(),
                plain.len(),
                core::ptr::null(),
                0,
                additional.as_ptr(),
                additional.len(),
            )
        };
        if done == 1 && tag_len == TAG_BYTES {
            Ok(())
        } else {
            Err(Refused)
        }
    }

    /// Opens `sealed` (ciphertext, tag) and appends the plaintext to `into`; on refusal `into` is as it was.
    ///
    /// The peer may change `sealed` meanwhile, and AWS-LC may read a byte twice. What then comes out is
    /// refused, or is something that the peer, who holds the sealing key, could have sealed as well. A
    /// carrier holds no key: what comes through one is copied before it is opened (`payload`).
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
        let len_bytes = sealed.len_bytes().checked_sub(TAG_BYTES).ok_or(Refused)?;
        into.reserve(len_bytes);
        let out = into.spare_capacity_mut().as_mut_ptr().cast::<u8>();
        // SAFETY: within the span: `len_bytes` is its length less the tag.
        let tag = unsafe { sealed.as_ptr().add(len_bytes) };
        // The tag decides, so it is read once, to private memory.
        // SAFETY: the last `TAG_BYTES` bytes of the span; bytes have no alignment and no invalid values.
        let tag = unsafe { tag.cast::<[u8; TAG_BYTES]>().read_volatile() };
        // SAFETY: the output has room for `len_bytes` (reserved above); ciphertext is within the span; input
        // (shared) and output (private) do not overlap.
        let done = unsafe {
            EVP_AEAD_CTX_open_gather(
                self.0.as_ptr(),
                out,
                nonce.as_ptr(),
                nonce.len(),
                sealed.as_ptr(),
                len_bytes,
                tag.as_ptr(),
                tag.len(),
                additional.as_ptr(),
                additional.len(),
            )
        };
        if done != 1 {
            return Err(Refused);
        }
        let len = into.len() + len_bytes;
        // SAFETY: success means that all `len_bytes` bytes of output were written; they were reserved above.
        unsafe { into.set_len(len) };
        Ok(())
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: ours, and freed once.
        unsafe { EVP_AEAD_CTX_free(self.0.as_ptr()) };
    }
}
