//! Which runs have to be ended: those of handlers that overrun, and those that nobody waits for.

use super::life::Life;
use super::tables::{Key, Tables};
use hacher_libos_net::clock;
use hacher_trustlet_host::calls::InstanceState;
use hacher_trustlet_host::core::EndReason;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// While requests are in flight, handlers' timeouts are checked this often, or ten times within the shortest.
const LOOK_MIN: Duration = Duration::from_millis(5);
const LOOK_MAX: Duration = Duration::from_millis(50);

/// What a look at all runs has found.
#[derive(Debug)]
pub(super) struct Runs {
    /// Which instances to end, of which epoch, and why.
    pub(super) to_end: Vec<(Key, u32, EndReason)>,
    /// When to look again; `None` while nothing runs.
    pub(super) again: Option<Duration>,
}

impl Runs {
    /// Looks. `is_loud`: requests may be in flight that no page tells of yet.
    pub(super) fn look(tables: &Tables, lives: &mut BTreeMap<Key, Life>, is_loud: bool) -> Self {
        let mut to_end = Vec::new();
        // Beside requests in flight, others begin without a ring.
        let may_begin = is_loud || tables.chains.iter().any(|chain| chain.in_flight() > 0);
        let mut again = may_begin.then_some(LOOK_MAX);
        let now = clock::now();
        for chain in &tables.chains {
            for instance in chain
                .functions()
                .filter(|instance| instance.state == InstanceState::Ready)
            {
                let running = instance.page.running();
                // A run may outlive the request that it is for.
                if !may_begin && running.is_none() {
                    continue;
                }
                let wanted = (instance.timeout / 10).clamp(LOOK_MIN, LOOK_MAX);
                again = Some(again.map_or(wanted, |again| again.min(wanted)));
                let Some(running) = running else {
                    continue;
                };
                let key = (u64::from(chain.number), u64::from(instance.number));
                let life = lives.entry(key).or_default();
                let closed = chain
                    .gateway()
                    .is_some_and(|gateway| gateway.page.is_closed(running.invocation));
                if now.saturating_duration_since(running.since) > instance.timeout {
                    to_end.push((key, instance.epoch, EndReason::Overran));
                } else if life.is_unwanted(&running, closed, now, Instant::now()) {
                    to_end.push((key, instance.epoch, EndReason::Unwanted));
                }
            }
        }
        Self { to_end, again }
    }
}
