//! Going to sleep without losing a wake-up, without unsafe.
//!
//! A sleeper owns a word that it alone writes: even while awake, odd while it sleeps or is about to. Whoever
//! makes work for it looks at that word afterwards, and rings the sleeper's doorbell if it is odd.
//!
//! ```text
//! sleeper                      waker
//! word = odd                   work is made visible
//! ---- fence ----              ---- fence ----
//! look for work: none?         word odd? ring
//! wait for the doorbell
//! ```
//!
//! Both sides write, fence, then read what the other wrote, so at least one of them sees the other: either
//! the sleeper finds the work, or the waker finds it asleep. The value counts sleeps, so that a waker rings
//! once for each, however much work it makes.

use crate::sync::{AtomicU64, Ordering, fence};

/// The sleeper's side.
#[derive(Debug, Default)]
pub struct Sleeper {
    count: u64,
}

impl Sleeper {
    /// Takes `word` over from an earlier process of the same instance. `random` numbers the sleeps: what that
    /// process left was its own choice, and a waker that it had ring for the next number would not ring
    /// for it again.
    #[must_use]
    pub fn take_over(word: &AtomicU64, random: u64) -> Self {
        let count = random & !1;
        word.store(count, Ordering::Relaxed);
        Self { count }
    }

    /// Announces sleep. The caller then looks for work once more, and only if there is none waits for its
    /// doorbell.
    pub fn announce(&mut self, word: &AtomicU64) {
        // Odd, also if it was: another sleep, for which a waker rings again.
        self.count = self.count.wrapping_add(1) | 1;
        word.store(self.count, Ordering::Relaxed);
        // SYNC announce: pairs with the fence in `Waker::must_ring`.
        fence(Ordering::SeqCst);
    }

    /// Says that the sleep is over, or did not happen.
    pub fn awake(&mut self, word: &AtomicU64) {
        // Even, also if it was: nothing has been announced then.
        self.count = self.count.wrapping_add(self.count & 1);
        word.store(self.count, Ordering::Relaxed);
    }
}

/// Whether a sleeper's word says that it sleeps, or is about to.
pub(crate) const fn is_announced(count: u64) -> bool {
    count & 1 == 1
}

/// The side that makes work.
#[derive(Debug, Default)]
pub struct Waker {
    rung_for: u64,
}

impl Waker {
    /// Comes between making work visible and [`Self::must_ring`]; one fence serves any number of sleepers.
    pub fn fence() {
        // SYNC must_ring: pairs with the fence in `Sleeper::announce`.
        fence(Ordering::SeqCst);
    }

    /// Whether the sleeper behind `word` sleeps and has not been rung for this sleep.
    #[must_use]
    pub fn must_ring(&mut self, word: &AtomicU64) -> bool {
        let count = word.load(Ordering::Relaxed);
        if !is_announced(count) || count == self.rung_for {
            return false;
        }
        self.rung_for = count;
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_is_rung_once_for_each_sleep() {
        let word = AtomicU64::new(0);
        let mut sleeper = Sleeper::take_over(&word, 7);
        let mut waker = Waker::default();
        assert!(!waker.must_ring(&word));
        for _ in 0..3 {
            sleeper.announce(&word);
            assert!(waker.must_ring(&word));
            assert!(!waker.must_ring(&word));
            sleeper.awake(&word);
            assert!(!waker.must_ring(&word));
        }
    }

    #[test]
    fn a_sleeper_that_announces_or_wakes_twice_is_asleep_or_awake_all_the_same() {
        let word = AtomicU64::new(0);
        let mut sleeper = Sleeper::take_over(&word, 0);
        let mut waker = Waker::default();
        for _ in 0..3 {
            for _ in 0..2 {
                sleeper.announce(&word);
                assert!(waker.must_ring(&word));
            }
            for _ in 0..2 {
                sleeper.awake(&word);
                assert!(!waker.must_ring(&word));
            }
        }
    }

    #[test]
    fn a_replaced_sleeper_is_rung_even_if_its_predecessor_was_rung_last() {
        for left in [0, 1, 3, u64::MAX, u64::MAX - 1, 1 << 63] {
            // Whatever a predecessor had wakers ring for, and whatever it left after that.
            let word = AtomicU64::new(left | 1);
            let mut waker = Waker::default();
            assert!(waker.must_ring(&word));
            word.store(left, Ordering::Relaxed);
            let mut replacement = Sleeper::take_over(&word, 1 << 40);
            assert!(!waker.must_ring(&word));
            replacement.announce(&word);
            assert!(waker.must_ring(&word));
        }
    }
}
