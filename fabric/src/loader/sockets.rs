//! Listening sockets that a service manager has opened and hands over at each start (sd_listen_fds(3)). They
//! stay open between one service and the next, so whoever connects meanwhile waits in a queue and is not
//! refused.

use crate::cli::ServeArgs;
use crate::failed::Failed;
use hacher_http::admin_address::AdminAddress;
use hacher_loader::own_gateway::Elsewhere;
use hacher_trustlet_host::calls::Call;
use hacher_trustlet_host::client::{ClientError, MonitorClient};
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::net::{SocketType, getsockname};
use std::net::{SocketAddr, TcpListener};

/// What `FileDescriptorName=` says of the shared gateway's socket, and of the one for operators.
const GATEWAY: &str = "gateway";
const ADMIN: &str = "admin";

/// Sockets that nobody has taken yet.
#[derive(Debug, Default)]
pub(super) struct Sockets(Vec<Given>);

#[derive(Debug)]
struct Given {
    name: String,
    address: SocketAddr,
    socket: TcpListener,
}

/// A socket that clients connect to.
#[derive(Debug)]
pub(super) struct Listening {
    /// The socket.
    pub(super) socket: TcpListener,
    /// Whether a service manager keeps it when this service ends.
    pub(super) outlives: bool,
}

impl Listening {
    /// One that this service has opened, and that goes with it.
    #[must_use]
    pub(super) fn ours(socket: TcpListener) -> Self {
        Self {
            socket,
            outlives: false,
        }
    }
}

impl Sockets {
    /// Those that the monitor was started with.
    ///
    /// # Errors
    /// When one is not a listening TCP socket, or the monitor does not answer.
    pub(super) fn given(monitor: &mut MonitorClient) -> Result<Self, Failed> {
        let mut given = Vec::new();
        for number in 0.. {
            let mut answer = match monitor.call(Call::TakeSocket, &[number], &[], &[]) {
                Ok(answer) => answer,
                Err(ClientError::Refused { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            let Some(socket) = answer.descriptors.pop() else {
                break;
            };
            let name = String::from_utf8_lossy(&answer.operand).into_owned();
            let is_listener =
                socket_type(&socket) == Ok(SocketType::STREAM) && socket_acceptconn(&socket) == Ok(true);
            let address = getsockname(&socket)
                .ok()
                .and_then(|address| SocketAddr::try_from(address).ok());
            let Some(address) = address.filter(|_| is_listener) else {
                return Err(Failed::new(format!(
                    "socket `{name}` of the service manager is not a listening TCP socket (`ListenStream=` with an address and a port)"
                )));
            };
            given.push(Given {
                name,
                address,
                socket: socket.into(),
            });
        }
        Ok(Self(given))
    }

    /// Where a service with these arguments listens besides what chain files say.
    #[must_use]
    pub(super) fn elsewhere(&self, arguments: &ServeArgs) -> Elsewhere {
        let mut admin = arguments.admin.clone();
        let port = admin.iter_mut().find_map(|address| match address {
            AdminAddress::Port(port) => Some(port),
            AdminAddress::Path(_) => None,
        });
        if let (Some(port), Some(given)) = (port, self.address_of(ADMIN)) {
            *port = given;
        }
        Elsewhere {
            shared: self.address_of(GATEWAY).unwrap_or(arguments.shared_listen()),
            admin,
        }
    }

    fn address_of(&self, name: &str) -> Option<SocketAddr> {
        let found = self.0.iter().find(|given| given.name == name);
        found.map(|given| given.address)
    }

    /// The socket of the gateway of a chain's own: named like the chain, or bound to where it wants to
    /// listen. A chain that is called `gateway` or `admin` gets it by address alone: the socket of that
    /// name is another's.
    pub(super) fn of_chain(&mut self, chain: &str, wanted: SocketAddr) -> Option<TcpListener> {
        self.take((!is_reserved(chain)).then_some(chain), wanted)
    }

    /// The shared gateway's, named `gateway`.
    pub(super) fn of_gateway(&mut self, wanted: SocketAddr) -> Option<TcpListener> {
        self.take(Some(GATEWAY), wanted)
    }

    /// The one on which operators are answered, named `admin`.
    pub(super) fn of_operators(&mut self, wanted: SocketAddr) -> Option<TcpListener> {
        self.take(Some(ADMIN), wanted)
    }

    fn take(&mut self, name: Option<&str>, wanted: SocketAddr) -> Option<TcpListener> {
        let named = self.0.iter().position(|given| Some(given.name.as_str()) == name);
        let at = named.or_else(|| {
            let is_meant = |given: &Given| given.address == wanted && !is_reserved(&given.name);
            self.0.iter().position(is_meant)
        })?;
        Some(self.0.remove(at).socket)
    }

    /// Refuses sockets that nobody wants: their clients would wait for ever.
    ///
    /// # Errors
    /// Names them.
    pub(super) fn none_is_left(&self) -> Result<(), Failed> {
        let left: Vec<_> = self
            .0
            .iter()
            .map(|given| format!("`{}` at {}", given.name, given.address))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(Failed::new(format!(
            "a socket that the service manager has opened is not used: {}; `FileDescriptorName=` is `{GATEWAY}`, `{ADMIN}` or the name \
             of a chain with `listen` of its own, or the address is that of `--listen`, `--admin` or `listen`",
            left.join(", ")
        )))
    }
}

/// Whether the name says by itself whose it is.
fn is_reserved(name: &str) -> bool {
    [GATEWAY, ADMIN].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(names: &[&str]) -> (Sockets, Vec<SocketAddr>) {
        let given: Vec<_> = names
            .iter()
            .map(|name| {
                let socket = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = socket.local_addr().unwrap();
                Given {
                    name: (*name).to_owned(),
                    address,
                    socket,
                }
            })
            .collect();
        let addresses = given.iter().map(|given| given.address).collect();
        (Sockets(given), addresses)
    }

    fn taken(socket: Option<TcpListener>) -> Option<SocketAddr> {
        socket.map(|socket| socket.local_addr().unwrap())
    }

    #[test]
    fn a_socket_belongs_to_whom_its_name_says() {
        let (mut sockets, addresses) = sockets(&["admin", "orders", "gateway"]);
        let elsewhere = "127.0.0.1:1".parse().unwrap();
        assert_eq!(taken(sockets.of_gateway(elsewhere)), Some(addresses[2]));
        for chain in ["other", "gateway", "admin"] {
            assert_eq!(taken(sockets.of_chain(chain, elsewhere)), None, "chain `{chain}`");
        }
        assert_eq!(taken(sockets.of_chain("orders", elsewhere)), Some(addresses[1]));
        assert_eq!(taken(sockets.of_operators(elsewhere)), Some(addresses[0]));
        assert!(sockets.none_is_left().is_ok());
    }

    #[test]
    fn without_a_name_of_ours_it_belongs_to_whom_its_address_says() {
        let (mut sockets, addresses) = sockets(&["fabric.socket", "unknown", "admin"]);
        assert_eq!(
            taken(sockets.of_gateway(addresses[2])),
            None,
            "it is for operators"
        );
        assert_eq!(taken(sockets.of_gateway(addresses[1])), Some(addresses[1]));
        assert_eq!(taken(sockets.of_chain("a", addresses[0])), Some(addresses[0]));
        let left = format!("{:?}", sockets.none_is_left().unwrap_err());
        assert!(left.contains("`admin` at 127.0.0.1:"), "{left}");
    }
}
