//! The contents of the files that TLS needs: read as PEM, checked against each other, made into a
//! configuration. What is wrong is said in words that name the file and never repeat what it holds.

use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore, ServerConfig};
use std::sync::Arc;

/// One of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    /// The certificate chain.
    Certificate,
    /// The private key.
    Key,
    /// The certificates of those who sign clients' certificates.
    ClientCa,
}

impl Which {
    /// In the order in which monitor and gateway have them.
    pub const ALL: [Self; 3] = [Self::Certificate, Self::Key, Self::ClientCa];

    /// What it holds, in words.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::ClientCa => "client CA",
        }
    }

    /// Its key in the `tls` table of a chain file.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Certificate => "cert",
            Self::Key => "key",
            Self::ClientCa => "client_ca",
        }
    }
}

/// What is wrong with one of the files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {} file cannot be used: {reason}", .which.noun())]
pub struct Fault {
    /// Which.
    pub which: Which,
    /// Why, to be read after "it cannot be used:".
    pub reason: String,
}

impl Fault {
    fn new(which: Which, reason: impl Into<String>) -> Self {
        Self {
            which,
            reason: reason.into(),
        }
    }
}

/// The contents of the files.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    /// The certificate chain, the gateway's own certificate first.
    pub certificates: &'a [u8],
    /// Its private key.
    pub key: &'a [u8],
    /// Who signs clients' certificates; `None` where clients need none.
    pub client_ca: Option<&'a [u8]>,
}

impl Material<'_> {
    /// What rustls serves with: HTTP/2 and HTTP/1.1, and clients' certificates where an authority for them is
    /// given.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn configuration(&self) -> Result<Arc<ServerConfig>, Fault> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificates = certificates(Which::Certificate, self.certificates)?;
        let key = private_key(self.key)?;
        let certified = certified(certificates, key, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Fault::new(Which::Certificate, error.to_string()))?;
        let builder = match self.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let roots = Arc::new(roots(pem)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| Fault::new(Which::ClientCa, error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let resolver = rustls::sign::SingleCertAndKey::from(certified);
        let mut configuration = builder.with_cert_resolver(Arc::new(resolver));
        configuration.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(configuration))
    }
}

impl Material<'_> {
    /// SHA-256 of the SubjectPublicKeyInfo of the gateway's own certificate, as it stands there, and of the
    /// certificate itself.
    pub(super) fn hashes(&self) -> Result<[[u8; 32]; 2], Fault> {
        let certificates = certificates(Which::Certificate, self.certificates)?;
        let unreadable = || Fault::new(Which::Certificate, "its public key cannot be read");
        let own = certificates.first().ok_or_else(unreadable)?;
        let parsed = ParsedCertificate::try_from(own).map_err(|_| unreadable())?;
        Ok(
            [parsed.subject_public_key_info().as_ref(), own.as_ref()].map(|bytes| {
                let mut hash = [0; 32];
                hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
                hash
            }),
        )
    }
}

/// The certificates of a file, at least one, each of which can be read.
pub(super) fn certificates(which: Which, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Fault::new(which, pem_fault(&error)))?;
    if found.is_empty() {
        return Err(Fault::new(which, instead_of("certificate", pem)));
    }
    for (at, certificate) in found.iter().enumerate() {
        match ParsedCertificate::try_from(certificate) {
            Ok(_) => {}
            // Old roots are of a version that only the last of a chain, which clients do not need, may have.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if at > 0 => {}
            Err(error) => {
                let reason = format!("certificate {} in it cannot be read: {error}", at + 1);
                return Err(Fault::new(which, reason));
            }
        }
    }
    Ok(found)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    let fault = |reason: String| Fault::new(Which::Key, reason);
    if is_encrypted(pem) {
        return Err(fault(
            "the key is encrypted with a passphrase; write it without one, as `openssl pkey -in FILE -out NEW` does"
                .to_owned(),
        ));
    }
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(fault(instead_of("private key", pem))),
        Err(error) => Err(fault(pem_fault(&error))),
    }
}

/// The pair, if it is one.
fn certified(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &rustls::crypto::CryptoProvider,
) -> Result<CertifiedKey, Fault> {
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        let reason = "the key is of a kind that cannot be used; RSA with 2048 bits or more, ECDSA over P-256 or P-384, and \
                      Ed25519 can";
        Fault::new(Which::Key, reason)
    })?;
    let mismatch = Error::InconsistentKeys(InconsistentKeys::KeyMismatch);
    let certified = CertifiedKey::new(certificates, key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(error) if error == mismatch => {
            let later = certified.cert.iter().enumerate().skip(1);
            let fits = later.map(|(at, certificate)| {
                let alone = CertifiedKey::new(vec![certificate.clone()], Arc::clone(&certified.key));
                (at, alone.keys_match().is_ok())
            });
            let reason = match fits.into_iter().find(|(_, fits)| *fits) {
                Some((at, _)) => format!(
                    "the key belongs to certificate {} of the certificate file; the gateway's own has to stand first there",
                    at + 1
                ),
                None => "the key does not belong to the certificate".to_owned(),
            };
            Err(Fault::new(Which::Key, reason))
        }
        Err(error) => Err(Fault::new(Which::Certificate, error.to_string())),
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in certificates(Which::ClientCa, pem)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            let reason = format!("certificate {} in it is no authority's: {error}", at + 1);
            Fault::new(Which::ClientCa, reason)
        })?;
    }
    Ok(roots)
}

/// PKCS #8 in its encrypted form, or the older way of OpenSSL (RFC 1421).
fn is_encrypted(pem: &[u8]) -> bool {
    labels(pem).any(|label| label == "ENCRYPTED PRIVATE KEY")
        || String::from_utf8_lossy(pem)
            .lines()
            .any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
}

/// What a file without what is wanted holds instead. Only labels are repeated, and only known ones.
fn instead_of(wanted: &str, pem: &[u8]) -> String {
    const KNOWN: [&str; 9] = [
        "CERTIFICATE",
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "DSA PRIVATE KEY",
        "PUBLIC KEY",
        "EC PARAMETERS",
        "CERTIFICATE REQUEST",
        "OPENSSH PRIVATE KEY",
    ];
    if pem.iter().all(u8::is_ascii_whitespace) {
        return "it is empty".to_owned();
    }
    let found = labels(pem).find_map(|label| KNOWN.into_iter().find(|known| *known == label));
    match found {
        Some(found) => format!("there is no {wanted} in it, but a section `{found}`"),
        // The tag of a sequence, which every certificate and key begins with.
        None if pem.first() == Some(&0x30) => {
            format!("there is no {wanted} in PEM in it; it looks like DER, which `openssl` converts")
        }
        None => format!("there is no {wanted} in PEM in it"),
    }
}

/// The labels of the sections of a PEM file (RFC 7468).
fn labels(pem: &[u8]) -> impl Iterator<Item = &str> {
    pem.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = core::str::from_utf8(line).ok()?.trim_end();
        line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")
    })
}

/// What is wrong with PEM, without the line that it is wrong in.
fn pem_fault(error: &pem::Error) -> String {
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no line that ends it",
        pem::Error::IllegalSectionStart { .. } => "the first line of a section is malformed",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be read as PEM",
    };
    format!("it is not well-formed PEM: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn reason(certificates: &str, key: &str) -> (Which, String) {
        let material = Material {
            certificates: certificates.as_bytes(),
            key: key.as_bytes(),
            client_ca: None,
        };
        let fault = material.configuration().unwrap_err();
        (fault.which, fault.reason)
    }

    #[test]
    fn a_good_pair_is_taken() {
        let (certificate, key) = pair();
        for client_ca in [None, Some(certificate.as_bytes())] {
            let material = Material {
                certificates: certificate.as_bytes(),
                key: key.as_bytes(),
                client_ca,
            };
            let configuration = material.configuration().unwrap();
            assert_eq!(configuration.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
        }
    }

    #[test]
    fn each_fault_names_its_file_and_its_reason() {
        let (certificate, key) = pair();
        let (other, other_key) = pair();
        let mut broken = certificate.replace("-----END", "-----ENDE");
        let cases = [
            (reason(&certificate, &other_key), Which::Key, "does not belong"),
            (reason(&(other + &certificate), &key), Which::Key, "certificate 2"),
            (reason("", &key), Which::Certificate, "empty"),
            (reason(&certificate, " \n"), Which::Key, "empty"),
            (reason(&key, &certificate), Which::Certificate, "`PRIVATE KEY`"),
            (reason(&certificate, &certificate), Which::Key, "`CERTIFICATE`"),
            (reason("hello", &key), Which::Certificate, "no certificate in PEM"),
            (reason("0\u{3}x", &key), Which::Certificate, "DER"),
            (reason(&broken, &key), Which::Certificate, "no line that ends it"),
        ];
        for ((which, reason), expected, word) in cases {
            assert_eq!(which, expected, "{reason}");
            assert!(reason.contains(word), "{reason} has no `{word}`");
        }
        broken = "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n".to_owned();
        assert!(reason(&broken, &key).1.contains("not base64"));
        broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
        assert!(
            reason(&broken, &key)
                .1
                .contains("certificate 1 in it cannot be read")
        );
    }

    #[test]
    fn a_key_that_cannot_be_used_says_why() {
        let (certificate, _) = pair();
        let section =
            |label: &str, lines: &str| format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n");
        let encrypted = [
            section("ENCRYPTED PRIVATE KEY", "AAAA"),
            section(
                "RSA PRIVATE KEY",
                "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA",
            ),
        ];
        for key in encrypted {
            assert!(reason(&certificate, &key).1.contains("passphrase"));
        }
        assert!(
            reason(&certificate, &section("PRIVATE KEY", "AAAA"))
                .1
                .contains("of a kind")
        );
        assert!(
            reason(&certificate, &section("PUBLIC KEY", "AAAA"))
                .1
                .contains("`PUBLIC KEY`")
        );
        let secret = "SECRETSECRETSECRET";
        for key in [secret.to_owned(), section("PRIVATE KEY", &format!("{secret}!"))] {
            assert!(
                !reason(&certificate, &key).1.contains("SECRET"),
                "content is not repeated"
            );
        }
    }

    #[test]
    fn an_authority_that_cannot_be_used_is_named() {
        let (certificate, key) = pair();
        for (pem, word) in [("", "empty"), (key.as_str(), "`PRIVATE KEY`")] {
            let material = Material {
                certificates: certificate.as_bytes(),
                key: key.as_bytes(),
                client_ca: Some(pem.as_bytes()),
            };
            let fault = material.configuration().unwrap_err();
            assert_eq!(fault.which, Which::ClientCa);
            assert!(fault.reason.contains(word), "{fault}");
        }
    }

    #[test]
    fn a_chain_with_its_issuer_is_taken() {
        let issuer_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, issuer_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let chain = leaf.pem() + &issuer.pem();
        let material = Material {
            certificates: chain.as_bytes(),
            key: key.serialize_pem().as_bytes(),
            client_ca: Some(issuer.pem().as_bytes()),
        }
        .configuration();
        assert!(material.is_ok());
    }
}
