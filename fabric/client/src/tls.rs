//! Whose certificates are taken, and what a connection over TLS is told from others by.

use hacher_evidence::session::{ChannelBinding, EXPORTER_BYTES, EXPORTER_LABEL};
use hacher_verifier::tls_key;
use ring::digest::{SHA256, digest};
use std::sync::Arc;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring::default_provider};
use tokio_rustls::rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ProtocolVersion, RootCertStore,
    SignatureScheme,
};

/// Whose certificates are taken from a gateway.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Any whose key the gateway has. Whoever is on the way can have one: it is for evidence, which is public
    /// and proves nothing before it is verified, and for what is sealed or bound by verified evidence.
    AnyCertificate,
    /// Those that one of these authorities has signed (PEM), for the host of the URL.
    Authorities(Vec<u8>),
}

/// What a client shows of itself where it is asked for it: a certificate chain and its key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// Its own certificate first.
    pub certificates: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Identity")
    }
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// As TLS has it.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] Error),
    /// A file holds something else.
    #[error("the {what} cannot be used: {reason}")]
    File {
        /// Which.
        what: &'static str,
        /// Why not.
        reason: String,
    },
}

/// What a client knows of its end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met {
    /// What tells the connection from all others; nothing before TLS 1.3, or if the exporter fails.
    pub binding: Option<ChannelBinding>,
    /// SHA-256 of the SubjectPublicKeyInfo of the certificate that the gateway presented.
    pub key: [u8; 32],
}

impl Met {
    /// What is known after a handshake; `None` if no certificate that can be read was presented.
    pub(crate) fn of(connection: &ClientConnection) -> Option<Self> {
        let leaf = connection.peer_certificates()?.first()?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, leaf).as_ref());
        let is_1_3 = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let exporter =
            is_1_3.then(|| connection.export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, Some(&[])));
        Some(Self {
            binding: exporter
                .and_then(Result::ok)
                .map(|exporter| ChannelBinding { exporter, leaf: hash }),
            key: tls_key(leaf).ok()?,
        })
    }
}

/// The configuration of a client.
pub(crate) fn configuration(
    trust: &Trust,
    identity: Option<&Identity>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match trust {
        Trust::AnyCertificate => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
        Trust::Authorities(pem) => builder.with_root_certificates(roots(pem)?),
    };
    let mut configuration = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificates, key }) => {
            let own = all_certificates("client certificate", certificates)?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::File {
                what: "client key",
                reason: error.to_string(),
            })?;
            builder.with_client_auth_cert(own, key)?
        }
    };
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(configuration))
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in all_certificates("file of authorities", pem)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn all_certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let fault = |reason: String| TlsError::File { what, reason };
    let found = found.map_err(|error| fault(error.to_string()))?;
    if found.is_empty() {
        return Err(fault("there is no certificate in PEM in it".to_owned()));
    }
    Ok(found)
}

/// Takes any certificate whose key the server has.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
