//! What the ends of a TLS connection need, made for one run.

use super::fault::Fault;
use hacher_fabric::failed::Failed;
use rcgen::{CertifiedKey, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const NAME: &str = "localhost";

/// A certificate that is its own authority, and its key. Processes get it on their standard input.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Credentials {
    certificate: Vec<u8>,
    key: Vec<u8>,
    /// Whether clients show it too.
    mutual: bool,
}

impl Credentials {
    pub(super) fn new(mutual: bool) -> Result<Self, rcgen::Error> {
        Ok(Self::of(&made()?, mutual))
    }

    /// As a server of another program reads them, in PEM; clients are not known to it.
    pub(crate) fn written(certificate: &Path, key: &Path) -> Result<Self, Failed> {
        let made = made()?;
        fs::write(certificate, made.cert.pem())?;
        fs::write(key, made.signing_key.serialize_pem())?;
        Ok(Self::of(&made, false))
    }

    fn of(made: &CertifiedKey<KeyPair>, mutual: bool) -> Self {
        Self {
            certificate: made.cert.der().to_vec(),
            key: made.signing_key.serialize_der(),
            mutual,
        }
    }

    /// What a client has that knows the server, and is not known to it.
    #[cfg(test)]
    pub(super) fn without_client_certificate(mut self) -> Self {
        self.mutual = false;
        self
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from(self.certificate.clone())
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    fn roots(&self) -> Result<RootCertStore, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate())?;
        Ok(roots)
    }

    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, Fault> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let builder = if self.mutual {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(self.roots()?.into(), provider()).build()?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(vec![self.certificate()], self.key())?;
        config.send_tls13_tickets = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    pub(crate) fn connector(&self) -> Result<TlsConnector, Fault> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(self.roots()?);
        let mut config = if self.mutual {
            builder.with_client_auth_cert(vec![self.certificate()], self.key())?
        } else {
            builder.with_no_client_auth()
        };
        config.resumption = rustls::client::Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn made() -> Result<CertifiedKey<KeyPair>, rcgen::Error> {
    rcgen::generate_simple_self_signed([NAME.to_owned()])
}

/// Its first choice is AES-256-GCM, and X25519.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The name in the certificate.
pub(super) fn name() -> Result<ServerName<'static>, Fault> {
    Ok(ServerName::try_from(NAME)?)
}
