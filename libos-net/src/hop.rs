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
//! written once, by sealing, and read once, by opening.
//!
//! On a `mapped` edge (`outlet/mapped.rs`, `inlet/placed.rs`) the bytes are written as they are, into memory
//! that the two ends alone have mapped, by the producer or by its handler itself; and the consumer copies them out, or
//! leaves them where they are and lets the handler look. All checks but the cipher's are the same.

use crate::inlet::receiver;
use crate::outlet::seal::{End, RecordContext};
use crate::outlet::sender;
use crate::page::own;

pub use own::Own;
pub use receiver::Receiver;
pub use sender::{SendError, Sender};

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

    pub(crate) fn send_segment(
        &mut self,
        own: &Own,
        port: usize,
        record: &RecordContext,
        plain: &[u8],
        end: End,
    ) -> Result<(), SendError> {
        self.begin(port, record, plain.len())?;
        let Some(room) = self.reserve(port, plain.len(), end)? else {
            return Ok(());
        };
        let descriptor = self.seal(port, room, record, plain, end)?;
        self.publish(own, port, room, &descriptor, plain);
        self.wake(port);
        self.note_sent(own, room, &descriptor);
        Ok(())
    }
}
