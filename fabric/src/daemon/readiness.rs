//! Which chains are ready, as far as the monitor, and by it gateways, have been told, and whoever reads the
//! log. Both are told of a change once; the monitor again if the message was lost, as gateways answer
//! `/readyz` by it.

use std::collections::BTreeMap;

/// What was told, by the chains' numbers.
#[derive(Debug, Default)]
pub(super) struct Readiness(BTreeMap<u32, Told>);

#[derive(Debug, Clone, Copy)]
struct Told {
    ready: bool,
    /// Whether the monitor has taken it.
    heard: bool,
}

/// Who has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ToTell {
    /// The monitor.
    pub monitor: bool,
    /// Whoever reads the log.
    pub people: bool,
}

impl Readiness {
    /// Notes whether a chain is ready: who has to be told. A chain that is ready from the start is no news
    /// for people.
    pub(super) fn note(&mut self, chain: u32, ready: bool) -> ToTell {
        let before = self.0.get(&chain).copied();
        let to_tell = ToTell {
            monitor: before.is_none_or(|told| told.ready != ready || !told.heard),
            people: before.map_or(!ready, |told| told.ready != ready),
        };
        let heard = !to_tell.monitor;
        self.0.insert(chain, Told { ready, heard });
        to_tell
    }

    /// The monitor has taken what was noted last of a chain.
    pub(super) fn is_heard(&mut self, chain: u32) {
        if let Some(told) = self.0.get_mut(&chain) {
            told.heard = true;
        }
    }

    /// Whether there is something that the monitor has not taken.
    pub(super) fn is_unheard(&self) -> bool {
        self.0.values().any(|told| !told.heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: ToTell = ToTell {
        monitor: true,
        people: true,
    };
    const MONITOR: ToTell = ToTell {
        people: false,
        ..BOTH
    };
    const NOBODY: ToTell = ToTell {
        monitor: false,
        people: false,
    };

    #[test]
    fn each_change_is_told_once() {
        let mut readiness = Readiness::default();
        assert_eq!(readiness.note(1, true), MONITOR);
        readiness.is_heard(1);
        for (ready, expected) in [(true, NOBODY), (false, BOTH), (false, NOBODY), (true, BOTH)] {
            assert_eq!(readiness.note(1, ready), expected, "{ready}");
            readiness.is_heard(1);
        }
        assert_eq!(readiness.note(2, false), BOTH, "another chain");
    }

    #[test]
    fn a_message_that_was_lost_is_sent_again_and_the_log_says_it_once() {
        let mut readiness = Readiness::default();
        assert_eq!(readiness.note(1, false), BOTH);
        assert!(readiness.is_unheard());
        for _ in 0..3 {
            assert_eq!(readiness.note(1, false), MONITOR);
        }
        readiness.is_heard(1);
        assert!(!readiness.is_unheard());
        assert_eq!(readiness.note(1, false), NOBODY);
    }
}
