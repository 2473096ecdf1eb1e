//! What became of the processes of an instance, or of a gateway, and whether it is fit to serve: `status` and
//! `/readyz` say so.

use hacher_libos_net::attach::FunctionLimits;
use hacher_libos_net::clock::{self, Monotonic};
use hacher_libos_net::end::Signal;
use hacher_libos_net::fault::{Cause, Described};
use hacher_trustlet_host::calls::InstanceState;
use std::collections::VecDeque;
use std::time::Duration;

/// So many deaths are a crash loop: of those on no record within [`LOOP_WINDOW`], of those on records one
/// after another with no run that succeeded in between, as a client can cause single ones.
const LOOP_DEATHS: usize = 5;
/// Longer than five deaths take whose replacements are put off as long as they ever are.
const LOOP_WINDOW: Duration = Duration::from_secs(30);
/// One that has served for so long since it died on a record is out of the loop, even if it had nothing to
/// do.
const LOOP_OVER: Duration = Duration::from_secs(10);
/// A replacement that is not put off takes milliseconds. One that takes longer than this is missed.
const REPLACED_WITHIN: Duration = Duration::from_secs(1);

/// A record that an instance was at work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AtWork {
    /// The low half of its request's id.
    pub invocation: u64,
    /// Which attempt.
    pub attempt: u32,
}

/// How a process ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastEnd {
    /// Why.
    pub cause: Cause,
    /// The code of that.
    pub code: u32,
    /// When it was found dead.
    pub at: Monotonic,
    /// How long it lived.
    pub lived: Duration,
    /// What it was at work on, if this daemon was there to see it.
    pub record: Option<AtWork>,
}

/// How an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    /// It serves.
    Ready,
    /// It has just ended, and its replacement is on its way.
    Replaced,
    /// It has been told to end.
    Ending,
    /// It does not serve yet.
    Starting,
    /// It ended, and its replacement is put off.
    BackOff,
    /// It ends again and again.
    CrashLoop,
}

impl Health {
    /// All of them, the best first.
    pub(super) const ALL: [Self; 6] = [
        Self::Ready,
        Self::Replaced,
        Self::Ending,
        Self::Starting,
        Self::BackOff,
        Self::CrashLoop,
    ];

    /// The word for it.
    #[must_use]
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Replaced => "replaced",
            Self::Ending => "ending",
            Self::Starting => "starting",
            Self::BackOff => "back_off",
            Self::CrashLoop => "crash_loop",
        }
    }

    /// Whether its chain is ready, as far as this instance is concerned.
    #[must_use]
    pub(super) const fn is_fit(self) -> bool {
        matches!(self, Self::Ready | Self::Replaced | Self::Ending)
    }
}

/// The past of an instance.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Processes that have ended.
    pub deaths: u32,
    /// Since when its present process serves.
    pub serving_since: Option<Monotonic>,
    /// How the last one ended.
    pub last_end: Option<LastEnd>,
    /// When the next one is created, if that is put off.
    pub next_start: Option<Monotonic>,
    /// Why the last one could not be created.
    pub refused: Option<String>,
    /// The last deaths on no record.
    idle_deaths: VecDeque<Monotonic>,
    /// Deaths on records since a run succeeded, and how many runs had then.
    fatal_records: usize,
    runs: u64,
}

impl History {
    /// What a fresh daemon knows: deaths until now, since when the present process serves, and how the last
    /// one ended. One that has died often, and just now, is taken to be in the middle of it.
    #[must_use]
    pub(super) fn found(
        deaths: u32,
        serving_since: Option<Monotonic>,
        last_end: Option<LastEnd>,
        runs: u64,
    ) -> Self {
        let is_loop = usize::try_from(deaths).is_ok_and(|deaths| deaths >= LOOP_DEATHS)
            && last_end.is_some_and(|end| clock::now().saturating_duration_since(end.at) < LOOP_OVER);
        Self {
            deaths,
            serving_since,
            last_end,
            fatal_records: if is_loop { LOOP_DEATHS } else { 0 },
            runs,
            ..Self::default()
        }
    }

    /// Its process says that it serves.
    pub(super) fn note_serving(&mut self, now: Monotonic) {
        self.serving_since = Some(now);
        self.next_start = None;
        self.refused = None;
    }

    /// Its process has ended; `runs` of all its processes have succeeded.
    pub(super) fn note_death(&mut self, end: LastEnd, runs: u64) {
        self.deaths = self.deaths.saturating_add(1);
        self.serving_since = None;
        if end.record.is_some() {
            if runs > self.runs {
                self.fatal_records = 0;
            }
            self.fatal_records += 1;
        } else {
            self.idle_deaths.push_back(end.at);
            if self.idle_deaths.len() > LOOP_DEATHS {
                self.idle_deaths.pop_front();
            }
        }
        self.runs = runs;
        self.last_end = Some(end);
    }

    /// How it is, in this state, after so many runs that succeeded.
    #[must_use]
    pub(super) fn health(&self, state: InstanceState, runs: u64, now: Monotonic) -> Health {
        if self.is_looping(runs, now) {
            return Health::CrashLoop;
        }
        match state {
            InstanceState::Ready => Health::Ready,
            InstanceState::Ending => Health::Ending,
            _ if self.next_start.is_some_and(|due| due > now) => Health::BackOff,
            _ => match self.last_end {
                Some(end) if now.saturating_duration_since(end.at) < REPLACED_WITHIN => Health::Replaced,
                _ => Health::Starting,
            },
        }
    }

    fn is_looping(&self, runs: u64, now: Monotonic) -> bool {
        let oldest = self.idle_deaths.front();
        let idle = self.idle_deaths.len() >= LOOP_DEATHS
            && oldest.is_some_and(|oldest| now.saturating_duration_since(*oldest) < LOOP_WINDOW);
        let lives_on = self
            .serving_since
            .is_some_and(|since| now.saturating_duration_since(since) >= LOOP_OVER);
        idle || self.fatal_records >= LOOP_DEATHS && runs == self.runs && !lives_on
    }
}

/// A cause in words, and what there is to say of the limit that it names.
pub(super) fn with_limit(cause: Described, function: &str, limits: &FunctionLimits) -> String {
    match cause.limit_hint(function, cause.limit_of(limits)) {
        Some(hint) => format!("{cause}; {hint}"),
        None => cause.to_string(),
    }
}

/// What became of a process of `function`, as the rest of a sentence about that.
pub(super) fn how_it_ended(cause: Cause, code: u32, function: &str, limits: &FunctionLimits) -> String {
    match cause {
        Cause::Exited => format!("exited with code {code}"),
        Cause::Signalled if Signal(code).comes_from_outside() => format!(
            "was killed by signal {}, which this service did not send: the machine may be out of memory",
            Signal(code)
        ),
        Cause::Signalled => format!("was killed by signal {}", Signal(code)),
        Cause::TimedOut | Cause::Unwanted => {
            format!("was stopped: {}", with_limit(cause.with(code), function, limits))
        }
        _ => format!("died: {}", with_limit(cause.with(code), function, limits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Monotonic = Monotonic::from_ns(1 << 50);

    fn at(ms: u64) -> Monotonic {
        START.after(Duration::from_millis(ms))
    }

    fn end(ms: u64, record: bool) -> LastEnd {
        LastEnd {
            cause: Cause::Exited,
            code: 1,
            at: at(ms),
            lived: Duration::ZERO,
            record: record.then_some(AtWork {
                invocation: 7,
                attempt: 1,
            }),
        }
    }

    #[test]
    fn one_death_is_replaced_and_five_idle_ones_are_a_loop_for_a_while() {
        let mut history = History::default();
        history.note_death(end(0, false), 0);
        assert_eq!(history.health(InstanceState::Absent, 0, at(10)), Health::Replaced);
        assert_eq!(
            history.health(InstanceState::Starting, 0, at(1000)),
            Health::Starting
        );
        history.next_start = Some(at(20));
        assert_eq!(history.health(InstanceState::Absent, 0, at(10)), Health::BackOff);
        for ms in 1..5 {
            assert_eq!(history.health(InstanceState::Ready, 0, at(ms)), Health::Ready);
            // Work in between is no excuse: nobody's record was the cause.
            history.note_death(end(ms, false), ms);
        }
        history.note_serving(at(5));
        assert_eq!(
            history.health(InstanceState::Ready, 9, at(29_999)),
            Health::CrashLoop
        );
        assert_eq!(history.health(InstanceState::Ready, 9, at(30_000)), Health::Ready);
    }

    #[test]
    fn deaths_on_records_are_a_loop_unless_it_works_in_between() {
        let mut history = History::default();
        for runs in 1..100 {
            history.note_death(end(0, true), runs);
        }
        history.note_serving(at(0));
        assert_eq!(history.health(InstanceState::Ready, 99, at(0)), Health::Ready);
        for _ in 0..5 {
            history.note_death(end(0, true), 99);
        }
        history.note_serving(at(0));
        assert_eq!(
            history.health(InstanceState::Ready, 99, at(9_999)),
            Health::CrashLoop
        );
        assert_eq!(
            history.health(InstanceState::Ready, 100, at(0)),
            Health::Ready,
            "it works"
        );
        assert_eq!(
            history.health(InstanceState::Ready, 99, at(10_000)),
            Health::Ready,
            "it lives"
        );
    }

    #[test]
    fn a_fresh_daemon_takes_who_has_just_died_again_for_looping() {
        let recent = Some(LastEnd {
            at: clock::now(),
            ..end(0, false)
        });
        let now = clock::now();
        let health = |deaths| History::found(deaths, None, recent, 3).health(InstanceState::Ready, 3, now);
        assert_eq!((health(4), health(5)), (Health::Ready, Health::CrashLoop));
        let old = Some(end(0, false)).map(|end| LastEnd {
            at: Monotonic::from_ns(1),
            ..end
        });
        let found = History::found(99, None, old, 3);
        assert_eq!(found.health(InstanceState::Ready, 3, now), Health::Ready);
    }
}
