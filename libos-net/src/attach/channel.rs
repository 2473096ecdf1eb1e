//! The trustlet's end of its private channel to the monitor: messages in, and the few that it says.

use super::seqpacket;
use crate::region::mapping::{MapError, ShortRegion};
use crate::system::SystemFailure;
use hacher_data_path::attach::contradiction::BadAttachment;
use hacher_data_path::attach::message::{
    ATTACH_VERSION, AskEvidence, Drained, MESSAGE_MAX_BYTES, MessageHeader, SAID_MAX_BYTES, kind,
};
use hacher_data_path::place::entries::Delivered;
use hacher_data_path::place::making::PlaceError;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use zerocopy::IntoBytes;
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

/// One message, received, with the descriptors that came beside it.
pub struct Message {
    bytes: Zeroizing<Vec<u8>>,
    descriptors: Vec<OwnedFd>,
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
        Ok(Message { bytes, descriptors })
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

    /// Tells the monitor the SHA-256 of the SubjectPublicKeyInfo of the certificate that this gateway
    /// presents.
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
    /// The message, to be taken apart.
    pub(super) fn deliver(&mut self) -> Result<Delivery<'_>, BadAttachment> {
        let Self { bytes, descriptors } = self;
        Delivered::new(bytes, core::mem::take(descriptors).into_iter())
    }
}

/// A message that is being taken apart.
pub(super) type Delivery<'a> = Delivered<'a, std::vec::IntoIter<OwnedFd>>;
