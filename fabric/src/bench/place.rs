//! Which cores a benchmark uses, and staying on them for a while.

use super::subject::{Cores, Place};
use crate::chain::placement::usable_cpus;
use crate::command::Failed;
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

    fn of(self, place: Place) -> Option<CpuSet> {
        let cpus = match place {
            Place::Packed => vec![self.home],
            Place::Spread | Place::Auto => core::iter::once(self.home).chain(self.away).collect(),
            Place::Floating => return None,
        };
        let mut set = CpuSet::new();
        for cpu in cpus {
            set.set(usize::try_from(cpu).ok()?);
        }
        Some(set)
    }
}

/// This thread, and what it starts meanwhile, stays on some cores until this is dropped.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
}

impl Pinned {
    /// Pins to the cores of `place`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn to(place: Place, cores: Cores) -> Result<Self, Failed> {
        let before = sched_getaffinity(None)?;
        if let Some(set) = cores.of(place) {
            sched_setaffinity(None, &set)?;
        }
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // The cores that this thread had before are still there, or it stays where it is.
        let _ = sched_setaffinity(None, &self.before);
    }
}
