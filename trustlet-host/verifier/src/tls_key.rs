//! How manifests name the key of a gateway's certificate.

use ring::digest::{SHA256, digest};
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{self, Decode, Reader, SliceReader};

/// The first byte of the version of a certificate, which those of version 1 do not have (RFC 5280, section
/// 4.1: `[0] EXPLICIT`).
const VERSION_TAG: u8 = 0xA0;
/// What stands between version and key: serial number, signature algorithm, issuer, validity, subject.
const BEFORE_KEY: usize = 5;

/// SHA-256 of the SubjectPublicKeyInfo of a certificate in DER, as it stands there: what `tls-key` of a
/// manifest is, and [`crate::Expectations::tls_key`]. Nothing else of the certificate is looked at.
///
/// # Errors
/// What is wrong with it, if it is no certificate.
pub fn tls_key(certificate: &[u8]) -> Result<[u8; 32], String> {
    let info = public_key_info(certificate)
        .map_err(|error| format!("it is no X.509 certificate in DER: {error}"))?;
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, info).as_ref());
    Ok(hash)
}

fn public_key_info(certificate: &[u8]) -> der::Result<&[u8]> {
    let whole = AnyRef::from_der(certificate)?;
    let signed = SliceReader::new(whole.value())?.decode::<AnyRef<'_>>()?;
    let mut fields = SliceReader::new(signed.value())?;
    let first = fields.tlv_bytes()?;
    let has_version = first.first() == Some(&VERSION_TAG);
    // The first one was the serial number if there is no version.
    let left = if has_version { BEFORE_KEY } else { BEFORE_KEY - 1 };
    for _ in 0..left {
        fields.tlv_bytes()?;
    }
    fields.tlv_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::Hex;

    const VCEK: &[u8] = include_bytes!("../tests/data/genoa_vcek.der");

    #[test]
    fn the_key_is_what_other_software_says() {
        // openssl x509 -inform DER -in genoa_vcek.der -pubkey -noout | openssl pkey -pubin -outform DER |
        // sha256sum
        let said = "686bda96d6cd067803b09e402c465ce6a789501a554437a0a381895324016ec3";
        assert_eq!(Hex(&tls_key(VCEK).unwrap()).to_string(), said);
    }

    #[test]
    fn a_certificate_that_was_cut_short_has_no_key() {
        for len in 0..VCEK.len() {
            assert!(tls_key(&VCEK[..len]).is_err(), "{len}");
        }
        assert!(tls_key(&[VCEK, b"x"].concat()).is_err());
    }
}
