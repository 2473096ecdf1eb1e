//! Where a key broker is.

use hacher_client::url::{NotAnOrigin, Origin};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// `https://HOST:PORT`, or `http://` at a loopback address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl(pub(super) Origin);

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let origin = Origin::read(text).map_err(|fault| match fault {
            NotAnOrigin::Form(reason) => reason,
            NotAnOrigin::Scheme => "a key broker's URL begins with https:// or http://".to_owned(),
            NotAnOrigin::More => "give only scheme, host and port of the key broker".to_owned(),
        })?;
        let host = &origin.host;
        let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        if !origin.is_tls && !is_here {
            return Err("plain HTTP is for a key broker on this machine only: use https://".to_owned());
        }
        Ok(Self(origin))
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
