//! How long to look for work before going to sleep.
//!
//! Being woken on another core costs thirty to two hundred times what a hand-over between two awake cores
//! does, so it can pay to look a little longer. Looking for as long as being woken costs is never worse than
//! twice the best choice. Three things bound it, so that it is also seldom worse than the best:
//!
//! - the *budget* that the placement gave: 0 where the core has other work, and then nothing here reads a
//!   clock;
//! - what being woken *costs*, as measured here: from a record's publication to its being seen by one who
//!   slept;
//! - *doubt*: each wait that lasted longer than it would have paid to look halves the next search, and after
//!   [`DOUBT_MAX`] of them there is none. A sleep that turns out to have been short ends the doubt, so nobody
//!   has to look in vain now and then to find out whether times have changed. An idle instance sleeps at once
//!   and stays asleep.
//!
//! The policy ([`Patience`]) is told times and reads none; [`look`] is the loop.

use core::hint::spin_loop;

/// After this many long waits in a row there is no search. A system that falls idle makes no more than that
/// many searches, each at most its budget.
const DOUBT_MAX: u32 = 4;
/// One sleep in so many is ended early even if that has not paid.
const EARLY_WAKE_EVERY: u32 = 16;
/// The clock is read once in so many polls: it costs as much as some of them.
const POLLS_PER_CLOCK: u32 = 32;
/// The processor is told that this is a loop of polls once in so many: a pause takes as long as several.
const POLLS_PER_PAUSE: u32 = 4;
/// A measured cost of being woken counts by this part of its difference to the estimate.
const SMOOTHING: u64 = 8;
/// No wake-up costs less (a switch between two processes), or is believed to cost more: what is measured
/// depends on a word of a peer, and on what else the machine does.
const WAKE_NS: core::ops::RangeInclusive<u64> = 1_000..=1_000_000;

/// Decides for how long to look before the next sleep.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    budget_ns: u64,
    /// What being woken costs.
    wake_ns: u64,
    /// Long waits in a row, counted up to [`DOUBT_MAX`].
    doubt: u32,
    /// Sleeps since looking last was worth it, modulo [`EARLY_WAKE_EVERY`].
    refused_early_wakes: u32,
}

impl Patience {
    /// One that never looks for longer than `budget_ns`, and until something is measured takes that for the
    /// cost of being woken.
    pub(crate) const fn new(budget_ns: u64) -> Self {
        Self {
            budget_ns,
            wake_ns: budget_ns,
            doubt: 0,
            refused_early_wakes: 0,
        }
    }

    /// Whether looking is allowed at all. If not, nothing has to be measured either.
    pub(crate) const fn may_look(&self) -> bool {
        self.budget_ns > 0
    }

    /// For how long to look now; 0 is to sleep at once.
    pub(crate) fn limit_ns(&self) -> u64 {
        if self.doubt >= DOUBT_MAX {
            return 0;
        }
        self.worth_ns() >> self.doubt
    }

    /// For how long looking is worth it: as long as being woken costs, within the budget.
    fn worth_ns(&self) -> u64 {
        self.wake_ns.min(self.budget_ns)
    }

    /// Whether to be woken before there is work, to look for it: while looking pays, and else now and then,
    /// to find out whether times have changed.
    pub(crate) fn accepts_early_wake(&mut self) -> bool {
        self.refused_early_wakes = if self.may_look() && self.limit_ns() > 0 {
            0
        } else {
            (self.refused_early_wakes + 1) % EARLY_WAKE_EVERY
        };
        self.may_look() && self.refused_early_wakes == 0
    }

    /// A search found something.
    pub(crate) const fn found(&mut self) {
        self.doubt = 0;
    }

    /// A wait went on into sleep and was over after `waited_ns`, the wake-up included.
    pub(crate) fn slept(&mut self, waited_ns: u64) {
        if waited_ns.saturating_sub(self.wake_ns) <= self.worth_ns() {
            self.doubt = 0;
        } else {
            self.doubt = (self.doubt + 1).min(DOUBT_MAX);
        }
    }

    /// Being woken took `late_ns`.
    pub(crate) fn woken(&mut self, late_ns: u64) {
        let late_ns = late_ns.clamp(*WAKE_NS.start(), *WAKE_NS.end());
        let known_ns = self.wake_ns.min(*WAKE_NS.end());
        self.wake_ns = known_ns - known_ns / SMOOTHING + late_ns / SMOOTHING;
    }
}

/// Polls `news` until there is some or `limit_ns` have passed, by `elapsed_ns`; whether there was some.
/// `news` should touch one cache line for each ring, and no more.
pub(crate) fn look(
    limit_ns: u64,
    mut elapsed_ns: impl FnMut() -> u64,
    mut news: impl FnMut() -> bool,
) -> bool {
    if limit_ns == 0 {
        return false;
    }
    loop {
        for _ in 0..POLLS_PER_CLOCK / POLLS_PER_PAUSE {
            for _ in 0..POLLS_PER_PAUSE {
                if news() {
                    return true;
                }
            }
            spin_loop();
        }
        if elapsed_ns() >= limit_ns {
            return false;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::cell::Cell;

    const BUDGET_NS: u64 = 40_000;

    fn doubting() -> Patience {
        let mut patience = Patience::new(BUDGET_NS);
        for _ in 0..DOUBT_MAX {
            patience.slept(50_000_000);
        }
        patience
    }

    #[test]
    fn without_a_budget_nobody_looks_whatever_is_learnt() {
        let mut patience = Patience::new(0);
        patience.found();
        patience.woken(35_000);
        patience.slept(10);
        assert!(!patience.may_look());
        assert_eq!(patience.limit_ns(), 0);
    }

    #[test]
    fn the_search_goes_on_in_full_while_it_pays() {
        let mut patience = Patience::new(BUDGET_NS);
        for _ in 0..1000 {
            assert_eq!(patience.limit_ns(), BUDGET_NS);
            patience.found();
        }
    }

    #[test]
    fn an_idle_instance_looks_a_few_times_ever_shorter_and_then_not_at_all() {
        let mut patience = Patience::new(BUDGET_NS);
        let mut searched_ns = Vec::new();
        for _ in 0..10 {
            searched_ns.push(patience.limit_ns());
            patience.slept(1_000_000);
        }
        assert_eq!(searched_ns, [40_000, 20_000, 10_000, 5_000, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_instance_is_woken_ahead_while_that_pays_and_else_now_and_then() {
        let mut patience = Patience::new(BUDGET_NS);
        assert!((0..100).all(|_| patience.accepts_early_wake()));
        let mut patience = doubting();
        let accepted: Vec<bool> = (0..2 * EARLY_WAKE_EVERY)
            .map(|_| patience.accepts_early_wake())
            .collect();
        assert_eq!(accepted.iter().filter(|accepted| **accepted).count(), 2);
        let mut never = Patience::new(0);
        assert!((0..2 * EARLY_WAKE_EVERY).all(|_| !never.accepts_early_wake()));
    }

    #[test]
    fn one_short_sleep_brings_the_search_back() {
        let mut patience = doubting();
        assert_eq!(patience.limit_ns(), 0);
        // Asleep for as long as a search would have taken, and then the wake-up.
        patience.slept(2 * BUDGET_NS);
        assert_eq!(patience.limit_ns(), BUDGET_NS);
    }

    #[test]
    fn a_long_sleep_does_not_bring_the_search_back() {
        let mut patience = doubting();
        patience.slept(2 * BUDGET_NS + 1);
        assert_eq!(patience.limit_ns(), 0);
    }

    #[test]
    fn the_search_becomes_as_short_as_wake_ups_are_cheap() {
        let mut patience = Patience::new(BUDGET_NS);
        for _ in 0..100 {
            patience.woken(3_000);
        }
        let limit_ns = patience.limit_ns();
        assert!((2_900..3_500).contains(&limit_ns), "{limit_ns} ns");
    }

    #[test]
    fn no_claim_of_a_peer_makes_the_search_longer_than_its_budget() {
        let mut patience = Patience::new(BUDGET_NS);
        for _ in 0..100 {
            patience.woken(u64::MAX);
        }
        assert_eq!(patience.limit_ns(), BUDGET_NS);
    }

    #[test]
    fn a_peer_that_claims_to_wake_in_no_time_cannot_end_the_search_for_ever() {
        let mut patience = Patience::new(BUDGET_NS);
        for _ in 0..100 {
            patience.woken(0);
        }
        assert!(patience.limit_ns() >= 900);
    }

    #[test]
    fn a_search_ends_with_news_or_with_its_time() {
        let polls = Cell::new(0_u64);
        let poll = |until: u64| {
            polls.set(polls.get() + 1);
            polls.get() >= until
        };
        // A nanosecond for each poll.
        assert!(look(1000, || polls.get(), || poll(7)));
        assert_eq!(polls.get(), 7);
        polls.set(0);
        assert!(!look(1000, || polls.get(), || poll(u64::MAX)));
        assert!((1000..1000 + u64::from(POLLS_PER_CLOCK)).contains(&polls.get()));
        polls.set(0);
        assert!(!look(0, || polls.get(), || poll(1)));
        assert_eq!(polls.get(), 0);
    }
}
