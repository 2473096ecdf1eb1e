//! Where a key broker is.

use hyper::Uri;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// `https://HOST:PORT`, or `http://` at a loopback address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_tls: bool,
}

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("a key broker's URL begins with https:// or http://".to_owned()),
        };
        let has_more = !matches!(uri.path(), "" | "/") || uri.query().is_some();
        if has_more
            || uri
                .authority()
                .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err("only scheme, host and port of a key broker are given".to_owned());
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        if !is_tls && !is_here {
            return Err(
                "plain HTTP is spoken to a key broker on this machine alone: use https://".to_owned(),
            );
        }
        Ok(Self {
            host,
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            is_tls,
        })
    }
}

impl BrokerUrl {
    /// Host and port, as a request names them.
    pub(super) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_scheme_host_and_port_and_plain_http_stays_here() {
        let read = |text: &str| text.parse::<BrokerUrl>().map(|url| url.to_string());
        assert_eq!(
            read("https://kbs.example.org").unwrap(),
            "https://kbs.example.org:443"
        );
        assert_eq!(read("https://10.0.0.1:8080/").unwrap(), "https://10.0.0.1:8080");
        assert_eq!(read("http://[::1]:8080").unwrap(), "http://[::1]:8080");
        assert_eq!(read("http://localhost:8080").unwrap(), "http://localhost:8080");
        for wrong in [
            "",
            "kbs.example.org",
            "kbs://a",
            "http://kbs.example.org",
            "http://10.0.0.1:8080",
            "https://a/kbs",
            "https://a/?q",
            "https://user@a",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
