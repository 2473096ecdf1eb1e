//! The body of a record that came over a `mapped` edge: it stays where its producer wrote it until the
//! handler asks for bytes. The producer may still change it, so nobody gets a reference to it: what is read
//! is copied first, and whoever reads twice may read two things (I2).

use crate::sdk::headers::{ENCODED_MAX_BYTES, PREFIX_BYTES};
use hacher_data_path::region::layout::EXTENT_MAX_BYTES;
use hacher_data_path::region::memory::PeerRegion;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Bytes that [`View::fold`] copies at a time: they stay in the nearest cache.
const CHUNK_BYTES: usize = 8 * 1024;

/// Where one segment's bytes lie.
#[derive(Debug, Clone, Copy)]
struct Piece {
    offset: usize,
    len_bytes: usize,
}

/// A body in its producer's memory, and its copy once somebody has asked for one.
#[derive(Debug, Default)]
pub(crate) struct InPlace {
    region: Option<Arc<PeerRegion>>,
    pieces: Vec<Piece>,
    len_bytes: usize,
    copy: OnceLock<Vec<u8>>,
    /// The buffer of the last copy, for the next.
    spare: Mutex<Vec<u8>>,
}

impl InPlace {
    /// Forgets the last body, keeps the room.
    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.len_bytes = 0;
        self.drop_copy();
    }

    fn drop_copy(&mut self) {
        if let Some(mut copy) = self.copy.take() {
            copy.clear();
            *self.spare.get_mut().unwrap_or_else(PoisonError::into_inner) = copy;
        }
    }

    /// Whether there is a body here: the first segment of its record was left in place.
    pub(crate) fn is_used(&self) -> bool {
        !self.pieces.is_empty()
    }

    pub(crate) const fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Bytes that are kept for the next copy.
    pub(crate) fn kept_bytes(&mut self) -> usize {
        let spare = self.spare.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.copy.get().map_or(spare.capacity(), Vec::capacity)
    }

    /// Adds a segment. Of the first one, the headers are copied to `plain`; the body begins behind them.
    pub(crate) fn add(
        &mut self,
        region: &Arc<PeerRegion>,
        offset: usize,
        len_bytes: usize,
        plain: &mut Vec<u8>,
    ) {
        // The same region as a rule: no need to touch its count.
        if !self.region.as_ref().is_some_and(|own| Arc::ptr_eq(own, region)) {
            self.region = Some(Arc::clone(region));
        }
        let skipped = if self.is_used() {
            0
        } else {
            copy_headers(region, offset, len_bytes, plain)
        };
        self.pieces.push(Piece {
            offset: offset + skipped,
            len_bytes: len_bytes - skipped,
        });
        self.len_bytes += len_bytes - skipped;
        self.drop_copy();
    }

    /// A private copy of the body, made when it is first asked for.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.copy.get_or_init(|| {
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            let mut copy = core::mem::take(&mut *spare);
            copy.reserve(self.len_bytes);
            if let Some(region) = &self.region {
                for piece in &self.pieces {
                    if let Some(span) = region.span(piece.offset, piece.len_bytes) {
                        span.append_to(&mut copy);
                    }
                }
            }
            copy
        })
    }

    /// Copies from `at` on; how many bytes there were.
    pub(crate) fn copy_to(&self, at: usize, into: &mut [u8]) -> usize {
        let Some(region) = &self.region else {
            return 0;
        };
        let (mut skip, mut copied) = (at, 0);
        for piece in &self.pieces {
            if skip >= piece.len_bytes {
                skip -= piece.len_bytes;
                continue;
            }
            let rest = into.get_mut(copied..).unwrap_or(&mut []);
            let len_bytes = rest.len().min(piece.len_bytes - skip);
            let done = rest.get_mut(..len_bytes).is_some_and(|to| {
                region
                    .span(piece.offset + skip, len_bytes)
                    .is_some_and(|span| span.copy_to(to))
            });
            if !done || len_bytes == 0 {
                break;
            }
            copied += len_bytes;
            skip = 0;
        }
        copied
    }
}

/// Copies a record's headers and the prefix that holds their length; how many bytes that are.
fn copy_headers(region: &PeerRegion, offset: usize, len_bytes: usize, plain: &mut Vec<u8>) -> usize {
    let mut prefix = [0; PREFIX_BYTES];
    if len_bytes < PREFIX_BYTES
        || !region
            .span(offset, PREFIX_BYTES)
            .is_some_and(|span| span.copy_to(&mut prefix))
    {
        return 0; // no headers: refused when they are parsed
    }
    plain.extend_from_slice(&prefix);
    let headers = usize::from(u16::from_le_bytes(prefix));
    if headers > ENCODED_MAX_BYTES || PREFIX_BYTES + headers > len_bytes {
        return PREFIX_BYTES; // refused as well
    }
    if headers > 0
        && let Some(span) = region.span(offset + PREFIX_BYTES, headers)
    {
        span.append_to(plain);
    }
    PREFIX_BYTES + headers
}

const _: () = assert!(EXTENT_MAX_BYTES > ENCODED_MAX_BYTES + PREFIX_BYTES);

/// A body where its producer wrote it, to be read without copying all of it. It costs nothing until it is
/// read.
///
/// The producer can change the bytes at any time, even between two reads: check what you have read, not what
/// you are about to read again. The body stays there until the handler returns.
#[derive(Debug, Clone, Copy)]
pub struct View<'p>(&'p InPlace);

impl<'p> View<'p> {
    pub(crate) const fn new(body: &'p InPlace) -> Self {
        Self(body)
    }

    /// Bytes of the body.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.0.len_bytes()
    }

    /// Copies bytes of the body, from `offset` on, into `into`. Returns how many: fewer than `into` holds
    /// only at the end of the body.
    pub fn copy_to(&self, offset: usize, into: &mut [u8]) -> usize {
        self.0.copy_to(offset, into)
    }

    /// Reads the whole body once, in order: `step` gets it in private pieces of 8 KiB, the last one shorter.
    pub fn fold<T>(&self, start: T, mut step: impl FnMut(T, &[u8]) -> T) -> T {
        let mut chunk = [0; CHUNK_BYTES];
        let (mut at, mut folded) = (0, start);
        loop {
            let copied = self.copy_to(at, &mut chunk);
            let Some(bytes) = chunk.get(..copied).filter(|bytes| !bytes.is_empty()) else {
                return folded;
            };
            folded = step(folded, bytes);
            at += copied;
        }
    }
}
