//! How often the monitor answers refused calls: each costs it a few microseconds, so whoever makes them
//! without end waits, and takes nothing from others (I6). A call that waits costs nothing: its thread sleeps
//! in the kernel.

use core::time::Duration;
use hacher_libos_net::clock::Monotonic;

/// Length of a window.
const WINDOW: Duration = Duration::from_millis(100);
/// Answers to one trustlet in a window: at most a hundredth of a core goes into them. A program that probes
/// what it may do makes a few dozen such calls at its start.
const OF_ONE_MAX: u32 = 256;
/// Answers to all trustlets in a window: at most a twentieth of a core, however many of them are hostile.
/// Where more wait, each gets as many as any other, since they are answered in turn.
const OF_ALL_MAX: u32 = 1024;

/// Answers in the present window.
#[derive(Debug)]
pub(crate) struct Pace {
    max: u32,
    /// The end of the present window, and answers in it.
    window: Option<(Monotonic, u32)>,
}

impl Pace {
    /// Of one trustlet.
    pub(crate) const fn of_one() -> Self {
        Self {
            max: OF_ONE_MAX,
            window: None,
        }
    }

    /// Of all of them.
    pub(crate) const fn of_all() -> Self {
        Self {
            max: OF_ALL_MAX,
            window: None,
        }
    }

    /// Counts an answer at `now`; if it was the last one of its window, when that ends.
    pub(crate) fn count(&mut self, now: Monotonic) -> Option<Monotonic> {
        let (end, answers) = self
            .window
            .filter(|(end, _)| now < *end)
            .unwrap_or((now.after(WINDOW), 0));
        self.window = Some((end, answers + 1));
        (answers + 1 >= self.max).then_some(end)
    }

    /// When the next answer may be given, if none may be given at `now`.
    pub(crate) fn used_up_until(&self, now: Monotonic) -> Option<Monotonic> {
        let (end, _) = self
            .window
            .filter(|(end, answers)| now < *end && *answers >= self.max)?;
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_so_many_answers_and_the_next_as_many() {
        for (mut pace, max) in [(Pace::of_one(), OF_ONE_MAX), (Pace::of_all(), OF_ALL_MAX)] {
            let mut now = Monotonic::from_ns(7);
            for _ in 0..3 {
                for _ in 1..max {
                    assert_eq!(pace.count(now), None);
                }
                assert_eq!(pace.used_up_until(now), None);
                let end = pace.count(now).unwrap();
                assert_eq!(end, now.after(WINDOW));
                assert_eq!(pace.used_up_until(now), Some(end));
                assert_eq!(pace.count(now), Some(end), "one more does not open another");
                now = end;
                assert_eq!(pace.used_up_until(now), None);
            }
        }
    }
}
