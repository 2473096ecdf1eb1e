//! How the service stops: gateways drain in their stages and give an account of it, within bounds, and then
//! everything ends.

use crate::ids::ProcessId;
use core::fmt;
use core::time::Duration;
use hacher_libos_net::attach::Drained;
use hacher_libos_net::clock::{self, Monotonic};
use std::collections::BTreeSet;

/// How long gateways may take beyond their delay and timeout: they say goodbye for a second at most.
const FAREWELL_MAX: Duration = Duration::from_secs(3);
/// How long a gateway that is hurried may take to answer what it cuts.
const HURRIED_MAX: Duration = Duration::from_secs(2);

/// How long gateways may take to drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainTimes {
    /// For so long after SIGTERM requests are served as before, and readiness is denied.
    pub delay: Duration,
    /// For so long after that requests in flight may finish.
    pub timeout: Duration,
}

impl DrainTimes {
    /// Whether nothing is waited for.
    pub(super) const fn is_nothing(&self) -> bool {
        self.delay.is_zero() && self.timeout.is_zero()
    }

    /// After this, gateways that have not ended are ended.
    pub(super) fn longest(&self) -> Duration {
        self.delay
            .saturating_add(self.timeout)
            .saturating_add(FAREWELL_MAX)
    }
}

/// A service that stops.
#[derive(Debug)]
pub(super) struct Drain {
    begun: Monotonic,
    /// When everything ends, whoever is not done.
    pub(super) until: Monotonic,
    /// Gateways that have not given their account.
    awaited: BTreeSet<ProcessId>,
    account: Account,
    hurried: bool,
}

/// What became of requests, over all gateways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Account {
    drained: Drained,
    gateways: u32,
    /// Gateways that ended without an account.
    silent: u32,
}

impl Drain {
    /// One that waits for these gateways, for so long at most.
    pub(super) fn new(gateways: Vec<ProcessId>, longest: Duration) -> Self {
        let begun = clock::now();
        let account = Account {
            gateways: u32::try_from(gateways.len()).unwrap_or(u32::MAX),
            ..Account::default()
        };
        Self {
            begun,
            until: begun.after(longest),
            awaited: gateways.into_iter().collect(),
            account,
            hurried: false,
        }
    }

    /// Asked once more: `true` if gateways still have a moment to cut what is in flight.
    pub(super) fn hurry(&mut self) -> bool {
        let first = !self.hurried && !self.awaited.is_empty();
        self.hurried = true;
        let patience = if first { HURRIED_MAX } else { Duration::ZERO };
        self.until = self.until.min(clock::now().after(patience));
        first
    }

    /// Takes a gateway's account; `false` if none was asked of this process.
    pub(super) fn drained(&mut self, process: ProcessId, drained: &Drained) -> bool {
        let was_awaited = self.awaited.remove(&process);
        if was_awaited {
            let sum = &mut self.account.drained;
            sum.served = sum.served.saturating_add(drained.served);
            sum.cut = sum.cut.saturating_add(drained.cut);
            sum.refused = sum.refused.saturating_add(drained.refused);
        }
        was_awaited
    }

    /// A process has ended, or is about to be ended.
    pub(super) fn ended(&mut self, process: ProcessId) {
        if self.awaited.remove(&process) {
            self.account.silent += 1;
        }
    }

    /// What is to be said at the end, if any gateway drained; and whether all requests were answered.
    pub(super) fn finish(&mut self) -> (Option<String>, bool) {
        let silent = core::mem::take(&mut self.awaited).len();
        self.account.silent += u32::try_from(silent).unwrap_or(u32::MAX);
        let took = clock::now().saturating_duration_since(self.begun);
        let line =
            (self.account.gateways > 0).then(|| format!("{} in {:.1} s", self.account, took.as_secs_f64()));
        (line, self.account.drained.cut == 0 && self.account.silent == 0)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Drained { served, cut, refused } = self.drained;
        write!(f, "drained: {served} served, {cut} cut, {refused} refused")?;
        if self.silent > 0 {
            let of = self.gateways;
            write!(
                f,
                "; {} of {of} gateways ended without an account of theirs;",
                self.silent
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAINED: Drained = Drained {
        served: 3,
        cut: 0,
        refused: 2,
    };

    #[test]
    fn accounts_of_gateways_are_summed_once_each() {
        let processes = [1, 2].map(ProcessId);
        let mut drain = Drain::new(processes.to_vec(), Duration::from_secs(60));
        for process in processes {
            assert!(drain.drained(process, &DRAINED));
            assert!(!drain.drained(process, &DRAINED), "it has said so already");
            drain.ended(process);
        }
        let (line, whole) = drain.finish();
        assert!(
            line.unwrap()
                .starts_with("drained: 6 served, 0 cut, 4 refused in ")
        );
        assert!(whole);
    }

    #[test]
    fn requests_that_were_cut_or_are_unknown_are_not_passed_over() {
        let mut drain = Drain::new(vec![ProcessId(1)], Duration::ZERO);
        drain.drained(ProcessId(1), &Drained { cut: 1, ..DRAINED });
        assert!(!drain.finish().1);
        let mut drain = Drain::new([1, 2].map(ProcessId).to_vec(), Duration::ZERO);
        drain.drained(ProcessId(1), &DRAINED);
        let (line, whole) = drain.finish();
        assert!(!whole);
        let line = line.unwrap();
        assert!(
            line.contains("1 of 2 gateways ended without an account"),
            "{line}"
        );
    }

    #[test]
    fn a_service_without_gateways_has_nothing_to_say() {
        let mut drain = Drain::new(Vec::new(), Duration::ZERO);
        assert_eq!(drain.finish(), (None, true));
        assert!(!drain.hurry());
    }

    #[test]
    fn only_the_first_hurry_leaves_a_moment() {
        let mut drain = Drain::new(vec![ProcessId(1)], Duration::from_secs(60));
        assert!(drain.hurry());
        assert!(!drain.hurry());
        assert!(drain.until <= clock::now());
    }
}
