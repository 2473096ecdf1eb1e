//! What there is to compare with.

use crate::subject::{Identity, Place};

/// A kind of transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A stream socket between neighbours; requests and replies with a fixed header, blocking calls.
    UnixSocket,
    /// HTTP/1.1 over TCP on loopback, connections kept.
    Http,
    /// HTTP/1.1 over TLS 1.3, connections kept.
    Https,
    /// As [`Kind::Https`], and clients show a certificate as well.
    HttpsMtls,
    /// As [`Kind::Https`], with a new connection and a full handshake for every call.
    HttpsNew,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 5] = [
        Self::UnixSocket,
        Self::Http,
        Self::Https,
        Self::HttpsMtls,
        Self::HttpsNew,
    ];

    /// What reports call it when it is placed like this.
    #[must_use]
    pub const fn identity(self, placement: Place) -> Identity {
        let (transport, protection) = match self {
            Self::UnixSocket => ("unix-socket", "none"),
            Self::Http => ("http", "none"),
            Self::Https => ("https", "tls1.3"),
            Self::HttpsMtls => ("https-mtls", "mtls"),
            Self::HttpsNew => ("https-new", "tls1.3"),
        };
        Identity {
            transport,
            protection,
            placement,
            touched: true,
        }
    }
}
