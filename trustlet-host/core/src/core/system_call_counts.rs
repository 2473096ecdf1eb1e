//! System calls that the monitor has refused to the processes of an instance, counted by number.

use alloc::collections::BTreeMap;

/// Entries of their own; all others share one. As many as an instance page has (I6).
const NUMBERS_MAX: usize = 15;

/// Counts of one instance.
#[derive(Debug, Clone, Default)]
pub(crate) struct SystemCallCounts {
    numbers: BTreeMap<u64, u64>,
    others: u64,
}

impl SystemCallCounts {
    /// Counts a call; whether it is the first with an entry of its own, or the first without.
    pub(crate) fn count(&mut self, number: u64) -> bool {
        let has_room = self.numbers.len() < NUMBERS_MAX;
        let count = match self.numbers.get_mut(&number) {
            Some(count) => count,
            None if has_room => self.numbers.entry(number).or_default(),
            None => &mut self.others,
        };
        *count = count.saturating_add(1);
        *count == 1
    }

    /// Numbers, and how often each; `u64::MAX` is that of all which have no entry of their own.
    pub(crate) fn entries(&self) -> impl Iterator<Item = [u64; 2]> + '_ {
        let others = (self.others > 0).then_some([u64::MAX, self.others]);
        let numbers = self.numbers.iter().map(|(number, count)| [*number, *count]);
        numbers.chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn calls_are_counted_by_number_and_those_without_room_together() {
        let mut calls = SystemCallCounts::default();
        let first: Vec<bool> = [7, 7, 3].map(|number| calls.count(number)).to_vec();
        assert_eq!(first, [true, false, true]);
        assert_eq!(calls.entries().collect::<Vec<_>>(), [[3, 1], [7, 2]]);
        let new = (100..200).filter(|number| calls.count(*number)).count();
        // With the entry for the others.
        assert_eq!(new, NUMBERS_MAX - 2 + 1);
        assert_eq!(calls.entries().count(), NUMBERS_MAX + 1);
        let others = calls.entries().last().unwrap();
        assert_eq!(others, [u64::MAX, 100 - (NUMBERS_MAX as u64 - 2)]);
        assert!(!calls.count(7), "it has its entry still");
    }
}
