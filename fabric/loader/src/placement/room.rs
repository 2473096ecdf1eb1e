//! The cores that there are, and who of a chain gets which under each choice.

use super::members::Members;

/// The choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// All on one core.
    Packed,
    /// On different cores.
    Spread,
    /// Wherever the scheduler likes.
    Floating,
}

impl Chosen {
    /// The choice in a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Packed => "packed",
            Self::Spread => "spread",
            Self::Floating => "floating",
        }
    }
}

/// Who is in the gateway's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// The gateway: it also waits for connections, so it sleeps in an event loop and never looks.
    Http,
    /// A driver that waits for records alone, and looks if it may.
    Driver,
}

/// What there is to sit on.
pub(super) struct Room<'a> {
    pub(super) cpus: &'a [u32],
    /// Which of the served chains this is.
    pub(super) nth: usize,
    pub(super) is_alone: bool,
    pub(super) front: Front,
}

impl Room<'_> {
    /// The cores of the gateway and of each instance in the order of the flow. Neighbours on the way of a
    /// record are neighbours here, so taking turns over the cores makes every hop but perhaps the last
    /// cross cores.
    pub(super) fn place(&self, chosen: Chosen, members: &Members) -> Vec<Option<u32>> {
        let cpu = |at: usize| self.cpus.get(at % self.cpus.len().max(1)).copied();
        let take_turns = self.take_turns(chosen, members);
        (0..=members.instances())
            .map(|at| match chosen {
                // It serves all chains, so it sits with one only if that is the only one.
                _ if at == 0 && !self.is_alone => None,
                Chosen::Packed => cpu(self.nth),
                Chosen::Spread if take_turns => cpu(at % 2),
                Chosen::Spread => cpu(self.nth + at),
                Chosen::Floating => None,
            })
            .collect()
    }

    /// Whether functions take turns over two cores, and wake ahead whoever needs their core next: a single
    /// spread chain in which one function works at a time, with more members than cores.
    pub(super) fn take_turns(&self, chosen: Chosen, members: &Members) -> bool {
        chosen == Chosen::Spread
            && self.is_alone
            && self.cpus.len() > 1
            && members.instances() >= self.cpus.len()
            && members.is_line()
    }

    /// Which of them look for work before they sleep.
    pub(super) fn looks(&self, chosen: Chosen, members: &Members, placed: &[Option<u32>]) -> Vec<bool> {
        let take_turns = self.take_turns(chosen, members);
        let looks = placed.iter().enumerate().map(|(at, cpu)| {
            let can = at > 0 || self.front == Front::Driver;
            let may = take_turns || has_core_to_itself(*cpu, placed, self.cpus.len());
            can && chosen == Chosen::Spread && may
        });
        looks.collect()
    }
}

/// Whether of all that are `placed` only one has this core, and those that float find another.
pub(super) fn has_core_to_itself(cpu: Option<u32>, placed: &[Option<u32>], cores: usize) -> bool {
    let Some(cpu) = cpu else { return false };
    let mut taken: Vec<u32> = placed.iter().flatten().copied().collect();
    let floating = placed.len() - taken.len();
    let sharing = taken.iter().filter(|other| **other == cpu).count();
    taken.sort_unstable();
    taken.dedup();
    sharing == 1 && taken.len() + floating <= cores
}
