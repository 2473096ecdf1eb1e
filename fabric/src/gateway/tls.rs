//! TLS for the listening socket: rustls with ring, certificate and key from files that the monitor passed on.

use hacher_libos_net::attachment::TlsFiles;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("the certificate file holds no usable PEM: {0}")]
    Certificate(rustls::pki_types::pem::Error),
    #[error("the key file holds no usable PEM: {0}")]
    Key(rustls::pki_types::pem::Error),
    #[error("the certificate or key file cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("certificate and key do not fit: {0}")]
    Config(#[from] rustls::Error),
}

/// A replaced gateway gets the same open file, which its predecessor has read to the end.
fn from_the_start(file: OwnedFd) -> io::Result<BufReader<File>> {
    let mut file = File::from(file);
    file.rewind()?;
    Ok(BufReader::new(file))
}

/// Makes an acceptor that offers HTTP/2 and HTTP/1.1.
pub(super) fn acceptor(files: TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let TlsFiles {
        certificates, key, ..
    } = files;
    let certificates = CertificateDer::pem_reader_iter(from_the_start(certificates)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(TlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_reader(from_the_start(key)?).map_err(TlsError::Key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
