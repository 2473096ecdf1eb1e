//! The two kinds of signatures that evidence of SNP has: ECDSA on P-384 under reports, RSA-PSS under
//! certificates.

use super::report::{Layout, Report};
use ring::signature::{ECDSA_P384_SHA384_FIXED, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};

/// Bytes of a coordinate, and of each half of a signature, on P-384.
const SCALAR_BYTES: usize = 48;

/// Whether the key whose uncompressed point this is has signed a message: ECDSA on P-384 with SHA-384, the
/// signature as `r` and `s`, 48 bytes each, big-endian.
pub(crate) fn is_p384(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
        .verify(message, signature)
        .is_ok()
}

/// Whether the key that this PKCS #1 `RSAPublicKey` is has signed a message: RSASSA-PSS with SHA-384, MGF1
/// with SHA-384, and a salt of 48 bytes.
pub(crate) fn is_pss(rsa_public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, rsa_public_key)
        .verify(message, signature)
        .is_ok()
}

/// Whether the key with this point has signed the report.
pub(crate) fn is_of_report(point: &[u8], report: &Report) -> bool {
    big_endian(&report.layout).is_some_and(|signature| is_p384(point, report.signed(), &signature))
}

/// The signature of a report in the order of standards; nothing if a half is longer than its curve.
fn big_endian(layout: &Layout) -> Option<[u8; 2 * SCALAR_BYTES]> {
    let mut signature = [0; 2 * SCALAR_BYTES];
    let (r, s) = signature.split_at_mut(SCALAR_BYTES);
    for (half, written) in [(r, &layout.signature_r), (s, &layout.signature_s)] {
        let (number, rest) = written.split_at_checked(SCALAR_BYTES)?;
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        half.copy_from_slice(number);
        half.reverse();
    }
    Some(signature)
}
