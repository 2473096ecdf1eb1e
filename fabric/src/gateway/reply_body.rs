//! The body of a reply: some text of the gateway's own, or the rest of a record, piece by piece.

use super::connection::ReplyTurn;
use super::record::{Piece, Record};
use bytes::{Buf, Bytes};
use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use hyper::body::{Body, Frame, SizeHint};

/// What goes back to a client.
pub(super) struct ReplyBody {
    source: Source,
    left: usize,
    /// Ends when hyper has taken all of it.
    turn: Option<ReplyTurn>,
}

enum Source {
    Text(Bytes),
    Record {
        record: Record,
        /// Bytes of its first piece that are headers.
        skip: usize,
    },
}

/// Bytes that hyper writes, and drops when they are written.
pub(super) enum ReplyData {
    Text(Bytes),
    Piece(Piece),
}

impl ReplyBody {
    /// A short text.
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self {
            left: text.len(),
            source: Source::Text(text),
            turn: None,
        }
    }

    /// What follows the first `skip` bytes of a record, which lie in its first piece.
    pub(super) fn of_record(record: Record, skip: usize) -> Self {
        Self {
            left: record.len_bytes().saturating_sub(skip),
            source: Source::Record { record, skip },
            turn: None,
        }
    }

    /// Bytes that are still to be written.
    pub(super) const fn len_bytes(&self) -> usize {
        self.left
    }

    /// Keeps `turn` until hyper has taken the last byte.
    pub(super) fn hold(&mut self, turn: ReplyTurn) {
        self.turn = Some(turn);
    }
}

impl Body for ReplyBody {
    type Data = ReplyData;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<ReplyData>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let data = match &mut self.source {
            Source::Text(text) => Some(ReplyData::Text(core::mem::take(text))),
            Source::Record { record, skip } => record.take_piece().map(|mut piece| {
                piece.advance(core::mem::take(skip));
                ReplyData::Piece(piece)
            }),
        };
        let taken = data.as_ref().map_or(self.left, Buf::remaining);
        self.left = self.left.saturating_sub(taken);
        if let Some(turn) = &self.turn {
            turn.moves();
        }
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

impl Buf for ReplyData {
    fn remaining(&self) -> usize {
        match self {
            Self::Text(text) => text.remaining(),
            Self::Piece(piece) => piece.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.chunk(),
            Self::Piece(piece) => piece.chunk(),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Text(text) => text.advance(count),
            Self::Piece(piece) => piece.advance(count),
        }
    }
}
