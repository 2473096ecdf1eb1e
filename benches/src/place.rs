//! Which cores a benchmark uses, and staying on them for a while.

use super::subject::{Cores, Place};
use hacher_fabric::failed::Failed;
use hacher_loader::placement::usable_cpus;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

impl Cores {
    /// The last two of those that this process may use: the first ones get most interrupts.
    #[must_use]
    pub fn choose() -> Self {
        let usable = usable_cpus();
        let mut from_last = usable.iter().rev().copied();
        Self {
            home: from_last.next().unwrap_or(0),
            away: from_last.next(),
        }
    }

    /// The core of the process at this position of a subject, or `None` for whatever the scheduler chooses.
    /// Position 0 is the caller; when spread, it is at home and its first successor away.
    ///
    /// # Errors
    /// On a machine with one core, nothing can be spread.
    pub fn seat(self, place: Place, position: u32) -> Result<Option<u32>, Failed> {
        match place {
            Place::Packed => Ok(Some(self.home)),
            Place::Floating | Place::Auto => Ok(None),
            Place::Spread => match self.away {
                None => Err(Failed::new("spreading processes takes two cores")),
                Some(away) if position % 2 == 1 => Ok(Some(away)),
                Some(_) => Ok(Some(self.home)),
            },
        }
    }

    fn of(self, place: Place) -> Vec<u32> {
        match place {
            Place::Packed => vec![self.home],
            Place::Spread | Place::Auto => core::iter::once(self.home).chain(self.away).collect(),
            Place::Floating => Vec::new(),
        }
    }
}

/// This thread, and what it starts meanwhile, stays on some cores until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it lifts the restriction"]
pub struct Pinned {
    before: Option<CpuSet>,
}

impl Pinned {
    /// Pins to the cores of `place`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn to(place: Place, cores: Cores) -> Result<Self, Failed> {
        Self::to_cores(&cores.of(place))
    }

    /// Pins to this core; `None` changes nothing.
    ///
    /// # Errors
    /// When it is not one that this process may use.
    pub fn to_core(core: Option<u32>) -> Result<Self, Failed> {
        Self::to_cores(core.as_slice())
    }

    fn to_cores(cores: &[u32]) -> Result<Self, Failed> {
        if cores.is_empty() {
            return Ok(Self { before: None });
        }
        let before = sched_getaffinity(None)?;
        let mut set = CpuSet::new();
        for core in cores {
            let index = usize::try_from(*core)?;
            if index < CpuSet::MAX_CPU {
                set.set(index);
            }
        }
        sched_setaffinity(None, &set)
            .map_err(|errno| Failed::new(format!("cannot run on cores {cores:?}: {errno}")))?;
        Ok(Self { before: Some(before) })
    }

    /// Makes it last as long as the thread.
    pub fn keep(mut self) {
        self.before = None;
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // The cores that this thread had before are still there, or it stays where it is.
            let _ = sched_setaffinity(None, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_pinned_until_the_guard_is_dropped() {
        let before = usable_cpus();
        let core = before[0];
        let pinned = Pinned::to_core(Some(core)).unwrap();
        assert_eq!(usable_cpus(), [core]);
        drop(pinned);
        assert_eq!(usable_cpus(), before);
        assert!(Pinned::to_core(Some(u32::MAX)).is_err());
        assert_eq!(usable_cpus(), before);
    }

    #[test]
    fn spread_processes_alternate_and_need_two_cores() {
        let cores = Cores {
            home: 3,
            away: Some(5),
        };
        let seats = |place| [0, 1, 2, 3].map(|position| cores.seat(place, position).unwrap());
        assert_eq!(seats(Place::Spread), [Some(3), Some(5), Some(3), Some(5)]);
        assert_eq!(seats(Place::Packed), [Some(3); 4]);
        assert_eq!(seats(Place::Floating), [None; 4]);
        let alone = Cores { home: 0, away: None };
        assert!(alone.seat(Place::Spread, 0).is_err());
    }
}
