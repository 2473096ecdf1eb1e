//! How an instance waits for work: it looks for a while where that pays, makes room for whoever needs its
//! core next, and sleeps.
//!
//! An instance with a core to itself looks before it sleeps, as long as [`Patience`] finds that worth it. One
//! that shares its core does not: others have work for it. It looks only once it was *called*, woken by
//! [`crate::wait::ahead`] before its record came, and gives way to the others if the record takes long.

use crate::machine::clock::Monotonic;
use crate::page::counter::Counter;
use crate::page::own::Own;
use crate::region::layout::page_word;
use crate::wait::ahead::Ahead;
use crate::wait::park::Sleeper;
use crate::wait::patience::{Patience, look};
use crate::wait::waiting::Waiting;

/// Who shares a core lets others run once it has looked for work this long: longer than most functions ahead
/// of it work, for giving way costs it its turn.
const GIVE_WAY_AFTER_NS: u64 = 10_000;
/// Who sleeps shorter than this did not sleep: switching to another process and back takes as long. Its bell
/// had been rung twice for the sleep before, by its producer and by who woke it ahead.
const NO_SLEEP_NS: u64 = 2_000;

/// The waiting of one instance.
pub(crate) struct Rest {
    sleeper: Sleeper,
    patience: Patience,
    /// The last wait slept, and nothing was opened since.
    was_asleep: bool,
    /// The last sleep was ended when there was nothing to do yet.
    was_called: bool,
    /// Who needs this core next.
    ahead: Ahead,
    waiting: Waiting,
}

impl Rest {
    /// `random`: this process's own number.
    pub(crate) fn new(own: &Own, ahead: Ahead, waiting: Waiting, spin_ns: u64, random: u64) -> Self {
        let parked = own.page.word(page_word::PARKED);
        let sleeper = parked.map_or_else(Sleeper::default, |word| Sleeper::take_over(word, random));
        own.store(page_word::LOOKS, 0);
        Self {
            sleeper,
            patience: Patience::new(spin_ns),
            was_asleep: false,
            was_called: false,
            ahead,
            waiting,
        }
    }

    /// Waits until there is `news`, or `until`; may return without reason.
    pub(crate) fn wait(&mut self, own: &Own, until: Option<Monotonic>, news: impl Fn() -> bool) {
        let published = own.published();
        let makes_room = self.ahead.is_due(published);
        let was_called = core::mem::take(&mut self.was_called);
        let may_look = match self.waiting {
            Waiting::Sleep => false,
            Waiting::Look => true,
            Waiting::TakeTurns => was_called,
        };
        let looks = may_look && !makes_room;
        let start = looks.then(|| own.now());
        if let Some(start) = start
            && look(self.patience.limit_ns(), || self.looked_ns(own, start), &news)
        {
            self.patience.found();
            return;
        }
        if !self.announce(own) || news() {
            return self.awake(own);
        }
        own.count(Counter::Slept, 1);
        if makes_room {
            self.ahead.wake(published);
        }
        let asleep = self.takes_turns().then(|| own.now());
        own.bell().wait(until);
        self.awake(own);
        self.was_called = asleep.is_some_and(|asleep| own.ns_since(asleep) >= NO_SLEEP_NS) && !news();
        if let Some(start) = start {
            self.patience.slept(own.ns_since(start));
            self.was_asleep = true;
        }
    }

    const fn takes_turns(&self) -> bool {
        matches!(self.waiting, Waiting::TakeTurns)
    }

    /// For how long this instance has been looking; lets others run if that is long.
    fn looked_ns(&self, own: &Own, start: Monotonic) -> u64 {
        let looked_ns = own.ns_since(start);
        if self.takes_turns() && looked_ns >= GIVE_WAY_AFTER_NS {
            own.bell().give_way();
        }
        looked_ns
    }

    /// Announces sleep; `false` if that cannot be. The caller then looks for news once more, waits for the
    /// doorbell only if there is none, and calls [`Self::awake`].
    pub(crate) fn announce(&mut self, own: &Own) -> bool {
        let Some(word) = own.page.word(page_word::PARKED) else {
            return false;
        };
        own.store(page_word::LOOKS, u64::from(self.patience.accepts_early_wake()));
        self.sleeper.announce(word);
        true
    }

    /// Says that the sleep is over, or did not happen.
    pub(crate) fn awake(&mut self, own: &Own) {
        if let Some(word) = own.page.word(page_word::PARKED) {
            self.sleeper.awake(word);
        }
    }

    /// Wakes who needs this core next, for one that sleeps elsewhere than in [`Self::wait`].
    pub(crate) fn make_room(&mut self, own: &Own) {
        let published = own.published();
        if self.ahead.is_due(published) {
            self.ahead.wake(published);
        }
    }

    /// When whoever opens a record now was woken, if it slept until then and what that cost is to be learnt.
    /// On a shared core a wake-up takes as long as others worked, which says nothing of what it would
    /// cost if they did not.
    pub(crate) fn woken(&mut self, own: &Own) -> Option<Monotonic> {
        (core::mem::take(&mut self.was_asleep) && !self.takes_turns()).then(|| own.now())
    }

    /// Learns what being woken cost, if that was to be learnt from a look at a ring: from a segment's
    /// publication to when whoever slept looked.
    #[inline]
    pub(crate) fn learn(&mut self, woken: Option<Monotonic>, published: Monotonic) {
        if let Some(woken) = woken {
            self.patience.woken(woken.ns_since(published));
        }
    }
}
