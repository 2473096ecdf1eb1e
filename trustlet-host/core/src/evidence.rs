//! Evidence of a platform without hardware that vouches for it: what runs here, signed with a key that the
//! monitor made when it started.
//!
//! It tells a client which chain digests this monitor serves, so that two answers can be compared, and binds
//! them to the client's nonce. It does **not** prove anything about the machine: no hardware vouches for the
//! key, and whoever controls the operating system can sign what they like. So it has a type of its own and
//! never looks like a hardware report.
//!
//! ```text
//! 26 bytes  "hacher-process-evidence-v1"
//! u32       bytes of the manifest, little-endian
//! ...       manifest, text
//! 64 bytes  nonce
//! 32 bytes  Ed25519 public key
//! 64 bytes  Ed25519 signature (RFC 8032) over everything before it
//! ```

use alloc::vec::Vec;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// Starts every evidence of this kind.
pub const TYPE_TAG: &[u8; 26] = b"hacher-process-evidence-v1";
/// Bytes of a nonce, as in the SVSM attestation protocol.
pub const NONCE_BYTES: usize = 64;
/// Bytes of a public key.
pub const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
/// The second line of every manifest that is signed so, after the name of the platform: what it is worth.
pub const WARNING: &str =
    "warning the operating system of this machine is trusted; no hardware vouches for anything below\n";

/// Why evidence is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Of another type, or cut short.
    #[error("this is not evidence of the type hacher-process-evidence-v1")]
    Malformed,
    /// Made for somebody else, or replayed.
    #[error("the evidence was made for another nonce")]
    Nonce,
    /// Signed by another monitor.
    #[error("the evidence is signed with another key than the expected one")]
    Key,
    /// Changed after it was signed.
    #[error("the signature of the evidence is wrong")]
    Signature,
    /// Signed, but without the words that say what it is worth.
    #[error("the manifest does not say which backend it is of")]
    Manifest,
}

/// Signs evidence. The key lives as long as the monitor and never leaves it.
pub struct EvidenceSigner {
    key: Ed25519KeyPair,
}

impl EvidenceSigner {
    /// A signer with the key that `seed` gives; `None` if the seed is unusable, which no 32 bytes are.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed)
            .ok()
            .map(|key| Self { key })
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(self.key.public_key().as_ref());
        bytes
    }

    /// Signs a manifest for a nonce.
    #[must_use]
    pub fn sign(&self, manifest: &str, nonce: &[u8; NONCE_BYTES]) -> Vec<u8> {
        let mut evidence = Vec::with_capacity(TYPE_TAG.len() + 4 + manifest.len() + 160);
        evidence.extend_from_slice(TYPE_TAG);
        evidence.extend_from_slice(&crate::ids::number(manifest.len()).to_le_bytes());
        evidence.extend_from_slice(manifest.as_bytes());
        evidence.extend_from_slice(nonce);
        evidence.extend_from_slice(&self.public_key());
        let signature = self.key.sign(&evidence);
        evidence.extend_from_slice(signature.as_ref());
        evidence
    }
}

/// Checks evidence against the nonce that was sent and, if known, the monitor's key; the manifest if all is
/// right.
///
/// Without `expected_key` it proves only that one holder of some key signed all of it.
///
/// # Errors
/// Why it is refused.
pub fn verify<'a>(
    evidence: &'a [u8],
    nonce: &[u8; NONCE_BYTES],
    expected_key: Option<&[u8; KEY_BYTES]>,
) -> Result<&'a str, EvidenceError> {
    let (signed, signature) = evidence
        .len()
        .checked_sub(SIGNATURE_BYTES)
        .and_then(|at| evidence.split_at_checked(at))
        .ok_or(EvidenceError::Malformed)?;
    let rest = signed.strip_prefix(TYPE_TAG).ok_or(EvidenceError::Malformed)?;
    let (len_bytes, rest) = rest.split_first_chunk::<4>().ok_or(EvidenceError::Malformed)?;
    let (manifest, rest) = usize::try_from(u32::from_le_bytes(*len_bytes))
        .ok()
        .and_then(|len| rest.split_at_checked(len))
        .ok_or(EvidenceError::Malformed)?;
    let (stated_nonce, key) = rest
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(EvidenceError::Malformed)?;
    let key: &[u8; KEY_BYTES] = key.try_into().map_err(|_| EvidenceError::Malformed)?;
    if expected_key.is_some_and(|expected| expected != key) {
        return Err(EvidenceError::Key);
    }
    UnparsedPublicKey::new(&ED25519, key)
        .verify(signed, signature)
        .map_err(|_| EvidenceError::Signature)?;
    if stated_nonce != nonce {
        return Err(EvidenceError::Nonce);
    }
    let manifest = core::str::from_utf8(manifest).map_err(|_| EvidenceError::Manifest)?;
    let stated = manifest
        .strip_prefix("backend ")
        .and_then(|rest| rest.split_once('\n'));
    match stated {
        Some((_, rest)) if rest.starts_with(WARNING) => Ok(manifest),
        _ => Err(EvidenceError::Manifest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; NONCE_BYTES] = [7; NONCE_BYTES];

    fn signer() -> EvidenceSigner {
        EvidenceSigner::new(&[1; 32]).unwrap()
    }

    fn manifest() -> String {
        format!("backend simulated\n{WARNING}chain echo 1.0.0\n")
    }

    #[test]
    fn evidence_is_accepted_for_its_nonce_and_key() {
        let evidence = signer().sign(&manifest(), &NONCE);
        assert_eq!(
            verify(&evidence, &NONCE, Some(&signer().public_key())),
            Ok(manifest().as_str())
        );
        assert_eq!(verify(&evidence, &NONCE, None), Ok(manifest().as_str()));
    }

    #[test]
    fn another_nonce_is_refused() {
        let evidence = signer().sign(&manifest(), &NONCE);
        assert_eq!(
            verify(&evidence, &[8; NONCE_BYTES], None),
            Err(EvidenceError::Nonce)
        );
    }

    #[test]
    fn another_key_is_refused() {
        let other = EvidenceSigner::new(&[2; 32]).unwrap();
        let evidence = other.sign(&manifest(), &NONCE);
        assert_eq!(
            verify(&evidence, &NONCE, Some(&signer().public_key())),
            Err(EvidenceError::Key)
        );
    }

    #[test]
    fn any_flipped_byte_is_refused() {
        let evidence = signer().sign(&manifest(), &NONCE);
        for at in 0..evidence.len() {
            let mut changed = evidence.clone();
            changed[at] ^= 1;
            assert!(verify(&changed, &NONCE, None).is_err(), "byte {at}");
        }
    }

    #[test]
    fn any_cut_is_refused() {
        let evidence = signer().sign(&manifest(), &NONCE);
        for len in 0..evidence.len() {
            assert!(verify(&evidence[..len], &NONCE, None).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_manifest_that_hides_what_it_is_worth_is_refused() {
        for manifest in [
            "backend snp\n".to_owned(),
            format!("layer x\n{WARNING}"),
            WARNING.to_owned(),
        ] {
            let evidence = signer().sign(&manifest, &NONCE);
            assert_eq!(verify(&evidence, &NONCE, None), Err(EvidenceError::Manifest));
        }
    }
}
