//! Where the daemon answers operators: a port on loopback, or a path that only its owner may connect to.

use core::fmt;
use core::str::FromStr;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What stands before a path.
const PATH_PREFIX: &str = "unix:";
/// Longest path of a socket (`sun_path`, unix(7)), without the zero at its end.
const PATH_MAX_BYTES: usize = 107;

/// An address of operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// A port.
    Port(SocketAddr),
    /// A path.
    Path(PathBuf),
}

/// What is no such address, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdminAddressError {
    /// Neither a port nor a path.
    #[error(
        "neither an address with a port, such as 127.0.0.1:9464, nor a path, such as unix:/run/hacher/admin.sock"
    )]
    Neither,
    /// No path, or one that the kernel cannot name a socket by.
    #[error("a path of a socket has 1 to {PATH_MAX_BYTES} bytes")]
    PathLength,
}

impl FromStr for AdminAddress {
    type Err = AdminAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(path) = text.strip_prefix(PATH_PREFIX) else {
            return text
                .parse()
                .map(Self::Port)
                .map_err(|_| AdminAddressError::Neither);
        };
        if path.is_empty() || path.len() > PATH_MAX_BYTES || path.contains('\0') {
            return Err(AdminAddressError::PathLength);
        }
        Ok(Self::Path(path.into()))
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(address) => address.fmt(formatter),
            Self::Path(path) => write!(formatter, "{PATH_PREFIX}{}", path.display()),
        }
    }
}

impl From<SocketAddr> for AdminAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Port(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_port_or_a_path_and_is_written_as_it_is_read() {
        for text in ["127.0.0.1:9464", "[::1]:1", "unix:/run/x.sock", "unix:x"] {
            assert_eq!(text.parse::<AdminAddress>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "localhost",
            "unix:",
            "9464",
            "/run/x.sock",
            &format!("unix:{}", "x".repeat(108)),
        ] {
            assert!(text.parse::<AdminAddress>().is_err(), "{text}");
        }
    }
}
