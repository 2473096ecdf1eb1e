//! What the monitor has a trustlet do.

use super::attachment::Attachment;
use super::channel::Delivery;
use crate::wait::doorbell::Doorbell;
use hacher_data_path::attach::contradiction::BadAttachment;
use hacher_data_path::attach::message::{Drain, Readiness, Tracing, listen_tls};
use hacher_data_path::carrier::Carrier;
use rustix::fd::OwnedFd;

/// What the monitor wants, once a message or a sequence of them is complete.
pub enum Instruction {
    /// A place in a chain.
    Attach(Box<Attachment>),
    /// A place in a chain that relays.
    Carry(Box<Carrier>),
    /// A seccomp program to install.
    Lockdown(Vec<u8>),
    /// Gateway: a socket to accept connections from.
    Listen(Listener),
    /// Gateway: new files of its TLS.
    Renew(TlsFiles),
    /// Gateway: finish in these steps, then exit.
    Drain(Drain),
    /// Gateway: the bell to ring when requests begin to be in flight.
    Bell(Doorbell),
    /// Gateway: whether the functions of these chains are fit to serve.
    Readiness(Vec<Readiness>),
    /// Gateway: tell of each request.
    AccessLog,
    /// Gateway: tell of each request that is traced.
    Tracing(Tracing),
    /// Gateway: an answer, or a part of one, to what it asked for a client.
    Evidence(EvidenceAnswer),
}

/// A part of the answer to [`super::Channel::ask_evidence`].
#[derive(Debug)]
pub struct EvidenceAnswer {
    /// The number of the question.
    pub question: u32,
    /// One of [`hacher_data_path::attach::message::evidence_status`].
    pub status: u32,
    /// Evidence, or text for people.
    pub bytes: Vec<u8>,
}

/// A listening socket, and what TLS needs.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: OwnedFd,
    /// What TLS needs; `None` for plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// PEM files that TLS needs.
#[derive(Debug)]
pub struct TlsFiles {
    /// The certificate chain, the gateway's own certificate first.
    pub certificates: OwnedFd,
    /// Its private key.
    pub key: OwnedFd,
    /// Certificates of those who sign clients' certificates; `None` where clients need none.
    pub client_ca: Option<OwnedFd>,
}

impl TlsFiles {
    /// What comes beside a message with this value of [`listen_tls`].
    pub(super) fn take(tls: u32, message: &mut Delivery<'_>) -> Result<Option<Self>, BadAttachment> {
        if tls == listen_tls::NONE {
            return Ok(None);
        }
        Ok(Some(Self {
            certificates: message.handle()?,
            key: message.handle()?,
            client_ca: (tls == listen_tls::MUTUAL)
                .then(|| message.handle())
                .transpose()?,
        }))
    }
}
