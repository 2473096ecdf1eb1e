//! Who a client is, as far as limits tell one from another: where it connects from.

use std::net::{IpAddr, Ipv6Addr};

/// How much of an IPv6 address names a network: whoever has one address there has all of them.
const NETWORK_MASK: u128 = u128::MAX << 64;

/// A client, or all that share an address: those behind one proxy, or in one network of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Client(IpAddr);

impl Client {
    pub(super) fn at(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK_MASK)),
            address @ IpAddr::V4(_) => address,
        })
    }
}

#[cfg(test)]
impl Client {
    /// One on this machine.
    pub(super) const HERE: Self = Self(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let at = |text: &str| Client::at(text.parse().unwrap());
        assert_eq!(at("2001:db8:0:1::1"), at("2001:db8:0:1:ffff::2"));
        assert_ne!(at("2001:db8:0:1::1"), at("2001:db8:0:2::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }
}
