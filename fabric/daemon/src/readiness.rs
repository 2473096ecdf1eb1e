//! Which chains are ready, as far as the monitor, and by it gateways, have been told, and whoever reads the
//! log. Both are told of a change once; the monitor again if the message was lost, as gateways answer
//! `/readyz` by it.

use super::history::Health;
use super::stop::Stop;
use super::tables::Tables;
use hacher_libos_net::clock;
use hacher_trustlet_host::calls::{Call, InstanceState};
use hacher_trustlet_host::client::{ClientError, MonitorClient};
use hacher_trustlet_host::lines::About;
use hacher_trustlet_host::tell;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often chains are looked at while an instance is not ready.
const LOOK_EVERY: Duration = Duration::from_millis(100);

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
struct ToTell {
    /// The monitor.
    monitor: bool,
    /// Whoever reads the log.
    people: bool,
}

/// A chain of which somebody has to be told.
struct Change {
    chain: u32,
    name: String,
    /// Why it is not ready; empty if it is.
    complaints: Vec<String>,
    to_tell: ToTell,
}

impl Readiness {
    /// Tells the monitor which chains are not ready, where that has changed since. A chain is told of once
    /// its gateway serves, as nobody could ask before. Returns when to look again, where something may
    /// change without an event.
    pub(super) fn tell(
        &mut self,
        tables: &Tables,
        client: &mut MonitorClient,
    ) -> Result<Option<Duration>, Stop> {
        let (changes, all_fit) = self.look(tables);
        for change in changes {
            self.tell_one(&change, client)?;
        }
        let looks_again = !all_fit || self.is_unheard();
        Ok(looks_again.then_some(LOOK_EVERY))
    }

    /// Chains to tell of, and whether all instances of all chains are ready.
    fn look(&mut self, tables: &Tables) -> (Vec<Change>, bool) {
        let now = clock::now();
        let mut changes = Vec::new();
        let mut all_fit = true;
        for chain in &tables.chains {
            let gateway = chain.gateway();
            if gateway.is_none_or(|gateway| gateway.state != InstanceState::Ready) {
                continue;
            }
            let complaints = chain.complaints(now);
            let mut instances = chain.instances.iter();
            all_fit &= instances.all(|instance| instance.health(now) == Health::Ready);
            let to_tell = self.note(chain.number, complaints.is_empty());
            if to_tell.monitor || to_tell.people {
                changes.push(Change {
                    chain: chain.number,
                    name: chain.name.clone(),
                    complaints,
                    to_tell,
                });
            }
        }
        (changes, all_fit)
    }

    fn tell_one(&mut self, change: &Change, client: &mut MonitorClient) -> Result<(), Stop> {
        let Change {
            chain,
            name,
            complaints,
            to_tell,
        } = change;
        if to_tell.monitor {
            let arguments = [u64::from(*chain), u64::from(complaints.is_empty())];
            match client.call(Call::SetReadiness, &arguments, &[], &[]) {
                Ok(_) => self.is_heard(*chain),
                // The gateway takes no message now, and is told at the next look.
                Err(ClientError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let about = About {
            chain: name,
            ..About::default()
        };
        match complaints.first() {
            _ if !to_tell.people => {}
            Some(first) => tell!(Warning, about; "chain `{name}` is not ready: {first}"),
            None => tell!(Info, about; "chain `{name}` is ready again"),
        }
        Ok(())
    }

    /// Notes whether a chain is ready: who has to be told. A chain that is ready from the start is no news
    /// for people.
    fn note(&mut self, chain: u32, ready: bool) -> ToTell {
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
    fn is_heard(&mut self, chain: u32) {
        if let Some(told) = self.0.get_mut(&chain) {
            told.heard = true;
        }
    }

    /// Whether there is something that the monitor has not taken.
    fn is_unheard(&self) -> bool {
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
