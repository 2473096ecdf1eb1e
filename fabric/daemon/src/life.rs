//! What the daemon remembers of an instance, or of a gateway's process, over the deaths of its processes:
//! when the next one is created, and for how long nobody has waited for what it runs.

use hacher_libos_net::clock::Monotonic;
use hacher_libos_net::telemetry::Running;
use std::time::Duration;
use tokio::time::Instant;

/// A replacement starts at once, then ever later while it does not live long.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Deaths of an instance that has never served, after which its chain is passed over.
pub(super) const STILLBIRTHS_MAX: u32 = 3;
/// An instance of a chain that is passed over is tried after this long, and then ever later.
const START_BACKOFF_FIRST: Duration = Duration::from_secs(1);
const START_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A process that has lived this long is replaced at once.
const LIVED_LONG: Duration = Duration::from_secs(1);
/// Deaths on a record do not put the next process off: its other records go on at once, and that record waits
/// for its next attempt by itself. So many in a row, and then so many a second, so that a stream of records
/// that end processes costs a bounded part of a core: a start takes a few milliseconds.
const FATAL_RECORDS_MAX: u32 = 100;
const FATAL_RECORDS_PER_S: u32 = 20;
/// A run goes on for so long after its request's deadline, and for so long after its client has gone, before
/// it is ended: a start costs more than a run that is nearly done, and a client should not have trustlets
/// ended by connecting and leaving.
const DEADLINE_GRACE: Duration = Duration::from_millis(250);
const CLOSED_GRACE: Duration = Duration::from_secs(5);
/// One instance.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// Deaths since it last lived long.
    pub(super) short_lives: u32,
    /// Whether it has ever served under this daemon.
    pub(super) served: bool,
    /// Whether its present process serves.
    pub(super) serves: bool,
    /// When the next process is to be created.
    pub(super) due: Option<Instant>,
    /// Deaths on records that are still to be forgiven, and since when that is counted.
    fatal_records: u32,
    counted_from: Option<Instant>,
    /// The run for which nobody has waited since then, by the time of its start.
    pub(super) unwanted: Option<(Monotonic, Instant)>,
}

impl Life {
    /// After a death on a record: how long the next process is put off.
    pub(super) fn wait_after_record(&mut self, now: Instant) -> Duration {
        let from = *self.counted_from.get_or_insert(now);
        let forgiven =
            now.saturating_duration_since(from).as_millis() * u128::from(FATAL_RECORDS_PER_S) / 1000;
        if forgiven > 0 {
            self.fatal_records = self
                .fatal_records
                .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
            self.counted_from = Some(now);
        }
        if self.fatal_records < FATAL_RECORDS_MAX {
            self.fatal_records += 1;
            return Duration::ZERO;
        }
        Duration::from_secs(1) / FATAL_RECORDS_PER_S
    }

    /// Whether nobody has waited for this run for longer than it is given.
    pub(super) fn is_unwanted(
        &mut self,
        running: &Running,
        closed: bool,
        now: Monotonic,
        at: Instant,
    ) -> bool {
        if now.saturating_duration_since(running.deadline) > DEADLINE_GRACE {
            return true;
        }
        if !closed {
            self.unwanted = None;
            return false;
        }
        match self.unwanted {
            Some((since, seen)) if since == running.since => {
                at.saturating_duration_since(seen) > CLOSED_GRACE
            }
            _ => {
                self.unwanted = Some((running.since, at));
                false
            }
        }
    }

    /// Counts a death on no record; `served`: the process has served.
    pub(super) fn count_death(&mut self, served: bool, lived: Duration) {
        let lived_long = served && lived >= LIVED_LONG;
        self.short_lives = if lived_long { 0 } else { self.short_lives + 1 };
    }

    /// How long the next process of one that does not start is put off: ever longer, up to a minute.
    pub(super) fn wait_to_start(&self) -> Duration {
        let doublings = self.short_lives.saturating_sub(STILLBIRTHS_MAX).min(10);
        (START_BACKOFF_FIRST * 2_u32.saturating_pow(doublings)).min(START_BACKOFF_MAX)
    }

    /// How long the next process is put off: not at all after a long life, ever longer after short ones.
    pub(super) fn wait(&self) -> Duration {
        match self.short_lives {
            0 | 1 => Duration::ZERO,
            lives => (BACKOFF_FIRST * 2_u32.saturating_pow((lives - 2).min(10))).min(BACKOFF_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_on_records_cost_no_wait_until_there_are_too_many() {
        let mut life = Life::default();
        let start = Instant::now();
        for _ in 0..FATAL_RECORDS_MAX {
            assert_eq!(life.wait_after_record(start), Duration::ZERO);
        }
        let spaced = Duration::from_millis(50);
        assert_eq!(life.wait_after_record(start), spaced);
        let later = start + Duration::from_secs(1);
        for _ in 0..FATAL_RECORDS_PER_S {
            assert_eq!(life.wait_after_record(later), Duration::ZERO);
        }
        assert_eq!(life.wait_after_record(later), spaced);
        assert_eq!(life.wait(), Duration::ZERO, "they are no crash loop");
        let much_later = later + Duration::from_secs(1_000_000_000);
        assert_eq!(life.wait_after_record(much_later), Duration::ZERO);
    }

    #[test]
    fn a_crash_loop_waits_ever_longer() {
        let mut life = Life::default();
        let mut waits = Vec::new();
        for _ in 0..40 {
            life.count_death(false, Duration::ZERO);
            waits.push(life.wait());
        }
        assert!(waits.is_sorted());
        assert_eq!(
            (waits[0], waits[1], waits[39]),
            (Duration::ZERO, BACKOFF_FIRST, BACKOFF_MAX)
        );
        life.count_death(true, LIVED_LONG);
        assert_eq!(life.wait(), Duration::ZERO);
    }

    #[test]
    fn a_chain_that_does_not_start_is_tried_ever_more_seldom() {
        let mut life = Life::default();
        let mut waits = Vec::new();
        for _ in 0..40 {
            life.count_death(false, Duration::ZERO);
            waits.push(life.wait_to_start());
        }
        assert!(waits.is_sorted());
        assert_eq!(
            (waits[2], waits[3], waits[39]),
            (START_BACKOFF_FIRST, START_BACKOFF_FIRST * 2, START_BACKOFF_MAX)
        );
    }

    #[test]
    fn a_run_is_unwanted_after_its_grace_and_each_run_has_its_own() {
        let mut life = Life::default();
        let (now, at) = (Monotonic::from_ns(1 << 40), Instant::now());
        let running = Running {
            since: Monotonic::from_ns(1),
            deadline: now,
            invocation: 1,
        };
        let after = at + CLOSED_GRACE + Duration::from_millis(1);
        assert!(!life.is_unwanted(&running, false, now, at));
        assert!(!life.is_unwanted(&running, true, now, at));
        assert!(!life.is_unwanted(&running, true, now, at + CLOSED_GRACE));
        assert!(life.is_unwanted(&running, true, now, after));
        let next = Running {
            since: Monotonic::from_ns(2),
            ..running
        };
        assert!(!life.is_unwanted(&next, true, now, after));
        assert!(!life.is_unwanted(&next, false, now, after + CLOSED_GRACE * 2));
        let late = now.after(DEADLINE_GRACE + Duration::from_nanos(1));
        assert!(!life.is_unwanted(&next, false, now.after(DEADLINE_GRACE), at));
        assert!(life.is_unwanted(&next, false, late, at));
        // A page may say anything.
        let never = Running {
            deadline: Monotonic::from_ns(u64::MAX),
            since: Monotonic::from_ns(u64::MAX),
            ..running
        };
        assert!(!life.is_unwanted(&never, false, late, at));
    }
}
