//! Lists of certificates that AMD has revoked.
//!
//! A list that is too old, or that never says when it is too old, could hide a revocation: both are refused.

use super::certificate::{Certificate, common_name, first_element, refuse_unknown};
use super::root::Root;
use crate::time::UnixTime;
use x509_cert::crl::CertificateList;
use x509_cert::der::{self, Decode};
use x509_cert::name::Name;

/// A list of AMD has less than 2 KiB; what is longer than this is not read.
const MAX_LIST_BYTES: usize = 1024 * 1024;

/// There is one list for each generation and kind of key.
const MAX_LISTS: usize = 64;

/// A list whose form is right.
struct RevocationList {
    list: CertificateList,
    /// The bytes that its signature covers, as they were sent.
    signed: Vec<u8>,
}

impl RevocationList {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_LIST_BYTES {
            return Err(format!(
                "{} bytes are more than the {MAX_LIST_BYTES} that a revocation list may have",
                bytes.len()
            ));
        }
        let read =
            || Ok::<_, der::Error>((CertificateList::from_der(bytes)?, first_element(bytes)?.to_vec()));
        let (list, signed) = read().map_err(|error| format!("it is no revocation list in DER: {error}"))?;
        Ok(Self { list, signed })
    }

    fn issuer(&self) -> &Name {
        &self.list.tbs_cert_list.issuer
    }

    /// Whether the list can be relied on: signed by `ark`, of this time, and without what is not known.
    fn check(&self, ark: &Certificate, time: UnixTime) -> Result<(), String> {
        let list = &self.list.tbs_cert_list;
        let name = common_name(self.issuer());
        if list.signature != self.list.signature_algorithm
            || !ark.has_signed(&self.signed, &self.list.signature_algorithm, &self.list.signature)
        {
            return Err(format!(
                "the revocation list of {name} is not signed by the pinned {}",
                ark.subject_name()
            ));
        }
        let entries = list.revoked_certificates.iter().flatten();
        let of_entries = entries.filter_map(|entry| entry.crl_entry_extensions.as_ref());
        for extensions in list.crl_extensions.iter().chain(of_entries) {
            refuse_unknown(extensions, &[])
                .map_err(|error| format!("the revocation list of {name}: {error}"))?;
        }
        let Some(next) = list.next_update else {
            return Err(format!(
                "the revocation list of {name} does not say when the next one is due, so whether it is stale cannot be told"
            ));
        };
        if time < UnixTime(list.this_update.to_unix_duration().as_secs()) {
            return Err(format!(
                "the revocation list of {name} is of {}, and it is {time}",
                list.this_update
            ));
        }
        if time >= UnixTime(next.to_unix_duration().as_secs()) {
            return Err(format!(
                "the revocation list of {name} is stale: the next one was due at {next}, and it is {time}"
            ));
        }
        Ok(())
    }

    /// Whether the certificate with this number is revoked.
    fn revokes(&self, serial_number: &[u8]) -> bool {
        let mut entries = self.list.tbs_cert_list.revoked_certificates.iter().flatten();
        entries.any(|entry| entry.serial_number.as_bytes() == serial_number)
    }
}

/// Whether lists that were given are of this root, and none of them revokes its certificate or that of
/// `issuer`. The certificates of chips cannot be revoked so: AMD numbers all of them 0, and has newer TCBs.
///
/// # Errors
/// Why the lists prove nothing, or what is revoked.
pub(crate) fn is_not_revoked(
    issuer: &Certificate,
    root: &Root,
    given: &[&[u8]],
    time: UnixTime,
) -> Result<String, String> {
    if given.len() > MAX_LISTS {
        return Err(format!(
            "{} lists are given, and at most {MAX_LISTS} are read",
            given.len()
        ));
    }
    let ark = root.ark.subject_name();
    let mut others = Vec::new();
    let mut used = false;
    for (at, bytes) in given.iter().enumerate() {
        let list = RevocationList::read(bytes)
            .map_err(|error| format!("list {} of {}: {error}", at + 1, given.len()))?;
        if list.issuer() != root.ark.subject() {
            others.push(common_name(list.issuer()));
            continue;
        }
        list.check(&root.ark, time)?;
        let mut certificates = [issuer, &root.ark].into_iter();
        if let Some(revoked) = certificates.find(|certificate| list.revokes(certificate.serial_number())) {
            return Err(format!(
                "{ark} has revoked the certificate of {}",
                revoked.subject_name()
            ));
        }
        used = true;
    }
    match used {
        true => Ok(format!("the list of {ark} has none of the certificates")),
        false => Err(format!(
            "no list that was given is of {ark}: {}",
            others.join(", ")
        )),
    }
}
