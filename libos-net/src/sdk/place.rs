//! A record whose size is known before its bytes are: it is written where its consumer will read it, if it
//! goes over one `mapped` edge, and into private memory otherwise. Handlers need not know which.

use super::failure::Failure;
use super::port_buffer::{PortBuffer, SharedSink};

/// What happens to a handler that writes past the end of what it placed.
const PAST_THE_END: Failure = Failure::permanent("bytes were written past the end of a placed record");

/// Writes the body of a record that was placed, in any order. What is not written holds zeros, or on a
/// `mapped` edge parts of earlier records of this edge. The record leaves when the handler returns `Ok`.
pub struct Placed<'o> {
    pub(super) index: usize,
    pub(super) buffer: &'o mut PortBuffer,
    pub(super) sink: &'o dyn SharedSink,
    pub(super) len_bytes: usize,
}

impl core::fmt::Debug for Placed<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Placed")
            .field("len_bytes", &self.len_bytes)
            .finish_non_exhaustive()
    }
}

impl Placed<'_> {
    /// Bytes of the body.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Writes `bytes` into the body, from `offset` on.
    ///
    /// # Errors
    /// A permanent [`Failure`] when they do not fit; nothing is written then.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Failure> {
        let end = offset.checked_add(bytes.len()).ok_or(PAST_THE_END)?;
        if end > self.len_bytes {
            return Err(PAST_THE_END);
        }
        let (index, buffer) = (self.index, &mut *self.buffer);
        self.sink.with(&mut |sink| {
            let fits = buffer.write_placed(index, offset, bytes, sink);
            fits.then_some(()).ok_or(PAST_THE_END)
        })
    }
}
