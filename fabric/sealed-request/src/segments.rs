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
//! last.

use crate::Refused;
use crate::encapsulation::SECRET_BYTES;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};
use zeroize::Zeroizing;

/// Most plaintext in one segment.
pub const SEGMENT_MAX_BYTES: usize = 64 << 10;
/// What a segment is longer than its plaintext.
pub const OVERHEAD_BYTES: usize = LENGTH_BYTES + TAG_BYTES;
const LENGTH_BYTES: usize = 4;
const TAG_BYTES: usize = 16;
/// Segments of one key: far below where AES-GCM's bounds begin to count (2^32 messages), and 256 TiB.
const SEGMENTS_MAX: u64 = 1 << 32;
const LAST: u32 = 1 << 31;

/// The key of one stream, in one direction, and the number of the next segment.
struct Key {
    key: LessSafeKey,
    next: u64,
}

impl Key {
    fn new(secret: &[u8; SECRET_BYTES]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, secret).expect("a key of AES-256-GCM has 32 bytes");
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
        for segment in plaintext.chunks(SEGMENT_MAX_BYTES) {
            self.segment(segment, 0, sealed)?;
        }
        Ok(())
    }

    /// Seals the end of the stream, which may have bytes of its own.
    ///
    /// # Errors
    /// As [`Sealer::seal`].
    pub fn end(&mut self, plaintext: &[u8], sealed: &mut Vec<u8>) -> Result<(), Refused> {
        let before = plaintext.len().saturating_sub(1) / SEGMENT_MAX_BYTES * SEGMENT_MAX_BYTES;
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

/// Opens a stream as it arrives, in pieces of any length. Holds at most one segment.
pub struct Opener {
    key: Key,
    /// What came of a segment that is not whole. It is opened here, so it is wiped.
    begun: Zeroizing<Vec<u8>>,
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
            begun: Zeroizing::default(),
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
    /// Why the stream is refused, from then on for ever; or what `take` answers, after which the rest of what
    /// arrived is lost.
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
            let (rest, is_whole) = match self.step(arrived) {
                Ok(step) => step,
                Err(refused) => return Err(self.fail(refused).into()),
            };
            arrived = rest;
            if is_whole {
                let sealed = self.begun.get(LENGTH_BYTES..).unwrap_or_default();
                let plaintext = sealed.split_last_chunk::<TAG_BYTES>();
                let taken = take(plaintext.map_or(&[], |(plaintext, _)| plaintext));
                self.begun.clear();
                taken?;
            }
        }
        Ok(())
    }

    /// Bytes of memory that a segment takes which is not whole.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.begun.capacity()
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
        self.begun = Zeroizing::default();
        refused
    }

    /// Takes what is missing of one segment, and opens it where it lies if it is whole; what follows, and
    /// whether it is.
    fn step<'a>(&mut self, arrived: &'a [u8]) -> Result<(&'a [u8], bool), Refused> {
        let arrived = self.take(LENGTH_BYTES, arrived);
        let Some(&length) = self.begun.first_chunk::<LENGTH_BYTES>() else {
            return Ok((arrived, false));
        };
        let word = u32::from_le_bytes(length);
        let is_last = word & LAST != 0;
        let len = usize::try_from(word & !LAST).map_err(|_| Refused::Length)?;
        if len > SEGMENT_MAX_BYTES || (len == 0 && !is_last) {
            return Err(Refused::Length);
        }
        let arrived = self.take(len + OVERHEAD_BYTES, arrived);
        if self.begun.len() < len + OVERHEAD_BYTES {
            return Ok((arrived, false));
        }
        let nonce = self.key.nonce()?;
        let sealed = self.begun.get_mut(LENGTH_BYTES..).unwrap_or_default();
        let (ciphertext, tag) = sealed
            .split_last_chunk_mut::<TAG_BYTES>()
            .ok_or(Refused::Length)?;
        let aad = Aad::from(length);
        let opened = self
            .key
            .key
            .open_in_place_separate_tag(nonce, aad, Tag::from(*tag), ciphertext, 0..);
        if opened.is_err() {
            return Err(Refused::Segment);
        }
        if is_last {
            self.state = State::Ended;
        }
        Ok((arrived, true))
    }

    /// Takes from what arrived until `wanted` bytes of the segment are there.
    fn take<'a>(&mut self, wanted: usize, arrived: &'a [u8]) -> &'a [u8] {
        let missing = wanted.saturating_sub(self.begun.len()).min(arrived.len());
        let (taken, rest) = arrived.split_at_checked(missing).unwrap_or((arrived, &[]));
        self.make_room(taken.len(), wanted);
        self.begun.extend_from_slice(taken);
        rest
    }

    /// Makes room for `more` bytes of `wanted`: memory follows what came, and is never more than a segment.
    fn make_room(&mut self, more: usize, wanted: usize) {
        let needed = self.begun.len() + more;
        let capacity = self.begun.capacity();
        if needed > capacity {
            let room = needed.max(capacity * 2).min(wanted.max(needed));
            // Not grown in place: that may free this buffer, with what was opened in it, unwiped.
            let mut longer = Zeroizing::new(Vec::with_capacity(room));
            longer.extend_from_slice(&self.begun);
            self.begun = longer;
        }
    }
}

/// Bytes of `len` bytes of plaintext when they are sealed by themselves, before the end of a stream.
#[must_use]
pub const fn sealed_len(len: usize) -> usize {
    len + len.div_ceil(SEGMENT_MAX_BYTES) * OVERHEAD_BYTES
}
