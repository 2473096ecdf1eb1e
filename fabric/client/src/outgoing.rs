//! The body of a request: some bytes as they are, or sealed segment by segment while the connection takes
//! them, so that the other end opens the first ones while the next are sealed.

use bytes::Bytes;
use core::pin::Pin;
use core::task::{Context, Poll};
use hacher_sealed_request::Refused;
use hacher_sealed_request::segments::{OVERHEAD_BYTES, SEGMENT_BYTES, Sealer, sealed_len};
use hyper::body::{Body, Frame, SizeHint};

/// What a connection sends.
pub(crate) enum Outgoing {
    /// Bytes as they are, until they are taken.
    Plain(Bytes),
    /// Bytes that are sealed when they are taken.
    Sealed(Box<Sealing>),
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
    type Error = Refused;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refused>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let data = match &mut *self {
            Self::Plain(bytes) => Ok(core::mem::take(bytes)),
            Self::Sealed(sealing) => sealing.next(),
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
        })
    }
}
