//! Where the daemon's traces go. The daemon is jailed without a network, so the monitor makes each connection
//! for it, and to this one address.

use hacher_libos_net::attach::Tracing;
use rustix::io::{self, Errno};
use rustix::net::{SocketFlags, SocketType, connect, ipproto, socket_with};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Which requests are traced, and who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    /// Which requests.
    pub tracing: Tracing,
}

/// Words of one.
const WORDS: usize = 3;

impl Collector {
    /// A connection to it that is being made.
    pub(super) fn reach(&self) -> io::Result<OwnedFd> {
        let family = match self.address {
            SocketAddr::V4(_) => rustix::net::AddressFamily::INET,
            SocketAddr::V6(_) => rustix::net::AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        match connect(&socket, &self.address) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
            Err(errno) => Err(errno),
        }
    }

    /// The words for one, or for none.
    pub(super) fn words(collector: Option<&Self>) -> Vec<OsString> {
        let words = collector.map(|collector| {
            let Tracing {
                parent_based,
                threshold,
                ..
            } = collector.tracing;
            [
                collector.address.to_string(),
                parent_based.to_string(),
                threshold.to_string(),
            ]
        });
        words.into_iter().flatten().map(OsString::from).collect()
    }

    /// What such words say; `None` if they are none.
    pub(super) fn from_words(words: &[OsString]) -> Option<Option<Self>> {
        if words.is_empty() {
            return Some(None);
        }
        let words: &[OsString; WORDS] = words.try_into().ok()?;
        let [address, parent_based, threshold] = words.each_ref().map(|word| word.to_str());
        Some(Some(Self {
            address: address?.parse().ok()?,
            tracing: Tracing {
                parent_based: parent_based?.parse().ok()?,
                reserved: 0,
                threshold: threshold?.parse().ok()?,
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_goes_to_the_collector_and_does_not_wait_for_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = Collector {
            address: listener.local_addr().unwrap(),
            tracing: Tracing {
                parent_based: 1,
                reserved: 0,
                threshold: 7,
            },
        };
        let mut ours = TcpStream::from(collector.reach().unwrap());
        let (mut theirs, _) = listener.accept().unwrap();
        ours.write_all(b"x").unwrap();
        let mut got = [0];
        theirs.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"x");
        drop((listener, theirs));
        // Nobody listens there now: that is known at once, or when it is written to.
        if let Ok(socket) = collector.reach() {
            let mut socket = TcpStream::from(socket);
            assert!(socket.write_all(b"x").is_err());
        }
    }
}
