//! Records that a handler writes where their one consumer reads them, on a port that leads over a `mapped`
//! edge alone.

use super::seal::{End, RecordContext};
use super::sender::Sender;
use crate::error::{Exhausted, Misuse, SendError};

use crate::page::counter::Counter;
use crate::page::own::Own;
use crate::record::invocation::InvocationId;
use crate::wait::park::Waker;

impl Sender {
    /// Reserves room for a record of `len_bytes` where its one consumer will read it, so that it can be
    /// written there directly; `false` where that is not how this port's records travel. Its bytes are
    /// whatever was there before: zeros, or parts of earlier records of this edge. What was placed before
    /// on this port is given up.
    ///
    /// # Errors
    /// [`SendError`]. After `Full` nothing has happened, and the same call may be made again.
    pub fn place(
        &mut self,
        port: usize,
        invocation: InvocationId,
        len_bytes: usize,
    ) -> Result<bool, SendError> {
        let outbox_bytes = self.outbox_bytes();
        for has_looked in [false, true] {
            let outlets = &mut self.port_mut(port)?.outlets;
            let Some((room, out_ring)) = outlets.only_mapped(invocation.count()) else {
                return Ok(false);
            };
            if room.place(out_ring, len_bytes) {
                return Ok(true);
            }
            if room.is_too_small_for(len_bytes, false) {
                return Err(Exhausted::TooLarge { outbox_bytes }.into());
            }
            if !has_looked {
                // Whoever waits for room next must wait for more than what was released already, by whomever.
                self.reclaim_all();
            }
        }
        Err(Exhausted::Full.into())
    }

    /// Writes into the record that was placed on this port; `false`, and nothing written, past its end.
    #[must_use]
    pub fn write_placed(&mut self, port: usize, at: usize, bytes: &[u8]) -> bool {
        let port = self.ports.get_mut(port);
        port.and_then(|port| port.outlets.placed())
            .is_some_and(|(room, _)| room.write_placed(at, bytes))
    }

    /// Sends the record that was placed on this port, as it is.
    ///
    /// # Errors
    /// [`SendError`]. After `Full` nothing has happened, and the same call may be made again.
    pub fn send_placed(&mut self, own: &Own, port: usize, record: &RecordContext) -> Result<(), SendError> {
        if self.begun(port).is_some() {
            self.end_begun(own, port)?;
        }
        let placed = self.port_mut(port)?.outlets.placed();
        if placed.is_some_and(|(_, out_ring)| !out_ring.has_room(1)) {
            self.reclaim_all();
        }
        let out = self.ports.get_mut(port).ok_or(Misuse::NoSuchPort { port })?;
        let Some((room, out_ring)) = out.outlets.placed() else {
            return Ok(());
        };
        if !out_ring.has_room(1) {
            return Err(Exhausted::Full.into());
        }
        let len_bytes = room.placed_bytes().unwrap_or(0);
        let numbered = out.sealer.number(record, len_bytes, End::Last);
        let numbered = numbered.map_err(|_| Exhausted::Keys)?;
        self.published_last = own.now();
        room.publish_placed(out_ring, &numbered, self.published_last.as_ns());
        own.count_sent(out_ring.sent_at());
        Waker::fence();
        out_ring.wake();
        own.count(Counter::Published, 1);
        Ok(())
    }

    /// Gives up the record that was placed on this port, if there is one.
    pub fn drop_placed(&mut self, port: usize) {
        let port = self.ports.get_mut(port);
        if let Some((room, _)) = port.and_then(|port| port.outlets.placed()) {
            room.drop_placed();
        }
    }
}
