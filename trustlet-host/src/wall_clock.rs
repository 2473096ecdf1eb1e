//! Points in time as people and programs read them: RFC 3339, in UTC, with microseconds.

use core::time::Duration;
use hacher_libos_net::clock::{self, Monotonic};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Seconds of a day; UTC as computers count it has no others.
const DAY_S: u64 = 86_400;
/// Days of 400 years, after which the calendar repeats.
const ERA_DAYS: u64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;

/// From the first moment of 1970 until the monotonic clock began, as of when it was last looked at, in
/// nanoseconds.
static BEGAN_NS: AtomicU64 = AtomicU64::new(0);
/// A wall clock that is further away from where it was has been set.
const SET: Duration = Duration::from_millis(1);
/// How often both clocks are read for one answer.
const LOOKS_MAX: usize = 4;

/// A point in time as RFC 3339 has it; the first moment of 1970 for one before it.
#[must_use]
pub fn rfc3339(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / DAY_S, since.as_secs() % DAY_S);
    let (year, month, day) = date(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_micros()
    )
}

/// Now.
#[must_use]
pub fn now() -> String {
    rfc3339(SystemTime::now())
}

/// When the monotonic clock showed this. Right as long as nobody has set the wall clock since; what lies in
/// the future, as a page that somebody else writes may say, is taken for now.
#[must_use]
pub fn of_monotonic(at: Monotonic) -> String {
    let at = Duration::from_nanos(at.min(clock::now()).as_ns());
    let at = SystemTime::UNIX_EPOCH.checked_add(began().saturating_add(at));
    rfc3339(at.unwrap_or(SystemTime::UNIX_EPOCH))
}

/// From the first moment of 1970 until the monotonic clock began. What is asked twice is answered alike,
/// although two clocks are never read at once.
fn began() -> Duration {
    let kept = Duration::from_nanos(BEGAN_NS.load(Ordering::Relaxed));
    let look = || {
        let before = clock::now();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let took = clock::now().saturating_duration_since(before);
        let began = wall
            .unwrap_or_default()
            .saturating_sub(Duration::from_nanos(before.as_ns()));
        (began, took)
    };
    // A look in whose middle the processor was taken away says nothing.
    let mut looks = (0..LOOKS_MAX).map(|_| look());
    let seen = looks.find(|(_, took)| *took < SET / 4).map(|(began, _)| began);
    match seen {
        Some(seen) if seen.abs_diff(kept) >= SET => {
            BEGAN_NS.store(
                u64::try_from(seen.as_nanos()).unwrap_or(u64::MAX),
                Ordering::Relaxed,
            );
            seen
        }
        None if kept.is_zero() => look().0,
        _ => kept,
    }
}

/// Year, month and day of a number of days since 1970-01-01, by the proleptic Gregorian calendar. Years begin
/// in March here, so that the leap day is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(EPOCH_DAYS);
    let (era, in_era) = (days / ERA_DAYS, days % ERA_DAYS);
    // Leaves out one day in four years but for one in a hundred but for one in four hundred.
    let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let day_of_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on have 31, 30, 31, 30, 31 days, over and over.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, later) = if month_from_march < 10 {
        (month_from_march + 3, 0)
    } else {
        (month_from_march - 9, 1)
    };
    (year_of_era + era * 400 + later, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_has_them() {
        for (seconds, written) in [
            (0, "1970-01-01T00:00:00.000007Z"),
            (951_782_399, "2000-02-28T23:59:59.000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000007Z"),
            (951_868_800, "2000-03-01T00:00:00.000007Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000007Z"),
            (1_764_096_805, "2025-11-25T18:53:25.000007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000007Z"),
        ] {
            let at = SystemTime::UNIX_EPOCH + Duration::new(seconds, 7_999);
            assert_eq!(rfc3339(at), written, "{seconds}");
        }
        assert_eq!(
            rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(1)),
            "1970-01-01T00:00:00.000000Z"
        );
    }

    #[test]
    fn no_time_of_a_page_is_too_odd() {
        for ns in [0, 1, u64::MAX] {
            assert_eq!(of_monotonic(Monotonic::from_ns(ns)).len(), 27);
        }
        let at = clock::now();
        let told = of_monotonic(at);
        assert!((0..1000).all(|_| of_monotonic(at) == told), "{told}");
    }
}
