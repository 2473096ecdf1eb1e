//! One hop of one record, step by step: start reading here.
//!
//! ```text
//! producer                                        consumer
//! reserve   a slot of the outbox                  peek      the next descriptor, checked in private memory
//! seal      private plaintext into the slot       open      the slot into private plaintext, or refuse
//! publish   a descriptor into each ring           (run      the handler, which sends in its turn)
//! wake      the consumers that sleep              release   only now the producer may reuse the slot
//! ```
//!
//! [`Sender`] walks the left column, [`Receiver`] the right one; both work on regions and keys that the
//! monitor gave to this instance, and neither knows of the daemon. Between the two handlers the bytes are
//! written once, by sealing, and read once, by opening. What a step does is in the file of its name, in
//! `outlet/`, `inlet/` and `payload/`; who runs the handler is `trustlet/serve.rs`.
//!
//! On a `mapped` edge (`outlet/mapped.rs`, `inlet/leaves.rs`) the bytes are written as they are, into memory
//! that the two ends alone have mapped, by the producer or by its handler itself; and the consumer copies
//! them out, or leaves them where they are and lets the handler look. All checks but the cipher's are the
//! same.

use crate::error::SendError;
use crate::inlet::step::{RecordPlace, Step, Taking};
use crate::outlet::seal::{End, RecordContext};
use crate::outlet::sender;
use crate::page::own;
use crate::receiver::{self, InboundRing};
use crate::record::descriptor::Descriptor;
use alloc::vec::Vec;

pub use own::Own;
pub use receiver::Receiver;
pub use sender::Sender;

impl Sender {
    /// Sends one segment of a record: the whole record, if it is the first and `last` is true.
    ///
    /// # Errors
    /// [`SendError`]. After `Full` nothing has happened, and the same call may be made again.
    pub fn send(
        &mut self,
        own: &Own,
        port: usize,
        record: &RecordContext,
        plain: &[u8],
        last: bool,
    ) -> Result<(), SendError> {
        if self.begun(port).is_some_and(|begun| begun.is_other_than(record)) {
            self.end_begun(own, port)?;
        }
        self.send_segment(own, port, record, plain, if last { End::Last } else { End::More })
    }

    /// The left column.
    pub(crate) fn send_segment(
        &mut self,
        own: &Own,
        port: usize,
        record: &RecordContext,
        plain: &[u8],
        end: End,
    ) -> Result<(), SendError> {
        self.begin(own, port, record, plain.len())?;
        let Some(room) = self.reserve(port, plain.len(), end)? else {
            return Ok(()); // a port that leads nowhere: `check` has warned
        };
        let descriptor = self.seal(port, room, record, plain, end)?;
        self.publish(own, port, room, &descriptor, plain);
        self.wake(port);
        self.note_sent(own, room, &descriptor);
        Ok(())
    }
}

impl Receiver {
    /// Peeks at ring `ring` and opens what is there, appending to `into`. Refusals are counted here.
    pub fn step(&mut self, own: &Own, ring: usize, into: &mut Vec<u8>) -> Step {
        self.step_choosing(own, ring, into, |_| Taking::Copy)
    }

    /// As [`Self::step`], but leaves what comes over a `mapped` edge where it is: [`Self::in_place`] reads
    /// it, until it is released.
    pub fn step_in_place(&mut self, own: &Own, ring: usize, into: &mut Vec<u8>) -> Step {
        self.step_choosing(own, ring, into, |_| Taking::InPlace)
    }

    /// As [`Self::step`], but `choose` looks at the descriptor first: at what it says that the segment
    /// belongs to, which is not authenticated yet, and how long it is. So a consumer that bounds its
    /// memory can leave a large segment of a mapped edge where it is; a sealed one has at most
    /// [`crate::region::layout::SEGMENT_BYTES`], and is opened in any case.
    pub fn step_choosing(
        &mut self,
        own: &Own,
        ring: usize,
        into: &mut Vec<u8>,
        choose: impl FnOnce(&Descriptor) -> Taking,
    ) -> Step {
        let Some((inbound, rest)) = self.inbound_mut(ring) else {
            return Step::Empty;
        };
        let woken = rest.woken(own);
        let InboundRing { inlet, payload } = inbound;
        let step = match inlet.peek() {
            Ok(found) => {
                let taking = choose(&found.descriptor);
                match payload.open(inlet, &found, into, taking) {
                    Ok(in_place) => inlet.accept(&found, in_place),
                    Err(refusal) => inlet.refuse(refusal, Some(found.descriptor)),
                }
            }
            Err(step) => step,
        };
        if let Step::Opened(opened) = &step {
            rest.learn(woken, opened.published);
        }
        inbound.note_step(own, &step);
        step
    }

    /// Releases a record: all that it caused has been published (I5).
    pub fn release(&mut self, own: &Own, record: RecordPlace) {
        if let Some((InboundRing { inlet, .. }, _)) = self.inbound_mut(record.ring) {
            inlet.release(record, &own.page);
        }
    }
}

#[cfg(test)]
mod tests;
