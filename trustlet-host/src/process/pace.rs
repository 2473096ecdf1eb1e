//! How often the monitor answers the refused calls of one trustlet: each costs it a few microseconds, so a
//! trustlet that makes them without end waits, and takes nothing from others (I6).

use core::time::Duration;
use hacher_libos_net::clock::Monotonic;

/// Answers in one window. A program that probes what it may do makes a few dozen such calls at its start.
const ANSWERS_MAX: u32 = 256;
/// Length of a window: at most a hundredth of a core goes into answers to one trustlet.
const WINDOW: Duration = Duration::from_millis(100);

/// Of one trustlet.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The end of the present window, and answers in it.
    window: Option<(Monotonic, u32)>,
}

impl Pace {
    /// Counts an answer at `now`; if it was the last one of its window, when that ends.
    pub(super) fn count(&mut self, now: Monotonic) -> Option<Monotonic> {
        let (end, answers) = self
            .window
            .filter(|(end, _)| now < *end)
            .unwrap_or((now.after(WINDOW), 0));
        self.window = Some((end, answers + 1));
        (answers + 1 >= ANSWERS_MAX).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_so_many_answers_and_the_next_as_many() {
        let mut pace = Pace::default();
        let mut now = Monotonic::from_ns(7);
        for _ in 0..3 {
            for _ in 1..ANSWERS_MAX {
                assert_eq!(pace.count(now), None);
            }
            let end = pace.count(now).unwrap();
            assert_eq!(end, now.after(WINDOW));
            assert_eq!(pace.count(now), Some(end), "one more does not open another");
            now = end;
        }
    }
}
