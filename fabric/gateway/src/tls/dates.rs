//! What clients will not like about a certificate that can be served all the same: it has expired, is not
//! valid yet, or is for something else than servers. These are warnings: the clock of this machine may be
//! wrong, and a test may want just that.

use super::material::{Material, Which, certificates};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use std::time::Duration;

/// What there is to warn of, for each file that it concerns.
#[must_use]
pub fn warnings(material: &Material<'_>, now: UnixTime) -> Vec<(Which, String)> {
    let files = [
        (Which::Certificate, Some(material.certificates)),
        (Which::ClientCa, material.client_ca),
    ];
    let mut found = Vec::new();
    for (which, pem) in files {
        // What cannot be read is a fault, which is told elsewhere.
        let certificates = pem
            .and_then(|pem| certificates(which, pem).ok())
            .unwrap_or_default();
        for (at, certificate) in certificates.iter().enumerate() {
            let of = if certificates.len() > 1 {
                format!("certificate {} in it", at + 1)
            } else {
                "the certificate".to_owned()
            };
            let is_leaf = which == Which::Certificate && at == 0;
            if let Some(warning) = complaint(certificate, now, is_leaf) {
                found.push((which, format!("{of} {warning}")));
            }
        }
    }
    found
}

/// When the first certificate of a file expires; `None` where there is none.
#[must_use]
pub fn expiry(material: &Material<'_>, which: Which) -> Option<UnixTime> {
    let pem = match which {
        Which::Certificate => Some(material.certificates),
        Which::ClientCa => material.client_ca,
        Which::Key => None,
    };
    // What cannot be read is a fault, which is told elsewhere.
    let certificates = certificates(which, pem?).ok()?;
    let expiries = certificates.iter().filter_map(|certificate| {
        let after_all = UnixTime::since_unix_epoch(Duration::from_secs(YEAR_10000));
        match judge(certificate, after_all)? {
            CertificateError::ExpiredContext { not_after, .. } => Some(not_after),
            _ => None,
        }
    });
    expiries.min()
}

/// The end of the last year that a certificate can name (RFC 5280, section 4.1.2.5).
const YEAR_10000: u64 = 253_402_300_800;

/// What a client would say of a certificate whose issuer it trusts. The verifier looks at dates and purpose
/// before it looks for an issuer, so without any issuer these alone come out.
fn judge(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<CertificateError> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let nobody = RootCertStore::empty();
    let verified = verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], now, algorithms.all);
    match verified {
        Err(Error::InvalidCertificate(error)) => Some(error),
        _ => None,
    }
}

fn complaint(certificate: &CertificateDer<'_>, now: UnixTime, is_leaf: bool) -> Option<String> {
    match judge(certificate, now)? {
        CertificateError::ExpiredContext { not_after, .. } => {
            Some(format!("has expired {} ago", span(not_after, now)))
        }
        CertificateError::Expired => Some("has expired".to_owned()),
        CertificateError::NotValidYetContext { not_before, .. } => {
            Some(format!("is not valid yet, for another {}", span(now, not_before)))
        }
        CertificateError::NotValidYet => Some("is not valid yet".to_owned()),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } if is_leaf => {
            Some("is not for servers (its extended key usage)".to_owned())
        }
        _ => None,
    }
}

/// A span of time in the unit that suits it.
fn span(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn warnings_of(change: impl FnOnce(&mut CertificateParams)) -> Vec<String> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let key = key.serialize_pem();
        let material = Material {
            certificates: certificate.as_bytes(),
            key: key.as_bytes(),
            client_ca: Some(certificate.as_bytes()),
        };
        // 2026-01-01.
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));
        let warnings = warnings(&material, now);
        warnings
            .into_iter()
            .map(|(which, text)| format!("{}: {text}", which.key()))
            .collect()
    }

    #[test]
    fn the_first_certificate_of_a_file_to_expire_says_when() {
        let made = |not_after| {
            let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            params.not_after = not_after;
            let key = KeyPair::generate().unwrap();
            (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
        };
        let (late, key) = made(date_time_ymd(2040, 1, 1));
        let (soon, _) = made(date_time_ymd(2026, 1, 1));
        let (past, _) = made(date_time_ymd(1999, 1, 1));
        let seconds = |certificates: &str, client_ca: Option<&str>, which| {
            let material = Material {
                certificates: certificates.as_bytes(),
                key: key.as_bytes(),
                client_ca: client_ca.map(str::as_bytes),
            };
            expiry(&material, which).map(|at| at.as_secs())
        };
        assert_eq!(
            seconds(&(late.clone() + &soon), None, Which::Certificate),
            Some(1_767_225_600)
        );
        assert_eq!(seconds(&late, None, Which::ClientCa), None);
        assert_eq!(seconds(&late, Some(&past), Which::ClientCa), Some(915_148_800));
    }

    #[test]
    fn dates_and_purpose_are_warned_of() {
        assert_eq!(warnings_of(|_| {}), Vec::<String>::new());
        assert_eq!(
            warnings_of(|params| params.not_after = date_time_ymd(2025, 12, 22)),
            [
                "cert: the certificate has expired 10 days ago",
                "client_ca: the certificate has expired 10 days ago"
            ]
        );
        let early = warnings_of(|params| params.not_before = date_time_ymd(2026, 1, 4));
        assert_eq!(
            early[0],
            "cert: the certificate is not valid yet, for another 3 days"
        );
        let client = warnings_of(|params| {
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        });
        assert_eq!(
            client,
            ["cert: the certificate is not for servers (its extended key usage)"]
        );
    }
}
