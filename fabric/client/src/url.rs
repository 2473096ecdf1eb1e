//! Where a gateway is reached: by a URL, with TLS or without.

use crate::http::{Connection, HttpError};
use crate::tls::{Identity, Met, TlsError, Trust, configuration};
use hyper::Uri;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// How long a name, a connection and TLS may take together.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);

/// Scheme, host and port of a server: all of a URL that is used here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The host, without the brackets of an IPv6 address.
    pub host: String,
    /// The port; that of the scheme if the URL has none.
    pub port: u16,
    /// Whether the scheme is https, and not http.
    pub is_tls: bool,
}

/// Why a text is no [`Origin`]. The caller words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAnOrigin {
    /// It is no URL.
    Form(String),
    /// It is one of another scheme.
    Scheme,
    /// It has a user, a path or a query.
    More,
}

impl Origin {
    /// Reads `https://HOST:PORT` or `http://HOST:PORT`.
    ///
    /// # Errors
    /// [`NotAnOrigin`].
    pub fn read(text: &str) -> Result<Self, NotAnOrigin> {
        let uri: Uri = text
            .parse()
            .map_err(|error| NotAnOrigin::Form(format!("not a URL: {error}")))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(NotAnOrigin::Scheme),
        };
        let has_user = uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'));
        if has_user || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(NotAnOrigin::More);
        }
        Ok(Self {
            host: uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            is_tls,
        })
    }

    /// Host and port, as requests name them.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

/// Where a gateway is reached from outside: `http://HOST:PORT` or `https://HOST:PORT`.
#[derive(Debug, Clone)]
pub struct GatewayUrl(Origin);

impl FromStr for GatewayUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Origin::read(text).map(Self).map_err(|fault| match fault {
            NotAnOrigin::Form(reason) => reason,
            NotAnOrigin::Scheme => "the URL begins with http:// or https://".to_owned(),
            NotAnOrigin::More => "give only scheme, host and port of the gateway".to_owned(),
        })
    }
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl GatewayUrl {
    /// Whether it is reached over TLS.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.0.is_tls
    }

    /// Whether it is this machine: an address of loopback, or `localhost`.
    #[must_use]
    pub fn is_here(&self) -> bool {
        let address = self.0.host.parse::<IpAddr>();
        address.map_or(self.0.host.eq_ignore_ascii_case("localhost"), |address| {
            address.is_loopback()
        })
    }

    /// Connects, within 15 s; on the connection nothing may move for `idle_max`. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// When the name is not known or nobody answers, as [`HttpError`] or as what the system says.
    pub async fn connect(
        &self,
        trust: &Trust,
        identity: Option<&Identity>,
        idle_max: Duration,
    ) -> Result<Connection, UrlError> {
        let connected = timeout(CONNECT_PATIENCE, self.connect_at_last(trust, identity, idle_max)).await;
        connected.unwrap_or_else(|_| {
            Err(UrlError::Late {
                url: self.to_string(),
            })
        })
    }

    async fn connect_at_last(
        &self,
        trust: &Trust,
        identity: Option<&Identity>,
        idle_max: Duration,
    ) -> Result<Connection, UrlError> {
        let fault = |source| UrlError::Os {
            url: self.to_string(),
            source,
        };
        let addresses = lookup_host((self.0.host.as_str(), self.0.port))
            .await
            .map_err(fault)?;
        let stream = first_that_answers(addresses).await.map_err(fault)?;
        // Without it the kernel holds small requests back.
        stream.set_nodelay(true).map_err(fault)?;
        let address = stream.peer_addr().map_err(fault)?;
        if !self.0.is_tls {
            let connection = Connection::over_stream(stream, address, self.0.authority(), None, idle_max);
            return Ok(connection.await?);
        }
        let configuration = configuration(trust, identity)?;
        let name = ServerName::try_from(self.0.host.clone())
            .map_err(|_| fault(io::Error::other("the host is no name for TLS")))?;
        let stream = TlsConnector::from(configuration)
            .connect(name, stream)
            .await
            .map_err(fault)?;
        let met = Met::of(stream.get_ref().1);
        Ok(Connection::over_stream(stream, address, self.0.authority(), met, idle_max).await?)
    }
}

/// A name may stand for several addresses, of which a service has some.
async fn first_that_answers(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut refused = io::ErrorKind::NotFound.into();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Plain HTTP at an address.
impl From<SocketAddr> for GatewayUrl {
    fn from(address: SocketAddr) -> Self {
        Self(Origin {
            host: address.ip().to_string(),
            port: address.port(),
            is_tls: false,
        })
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
    /// There was no connection in time.
    #[error("no connection to {url} within {CONNECT_PATIENCE:?}")]
    Late {
        /// Where.
        url: String,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The connection failed.
    #[error(transparent)]
    Http(#[from] HttpError),
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
        assert_eq!("https://[::1]:1".parse::<GatewayUrl>().unwrap().0.host, "::1");
        for wrong in [
            "",
            "example.org",
            "ftp://example.org",
            "https://a/b",
            "https://a/?q",
            "https://user@a",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
