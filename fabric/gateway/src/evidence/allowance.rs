//! How much of the monitor's and the platform's time clients may have for evidence: a part of it, by what each
//! question really took. A device that takes long so limits itself to few questions.

use std::time::Duration;
use tokio::time::Instant;

/// One part in so many of all time.
const SHARE: u32 = 2;
/// What may be used up at once after a quiet time.
const BURST: Duration = Duration::from_millis(250);
/// What a question takes at least, whatever it took: what else it costs is not seen from here.
const QUESTION_MIN: Duration = Duration::from_millis(1);

/// Time that may be spent.
#[derive(Debug)]
pub(super) struct Allowance {
    left: Duration,
    /// What the last question took too much.
    owed: Duration,
    seen: Instant,
}

impl Allowance {
    pub(super) fn full(now: Instant) -> Self {
        Self {
            left: BURST,
            owed: Duration::ZERO,
            seen: now,
        }
    }

    /// Whether a question may begin; else, after how long.
    pub(super) fn begin(&mut self, now: Instant) -> Result<(), Duration> {
        let earned = now.saturating_duration_since(self.seen) / SHARE;
        self.seen = now;
        let paid = earned.min(self.owed);
        self.owed -= paid;
        self.left = (self.left + (earned - paid)).min(BURST);
        if self.left >= QUESTION_MIN {
            return Ok(());
        }
        Err((self.owed + QUESTION_MIN - self.left) * SHARE)
    }

    /// A question that began has ended.
    pub(super) fn spend(&mut self, took: Duration) {
        let took = took.max(QUESTION_MIN);
        self.owed += took.saturating_sub(self.left);
        self.left = self.left.saturating_sub(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_questions_have_a_burst_and_then_their_share() {
        let start = Instant::now();
        let mut allowance = Allowance::full(start);
        let mut answered = 0;
        while allowance.begin(start).is_ok() {
            allowance.spend(Duration::from_micros(100));
            answered += 1;
        }
        assert_eq!(answered, 250);
        assert_eq!(allowance.begin(start), Err(Duration::from_millis(2)));
        let later = start + Duration::from_millis(20);
        let mut answered = 0;
        while allowance.begin(later).is_ok() {
            allowance.spend(Duration::ZERO);
            answered += 1;
        }
        assert_eq!(answered, 10);
        assert!(allowance.begin(later + Duration::from_secs(3600)).is_ok());
        assert_eq!(allowance.left, BURST, "a quiet hour is not saved up");
    }

    #[test]
    fn a_slow_device_is_asked_so_much_less() {
        let start = Instant::now();
        let mut allowance = Allowance::full(start);
        allowance.begin(start).unwrap();
        allowance.spend(Duration::from_secs(1));
        let wait = allowance.begin(start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(1502));
        let too_early = start + wait - Duration::from_millis(1);
        assert!(allowance.begin(too_early).is_err());
        assert!(allowance.begin(start + wait).is_ok());
    }
}
