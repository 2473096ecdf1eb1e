//! What people chain functions with today: a process for each, connected by a socket, HTTP or HTTPS.
//!
//! ```text
//! caller --payload--> process 1 --payload--> process 2 --payload--> ... process N
//!        <--receipt--           <--receipt--           <--receipt--
//! ```
//!
//! Each process reads the whole payload, makes its checksum, hands the payload on, and answers with a receipt
//! of 8 bytes when its successor has answered. A request and its receipt are one hop. One chain of processes
//! serves every shorter one, as each request says how many hops are left.
//!
//! Choices are made in favour of what is measured. Every process is one thread and never more, so that
//! nothing is handed over within it; the payload is passed on as it was received, without a copy or any other
//! encoding than the transport's; connections are kept unless the kind says otherwise; HTTP carries the two
//! headers that it must and one for the hops; TLS agrees on AES-256-GCM as the fabric does, with a
//! certificate of an elliptic curve (P-256) that is its own authority, and without session tickets; sockets
//! do not wait for more (`TCP_NODELAY`).

mod call;
mod http;
pub(super) mod server;
mod tls;
pub(super) mod unix;

use super::peer::this_program;
use super::subject::{Cores, Identity, Place, Subject, checksum};
use hacher_fabric::failed::Failed;
use std::path::Path;

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

/// Starts `hops_max` processes, so that chains of up to this many hops can be measured.
///
/// They live as long as the subject, and no longer than the thread that calls this.
///
/// # Errors
/// When they cannot be started, or cannot be placed like this on this machine.
pub fn start(kind: Kind, place: Place, cores: Cores, hops_max: u32) -> Result<Box<dyn Subject>, Failed> {
    start_with(&this_program(), kind, place, cores, hops_max)
}

/// As [`start`], for a caller that is another program than `hacher-bench`, whose executable it names.
///
/// # Errors
/// As [`start`].
pub fn start_with(
    program: &Path,
    kind: Kind,
    place: Place,
    cores: Cores,
    hops_max: u32,
) -> Result<Box<dyn Subject>, Failed> {
    let seats = (0..=hops_max)
        .map(|position| cores.seat(place, position))
        .collect::<Result<Vec<_>, _>>()?;
    let identity = kind.identity(place);
    Ok(if kind == Kind::UnixSocket {
        Box::new(unix::Chain::start(program, identity, &seats)?)
    } else {
        Box::new(http::Chain::start(program, kind, identity, &seats)?)
    })
}

/// What a process says of a payload that it has read. The receipts of all hops are added up, so that the
/// caller sees whether each of them has read all of it.
fn receipt(payload: &[u8]) -> u64 {
    checksum(payload).wrapping_add(1)
}

/// What the receipts of `hops` hops add up to.
fn receipts(payload: &[u8], hops: u32) -> u64 {
    receipt(payload).wrapping_mul(u64::from(hops))
}

/// Whether a chain of this many hops can be measured.
fn check_hops(hops: u32, processes: usize) -> Result<(), Failed> {
    if hops == 0 || usize::try_from(hops).is_ok_and(|hops| hops > processes) {
        return Err(Failed::new(format!(
            "a chain of {processes} processes cannot have {hops} hops"
        )));
    }
    Ok(())
}

/// A reply that is not what it must be.
fn wrong_receipt() -> Failed {
    Failed::new("a baseline has not delivered the payload: its receipt is wrong")
}
