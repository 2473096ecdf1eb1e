//! One segment's descriptor: 64 bytes, one cache line, the stamp of its ring slot and seven words.
//!
//! | word | bits | what |
//! |---|---|---|
//! | 0 | 64 | sequence of the record on its port, in this epoch |
//! | 1 | 32 high, 32 low | where the segment lies in the outbox, in cache lines; bytes of its ciphertext |
//! | 2 | 32, 16, 16 | index of the segment in its record; attempt; flags |
//! | 3, 4 | 128 | invocation |
//! | 5 | 64 | deadline, ns of `CLOCK_MONOTONIC` |
//! | 6 | 32, 16, 16 | producer's instance epoch; port; generation of the key |
//!
//! All but word 1 is the additional data of the segment's AEAD (I9), and word 1 only says where to look: a
//! descriptor that was changed in any bit is refused when its segment is opened.
//!
//! On a `mapped` edge nothing is sealed, so nothing is authenticated: what guards a descriptor is that only
//! its producer can write it, and the checks of its consumer. Three of its words differ, as there is no key,
//! room is given out in leaves, and the ring carries one port. That leaves 60 bits for when the segment was
//! published, ns of `CLOCK_MONOTONIC` (36 years); in a word of its own that would be a second cache line to
//! hand over.
//!
//! | word | bits | what |
//! |---|---|---|
//! | 1 | 16, 16, 32 | leaf that the segment starts at; bits 32 to 47 of the time; bytes of its plaintext |
//! | 2 | 32, 16, 12, 4 | index of the segment; attempt; bits 48 to 59 of the time; flags |
//! | 6 | 32, 32 | producer's instance epoch; bits 0 to 31 of the time |

use crate::machine::clock::Monotonic;
use crate::record::invocation::InvocationId;
use crate::region::layout::{
    EXTENT_MAX_BYTES, LINE_BYTES, MappedLayout, OutboxLayout, SEGMENT_BYTES, SLOT_TAIL_BYTES,
};
use crate::region::ring::WORDS;

/// Bytes of the additional data.
pub const AAD_BYTES: usize = 48;
/// Bytes of a nonce: the sequence, then the index of the segment (I4).
pub const NONCE_BYTES: usize = 12;

/// Bytes of a tag, which stands behind a segment's ciphertext.
pub const TAG_BYTES: usize = 16;

const FLAG_LAST: u16 = 1;
const FLAG_ABORT: u16 = 2;
const FLAGS_KNOWN: u16 = FLAG_LAST | FLAG_ABORT;
/// Bits of the flags' place that hold flags on a mapped edge, too.
const FLAGS_BITS: u32 = 4;
const _: () = assert!(FLAGS_KNOWN >> FLAGS_BITS == 0);

/// A descriptor in private memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Number of the record on its port, from 0 in each epoch.
    pub sequence: u64,
    /// Where the segment starts in the outbox region, in bytes.
    pub offset: usize,
    /// Bytes of ciphertext, without its tag.
    pub len_bytes: usize,
    /// Position of the segment in its record.
    pub segment: u32,
    /// Which attempt of the producer made this record.
    pub attempt: u16,
    /// Whether the record ends here.
    pub last: bool,
    /// Whether the record ends here because its producer gave up on it.
    pub abort: bool,
    /// The request that this record belongs to.
    pub invocation: InvocationId,
    /// When the request is worth nothing any more.
    pub deadline: Monotonic,
    /// The producer's instance epoch.
    pub epoch: u32,
    /// The port's number in the chain. A mapped descriptor does not say it: it is that of its ring.
    pub port: u16,
    /// Generation of the key; 0 where there is none.
    pub generation: u16,
}

const _: () = assert!(TAG_BYTES + 7 + 8 < SLOT_TAIL_BYTES);

/// Words that are no descriptor, or point out of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the words are no descriptor of this outbox")]
pub struct Malformed;

const fn join(high: u32, middle: u16, low: u16) -> u64 {
    ((high as u64) << 32) | ((middle as u64) << 16) | low as u64
}

#[expect(clippy::cast_possible_truncation, reason = "takes a word apart")]
const fn split(word: u64) -> (u32, u16, u16) {
    ((word >> 32) as u32, (word >> 16) as u16, word as u16)
}

#[expect(clippy::cast_possible_truncation, reason = "takes a word apart")]
const fn halves(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

const fn join_time(upper: u16, middle: u16, low: u32) -> u64 {
    ((upper as u64) << 48) | ((middle as u64) << 32) | low as u64
}

impl Descriptor {
    /// The words to publish.
    #[must_use]
    pub fn words(&self) -> [u64; WORDS] {
        let lines = (self.offset / LINE_BYTES) as u64;
        self.with_words(
            (lines << 32) | self.len_bytes as u64,
            0,
            join(self.epoch, self.port, self.generation),
        )
    }

    /// The words to publish in a mapped region, for a segment that starts at `leaf` and is published at
    /// `published`.
    pub(crate) fn mapped_words(&self, leaf: u32, published: Monotonic) -> [u64; WORDS] {
        let (high, low) = halves(published.as_ns());
        let (_, upper, middle) = split(u64::from(high));
        self.with_words(
            (u64::from(leaf) << 48) | (u64::from(middle) << 32) | self.len_bytes as u64,
            upper << FLAGS_BITS,
            (u64::from(self.epoch) << 32) | u64::from(low),
        )
    }

    fn with_words(&self, place: u64, beside_flags: u16, key: u64) -> [u64; WORDS] {
        let flags = if self.last { FLAG_LAST } else { 0 } | if self.abort { FLAG_ABORT } else { 0 };
        let (invocation_low, invocation_high) = self.invocation.halves();
        [
            self.sequence,
            place,
            join(self.segment, self.attempt, beside_flags | flags),
            invocation_low,
            invocation_high,
            self.deadline.as_ns(),
            key,
        ]
    }

    /// Reads words that a peer has published, and checks that they point into its outbox.
    ///
    /// # Errors
    /// [`Malformed`].
    #[inline]
    pub fn from_words(words: &[u64; WORDS], outbox: &OutboxLayout) -> Result<Self, Malformed> {
        let [_, place, position, .., key] = *words;
        let (lines, len_bytes) = halves(place);
        let offset = usize::try_from(lines)
            .ok()
            .and_then(|lines| lines.checked_mul(LINE_BYTES))
            .ok_or(Malformed)?;
        let (_, _, flags) = split(position);
        let descriptor = Self::read(words, offset, len_bytes, flags, split(key))?;
        let end = descriptor.end(SLOT_TAIL_BYTES)?;
        let sound = descriptor.offset >= outbox.segments_at()
            && end <= outbox.len_bytes()
            && descriptor.len_bytes <= SEGMENT_BYTES
            // Only the last segment may be empty: whoever waits for more gets some.
            && (descriptor.last || descriptor.len_bytes > 0);
        if sound { Ok(descriptor) } else { Err(Malformed) }
    }

    /// Reads words that a peer has published in a mapped region, whose ring carries `port`, and checks that
    /// they name whole leaves of it. What is empty lies at its first leaf.
    pub(crate) fn from_mapped_words(
        words: &[u64; WORDS],
        region: &MappedLayout,
        port: u16,
    ) -> Result<Self, Malformed> {
        let [_, place, position, .., key] = *words;
        let (leaf_and_time, len_bytes) = halves(place);
        let (_, leaf, _) = split(u64::from(leaf_and_time));
        let (_, _, flags) = split(position);
        let (epoch, _) = halves(key);
        let descriptor = Self::read(
            words,
            region.leaf_at(u32::from(leaf)),
            len_bytes,
            flags & ((1 << FLAGS_BITS) - 1),
            (epoch, port, 0),
        )?;
        let sound = u32::from(leaf) < region.leaves()
            && descriptor.end(0)? <= region.len_bytes()
            && descriptor.len_bytes <= EXTENT_MAX_BYTES
            && (descriptor.last || descriptor.len_bytes > 0);
        if sound { Ok(descriptor) } else { Err(Malformed) }
    }

    /// When a segment in a mapped region was published, as its words say.
    pub(crate) fn mapped_published(words: &[u64; WORDS]) -> Monotonic {
        let [_, place, position, .., key] = *words;
        let (leaf_and_time, _) = halves(place);
        let (_, _, middle) = split(u64::from(leaf_and_time));
        let (_, _, upper) = split(position);
        let (_, low) = halves(key);
        Monotonic::from_ns(join_time(upper >> FLAGS_BITS, middle, low))
    }

    /// Takes apart the words that are the same on every edge; where they point is not checked.
    fn read(
        words: &[u64; WORDS],
        offset: usize,
        len_bytes: u32,
        flags: u16,
        (epoch, port, generation): (u32, u16, u16),
    ) -> Result<Self, Malformed> {
        let [
            sequence,
            _,
            position,
            invocation_low,
            invocation_high,
            deadline,
            _,
        ] = *words;
        let (segment, attempt, _) = split(position);
        let len_bytes = usize::try_from(len_bytes).map_err(|_| Malformed)?;
        let last = flags & FLAG_LAST != 0;
        let abort = flags & FLAG_ABORT != 0;
        if flags & !FLAGS_KNOWN != 0 || (abort && !(last && len_bytes == 0)) {
            return Err(Malformed);
        }
        let invocation = (u128::from(invocation_high) << 64) | u128::from(invocation_low);
        Ok(Self {
            sequence,
            offset,
            len_bytes,
            segment,
            attempt,
            last,
            abort,
            invocation: InvocationId::new(invocation),
            deadline: Monotonic::from_ns(deadline),
            epoch,
            port,
            generation,
        })
    }

    /// Where the segment ends, with `tail_bytes` behind it.
    fn end(&self, tail_bytes: usize) -> Result<usize, Malformed> {
        self.offset
            .checked_add(self.len_bytes)
            .and_then(|end| end.checked_add(tail_bytes))
            .ok_or(Malformed)
    }

    /// Where in the outbox the time lies at which a sealed segment was published: behind its tag, aligned.
    pub(crate) const fn published_at(&self) -> usize {
        self.offset + (self.len_bytes + TAG_BYTES).next_multiple_of(8)
    }

    /// The additional data of the segment's AEAD.
    pub(crate) fn additional_data(&self) -> [u8; AAD_BYTES] {
        let [sequence, _, position, low, high, deadline, key] = self.words();
        let mut bytes = [0; AAD_BYTES];
        for (to, word) in bytes
            .chunks_exact_mut(8)
            .zip([sequence, position, low, high, deadline, key])
        {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The segment's nonce: never the same twice under one key, as sequences count up within an epoch.
    pub(crate) fn nonce(&self) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        let (sequence, segment) = nonce.split_at_mut(8);
        sequence.copy_from_slice(&self.sequence.to_le_bytes());
        segment.copy_from_slice(&self.segment.to_le_bytes());
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout() -> OutboxLayout {
        OutboxLayout::new(1, 256, 1 << 20).unwrap()
    }

    proptest! {
        #[test]
        fn a_descriptor_survives_the_ring(
            sequence: u64, line in 0..1000_usize, len_bytes in 0..=SEGMENT_BYTES, segment: u32, attempt: u16,
            invocation: u128, deadline: u64, epoch: u32, port: u16, generation: u16,
        ) {
            let descriptor = Descriptor {
                sequence, offset: layout().segments_at() + line * LINE_BYTES, len_bytes, segment, attempt,
                last: true, abort: false, invocation: InvocationId::new(invocation),
                deadline: Monotonic::from_ns(deadline), epoch, port, generation,
            };
            prop_assert_eq!(Descriptor::from_words(&descriptor.words(), &layout()), Ok(descriptor));
        }

        #[test]
        fn a_descriptor_and_its_time_survive_the_ring_of_a_mapped_region(
            sequence: u64, leaf in 0..1024_u32, len_bytes in 1..=1024_usize, segment: u32, attempt: u16,
            invocation: u128, deadline: u64, epoch: u32, port: u16, published in 0..1_u64 << 60,
        ) {
            let region = MappedLayout::new(256, 1 << 20).unwrap();
            let descriptor = Descriptor {
                sequence, offset: region.leaf_at(leaf), len_bytes, segment, attempt,
                last: true, abort: false, invocation: InvocationId::new(invocation),
                deadline: Monotonic::from_ns(deadline), epoch, port, generation: 0,
            };
            let published = Monotonic::from_ns(published);
            let words = descriptor.mapped_words(leaf, published);
            prop_assert_eq!(Descriptor::from_mapped_words(&words, &region, port), Ok(descriptor));
            prop_assert_eq!(Descriptor::mapped_published(&words), published);
        }

        #[test]
        fn whatever_is_accepted_lies_within_the_outbox(words: [u64; 7]) {
            if let Ok(descriptor) = Descriptor::from_words(&words, &layout()) {
                prop_assert!(descriptor.offset >= layout().segments_at());
                prop_assert!(descriptor.offset + descriptor.len_bytes + SLOT_TAIL_BYTES <= layout().len_bytes());
            }
        }

        #[test]
        fn whatever_is_accepted_lies_within_the_mapped_region(words: [u64; 7], leaf in 0..1100_u64, len: u32) {
            let region = MappedLayout::new(256, 1 << 20).unwrap();
            let mut words = words;
            for place in [words[1], (leaf << 48) | u64::from(len % (2 << 20))] {
                words[1] = place;
                words[2] = (words[2] & !0xf) | 1;
                if let Ok(descriptor) = Descriptor::from_mapped_words(&words, &region, 3) {
                    prop_assert!(descriptor.offset >= region.leaf_at(0));
                    prop_assert!(descriptor.offset + descriptor.len_bytes <= region.len_bytes());
                }
            }
        }

        #[test]
        fn every_bit_but_the_place_is_authenticated(words: [u64; 7], word in 0..7_usize, bit in 0..64_u32) {
            let mut words = words;
            words[1] = ((layout().segments_at() / LINE_BYTES) as u64) << 32;
            words[2] = (words[2] & !0xffff) | 1;
            let mut changed = words;
            changed[word] ^= 1 << bit;
            let original = Descriptor::from_words(&words, &layout()).unwrap();
            if let Ok(other) = Descriptor::from_words(&changed, &layout()) {
                prop_assert!(
                    word == 1 || original.additional_data() != other.additional_data(),
                    "word {} bit {}", word, bit
                );
            }
        }
    }
}
