//! Records that flow: their consumers release them as they read them, so a record of any length passes, and
//! how much of one lies in the outbox is bounded by a window. Where several instances take a port's records,
//! several may be on their way at a time, each over rings of its own: a record that goes on later is *set
//! aside* meanwhile.

use super::port::Aside;
use super::sender::Sender;
use crate::record::invocation::InvocationId;

/// Segments of one record that may lie unread before its producer waits: with full ones 1 MiB, enough to keep
/// both ends at work while one of them is woken, and little enough to stay in a second-level cache.
const WINDOW_SEGMENTS: u64 = 16;

impl Sender {
    /// Whether all who take the records of port `port` release them as they read them.
    #[must_use]
    pub fn streams(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|port| port.outlets.all_stream())
    }

    /// Whether so much of the record that port `port` has sent a part of lies unread that it is time to wait
    /// for room.
    pub fn is_ahead(&mut self, port: usize) -> bool {
        let Some(port) = self.ports.get_mut(port).filter(|port| port.begun.is_some()) else {
            return false;
        };
        let outbox = &mut self.outbox;
        port.outlets.taking().any(|outlet| {
            outlet.reclaim(outbox);
            outlet.out_ring.out_of_record() >= WINDOW_SEGMENTS
        })
    }

    /// Whether a record could begin on port `port` now: whether of each function behind it there is an
    /// instance that is not in the middle of one that goes on later.
    #[must_use]
    pub fn may_begin(&self, port: usize) -> bool {
        let port = self.ports.get(port);
        port.is_none_or(|port| port.aside.is_empty() || port.outlets.have_free_instances())
    }

    /// Sets the record aside that port `port` has sent a part of: others may be sent before it goes on.
    pub fn set_aside(&mut self, port: usize) {
        let Some(port) = self.ports.get_mut(port) else {
            return;
        };
        if let Some(begun) = port.begun.take() {
            port.aside.push(Aside {
                begun,
                count: port.sealer.set_aside(),
                outlets: port.outlets.set_aside(),
            });
        }
    }

    /// Goes on with the record of this request that was set aside on port `port`; `false` if there is none,
    /// or if it would be in the middle of another.
    #[must_use]
    pub fn go_on(&mut self, port: usize, invocation: InvocationId) -> bool {
        self.go_on_with(port, |aside| aside.begun.record.invocation == invocation);
        self.begun(port)
            .is_some_and(|begun| !begun.aborting && begun.record.invocation == invocation)
    }

    /// Goes on with one that is to be ended, if there is one.
    pub(super) fn go_on_to_end(&mut self, port: usize) {
        self.go_on_with(port, |aside| aside.begun.aborting);
    }

    fn go_on_with(&mut self, port: usize, is_meant: impl Fn(&Aside) -> bool) {
        let Some(port) = self.ports.get_mut(port).filter(|port| port.begun.is_none()) else {
            return;
        };
        let Some(at) = port.aside.iter().position(is_meant) else {
            return;
        };
        let aside = port.aside.swap_remove(at);
        port.sealer.go_on(aside.count);
        port.outlets.go_on(&aside.outlets);
        port.begun = Some(aside.begun);
    }

    /// Has the record of this request be ended that was set aside on port `port`: those who have its
    /// beginning are told to drop it, as soon as that can be said ([`Self::say_aborts`]).
    pub fn abort_aside(&mut self, port: usize, invocation: InvocationId) {
        let Some(port) = self.ports.get_mut(port) else {
            return;
        };
        let mut aside = port.aside.iter_mut();
        if let Some(aside) = aside.find(|aside| aside.begun.record.invocation == invocation) {
            aside.begun.aborting = true;
            self.owes_aborts = true;
        }
    }
}
