//! By `ring`.

use crate::attach::message::SECRET_BYTES;
use ring::hkdf::{HKDF_SHA256, KeyType, Prk};

struct Len32;

impl KeyType for Len32 {
    fn len(&self) -> usize {
        SECRET_BYTES
    }
}

pub(crate) fn expand_into(secret: &[u8; SECRET_BYTES], info: &[&[u8]], bytes: &mut [u8; SECRET_BYTES]) {
    Prk::new_less_safe(HKDF_SHA256, secret)
        .expand(info, Len32)
        .and_then(|okm| okm.fill(bytes))
        .expect("32 bytes are within the bounds of HKDF-SHA-256");
}
