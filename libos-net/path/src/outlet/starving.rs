//! Waiting for room: a producer says that it starves, and each consumer that releases something then rings.

use super::sender::Sender;
use crate::machine::clock::Monotonic;
use crate::page::counter::Counter;
use crate::page::own::Own;
use crate::wait::patience::look;

impl Sender {
    /// Waits until a consumer has released something, or `until`. Call it after
    /// [`Exhausted::Full`](crate::error::Exhausted::Full), and send again.
    pub fn wait_for_room(&mut self, own: &Own, until: Monotonic) {
        own.count(Counter::Waited, 1);
        let start = self.patience.may_look().then(|| own.now());
        if let Some(start) = start
            && look(
                self.patience.limit_ns(),
                || own.ns_since(start),
                || self.has_news(),
            )
        {
            self.patience.found();
            return;
        }
        if self.announce_starved() {
            own.bell().wait(Some(until));
            if let Some(start) = start {
                self.patience.slept(own.ns_since(start));
            }
        }
        self.fed();
    }

    fn has_news(&self) -> bool {
        self.ports.iter().any(|port| port.outlets.have_news())
    }

    /// Announces that this producer waits for room; `false` if there is some news already. The caller then
    /// waits for the doorbell, and calls [`Self::fed`].
    pub fn announce_starved(&mut self) -> bool {
        if !self.outbox.announce_starved() {
            return false;
        }
        for outlet in self.ports.iter_mut().flat_map(|port| port.outlets.iter_mut()) {
            outlet.announce_starved();
        }
        let has_news = self.has_news();
        if has_news {
            // Of whatever port: news that nobody takes would keep who waits for other news from sleeping.
            self.reclaim_all();
        }
        !has_news
    }

    /// Says that the wait for room is over.
    pub fn fed(&mut self) {
        self.outbox.fed();
        for outlet in self.ports.iter_mut().flat_map(|port| port.outlets.iter_mut()) {
            outlet.fed();
        }
    }
}
