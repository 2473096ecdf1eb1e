//! A record in the gateway's private memory: plaintext in pieces, each as long as a segment and each charged,
//! so that memory follows what was received and is given back piece by piece as a request is sealed or a
//! reply is written (I11).

use super::budget::{Account, Charge};
use bytes::Buf;
use hacher_libos_net::layout::SEGMENT_BYTES;
use std::collections::VecDeque;
use std::rc::Rc;

/// A record, headers first.
pub(super) struct Record {
    full: VecDeque<Piece>,
    last: Piece,
    len_bytes: usize,
}

/// Some bytes of a record.
pub(super) struct Piece {
    bytes: Vec<u8>,
    /// Bytes that were written already.
    at: usize,
    charge: Charge,
}

impl Record {
    /// A record without bytes.
    pub(super) fn empty(account: &Rc<Account>) -> Self {
        Self {
            full: VecDeque::new(),
            last: Piece::new(Vec::new(), account),
            len_bytes: 0,
        }
    }

    /// A record that begins with these bytes: its headers.
    pub(super) fn beginning_with(head: Vec<u8>, account: &Rc<Account>) -> Self {
        Self {
            full: VecDeque::new(),
            len_bytes: head.len(),
            last: Piece::new(head, account),
        }
    }

    /// Bytes of all pieces.
    pub(super) const fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Bytes of each piece, in order.
    pub(super) fn piece_lens(&self) -> impl Iterator<Item = usize> {
        let pieces = self.full.iter().chain([&self.last]);
        pieces.map(Piece::remaining)
    }

    /// Appends a piece to a record that only grows by pieces.
    pub(super) fn push(&mut self, piece: Piece) {
        let bytes = piece.remaining();
        if bytes > 0 {
            self.len_bytes += bytes;
            self.full.push_back(piece);
        }
    }

    /// Appends what follows the first `skip` bytes of another record, which lie in its first piece.
    pub(super) fn append_record(&mut self, mut other: Self, mut skip: usize) {
        while let Some(mut piece) = other.take_piece() {
            piece.advance(core::mem::take(&mut skip));
            self.push(piece);
        }
    }

    /// The first piece. Headers lie in it whole: they are shorter than a segment.
    pub(super) fn first(&self) -> &[u8] {
        &self.full.front().unwrap_or(&self.last).bytes
    }

    /// Appends what a client has sent, in pieces of exactly a segment; `false` if there is no room for it.
    #[must_use]
    pub(super) fn append(&mut self, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            if self.last.bytes.len() >= SEGMENT_BYTES {
                self.begin_piece();
            }
            let room = SEGMENT_BYTES - self.last.bytes.len();
            let (now, later) = data.split_at(room.min(data.len()));
            if !self.last.make_room(now.len()) {
                return false;
            }
            self.last.bytes.extend_from_slice(now);
            self.len_bytes += now.len();
            data = later;
        }
        true
    }

    fn begin_piece(&mut self) {
        let next = Piece::new(Vec::new(), self.last.charge.account());
        self.full.push_back(core::mem::replace(&mut self.last, next));
    }

    /// Where the next segment of an arriving record is opened into.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        if self.last.bytes.len() >= SEGMENT_BYTES {
            self.begin_piece();
        }
        &mut self.last.bytes
    }

    /// Counts and charges what was opened into [`Self::tail`]. No piece is longer than a segment, also behind
    /// one that was short.
    pub(super) fn settle(&mut self, opened_bytes: usize) {
        self.len_bytes += opened_bytes;
        if self.last.bytes.len() > SEGMENT_BYTES {
            let rest = self.last.bytes.split_off(SEGMENT_BYTES);
            self.last.bytes.shrink_to(SEGMENT_BYTES);
            self.last.settle();
            let next = Piece::new(rest, self.last.charge.account());
            self.full.push_back(core::mem::replace(&mut self.last, next));
        }
        self.last.bytes.shrink_to(SEGMENT_BYTES);
        self.last.settle();
    }

    /// Takes the first piece off, if it is a whole segment and others follow.
    pub(super) fn take_full(&mut self) -> Option<Piece> {
        let piece = self.full.pop_front()?;
        self.len_bytes -= piece.remaining();
        Some(piece)
    }

    /// Takes the first piece off; `None` once there is none.
    pub(super) fn take_piece(&mut self) -> Option<Piece> {
        let piece = self.full.pop_front().or_else(|| {
            let nothing = Piece::new(Vec::new(), self.last.charge.account());
            let last = core::mem::replace(&mut self.last, nothing);
            (!last.bytes.is_empty()).then_some(last)
        })?;
        self.len_bytes -= piece.remaining();
        Some(piece)
    }
}

impl Piece {
    /// These bytes, charged.
    pub(super) fn new(bytes: Vec<u8>, account: &Rc<Account>) -> Self {
        let mut piece = Self {
            bytes,
            at: 0,
            charge: account.nothing(),
        };
        piece.settle();
        piece
    }

    /// Charges what it takes. A vector grows by more than it is asked for; what the budget has no room for is
    /// given back, so that nothing beyond what was asked for is held.
    fn settle(&mut self) {
        if !self.charge.try_set(self.bytes.capacity() as u64) {
            self.bytes.shrink_to_fit();
            self.charge.set(self.bytes.capacity() as u64);
        }
    }

    /// Makes room for `more` bytes: twice what was there, up to a segment. So a body in many small chunks is
    /// not copied often.
    fn make_room(&mut self, more: usize) -> bool {
        let needed = self.bytes.len() + more;
        let capacity = self.bytes.capacity();
        if needed <= capacity {
            return true;
        }
        let wanted = needed.max(capacity * 2).min(SEGMENT_BYTES.max(needed));
        if !self.charge.account().has_room((wanted - capacity) as u64) {
            return false;
        }
        self.bytes.reserve_exact(wanted - self.bytes.len());
        self.settle();
        true
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What hyper writes from. The charge ends when hyper drops it, after its last byte was written.
impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    fn advance(&mut self, count: usize) {
        self.at = (self.at + count).min(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::*;

    #[test]
    fn a_record_is_sent_in_whole_segments_and_gives_back_what_it_held() {
        let account = Budget::of_this_process().account(1 << 20);
        let mut record = Record::beginning_with(vec![1; 10], &account);
        // Many small chunks.
        for _ in 0..3000 {
            assert!(record.append(&[2; 50]));
        }
        assert_eq!(record.len_bytes(), 150_010);
        assert_eq!(record.first().len(), SEGMENT_BYTES);
        let mut lengths = Vec::new();
        while let Some(piece) = record.take_piece() {
            lengths.push(piece.bytes().len());
        }
        assert_eq!(
            lengths,
            [SEGMENT_BYTES, SEGMENT_BYTES, 150_010 - 2 * SEGMENT_BYTES]
        );
        drop(record);
        assert!(account.charge(1 << 20).is_some());
    }

    #[test]
    fn short_segments_fill_pieces_and_none_is_longer_than_a_segment() {
        let account = Budget::of_this_process().account(1 << 20);
        let mut record = Record::empty(&account);
        for len in [1, SEGMENT_BYTES, 5, SEGMENT_BYTES - 6, 7] {
            record.tail().extend_from_slice(&vec![1; len]);
            record.settle(len);
        }
        let lengths: Vec<_> = record.piece_lens().collect();
        assert_eq!(lengths, [SEGMENT_BYTES, SEGMENT_BYTES, 7]);
        assert_eq!(record.len_bytes(), 2 * SEGMENT_BYTES + 7);
    }

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let account = Budget::of_this_process().account(100_000);
        let others = account.charge(90_000).unwrap();
        let common = core::iter::from_fn(|| account.charge(1 << 30)).collect::<Vec<_>>();
        let common = (
            common,
            core::iter::from_fn(|| account.charge(1000)).collect::<Vec<_>>(),
        );
        let mut record = Record::empty(&account);
        assert!(record.append(&[0; 10]));
        assert!(!record.append(&[0; 2000]));
        assert_eq!(record.len_bytes(), 10);
        drop((common, others));
        assert!(record.append(&[0; 2000]));
    }
}
