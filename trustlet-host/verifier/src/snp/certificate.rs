//! X.509 certificates as AMD issues them, and the table of them that hosts hand to guests.

use super::signature::is_pss;
use crate::time::UnixTime;
use x509_cert::der::asn1::{AnyRef, BitString};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{self, Decode, Reader, SliceReader};
use x509_cert::ext::Extensions;
use x509_cert::name::Name;
use x509_cert::{AlgorithmIdentifier, Certificate as X509};

/// Certificates of AMD have less than 2 KiB; what is longer than this is not read.
const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

/// A host gives three certificates, a folder may hold those of many chips.
pub(crate) const MAX_CERTIFICATES: usize = 256;

const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");

/// A certificate whose form is right.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    x509: X509,
    /// The bytes that its signature covers, as they were sent.
    signed: Vec<u8>,
}

impl Certificate {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_CERTIFICATE_BYTES {
            return Err(format!(
                "{} bytes are more than the {MAX_CERTIFICATE_BYTES} that a certificate may have",
                bytes.len()
            ));
        }
        let read = || Ok::<_, der::Error>((X509::from_der(bytes)?, first_element(bytes)?.to_vec()));
        let (x509, signed) = read().map_err(|error| format!("it is no X.509 certificate in DER: {error}"))?;
        let certificate = Self { x509, signed };
        certificate.check_extensions()?;
        Ok(certificate)
    }

    /// Refuses extensions that are there twice, and critical ones that this crate does not know.
    fn check_extensions(&self) -> Result<(), String> {
        let Some(extensions) = self.extensions() else {
            return Ok(());
        };
        refuse_unknown(extensions, &[BASIC_CONSTRAINTS, KEY_USAGE])
    }

    pub(crate) fn extensions(&self) -> Option<&Extensions> {
        self.x509.tbs_certificate().extensions()
    }

    /// What an extension holds.
    pub(crate) fn extension(&self, id: ObjectIdentifier) -> Option<&[u8]> {
        let mut extensions = self.extensions()?.iter();
        let found = extensions.find(|extension| extension.extn_id == id)?;
        Some(found.extn_value.as_bytes())
    }

    pub(crate) fn subject(&self) -> &Name {
        self.x509.tbs_certificate().subject()
    }

    pub(crate) fn issuer(&self) -> &Name {
        self.x509.tbs_certificate().issuer()
    }

    /// The common name of the subject; empty if there is none.
    pub(crate) fn subject_name(&self) -> String {
        common_name(self.subject())
    }

    /// The common name of the issuer; empty if there is none.
    pub(crate) fn issuer_name(&self) -> String {
        common_name(self.issuer())
    }

    pub(crate) fn serial_number(&self) -> &[u8] {
        self.x509.tbs_certificate().serial_number().as_bytes()
    }

    /// Whether it certifies the same key.
    pub(crate) fn has_key_of(&self, other: &Self) -> bool {
        let key = |of: &Self| of.x509.tbs_certificate().subject_public_key_info().clone();
        key(self) == key(other)
    }

    /// Why it does not hold at a time, if it does not.
    pub(crate) fn out_of_date(&self, time: UnixTime) -> Option<String> {
        let validity = self.x509.tbs_certificate().validity();
        let (from, to) = (validity.not_before, validity.not_after);
        let name = self.subject_name();
        if time < UnixTime(from.to_unix_duration().as_secs()) {
            return Some(format!("{name} is valid only from {from} on, and it is {time}"));
        }
        (time > UnixTime(to.to_unix_duration().as_secs()))
            .then(|| format!("{name} has expired at {to}, and it is {time}"))
    }

    /// Whether its owner may sign certificates.
    pub(crate) fn is_authority(&self) -> bool {
        // `BasicConstraints` with `cA` true; the length of the path does not matter, since every chain here
        // has the same.
        self.extension(BASIC_CONSTRAINTS).is_some_and(|value| {
            let first = || {
                let sequence = AnyRef::from_der(value)?;
                SliceReader::new(sequence.value())?.decode::<bool>()
            };
            first().unwrap_or(false)
        })
    }

    /// The point on P-384 that is its key, uncompressed.
    pub(crate) fn p384_point(&self) -> Option<&[u8]> {
        let info = self.x509.tbs_certificate().subject_public_key_info();
        let curve = info.algorithm.parameters.as_ref()?;
        let is_p384 = info.algorithm.oid == EC_PUBLIC_KEY
            && curve
                .decode_as::<ObjectIdentifier>()
                .is_ok_and(|curve| curve == SECP384R1);
        is_p384.then(|| info.subject_public_key.as_bytes()).flatten()
    }

    /// Whether `issuer` is named as its issuer and has signed it.
    pub(crate) fn is_signed_by(&self, issuer: &Self) -> bool {
        self.issuer() == issuer.subject()
            && self.x509.tbs_certificate().signature() == self.x509.signature_algorithm()
            && issuer.has_signed(
                &self.signed,
                self.x509.signature_algorithm(),
                self.x509.signature(),
            )
    }

    /// Whether its key, an RSA key, has signed these bytes.
    pub(crate) fn has_signed(
        &self,
        signed: &[u8],
        algorithm: &AlgorithmIdentifier,
        signature: &BitString,
    ) -> bool {
        let info = self.x509.tbs_certificate().subject_public_key_info();
        // Parameters of RSASSA-PSS other than AMD's make another signature, which does not verify.
        let (Some(key), Some(signature)) = (info.subject_public_key.as_bytes(), signature.as_bytes()) else {
            return false;
        };
        info.algorithm.oid == RSA_ENCRYPTION && algorithm.oid == RSASSA_PSS && is_pss(key, signed, signature)
    }
}

/// Refuses extensions that are there twice, and critical ones but for these.
pub(crate) fn refuse_unknown(extensions: &Extensions, known: &[ObjectIdentifier]) -> Result<(), String> {
    for (at, extension) in extensions.iter().enumerate() {
        let id = extension.extn_id;
        if extensions.iter().take(at).any(|before| before.extn_id == id) {
            return Err(format!("it has the extension {id} twice"));
        }
        if extension.critical && !known.contains(&id) {
            return Err(format!("it has the critical extension {id}, which is not known"));
        }
    }
    Ok(())
}

/// The common name in a distinguished name; empty if there is none.
pub(crate) fn common_name(name: &Name) -> String {
    let found = name.common_name().ok().flatten();
    found
        .map(|name| name.value().into_owned())
        .unwrap_or_default()
        .chars()
        .filter(|character| !character.is_control())
        .take(MAX_NAME_CHARS)
        .collect()
}

/// Names end in reasons of checks; those of AMD are shorter.
const MAX_NAME_CHARS: usize = 64;

/// The first element of a DER sequence with its header: what the signature of a certificate or a list covers.
pub(crate) fn first_element(bytes: &[u8]) -> der::Result<&[u8]> {
    let sequence = AnyRef::from_der(bytes)?;
    SliceReader::new(sequence.value())?.tlv_bytes()
}

/// Bytes of an entry of a table: GUID, offset, length.
const ENTRY_BYTES: usize = 24;
const GUID_BYTES: usize = 16;

/// The certificates of the table that a host hands to a guest with an extended report (GHCB, AMD 56421):
/// entries of GUID, offset and length, up to one of zeros, and the certificates behind them, in their order.
/// Which is which, their subjects say.
///
/// # Errors
/// When an entry points past the table, into the entries or into another certificate, in which case nothing
/// of it can be trusted to be what it seems.
pub fn certificate_table(table: &[u8]) -> Result<Vec<&[u8]>, String> {
    if table.is_empty() {
        return Ok(Vec::new());
    }
    let (entries, _) = table.as_chunks::<ENTRY_BYTES>();
    let is_last = |entry: &[u8; ENTRY_BYTES]| entry.iter().take(GUID_BYTES).all(|byte| *byte == 0);
    let count = entries
        .iter()
        .take(MAX_CERTIFICATES + 1)
        .position(is_last)
        .ok_or_else(|| {
            format!("the table of certificates has no end within its first {MAX_CERTIFICATES} entries")
        })?;
    let mut certificates = Vec::new();
    let mut free_from = (count + 1) * ENTRY_BYTES;
    for entry in entries.iter().take(count) {
        let (offset, length) = place(entry);
        let end = offset
            .checked_add(length)
            .filter(|_| offset >= free_from)
            .ok_or_else(|| {
                format!(
                    "the table of certificates has one at {offset}, within what comes before it, up to {free_from}"
                )
            })?;
        let certificate = table.get(offset..end).ok_or_else(|| {
            format!(
                "the table of certificates has {} bytes, and one of them begins at {offset} and has {length}",
                table.len()
            )
        })?;
        certificates.push(certificate);
        free_from = end;
    }
    Ok(certificates)
}

/// Offset and length in an entry.
fn place(entry: &[u8; ENTRY_BYTES]) -> (usize, usize) {
    let number = |at: usize| {
        let bytes = entry.get(at..).and_then(<[u8]>::first_chunk);
        let number = bytes.map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes));
        usize::try_from(number).unwrap_or(usize::MAX)
    };
    (number(GUID_BYTES), number(GUID_BYTES + size_of::<u32>()))
}
