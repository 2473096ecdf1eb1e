//! Records that were sent in part and will not be finished: because their run failed, or because the process
//! before this one died in it. Their consumers are told to drop them.

use super::port::Begun;
use super::seal::{End, RecordContext};
use super::sender::Sender;
use crate::error::SendError;
use crate::page::own::Own;

impl Sender {
    /// Tells the consumers of a record that was sent in part to drop it. Does nothing for a port where
    /// `record` is not in part sent. If there is no room now, [`Self::say_aborts`] says it later, or the
    /// next record on this port before it.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn abort(&mut self, own: &Own, port: usize, record: &RecordContext) -> Result<(), SendError> {
        let begun = self.begun(port);
        if begun.is_none_or(|begun| !begun.aborting && begun.is_other_than(record)) {
            return Ok(());
        }
        self.end_begun(own, port)
    }

    /// Ends the record that port `index` has sent a part of.
    pub(crate) fn end_begun(&mut self, own: &Own, index: usize) -> Result<(), SendError> {
        let Some(begun) = self.ports.get_mut(index).and_then(|port| port.begun.as_mut()) else {
            return Ok(());
        };
        begun.aborting = true;
        let record = begun.record;
        let said = self.send_segment(own, index, &record, &[], End::Abort);
        self.owes_aborts |= said.is_err_and(SendError::is_transient);
        said
    }

    /// Whether consumers wait for the rest of a record that has none, because there was no room to say so.
    #[must_use]
    pub const fn owes_aborts(&self) -> bool {
        self.owes_aborts
    }

    /// Says now what there was no room for, as far as there is room; [`Self::owes_aborts`] tells whether
    /// something is left.
    pub fn say_aborts(&mut self, own: &Own) {
        self.owes_aborts = false;
        for index in 0..self.ports.len() {
            loop {
                self.go_on_to_end(index);
                // What else than room it fails for does not pass, and the flag stays down.
                if !self.begun(index).is_some_and(|begun| begun.aborting)
                    || self.end_begun(own, index).is_err()
                {
                    break;
                }
            }
        }
    }

    /// Takes over the outbox of a predecessor: keeps what its consumers have not released, and ends the
    /// records that it left unfinished. This process is of `epoch`.
    pub(crate) fn resume(&mut self, own: &Own, epoch: u32) {
        for port in &mut self.ports {
            let mut of_port = None;
            for outlet in port.outlets.iter_mut() {
                let last = outlet.resume(&mut self.outbox, epoch);
                let unfinished = last.filter(|descriptor| !descriptor.last);
                outlet.out_ring.take_over(unfinished.is_some());
                of_port = of_port.or(unfinished);
            }
            port.begun = of_port.map(|descriptor| Begun {
                record: RecordContext::of(&descriptor),
                aborting: true,
            });
        }
        self.outbox.slots_mut().keep_held();
        for (index, port) in self.ports.iter_mut().enumerate() {
            // Fault notices are not counted.
            if !port.fault {
                let layout = &own.page_layout;
                port.outlets
                    .begin_counting(index, layout, |at, sent| own.store(at, sent));
            }
        }
        // If there is no room now, it is said as soon as there is some.
        self.say_aborts(own);
    }
}
