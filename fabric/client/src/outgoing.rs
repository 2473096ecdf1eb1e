//! The body of a request: some bytes as they are, as they are read, or sealed segment by segment while the
//! connection takes them, so that the other end opens the first ones while the next are sealed.

use crate::streamed::Streamed;
use bytes::Bytes;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use hacher_sealed_request::Refused;
use hacher_sealed_request::segments::{OVERHEAD_BYTES, SEGMENT_BYTES, Sealer, sealed_len};
use hyper::body::{Body, Frame, SizeHint};
use std::io;

/// What a connection sends.
pub(crate) enum Outgoing {
    /// Bytes as they are, until they are taken.
    Plain(Bytes),
    /// Bytes that are sealed when they are taken.
    Sealed(Box<Sealing>),
    /// Bytes that are read when they are taken.
    Streamed(Streamed),
}

/// A body that cannot be sent to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsent {
    /// It cannot be sealed.
    #[error(transparent)]
    Seal(#[from] Refused),
    /// It cannot be read.
    #[error("cannot read the input: {0}")]
    Read(#[from] io::Error),
}

/// A body that is being sealed.
pub(crate) struct Sealing {
    sealer: Sealer,
    /// What comes before it: the first bytes of the request, and its head.
    before: Vec<u8>,
    body: Bytes,
    /// Bytes that are still to be sent.
    left: usize,
}

impl Outgoing {
    /// A request that begins with `prefix`, which `sealer` belongs to, with this head and this body.
    ///
    /// # Errors
    /// Never for a sealer that has sealed nothing.
    pub(crate) fn sealed(
        prefix: Vec<u8>,
        mut sealer: Sealer,
        head: &[u8],
        body: Bytes,
    ) -> Result<Self, Refused> {
        let mut before = prefix;
        sealer.seal(head, &mut before)?;
        let end = sealed_len(body.len()).max(OVERHEAD_BYTES);
        Ok(Self::Sealed(Box::new(Sealing {
            sealer,
            left: before.len() + end,
            before,
            body,
        })))
    }
}

impl Sealing {
    /// The next segment, behind what comes before the first.
    fn next(&mut self) -> Result<Bytes, Refused> {
        let mut sealed = core::mem::take(&mut self.before);
        let plaintext = self.body.split_to(self.body.len().min(SEGMENT_BYTES));
        sealed.reserve_exact(plaintext.len() + OVERHEAD_BYTES);
        if self.body.is_empty() {
            self.sealer.end(&plaintext, &mut sealed)?;
        } else {
            self.sealer.seal(&plaintext, &mut sealed)?;
        }
        self.left = self.left.saturating_sub(sealed.len());
        Ok(sealed.into())
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Unsent;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unsent>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let data = match &mut *self {
            Self::Plain(bytes) => Ok(core::mem::take(bytes)),
            Self::Sealed(sealing) => sealing.next().map_err(Unsent::Seal),
            Self::Streamed(streamed) => {
                let Some(piece) = ready!(streamed.pieces.poll_recv(context)) else {
                    return Poll::Ready(None);
                };
                if let (Ok(piece), Some(left)) = (&piece, &mut streamed.left) {
                    *left = left.saturating_sub(piece.len() as u64);
                }
                piece.map_err(Unsent::Read)
            }
        };
        Poll::Ready(Some(data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Plain(bytes) => bytes.len() as u64,
            Self::Sealed(sealing) => sealing.left as u64,
            Self::Streamed(streamed) => match streamed.left {
                Some(left) => left,
                None => return SizeHint::default(),
            },
        })
    }
}
