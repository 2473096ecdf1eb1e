//! A stream of sealed segments, as STREAM has it (Hoang, Reyhanitabar, Rogaway, Vizár: "Online
//! Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015): each under a nonce that counts,
//! and the last says that it is.
//!
//! ```text
//! u32        little-endian: bits 0 to 30 the length of the plaintext, bit 31 set for the last segment
//! ...        ciphertext, as long as the plaintext
//! 16 bytes   tag
//! ```
//!
//! AES-256-GCM. The nonce is four zero bytes and the segment's number from 0, big-endian; the additional data
//! are the four bytes of the length. A segment has at most 64 KiB, and at least one byte unless it is the
//! last. Those that are sealed here have at most 16 KiB: the other end opens one while the next is sealed.

use crate::Refused;
use crate::encapsulation::SECRET_BYTES;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// Most plaintext in one segment that is opened.
pub const SEGMENT_MAX_BYTES: usize = 64 << 10;
/// Most plaintext in one segment that is sealed.
pub const SEGMENT_BYTES: usize = 16 << 10;
/// What a segment is longer than its plaintext.
pub const OVERHEAD_BYTES: usize = LENGTH_BYTES + TAG_BYTES;
const LENGTH_BYTES: usize = 4;
const TAG_BYTES: usize = 16;
/// Segments of one key: far below where AES-GCM's bounds begin to count (2^32 messages), and 64 TiB.
const SEGMENTS_MAX: u64 = 1 << 32;
const LAST: u32 = 1 << 31;

/// The key of one stream, in one direction, and the number of the next segment.
struct Key {
    key: LessSafeKey,
    next: u64,
}

impl Key {
    fn new(secret: &[u8; SECRET_BYTES]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, secret)
            .expect("a key of AES-256-GCM has 32 bytes, and there is memory");
        Self {
            key: LessSafeKey::new(key),
            next: 0,
        }
    }

    fn nonce(&mut self) -> Result<Nonce, Refused> {
        if self.next >= SEGMENTS_MAX {
            return Err(Refused::Exhausted);
        }
        let mut nonce = [0; NONCE_LEN];
        let (_, number) = nonce.split_at_mut(NONCE_LEN - 8);
        number.copy_from_slice(&self.next.to_be_bytes());
        self.next += 1;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

/// Seals a stream, segment by segment.
pub struct Sealer {
    key: Key,
    ended: bool,
}

impl Sealer {
    pub(crate) fn new(secret: &[u8; SECRET_BYTES]) -> Self {
        Self {
            key: Key::new(secret),
            ended: false,
        }
    }

    /// Seals `plaintext` in as many segments as it takes, behind what is in `sealed`.
    ///
    /// # Errors
    /// When the stream has ended, or has had all its segments.
    pub fn seal(&mut self, plaintext: &[u8], sealed: &mut Vec<u8>) -> Result<(), Refused> {
        for segment in plaintext.chunks(SEGMENT_BYTES) {
            self.segment(segment, 0, sealed)?;
        }
        Ok(())
    }

    /// Seals the end of the stream, which may have bytes of its own.
    ///
    /// # Errors
    /// As [`Sealer::seal`].
    pub fn end(&mut self, plaintext: &[u8], sealed: &mut Vec<u8>) -> Result<(), Refused> {
        let before = plaintext.len().saturating_sub(1) / SEGMENT_BYTES * SEGMENT_BYTES;
        let (before, last) = plaintext.split_at_checked(before).unwrap_or((&[], plaintext));
        self.seal(before, sealed)?;
        self.segment(last, LAST, sealed)?;
        self.ended = true;
        Ok(())
    }

    fn segment(&mut self, plaintext: &[u8], flag: u32, sealed: &mut Vec<u8>) -> Result<(), Refused> {
        if self.ended {
            return Err(Refused::Trailing);
        }
        let len = u32::try_from(plaintext.len()).map_err(|_| Refused::Length)?;
        let length = (len | flag).to_le_bytes();
        let nonce = self.key.nonce()?;
        sealed.extend_from_slice(&length);
        let from = sealed.len();
        sealed.extend_from_slice(plaintext);
        let body = sealed.get_mut(from..).unwrap_or_default();
        let tag = self
            .key
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(length), body)
            .map_err(|_| Refused::Length)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// Opens a stream as it arrives, in pieces of any length. Holds at most one segment, and its plaintext.
pub struct Opener {
    key: Key,
    /// What came of a segment that is not whole, if anything did.
    begun: Vec<u8>,
    /// The plaintext of one segment, as long as the longest so far.
    opened: Zeroizing<Vec<u8>>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Failed(Refused),
}

impl Opener {
    pub(crate) fn new(secret: &[u8; SECRET_BYTES]) -> Self {
        Self {
            key: Key::new(secret),
            begun: Vec::new(),
            opened: Zeroizing::default(),
            state: State::Open,
        }
    }

    /// Takes what arrived, and puts what could be opened with it behind what is in `plaintext`. Nothing comes
    /// out of a segment that is not authentic.
    ///
    /// # Errors
    /// Why the stream is refused, from then on for ever.
    pub fn open(&mut self, arrived: &[u8], plaintext: &mut Vec<u8>) -> Result<(), Refused> {
        self.open_each(arrived, |segment| {
            plaintext.extend_from_slice(segment);
            Ok(())
        })
    }

    /// Takes what arrived, and has `take` take the plaintext of each segment that it completes; an empty last
    /// one, too. Nothing comes out of a segment that is not authentic.
    ///
    /// # Errors
    /// Why the stream is refused, from then on for ever; or what `take` answers, after which the stream
    /// counts as truncated.
    pub fn open_each<E: From<Refused>>(
        &mut self,
        mut arrived: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !arrived.is_empty() {
            match self.state {
                State::Failed(refused) => return Err(refused.into()),
                State::Ended => return Err(self.fail(Refused::Trailing).into()),
                State::Open => {}
            }
            let (rest, opened_len) = match self.step(arrived) {
                Ok(step) => step,
                Err(refused) => return Err(self.fail(refused).into()),
            };
            arrived = rest;
            if let Some(len) = opened_len
                && let Err(error) = take(self.opened.get(..len).unwrap_or_default())
            {
                self.fail(Refused::Truncated);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Bytes of memory that segments take here.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.begun.capacity() + self.opened.capacity()
    }

    /// Bytes that they take more, at most, once so many bytes have arrived.
    #[must_use]
    pub fn room_for(&self, arrived_bytes: usize) -> usize {
        let begun = self.begun.len().saturating_add(arrived_bytes);
        let doubled = begun.saturating_mul(2).min(SEGMENT_MAX_BYTES + OVERHEAD_BYTES);
        let begun_more = doubled.saturating_sub(self.begun.capacity());
        let opened_more = begun
            .min(SEGMENT_MAX_BYTES)
            .saturating_sub(self.opened.capacity());
        begun_more + opened_more
    }

    /// Whether the last segment was opened.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether this stream was whole, asked when nothing more comes.
    ///
    /// # Errors
    /// When it was refused, or its last segment did not come.
    pub fn end(&self) -> Result<(), Refused> {
        match self.state {
            State::Ended => Ok(()),
            State::Failed(refused) => Err(refused),
            State::Open => Err(Refused::Truncated),
        }
    }

    fn fail(&mut self, refused: Refused) -> Refused {
        self.state = State::Failed(refused);
        self.begun = Vec::new();
        self.opened = Zeroizing::default();
        refused
    }

    /// Opens one segment if it is whole; what follows, and how long its plaintext is.
    fn step<'a>(&mut self, arrived: &'a [u8]) -> Result<(&'a [u8], Option<usize>), Refused> {
        if self.begun.is_empty()
            && let Some(framing) = Framing::of(arrived)?
            && let Some((segment, rest)) = arrived.split_at_checked(framing.len_bytes())
        {
            self.open_segment(&framing, segment)?;
            return Ok((rest, Some(framing.len)));
        }
        let arrived = self.take(LENGTH_BYTES, arrived);
        let Some(framing) = Framing::of(&self.begun)? else {
            return Ok((arrived, None));
        };
        let arrived = self.take(framing.len_bytes(), arrived);
        if self.begun.len() < framing.len_bytes() {
            return Ok((arrived, None));
        }
        let mut segment = core::mem::take(&mut self.begun);
        self.open_segment(&framing, &segment)?;
        segment.clear();
        self.begun = segment;
        Ok((arrived, Some(framing.len)))
    }

    fn open_segment(&mut self, framing: &Framing, segment: &[u8]) -> Result<(), Refused> {
        let nonce = self.key.nonce()?;
        if self.opened.len() < framing.len {
            // Not grown in place: that may free the buffer, with what was opened in it, unwiped.
            self.opened = Zeroizing::default();
            self.opened = Zeroizing::new(vec![0; framing.len]);
        }
        let sealed = segment.get(LENGTH_BYTES..).unwrap_or_default();
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(Refused::Length)?;
        let plaintext = self.opened.get_mut(..framing.len).ok_or(Refused::Length)?;
        let aad = Aad::from(framing.word);
        let key = &self.key.key;
        key.open_separate_gather(nonce, aad, ciphertext, tag, plaintext)
            .map_err(|_| Refused::Segment)?;
        if framing.is_last {
            self.state = State::Ended;
        }
        Ok(())
    }

    /// Takes from what arrived until `wanted` bytes of the segment are there: memory follows what came, and
    /// is never more than a segment.
    fn take<'a>(&mut self, wanted: usize, arrived: &'a [u8]) -> &'a [u8] {
        let missing = wanted.saturating_sub(self.begun.len()).min(arrived.len());
        let (taken, rest) = arrived.split_at_checked(missing).unwrap_or((arrived, &[]));
        let needed = self.begun.len() + taken.len();
        if needed > self.begun.capacity() {
            let room = needed.max(self.begun.capacity() * 2).min(wanted.max(needed));
            self.begun.reserve_exact(room - self.begun.len());
        }
        self.begun.extend_from_slice(taken);
        rest
    }
}

/// What the first bytes of a segment say.
struct Framing {
    word: [u8; LENGTH_BYTES],
    /// Of the plaintext, in bytes.
    len: usize,
    is_last: bool,
}

impl Framing {
    /// Of what came of a segment; nothing while it is too short.
    fn of(begun: &[u8]) -> Result<Option<Self>, Refused> {
        let Some(&bytes) = begun.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let word = u32::from_le_bytes(bytes);
        let is_last = word & LAST != 0;
        let len = usize::try_from(word & !LAST).map_err(|_| Refused::Length)?;
        if len > SEGMENT_MAX_BYTES || (len == 0 && !is_last) {
            return Err(Refused::Length);
        }
        Ok(Some(Self {
            word: bytes,
            len,
            is_last,
        }))
    }

    /// Of the whole segment.
    const fn len_bytes(&self) -> usize {
        self.len + OVERHEAD_BYTES
    }
}

/// Bytes of `len` bytes of plaintext when they are sealed by themselves, before the end of a stream.
#[must_use]
pub const fn sealed_len(len: usize) -> usize {
    len + len.div_ceil(SEGMENT_BYTES) * OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "test code")]

    use super::*;
    use ring::aead as ring;

    const SECRET: [u8; SECRET_BYTES] = [7; SECRET_BYTES];

    /// One segment, as another implementation seals it that makes them as long as they may be.
    fn sealed_elsewhere(number: u8, word: u32, plaintext: &[u8]) -> Vec<u8> {
        let key = ring::UnboundKey::new(&ring::AES_256_GCM, &SECRET).unwrap();
        let mut nonce = [0; NONCE_LEN];
        *nonce.last_mut().unwrap() = number;
        let mut sealed = plaintext.to_vec();
        ring::LessSafeKey::new(key)
            .seal_in_place_append_tag(
                ring::Nonce::assume_unique_for_key(nonce),
                ring::Aad::from(word.to_le_bytes()),
                &mut sealed,
            )
            .unwrap();
        [&word.to_le_bytes()[..], &sealed].concat()
    }

    #[test]
    fn the_longest_segments_open_however_they_arrive() {
        let plaintext = [vec![1; SEGMENT_MAX_BYTES], vec![2; 3], vec![3; SEGMENT_MAX_BYTES]];
        let mut sealed = Vec::new();
        for (number, segment) in (0..).zip(&plaintext) {
            let flag = if number == 2 { LAST } else { 0 };
            let word = u32::try_from(segment.len()).unwrap() | flag;
            sealed.extend(sealed_elsewhere(number, word, segment));
        }
        for step in [1, 5, 1 << 14, SEGMENT_MAX_BYTES + OVERHEAD_BYTES, sealed.len()] {
            let mut opener = Opener::new(&SECRET);
            let mut opened = Vec::new();
            for arrived in sealed.chunks(step) {
                let room = opener.held_bytes() + opener.room_for(arrived.len());
                opener.open(arrived, &mut opened).unwrap();
                let held = opener.held_bytes();
                assert!(held <= room && held <= 2 * SEGMENT_MAX_BYTES + OVERHEAD_BYTES);
            }
            opener.end().unwrap();
            assert_eq!(opened, plaintext.concat(), "{step} at a time");
        }
    }

    #[test]
    fn what_is_refused_or_not_taken_leaves_nothing() {
        let mut sealed = sealed_elsewhere(0, LAST | 3, &[1; 3]);
        let mut opener = Opener::new(&SECRET);
        let taken = opener.open_each(&sealed, |_| Err(Refused::Head));
        assert_eq!((taken, opener.held_bytes()), (Err(Refused::Head), 0));
        assert_eq!(opener.end(), Err(Refused::Truncated));
        *sealed.last_mut().unwrap() ^= 1;
        let mut opener = Opener::new(&SECRET);
        for _ in 0..2 {
            let mut opened = Vec::new();
            assert_eq!(opener.open(&sealed, &mut opened), Err(Refused::Segment));
            assert!(opened.is_empty() && opener.held_bytes() == 0);
        }
    }
}
