//! What the carrier before this one had handed on.

use crate::record::descriptor::Descriptor;
use alloc::collections::BTreeMap;

/// Which segment of which record of one port, whoever carries it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    epoch: u32,
    sequence: u64,
    segment: u32,
}

impl Name {
    pub(super) const fn of(descriptor: &Descriptor) -> Self {
        Self {
            epoch: descriptor.epoch,
            sequence: descriptor.sequence,
            segment: descriptor.segment,
        }
    }
}

/// What a predecessor had handed on of the records that are not released.
pub(super) struct Before {
    /// What came before this position in the producer's ring.
    until: u64,
    /// Of what the consumer has not released: which outlet took it, and the position after it.
    at: BTreeMap<Name, (usize, u64)>,
}

impl Before {
    pub(super) const fn new(until: u64, at: BTreeMap<Name, (usize, u64)>) -> Self {
        Self { until, at }
    }

    /// Whether the segment at `position` was handed on, and where it is if its consumer has not released it.
    pub(super) fn find(&self, position: u64, descriptor: &Descriptor) -> Option<Option<(usize, u64)>> {
        (position < self.until).then(|| self.at.get(&Name::of(descriptor)).copied())
    }
}
