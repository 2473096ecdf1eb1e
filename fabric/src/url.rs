//! Connections to a gateway that is named by a URL, with TLS or without.
//!
//! Whatever certificate the gateway shows is taken: what is asked over such a connection is evidence, which is
//! public, names the key of the right certificate, and proves nothing before it is verified. For anything
//! else this would be wrong.

use crate::http::{Connection, HttpError};
use hyper::Uri;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// Where a gateway is reached from outside: `http://HOST:PORT` or `https://HOST:PORT`.
#[derive(Debug, Clone)]
pub struct GatewayUrl {
    host: String,
    port: u16,
    is_tls: bool,
}

impl FromStr for GatewayUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("a URL here begins with http:// or https://".to_owned()),
        };
        let host = uri.host().unwrap_or_default();
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err("only scheme, host and port of the gateway are given".to_owned());
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            is_tls,
        })
    }
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl GatewayUrl {
    /// Connects. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the name is not known or nobody answers, as [`HttpError`] or as what the system says.
    pub async fn connect(&self) -> Result<Connection, UrlError> {
        let fault = |source| UrlError::Os {
            url: self.to_string(),
            source,
        };
        let mut addresses = lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(fault)?;
        let address = addresses
            .next()
            .ok_or_else(|| fault(io::ErrorKind::NotFound.into()))?;
        if !self.is_tls {
            return Ok(Connection::open(address).await?);
        }
        let stream = TcpStream::connect(address).await.map_err(fault)?;
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| fault(io::Error::other("the host is no name for TLS")))?;
        let stream = TlsConnector::from(configuration()?)
            .connect(name, stream)
            .await
            .map_err(fault)?;
        Ok(Connection::over(stream, address.into()).await?)
    }
}

/// A gateway that cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The system, or TLS, says why.
    #[error("cannot connect to {url}: {source}")]
    Os {
        /// Where.
        url: String,
        /// Why not.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] Error),
    /// The connection failed.
    #[error(transparent)]
    Http(#[from] HttpError),
}

fn configuration() -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut configuration = builder.with_no_client_auth();
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(configuration))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_scheme_host_and_port() {
        let read = |text: &str| text.parse::<GatewayUrl>().map(|url| url.to_string());
        assert_eq!(read("https://example.org").unwrap(), "https://example.org:443");
        assert_eq!(read("http://example.org/").unwrap(), "http://example.org:80");
        assert_eq!(read("https://127.0.0.1:8443").unwrap(), "https://127.0.0.1:8443");
        assert_eq!("https://[::1]:1".parse::<GatewayUrl>().unwrap().host, "::1");
        for wrong in [
            "",
            "example.org",
            "ftp://example.org",
            "https://a/b",
            "https://a/?q",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
