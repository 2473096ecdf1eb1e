//! Shares by scheduling class. A chain that takes more than an equal share of the processors, or keeps
//! another waiting for a core that both are pinned to, goes to the background while other chains have work:
//! the scheduler lets everybody else go first, and gives it what is left. So functions that spin cost another
//! chain little, and what nobody else wants is theirs all the same.
//!
//! Who takes less goes first, up to its share; whoever takes more than that, or a whole core, is treated like
//! those in the background already. Gateways and the daemon never go there.

use crate::core::Core;
use crate::ids::{ChainId, ProcessId};
use crate::process::jail::InstanceGroup;
use crate::process::platform::ProcessPlatform;
use crate::process::scheduling::{self, Class, Taken, taken, taken_with_programs};
use core::time::Duration;
use hacher_libos_net::clock::{self, Monotonic};
use std::collections::{BTreeMap, BTreeSet};

/// How often it is looked who takes what, while at least two chains work and else.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOK_IDLE_EVERY: Duration = Duration::from_secs(1);
/// Looking takes time by processes and threads, and the monitor has other work: for this many times as long
/// nobody looks.
const LOOK_PAUSES: u32 = 20;
/// A chain that comes back is brought back in so many looks: a thread that was started in the middle of one
/// has the class of the thread that started it.
const RETURNS: u8 = 3;
/// A chain counts for so long after it has last worked.
const REMEMBERED: Duration = Duration::from_secs(10);
/// A chain works that takes this much of one processor.
const WORKS_FROM: f64 = 0.01;
/// Of an equal share: who takes more goes to the background; who would take less, could it run, comes back.
const TOO_MUCH: f64 = 1.05;
const MODEST: f64 = 0.75;
/// Of a core: who takes this much of one that others are pinned to goes to the background.
const WHOLE_CORE: f64 = 0.95;
/// Who is ready to run for this part of the time and does not is kept waiting.
const KEPT_WAITING: f64 = 0.1;

/// Who takes how much, and who is in the background.
#[derive(Debug)]
pub(super) struct Classes {
    processors: f64,
    due: Option<Monotonic>,
    looked: Monotonic,
    seen: BTreeMap<ProcessId, Taken>,
    worked: BTreeMap<ChainId, Monotonic>,
    background: BTreeSet<ChainId>,
    returns: Returns,
}

/// Chains that are in the background, or have left it lately, and in how many looks they are still brought
/// back.
#[derive(Debug, Default)]
struct Returns(BTreeMap<ChainId, u8>);

/// What somebody took in processors, and would have taken besides.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Rate {
    ran: f64,
    waited: f64,
}

/// Something that chains share: all processors, or one core.
#[derive(Debug, Default)]
struct Resource {
    processors: f64,
    /// One core that functions are pinned to, and not all processors.
    is_core: bool,
    rates: BTreeMap<ChainId, Rate>,
}

/// A function's process.
#[derive(Debug, Clone, Copy)]
struct Subject {
    process: ProcessId,
    chain: ChainId,
    pid: i32,
    cpu: Option<usize>,
    patient: bool,
    has_programs: bool,
    /// What its control group counts of the processors, if it has one.
    counted: Option<Duration>,
}

impl Subject {
    /// What it took, with all that it has started; `None` if it has ended.
    fn taken(&self) -> Option<Taken> {
        match self.has_programs {
            true => {
                let taken = taken_with_programs(self.pid)?;
                Some(match self.counted {
                    Some(ran) => taken.counted(ran),
                    None => taken,
                })
            }
            false => taken(self.pid),
        }
    }

    fn set_class(&self, class: Class) {
        if self.has_programs {
            scheduling::set_class_with_programs(self.pid, class);
        } else {
            // Fails for one that has ended.
            let _ = scheduling::set_class(self.pid, class);
        }
    }
}

impl Classes {
    /// Those of a monitor that has loaded all chains: nobody looks where there is one chain, or where nobody
    /// could be brought back.
    pub(super) fn of(core: &Core<ProcessPlatform>) -> Self {
        let now = clock::now();
        let several = core.chain_count() > 1;
        let due = (several && scheduling::can_bring_back()).then(|| now.after(LOOK_IDLE_EVERY));
        if several && due.is_none() {
            tell!(
                Warning: "functions of one chain may take the processors from another: to bring a process back from the background \
                 takes CAP_SYS_NICE or a limit on nice values of 20 (ulimit -e, LimitNICE=+0 of systemd)"
            );
        }
        Self {
            processors: f64::from(scheduling::processors()),
            due,
            looked: now,
            seen: BTreeMap::new(),
            worked: BTreeMap::new(),
            background: BTreeSet::new(),
            returns: Returns::default(),
        }
    }

    /// When [`Classes::look_if_due`] has something to do.
    pub(super) const fn due(&self) -> Option<Monotonic> {
        self.due
    }

    /// Looks who takes how much, if it is time, and moves chains to the background and back.
    pub(super) fn look_if_due(&mut self, core: &Core<ProcessPlatform>) {
        let now = clock::now();
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        let subjects = subjects(core);
        let resources = self.measure(&subjects, now);
        let others_work = self.note_work(&resources, now) > 1;
        let background = match others_work {
            true => judge(&resources, &self.background, |chain| {
                self.worked.contains_key(&chain)
            }),
            false => BTreeSet::new(),
        };
        self.returns.look(&background);
        for subject in &subjects {
            let class = match background.contains(&subject.chain) {
                // Each time, as it may have started threads, or may be a replacement.
                true => Class::Background,
                false if self.returns.contains(subject.chain) => Class::Foreground {
                    patient: subject.patient,
                },
                false => continue,
            };
            subject.set_class(class);
        }
        self.background = background;
        let done = clock::now();
        let pause = done.saturating_duration_since(now) * LOOK_PAUSES;
        let every = if others_work { LOOK_EVERY } else { LOOK_IDLE_EVERY };
        self.due = Some(done.after(every.max(pause)));
    }

    /// What each chain took since the last look: of all processors, and of each core that functions are
    /// pinned to.
    fn measure(&mut self, subjects: &[Subject], now: Monotonic) -> Vec<Resource> {
        let passed = now.saturating_duration_since(self.looked).as_secs_f64().max(1e-3);
        self.looked = now;
        let mut all = Resource {
            processors: self.processors,
            ..Resource::default()
        };
        let mut cores: BTreeMap<usize, Resource> = BTreeMap::new();
        let mut seen = BTreeMap::new();
        for subject in subjects {
            let Some(taken) = subject.taken() else { continue };
            // A process that is new began at nothing.
            let before = self.seen.remove(&subject.process).unwrap_or_default();
            let (ran, waited) = taken.since(&before);
            let rate = Rate {
                ran: ran.as_secs_f64() / passed,
                waited: waited.as_secs_f64() / passed,
            };
            seen.insert(subject.process, taken);
            all.add(subject.chain, rate);
            if let Some(cpu) = subject.cpu {
                let core = cores.entry(cpu).or_default();
                core.processors = 1.0;
                core.is_core = true;
                core.add(subject.chain, rate);
            }
        }
        self.seen = seen;
        core::iter::once(all).chain(cores.into_values()).collect()
    }

    /// Remembers who works; how many chains have lately.
    fn note_work(&mut self, resources: &[Resource], now: Monotonic) -> usize {
        let rates = resources.first().into_iter().flat_map(|all| &all.rates);
        for (chain, rate) in rates {
            if rate.ran + rate.waited >= WORKS_FROM {
                self.worked.insert(*chain, now);
            }
        }
        self.worked
            .retain(|_, worked| now.saturating_duration_since(*worked) < REMEMBERED);
        self.worked.len()
    }
}

impl Returns {
    /// A look that finds these chains for the background.
    fn look(&mut self, background: &BTreeSet<ChainId>) {
        self.0.retain(|chain, left| {
            *left -= u8::from(!background.contains(chain));
            *left > 0
        });
        // Counted down from the first look after this one on, in which it is brought back.
        self.0
            .extend(background.iter().map(|chain| (*chain, RETURNS + 1)));
    }

    /// Whether a chain that is not in the background is brought back in this look.
    fn contains(&self, chain: ChainId) -> bool {
        self.0.contains_key(&chain)
    }
}

impl Resource {
    fn add(&mut self, chain: ChainId, rate: Rate) {
        let sum = self.rates.entry(chain).or_default();
        sum.ran += rate.ran;
        sum.waited += rate.waited;
    }

    /// Whether some other chain, which goes first, has less than its share because of `chain`.
    fn keeps_waiting(&self, chain: ChainId, share: f64, background: &BTreeSet<ChainId>) -> bool {
        self.rates.iter().any(|(other, rate)| {
            *other != chain && !background.contains(other) && rate.waited > KEPT_WAITING && rate.ran < share
        })
    }
}

/// The chains that go to the background, or stay there: on some resource they take too much, or did and would
/// again.
fn judge(
    resources: &[Resource],
    background: &BTreeSet<ChainId>,
    works: impl Fn(ChainId) -> bool,
) -> BTreeSet<ChainId> {
    let mut judged = BTreeSet::new();
    for resource in resources {
        let sharers = resource.rates.keys().filter(|chain| works(**chain)).count();
        if sharers < 2 {
            continue;
        }
        let sharers = f64::from(u32::try_from(sharers).unwrap_or(u32::MAX));
        let taken: f64 = resource.rates.values().map(|rate| rate.ran).sum();
        // Other programs may leave less than there is.
        let share = taken.min(resource.processors) / sharers;
        let most = if resource.is_core {
            WHOLE_CORE
        } else {
            TOO_MUCH * resource.processors / sharers
        };
        for (chain, rate) in &resource.rates {
            let keeps_waiting = || resource.keeps_waiting(*chain, share, background);
            let takes_too_much = rate.ran > most || (rate.ran > share * TOO_MUCH && keeps_waiting());
            let wants_too_much = background.contains(chain) && rate.ran + rate.waited > share * MODEST;
            if takes_too_much || wants_too_much {
                judged.insert(*chain);
            }
        }
    }
    judged
}

fn subjects(core: &Core<ProcessPlatform>) -> Vec<Subject> {
    let functions = core.function_processes().into_iter();
    functions
        // One that starts is awaited for a time that starving it would use up.
        .filter(|(process, _)| !core.is_starting(*process))
        .filter_map(|(process, chain)| {
            let found = core.platform().process(process)?;
            Some(Subject {
                process,
                chain,
                pid: found.child.pid(),
                cpu: found.cpu,
                patient: found.patient,
                has_programs: found.child.refusals().is_some(),
                counted: found.child.group().and_then(InstanceGroup::ran),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ChainId = ChainId(0);
    const B: ChainId = ChainId(1);

    fn resource(processors: f64, rates: &[(ChainId, f64, f64)]) -> Resource {
        let mut resource = Resource {
            processors,
            ..Resource::default()
        };
        for &(chain, ran, waited) in rates {
            resource.add(chain, Rate { ran, waited });
        }
        resource
    }

    fn judged(resources: &[Resource], background: &[ChainId]) -> Vec<ChainId> {
        let background = background.iter().copied().collect();
        judge(resources, &background, |_| true).into_iter().collect()
    }

    #[test]
    fn a_chain_that_spins_goes_to_the_background_and_one_that_is_starved_by_it_does_not() {
        let machine = resource(2.0, &[(A, 1.4, 2.6), (B, 0.3, 0.6)]);
        assert_eq!(judged(&[machine], &[]), [A]);
    }

    #[test]
    fn who_got_little_in_the_background_but_wanted_more_stays_there() {
        let machine = resource(2.0, &[(A, 0.2, 3.8), (B, 0.7, 0.0)]);
        assert_eq!(judged(&[machine], &[A]), [A]);
        let calm = resource(2.0, &[(A, 0.2, 0.1), (B, 0.7, 0.0)]);
        assert!(judged(&[calm], &[A]).is_empty());
    }

    #[test]
    fn who_takes_more_than_its_share_beside_the_background_is_treated_like_it() {
        let machine = resource(2.0, &[(A, 0.4, 3.6), (B, 1.5, 0.5)]);
        assert_eq!(judged(&[machine], &[A]), [A, B]);
        let equal = resource(2.0, &[(A, 1.0, 1.0), (B, 1.0, 1.0)]);
        assert!(judged(&[equal], &[]).is_empty());
    }

    fn core(rates: &[(ChainId, f64, f64)]) -> Resource {
        Resource {
            is_core: true,
            ..resource(1.0, rates)
        }
    }

    #[test]
    fn on_a_large_machine_a_core_that_chains_share_is_shared_all_the_same() {
        let machine = || resource(16.0, &[(A, 1.0, 0.0), (B, 0.1, 0.0)]);
        assert!(judged(&[machine()], &[]).is_empty());
        assert_eq!(
            judged(&[machine(), core(&[(A, 0.8, 0.2), (B, 0.1, 0.5)])], &[]),
            [A]
        );
        // Nobody who goes first waits for it.
        assert!(judged(&[core(&[(A, 0.8, 0.2), (B, 0.1, 0.0)])], &[]).is_empty());
    }

    #[test]
    fn who_has_a_core_before_the_background_keeps_it_unless_it_takes_all_of_it() {
        assert_eq!(judged(&[core(&[(A, 0.25, 1.7), (B, 0.75, 0.1)])], &[A]), [A]);
        assert_eq!(judged(&[core(&[(A, 0.02, 1.9), (B, 0.97, 1.0)])], &[A]), [A, B]);
    }

    #[test]
    fn a_share_is_of_what_other_programs_leave() {
        let machine = resource(2.0, &[(A, 0.7, 3.3), (B, 0.15, 0.4)]);
        assert_eq!(judged(&[machine], &[]), [A]);
        let after = resource(2.0, &[(A, 0.1, 3.9), (B, 0.6, 0.3)]);
        assert_eq!(judged(&[after], &[A]), [A]);
    }

    #[test]
    fn a_chain_that_leaves_the_background_is_brought_back_in_three_looks() {
        let mut returns = Returns::default();
        let background = BTreeSet::from([A]);
        let brought_back = |returns: &mut Returns, background: &BTreeSet<ChainId>| {
            returns.look(background);
            [A, B].map(|chain| !background.contains(&chain) && returns.contains(chain))
        };
        for _ in 0..5 {
            assert_eq!(brought_back(&mut returns, &background), [false, false]);
        }
        let nobody = BTreeSet::new();
        for look in 1..=5 {
            assert_eq!(
                brought_back(&mut returns, &nobody),
                [look <= RETURNS, false],
                "{look}"
            );
        }
        // One that goes there again meanwhile begins anew.
        brought_back(&mut returns, &background);
        brought_back(&mut returns, &nobody);
        brought_back(&mut returns, &background);
        let looks = (0..5).filter(|_| brought_back(&mut returns, &nobody)[0]).count();
        assert_eq!(looks, usize::from(RETURNS));
    }

    #[test]
    fn who_is_alone_has_everything() {
        let machine = resource(2.0, &[(A, 2.0, 2.0), (B, 0.0, 0.0)]);
        let judged = judge(&[machine], &BTreeSet::from([A]), |chain| chain == A);
        assert!(judged.is_empty());
    }
}
