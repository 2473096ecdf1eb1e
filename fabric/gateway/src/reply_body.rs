//! The body of a reply: some text of the gateway's own, or the rest of a record, piece by piece.
//!
//! hyper takes a piece as soon as it may write its first byte, and over HTTP/2 the client says when that may
//! be followed by others. So the last piece carries what a reply holds, its [`ReplyTurn`], its charge and its
//! line in the access log: they end when hyper drops the piece, after its last byte was written, and the
//! limits on a reply's time hold until then.

use super::access::Entry;
use super::budget::{Account, Charge};
use super::record::{Piece, Record};
use super::reply_flow::{BrokenOff, FlowReader};
use super::tally::Tally;
use super::turn::ReplyTurn;
use bytes::{Buf, Bytes};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use hacher_libos_net::layout::SEGMENT_BYTES;
use hacher_sealed_request::segments::{Sealer, sealed_len};
use hyper::body::{Body, Frame, SizeHint};
use std::io::IoSlice;
use std::rc::Rc;

/// What goes back to a client.
pub(super) struct ReplyBody {
    source: Source,
    left: usize,
    /// An end of its own is to be written, though there are no bytes: it carries what the reply holds.
    marks_end: bool,
    /// Whether a piece was taken: what follows waits for its turn.
    has_begun: bool,
    turn: Option<Pin<Box<dyn Future<Output = ()>>>>,
    seal: Option<Box<Seal>>,
    held: Held,
}

/// What seals a reply, piece by piece.
struct Seal {
    sealer: Sealer,
    /// What comes before the body: written with its first piece.
    prefix: Vec<u8>,
    /// Plaintext that is still to be sealed.
    left: usize,
    /// For the prefix now, for pieces as they are made.
    charge: Charge,
}

/// What a reply holds until its last byte was written.
#[derive(Default)]
struct Held {
    turn: Option<ReplyTurn>,
    /// Memory of a text; the pieces of a record have their own.
    charge: Option<Charge>,
    /// Its line in the access log.
    access: Option<Box<Entry>>,
    /// What counts the request, and the status of the reply, if that leaves as it is made.
    tally: Option<FlowTally>,
}

/// Counts a request at the end of its reply; dropped before that, its client has gone.
struct FlowTally {
    tally: Option<Tally>,
    status: u16,
    is_whole: bool,
}

impl Drop for FlowTally {
    fn drop(&mut self) {
        if let Some(tally) = self.tally.take_if(|_| self.is_whole) {
            tally.ends_whole(self.status);
        }
    }
}

enum Source {
    Text(Bytes),
    Record {
        record: Record,
        /// Bytes of its first piece that are headers.
        skip: usize,
        /// What comes behind it while it is written already.
        rest: Option<Box<FlowReader>>,
    },
}

/// A last piece of no more bytes goes with the one before it.
const SHORT_BYTES: usize = SEGMENT_BYTES / 4;
/// In place of how many bytes are left: nobody knows yet.
const UNKNOWN: usize = usize::MAX;

/// Bytes that hyper writes, and drops when they are written.
pub(super) struct ReplyData {
    bytes: ReplyBytes,
    /// Of the last ones: what ends with them.
    _held: Held,
}

enum ReplyBytes {
    Text(Bytes),
    /// A piece; and the last one, if that is so short that it is not worth writing by itself.
    Pieces(Piece, Option<Piece>),
}

impl ReplyBody {
    /// A short text.
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self {
            left: text.len(),
            source: Source::Text(text),
            marks_end: false,
            has_begun: false,
            turn: None,
            seal: None,
            held: Held::default(),
        }
    }

    /// What follows the first `skip` bytes of a record, which lie in its first piece.
    pub(super) fn of_record(record: Record, skip: usize) -> Self {
        Self {
            left: record.len_bytes().saturating_sub(skip),
            source: Source::Record {
                record,
                skip,
                rest: None,
            },
            marks_end: false,
            has_begun: false,
            turn: None,
            seal: None,
            held: Held::default(),
        }
    }

    /// Has `rest` follow what is there of a record, as it comes; `false` if this is no record: the reply is
    /// without content, or is a problem.
    #[must_use]
    pub(super) fn flows_on(&mut self, flow: FlowReader) -> bool {
        let Source::Record { rest, .. } = &mut self.source else {
            return false;
        };
        *rest = Some(Box::new(flow));
        self.left = UNKNOWN;
        true
    }

    /// Whether it leaves as it is made.
    pub(super) const fn is_flow(&self) -> bool {
        self.left == UNKNOWN
    }

    /// Has the request be counted at the end of this reply, which is a flow.
    pub(super) fn tally(&mut self, tally: Tally, status: u16) {
        self.held.tally = Some(FlowTally {
            tally: Some(tally),
            status,
            is_whole: false,
        });
    }

    /// Bytes that are still to be written, if that is known.
    pub(super) const fn known_bytes(&self) -> Option<usize> {
        match self.left {
            UNKNOWN => None,
            left => Some(left),
        }
    }

    /// The same, sealed behind `prefix`, which has the end of the stream already if there is no body. Each
    /// piece is sealed when it is its turn to be written.
    pub(super) fn sealed(self, prefix: Vec<u8>, sealer: Sealer, account: &Rc<Account>) -> Self {
        let content = match &self.source {
            _ if self.left == 0 => 0,
            Source::Text(text) => sealed_len(text.len()),
            Source::Record { record, skip, .. } => {
                let mut skip = *skip;
                // Whoever asks for a sealed reply gets a whole one.
                let lens = record.piece_lens();
                lens.map(|len| sealed_len(len - core::mem::take(&mut skip).min(len)))
                    .sum()
            }
        };
        let mut charge = account.nothing();
        charge.set(prefix.capacity() as u64);
        Self {
            left: prefix.len() + content,
            seal: Some(Box::new(Seal {
                sealer,
                prefix,
                left: self.left,
                charge,
            })),
            ..self
        }
    }

    /// Bytes that are still to be written.
    pub(super) const fn len_bytes(&self) -> usize {
        self.left
    }

    /// Whether it is a text, or nothing, whose memory nobody is charged for yet.
    pub(super) const fn is_uncharged(&self) -> bool {
        (matches!(self.source, Source::Text(_)) || self.left == 0) && self.held.charge.is_none()
    }

    /// Has an empty body end with a frame of its own, so that its headers are written before what it holds
    /// ends (HTTP/2).
    pub(super) const fn mark_end(&mut self) {
        self.marks_end = self.left == 0;
    }

    /// Keeps `charge`, for the memory of a text, until the last byte was written.
    pub(super) fn hold_charge(&mut self, charge: Charge) {
        self.held.charge = Some(charge);
    }

    /// Keeps the line about it until the last byte was written.
    pub(super) fn tell(&mut self, access: Entry) {
        self.held.access = Some(Box::new(access));
    }

    /// Keeps `turn` until the last byte was written.
    pub(super) fn hold(&mut self, turn: ReplyTurn) {
        self.held.turn = Some(turn);
    }

    /// Waits for the turn of the next piece of a long reply.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.turn.is_none() && core::mem::replace(&mut self.has_begun, true) {
            let bytes = self.left.min(SEGMENT_BYTES);
            self.turn = self.held.turn.as_ref().and_then(|turn| turn.pace(bytes));
        }
        if let Some(turn) = &mut self.turn {
            ready!(turn.as_mut().poll(context));
            self.turn = None;
        }
        Poll::Ready(())
    }

    /// Takes the next piece of what is written, before it is sealed.
    fn next_piece(&mut self) -> Option<ReplyBytes> {
        match &mut self.source {
            Source::Text(text) => Some(ReplyBytes::Text(core::mem::take(text))),
            Source::Record { record, skip, rest } => {
                let mut piece = record.take_piece().or_else(|| rest.as_mut()?.take_piece())?;
                piece.advance(core::mem::take(skip));
                // What is sealed is sealed piece by piece.
                let is_short = record.len_bytes() <= SHORT_BYTES && self.seal.is_none();
                let last = if is_short { record.take_piece() } else { None };
                Some(ReplyBytes::Pieces(piece, last))
            }
        }
    }

    /// The next piece of a reply whose record is still coming.
    fn poll_flow(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<ReplyData>, BrokenOff>>> {
        let Source::Record {
            record,
            rest: Some(rest),
            ..
        } = &mut self.source
        else {
            return Poll::Ready(None);
        };
        if record.len_bytes() == 0 {
            match rest.poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(broken)) => {
                    self.break_off(broken);
                    return Poll::Ready(Some(Err(broken)));
                }
                Poll::Pending => {
                    if let Some(turn) = &self.held.turn {
                        turn.awaits();
                    }
                    return Poll::Pending;
                }
            }
        }
        ready!(self.poll_turn(context));
        let bytes = self.next_piece();
        self.note_taken(bytes.as_ref().map_or(0, ReplyBytes::remaining));
        let is_last = match &self.source {
            Source::Record {
                record,
                rest: Some(rest),
                ..
            } => record.len_bytes() == 0 && rest.is_over(),
            _ => true,
        };
        let mut held = Held::default();
        if is_last {
            self.left = 0;
            self.marks_end = false;
            if let Some(access) = &mut self.held.access {
                access.is_whole();
            }
            if let Some(tally) = &mut self.held.tally {
                tally.is_whole = true;
            }
            held = self.hand_over();
            self.source = Source::Text(Bytes::new());
        }
        let bytes = bytes.unwrap_or(ReplyBytes::Text(Bytes::new()));
        Poll::Ready(Some(Ok(Frame::data(ReplyData { bytes, _held: held }))))
    }

    /// A reply ends in the middle: what it holds ends now.
    fn break_off(&mut self, broken: BrokenOff) {
        if !broken.by_client {
            if let Some(access) = &mut self.held.access {
                access.breaks_off();
            }
            let tally = self.held.tally.as_mut().and_then(|flow| flow.tally.take());
            if let Some(tally) = tally {
                tally.breaks_off();
            }
        }
        self.left = 0;
        self.marks_end = false;
        self.source = Source::Text(Bytes::new());
        drop(self.hand_over());
    }

    /// Notes that hyper takes so many bytes over.
    fn note_taken(&mut self, bytes: usize) {
        if let Some(turn) = &mut self.held.turn {
            turn.moves();
        }
        if let Some(access) = &mut self.held.access {
            access.sent(bytes);
        }
    }

    /// What the last piece holds from now on: hyper takes it.
    fn hand_over(&mut self) -> Held {
        let mut held = core::mem::take(&mut self.held);
        if let Some(turn) = &mut held.turn {
            turn.is_taken();
        }
        held
    }
}

impl Seal {
    /// What is written in place of the next piece of plaintext.
    fn piece(&mut self, plaintext: Option<&ReplyBytes>) -> Option<Piece> {
        if plaintext.is_none() && self.prefix.is_empty() {
            return None;
        }
        let plaintext = plaintext.map_or(&[][..], ReplyBytes::chunk);
        let mut bytes = core::mem::take(&mut self.prefix);
        bytes.reserve_exact(sealed_len(plaintext.len()));
        self.left = self.left.saturating_sub(plaintext.len());
        if !plaintext.is_empty() {
            let sealed = if self.left == 0 {
                self.sealer.end(plaintext, &mut bytes)
            } else {
                self.sealer.seal(plaintext, &mut bytes)
            };
            sealed.expect("no reply has as many segments as a stream may have, and one end");
        }
        let piece = Piece::new(bytes, self.charge.account());
        self.charge.set(0);
        Some(piece)
    }
}

impl Body for ReplyBody {
    type Data = ReplyData;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<ReplyData>, BrokenOff>>> {
        if self.left == UNKNOWN {
            return self.poll_flow(context);
        }
        if self.left == 0 {
            let end = core::mem::take(&mut self.marks_end).then(|| ReplyData {
                bytes: ReplyBytes::Text(Bytes::new()),
                _held: self.hand_over(),
            });
            return Poll::Ready(end.map(|end| Ok(Frame::data(end))));
        }
        ready!(self.poll_turn(context));
        let bytes = self.next_piece();
        let bytes = match &mut self.seal {
            Some(seal) => seal
                .piece(bytes.as_ref())
                .map(|piece| ReplyBytes::Pieces(piece, None)),
            None => bytes,
        };
        let taken = bytes.as_ref().map_or(self.left, ReplyBytes::remaining);
        self.left = self.left.saturating_sub(taken);
        self.note_taken(taken);
        let held = if self.left == 0 {
            self.hand_over()
        } else {
            Held::default()
        };
        let data = bytes.map(|bytes| ReplyData { bytes, _held: held });
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && !self.marks_end
    }

    fn size_hint(&self) -> SizeHint {
        if self.left == UNKNOWN {
            return SizeHint::default();
        }
        if self.marks_end {
            // hyper would say a length of 0, which a reply to HEAD or without content does not have.
            return SizeHint::default();
        }
        SizeHint::with_exact(self.left as u64)
    }
}

impl ReplyBytes {
    fn chunk(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.chunk(),
            Self::Pieces(piece, Some(last)) if piece.remaining() == 0 => last.chunk(),
            Self::Pieces(piece, _) => piece.chunk(),
        }
    }

    fn remaining(&self) -> usize {
        match self {
            Self::Text(text) => text.remaining(),
            Self::Pieces(piece, last) => piece.remaining() + last.as_ref().map_or(0, Piece::remaining),
        }
    }
}

impl Buf for ReplyData {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn chunks_vectored<'b>(&'b self, into: &mut [IoSlice<'b>]) -> usize {
        let last = match &self.bytes {
            ReplyBytes::Pieces(piece, Some(last)) if piece.has_remaining() => last.chunk(),
            _ => &[],
        };
        let chunks = [self.chunk(), last].into_iter().filter(|chunk| !chunk.is_empty());
        let filled = into.iter_mut().zip(chunks);
        filled.map(|(slice, chunk)| *slice = IoSlice::new(chunk)).count()
    }

    fn advance(&mut self, count: usize) {
        match &mut self.bytes {
            ReplyBytes::Text(text) => text.advance(count),
            ReplyBytes::Pieces(piece, last) => {
                let of_last = count.saturating_sub(piece.remaining());
                piece.advance(count);
                if let Some(last) = last {
                    last.advance(of_last);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::super::client::Client;
    use super::super::connection::Ending;
    use super::super::drain::Draining;
    use super::super::places::Places;
    use super::super::screen::Exchange;
    use super::super::turn::RequestTurn;
    use super::*;
    use core::task::Waker;
    use std::rc::Rc;

    fn next(body: &mut ReplyBody) -> Option<ReplyData> {
        match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(frame) => {
                frame.map(|frame| frame.unwrap().into_data().unwrap_or_else(|_| panic!("data")))
            }
            Poll::Pending => panic!("all of it is here"),
        }
    }

    #[test]
    fn a_short_last_piece_is_written_with_the_one_before_it() {
        let account = Budget::of_this_process().account(1 << 20);
        for (len, frames) in [
            (SEGMENT_BYTES, &[SEGMENT_BYTES][..]),
            (SEGMENT_BYTES + 1, &[SEGMENT_BYTES + 1]),
            (SEGMENT_BYTES + SHORT_BYTES + 1, &[SEGMENT_BYTES, SHORT_BYTES + 1]),
            (2 * SEGMENT_BYTES + 9, &[SEGMENT_BYTES, SEGMENT_BYTES + 9]),
        ] {
            let bytes: Vec<u8> = (0..=250_u8).cycle().take(len).collect();
            let mut record = Record::empty(&account);
            assert!(record.append(&bytes));
            let mut body = ReplyBody::of_record(record, 3);
            let mut written = Vec::new();
            let mut lens = Vec::new();
            while let Some(mut data) = next(&mut body) {
                lens.push(data.remaining() + if lens.is_empty() { 3 } else { 0 });
                // A little, all that can be written at once, and the rest.
                written.extend_from_slice(&data.chunk()[..1]);
                data.advance(1);
                let mut slices = [IoSlice::new(&[]); 4];
                let count = data.chunks_vectored(&mut slices);
                let all: usize = slices[..count].iter().map(|slice| slice.len()).sum();
                assert_eq!(all, data.remaining());
                let half = all / 2;
                let at_once: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                written.extend_from_slice(&at_once[..half]);
                data.advance(half);
                while data.has_remaining() {
                    let chunk = data.chunk().len();
                    written.extend_from_slice(data.chunk());
                    data.advance(chunk);
                }
            }
            assert_eq!(lens, frames);
            assert!(written == bytes[3..], "{len}");
        }
        assert!(!account.is_used());
    }

    #[test]
    fn the_last_piece_holds_a_reply_and_its_limits_until_it_was_written() {
        let budget = Budget::of_this_process();
        let (places, account) = (Places::new(&budget), budget.account(1 << 20));
        let place = places.take(Client::HERE);
        let connection = &place.connection;
        let is_told = |now| {
            connection.tick(now);
            connection.ending() == Ending::Now
        };
        let mut record = Record::empty(&account);
        assert!(record.append(&[1; 100_000]));
        let exchange = Rc::<Exchange>::default();
        for (mut body, pieces) in [(ReplyBody::of_record(record, 0), 2), (ReplyBody::text("text"), 1)] {
            let turn = RequestTurn::new(connection, &places, &Rc::new(Draining::new()));
            body.hold(turn.replies(body.len_bytes(), &exchange));
            body.hold_charge(account.charge(10).unwrap());
            for _ in 1..pieces {
                drop(next(&mut body));
            }
            let mut last = next(&mut body).unwrap();
            assert!(body.is_end_stream() && !exchange.is_taking());
            drop(body);
            assert!(connection.is_replying() && account.is_used());
            last.advance(last.remaining() - 1);
            assert!(connection.is_replying(), "a byte is left");
            drop(last);
            assert!(!connection.is_replying() && !account.is_used());
        }
        let mut body = ReplyBody::text("");
        body.hold(RequestTurn::new(connection, &places, &Rc::new(Draining::new())).replies(0, &exchange));
        assert!(body.is_end_stream(), "over HTTP/1 there is nothing to write");
        body.mark_end();
        assert!(!body.is_end_stream() && body.size_hint().exact().is_none());
        let end = next(&mut body).unwrap();
        assert!(body.is_end_stream() && next(&mut body).is_none());
        drop(body);
        assert!(connection.is_replying() && end.remaining() == 0);
        drop(end);
        assert!(!connection.is_replying());
        let mut body = ReplyBody::text("text");
        body.hold(RequestTurn::new(connection, &places, &Rc::new(Draining::new())).replies(4, &exchange));
        let last = next(&mut body);
        drop(body);
        assert!(!is_told(30));
        assert!(
            is_told(40),
            "a last piece that is never written ends its connection"
        );
        drop(last);
    }
}
