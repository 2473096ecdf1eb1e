//! Time that may be spent on questions: a part of all time, and so much at once. Each question is paid for
//! with what it really took, so a device that takes long limits itself to few questions.

use std::time::Duration;
use tokio::time::Instant;

/// What a question takes at least, whatever it took: what else it costs is not seen from here.
pub(super) const QUESTION_MIN: Duration = Duration::from_millis(1);

/// Time that may be spent.
#[derive(Debug)]
pub(super) struct Allowance {
    /// One part in so many of all time.
    share: u32,
    /// What may be used up at once after a quiet time.
    burst: Duration,
    left: Duration,
    /// What the last question took too much.
    owed: Duration,
    seen: Instant,
}

impl Allowance {
    pub(super) const fn full(share: u32, burst: Duration, now: Instant) -> Self {
        Self {
            share,
            burst,
            left: burst,
            owed: Duration::ZERO,
            seen: now,
        }
    }

    /// Whether a question may begin that leaves so much to others; else, after how long.
    pub(super) fn begin(&mut self, now: Instant, leaves: Duration) -> Result<(), Duration> {
        let earned = now.saturating_duration_since(self.seen) / self.share;
        self.seen = now;
        let paid = earned.min(self.owed);
        self.owed -= paid;
        self.left = (self.left + (earned - paid)).min(self.burst);
        let needed = QUESTION_MIN + leaves;
        if self.left >= needed {
            return Ok(());
        }
        Err((self.owed + needed - self.left) * self.share)
    }

    /// A question that began has ended.
    pub(super) fn spend(&mut self, took: Duration) {
        let took = took.max(QUESTION_MIN);
        self.owed += took.saturating_sub(self.left);
        self.left = self.left.saturating_sub(took);
    }

    /// When it was looked at last.
    pub(super) const fn seen(&self) -> Instant {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BURST: Duration = Duration::from_millis(250);

    fn begin(allowance: &mut Allowance, now: Instant) -> Result<(), Duration> {
        allowance.begin(now, Duration::ZERO)
    }

    #[test]
    fn quick_questions_have_a_burst_and_then_their_share() {
        let start = Instant::now();
        let mut allowance = Allowance::full(2, BURST, start);
        let mut answered = 0;
        while begin(&mut allowance, start).is_ok() {
            allowance.spend(Duration::from_micros(100));
            answered += 1;
        }
        assert_eq!(answered, 250);
        assert_eq!(begin(&mut allowance, start), Err(Duration::from_millis(2)));
        let later = start + Duration::from_millis(20);
        let mut answered = 0;
        while begin(&mut allowance, later).is_ok() {
            allowance.spend(Duration::ZERO);
            answered += 1;
        }
        assert_eq!(answered, 10);
        assert!(begin(&mut allowance, later + Duration::from_secs(3600)).is_ok());
        assert_eq!(allowance.left, BURST, "a quiet hour is not saved up");
    }

    #[test]
    fn a_slow_device_is_asked_so_much_less() {
        let start = Instant::now();
        let mut allowance = Allowance::full(2, BURST, start);
        begin(&mut allowance, start).unwrap();
        allowance.spend(Duration::from_secs(1));
        let wait = begin(&mut allowance, start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(1502));
        let too_early = start + wait - Duration::from_millis(1);
        assert!(begin(&mut allowance, too_early).is_err());
        assert!(begin(&mut allowance, start + wait).is_ok());
    }
}
