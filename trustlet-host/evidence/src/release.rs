//! What a key broker is told before it releases a secret, and what evidence for it is over.
//!
//! The protocol is that of Trustee (`kbs_attestation_protocol.md`): whoever asks has a key pair, and the hash
//! of its public key and the broker's nonce is bound to the evidence. The bytes that are hashed are *runtime
//! data*, JSON in its canonical form (RFC 8785), so that a broker computes the same from what it was sent.

use crate::cryptography::sha384;
use crate::report_data::NONCE_BYTES;
use alloc::format;
use alloc::string::String;

/// Bytes of one coordinate of a point on P-256.
pub const COORDINATE_BYTES: usize = 32;
/// The longest nonce of a broker, in characters. Trustee's have 44.
pub const BROKER_NONCE_MAX_BYTES: usize = 256;

/// The key that a secret is to be sealed for: a point on P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseKey {
    /// Its first coordinate, big-endian.
    pub x: [u8; COORDINATE_BYTES],
    /// The other one.
    pub y: [u8; COORDINATE_BYTES],
}

/// Whether a broker's nonce is taken: base64 of either alphabet, so that nothing in it means something in
/// JSON.
#[must_use]
pub fn is_broker_nonce(text: &str) -> bool {
    let is_base64 = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'-' | b'_' | b'=');
    (1..=BROKER_NONCE_MAX_BYTES).contains(&text.len()) && text.bytes().all(is_base64)
}

/// The runtime data for a nonce that [`is_broker_nonce`].
#[must_use]
pub fn runtime_data(broker_nonce: &str, key: &ReleaseKey) -> String {
    let ReleaseKey { x, y } = key;
    format!(
        r#"{{"additional-evidence":"","nonce":"{broker_nonce}","tee-pubkey":{{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"{}","y":"{}"}}}}"#,
        base64_url(x),
        base64_url(y)
    )
}

/// The nonce of evidence over this runtime data: its SHA-384 and then 16 zeros, which is what Trustee expects
/// as the report data of SEV-SNP. Who verifies evidence takes it as the nonce, with
/// [`Purpose::Secret`](crate::manifest::Purpose::Secret).
#[must_use]
pub fn release_nonce(runtime_data: &[u8]) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    for (byte, hashed) in nonce.iter_mut().zip(sha384(runtime_data)) {
        *byte = hashed;
    }
    nonce
}

/// Base64 with the URL alphabet and without padding (RFC 4648, section 5), as JSON Web Keys have it.
#[must_use]
pub fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for at in 0..=group.len() {
            let index = (bits >> (18 - 6 * at)) & 63;
            let digit = usize::try_from(index).ok().and_then(|index| ALPHABET.get(index));
            text.extend(digit.map(|digit| char::from(*digit)));
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64_url(bytes.as_bytes()), text);
        }
        assert_eq!(base64_url(&[0xfb, 0xff, 0xfe]), "-__-");
    }

    #[test]
    fn a_nonce_cannot_leave_its_string() {
        assert!(is_broker_nonce("aGVsbG8gd29ybGQ+/w=="));
        for wrong in ["", "a\"", "a\\", "a\n", "a b", "ä", &"a".repeat(257)] {
            assert!(!is_broker_nonce(wrong), "{wrong}");
        }
    }

    #[test]
    fn runtime_data_is_canonical_json() {
        let key = ReleaseKey {
            x: [1; COORDINATE_BYTES],
            y: [2; COORDINATE_BYTES],
        };
        let text = runtime_data("bm9uY2U=", &key);
        assert!(text.starts_with(r#"{"additional-evidence":"","nonce":"bm9uY2U=","tee-pubkey":{"alg":"#));
        // A manifest always has a line feed, and this never: no report can be over both.
        assert!(!text.contains('\n'));
        let nonce = release_nonce(text.as_bytes());
        assert_eq!(nonce.iter().rev().take(16).copied().collect::<Vec<_>>(), [0; 16]);
        assert_ne!(nonce, release_nonce(b""));
    }
}
