//! What goes wrong between two processes of a baseline.

use hyper::StatusCode;

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("a baseline's connection failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("a baseline's TLS failed: {0}")]
    Tls(#[from] rustls::Error),
    #[error("a baseline's clients cannot be verified: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error("a baseline's certificate has no name: {0}")]
    Name(#[from] rustls::pki_types::InvalidDnsNameError),
    #[error("a baseline's HTTP failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("a baseline's request is none: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("a baseline answered {status}, with {len_bytes} bytes")]
    Reply { status: StatusCode, len_bytes: usize },
    #[error("a baseline was asked for more hops than it has processes")]
    TooFar,
}
