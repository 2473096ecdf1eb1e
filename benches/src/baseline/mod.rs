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

pub(super) mod call;
mod fault;
pub(super) mod http;
mod kind;
mod receipt;
pub(super) mod server;
pub(super) mod tls;
pub(super) mod unix;

pub use kind::Kind;

use super::peer::this_program;
use super::subject::{Cores, Place, Subject};
use hacher_fabric::failed::Failed;
use std::path::Path;

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
