//! The trustlet's end of its private channel to the monitor: messages in, and the few that it says.

use super::seqpacket;
use crate::region::mapping::{MapError, ShortRegion};
use crate::system::SystemFailure;
use hacher_data_path::attach::contradiction::BadAttachment;
use hacher_data_path::attach::message::{
    ATTACH_VERSION, AskEvidence, Drained, MESSAGE_MAX_BYTES, MessageHeader, SAID_MAX_BYTES, kind,
};
use hacher_data_path::place::making::PlaceError;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
use zeroize::Zeroizing;

/// An attachment could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The monitor closed the channel: it is gone, and so must we.
    #[error("the monitor closed the channel")]
    Closed,
    /// The system failed: the channel, or the mapping of a region.
    #[error("the attachment to the monitor failed: {0}")]
    System(SystemFailure),
    /// The monitor misbehaved.
    #[error(transparent)]
    Misbehaved(#[from] MonitorMisbehaved),
}

/// The monitor said what cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorMisbehaved {
    /// It is not of this build.
    #[error("the monitor speaks attach version {found}, this trustlet speaks {ATTACH_VERSION}")]
    Version {
        /// The monitor's version.
        found: u32,
    },
    /// Its messages contradict each other.
    #[error(transparent)]
    Contradiction(#[from] BadAttachment),
    /// It gave a region that is too short.
    #[error(transparent)]
    Region(#[from] ShortRegion),
}

impl AttachError {
    /// Whether the same can succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Closed | Self::Misbehaved(_) => false,
            Self::System(failure) => failure.is_transient(),
        }
    }
}

impl From<Errno> for AttachError {
    fn from(errno: Errno) -> Self {
        Self::System(errno.into())
    }
}

impl From<BadAttachment> for AttachError {
    fn from(contradiction: BadAttachment) -> Self {
        Self::Misbehaved(contradiction.into())
    }
}

impl From<MapError> for AttachError {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Short(region) => Self::Misbehaved(region.into()),
            MapError::System { source, .. } => Self::System(source),
        }
    }
}

impl From<PlaceError<MapError>> for AttachError {
    fn from(error: PlaceError<MapError>) -> Self {
        match error {
            PlaceError::Contradiction(contradiction) => contradiction.into(),
            PlaceError::Memory(error) => error.into(),
        }
    }
}

/// One message, received.
pub struct Message {
    pub(super) kind: u32,
    count: usize,
    body: Zeroizing<Vec<u8>>,
    descriptors: std::vec::IntoIter<OwnedFd>,
}

/// The private channel that a trustlet is born with.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Takes the channel's descriptor.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Receives one message, waiting for it if the socket is in blocking mode.
    ///
    /// # Errors
    /// [`AttachError`]; transient when the socket does not block and there is none.
    pub fn receive(&self) -> Result<Message, AttachError> {
        let mut bytes = Zeroizing::new(vec![0; MESSAGE_MAX_BYTES]);
        let received = seqpacket::receive(&self.0, &mut bytes, RecvFlags::empty())?;
        let (len_bytes, descriptors) = received.ok_or(AttachError::Closed)?;
        bytes.truncate(len_bytes);
        let (header, _) =
            MessageHeader::read_from_prefix(&bytes).map_err(|_| BadAttachment("a short message"))?;
        let count = usize::try_from(header.count).map_err(|_| BadAttachment("a count"))?;
        Ok(Message {
            kind: header.kind,
            count,
            body: bytes,
            descriptors: descriptors.into_iter(),
        })
    }

    /// Tells the monitor that the attachment stands.
    ///
    /// # Errors
    /// [`AttachError::System`].
    pub fn say_ready(&self) -> Result<(), AttachError> {
        self.say(kind::READY, &[])
    }

    /// Tells the monitor whether new files of TLS were taken, and what there is to say of them; of that, as
    /// much as fits.
    ///
    /// # Errors
    /// [`AttachError::System`].
    pub fn say_renewed(&self, taken: bool, text: &str) -> Result<(), AttachError> {
        let kind = if taken { kind::TLS_TAKEN } else { kind::TLS_REFUSED };
        let end = text.floor_char_boundary(SAID_MAX_BYTES);
        self.say(kind, text.get(..end).unwrap_or("").as_bytes())
    }

    /// Tells the monitor what became of requests while this gateway drained.
    ///
    /// # Errors
    /// [`AttachError::System`].
    pub fn say_drained(&self, drained: &Drained) -> Result<(), AttachError> {
        self.say(kind::DRAINED, drained.as_bytes())
    }

    /// Tells the monitor the SHA-256 of the SubjectPublicKeyInfo of the certificate that this gateway presents.
    ///
    /// # Errors
    /// [`AttachError::System`].
    pub fn say_tls_key(&self, hash: &[u8; 32]) -> Result<(), AttachError> {
        self.say(kind::TLS_KEY, hash)
    }

    /// Asks the monitor for evidence; the answer comes as [`super::Instruction::Evidence`].
    ///
    /// # Errors
    /// [`AttachError::System`].
    pub fn ask_evidence(&self, question: &AskEvidence) -> Result<(), AttachError> {
        self.say(kind::ASK_EVIDENCE, question.as_bytes())
    }

    fn say(&self, kind: u32, content: &[u8]) -> Result<(), AttachError> {
        let count = u32::try_from(content.len()).unwrap_or(0);
        let mut message = MessageHeader { kind, count }.as_bytes().to_vec();
        message.extend_from_slice(content);
        Ok(seqpacket::send(&self.0, &message, &[], SendFlags::empty())?)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Message {
    pub(super) fn payload(&self) -> &[u8] {
        self.body.get(size_of::<MessageHeader>()..).unwrap_or(&[])
    }

    pub(super) fn entries<E: FromBytes + Immutable + KnownLayout + Copy>(
        &self,
    ) -> Result<Vec<E>, BadAttachment> {
        let payload = self.payload();
        if payload.len() != self.count.saturating_mul(size_of::<E>()) {
            return Err(BadAttachment("a message of another length than its count says"));
        }
        payload
            .chunks_exact(size_of::<E>())
            .map(|bytes| E::read_from_bytes(bytes).map_err(|_| BadAttachment("an entry")))
            .collect()
    }

    pub(super) fn descriptor(&mut self) -> Result<OwnedFd, BadAttachment> {
        self.descriptors
            .next()
            .ok_or(BadAttachment("a missing descriptor"))
    }
}
