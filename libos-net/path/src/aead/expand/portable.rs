//! By `hkdf` and `sha2`.

use crate::attach::message::SECRET_BYTES;
use hkdf::Hkdf;
use sha2::Sha256;

pub(crate) fn expand_into(secret: &[u8; SECRET_BYTES], info: &[&[u8]], bytes: &mut [u8; SECRET_BYTES]) {
    Hkdf::<Sha256>::from_prk(secret)
        .expect("a key as long as the hash is long enough")
        .expand_multi_info(info, bytes)
        .expect("32 bytes are within the bounds of HKDF-SHA-256");
}
