//! The order of records on one ring: nothing twice, nothing out of turn, no record with a piece missing (I9).

use crate::record::descriptor::Descriptor;
use crate::record::refusal::Refusal;

/// What a descriptor is, if it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The first segment of a record.
    Begins,
    /// The next segment of the record that is arriving.
    Continues,
    /// More of a record that was refused or given up: pass over it.
    Skipped,
    /// The first segment of a record after one that never got its end: its producer was replaced.
    Supersedes,
    /// The first segment of a record after one of the same producer that never got its end: it was cut off.
    CutsOff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arriving {
    Nothing,
    Record {
        epoch: u32,
        sequence: u64,
        next_segment: u32,
    },
    Skipping {
        epoch: u32,
        sequence: u64,
    },
}

/// Follows the records of one ring.
#[derive(Debug)]
pub(super) struct Order {
    /// Every record of the port comes through this ring, so a gap is a loss.
    gapless: bool,
    epoch: u32,
    next_sequence: u64,
    /// How many records may be missing before the next one: as many as were refused since, or any number if
    /// we know no better yet.
    missing: u64,
    arriving: Arriving,
}

impl Order {
    pub(super) fn new(gapless: bool) -> Self {
        Self {
            gapless,
            epoch: 0,
            next_sequence: 0,
            missing: 0,
            arriving: Arriving::Nothing,
        }
    }

    /// Continues after a predecessor that had accepted everything before `next_sequence` of `epoch`, and
    /// perhaps more.
    pub(super) fn resume(gapless: bool, epoch: u32, next_sequence: u64) -> Self {
        Self {
            epoch,
            next_sequence,
            missing: u64::MAX,
            ..Self::new(gapless)
        }
    }

    /// Passes over what is left of this record, if something is: a predecessor had begun to release it.
    pub(super) fn skip_rest_of(&mut self, epoch: u32, sequence: u64) {
        self.arriving = Arriving::Skipping { epoch, sequence };
    }

    /// Forgets how far it had come: its producer says that it is another process.
    pub(super) fn start_over(&mut self) {
        *self = Self::resume(self.gapless, 0, 0);
    }

    /// Whether a record has begun and not ended.
    pub(super) fn is_mid_record(&self) -> bool {
        matches!(self.arriving, Arriving::Record { .. })
    }

    /// Where `descriptor` would belong.
    pub(super) fn place(&self, descriptor: &Descriptor) -> Result<Place, Refusal> {
        match self.arriving {
            Arriving::Record {
                epoch,
                sequence,
                next_segment,
            } if (epoch, sequence) == (descriptor.epoch, descriptor.sequence) => {
                return if descriptor.segment == next_segment {
                    Ok(Place::Continues)
                } else {
                    Err(Refusal::OutOfOrder)
                };
            }
            Arriving::Skipping { epoch, sequence }
                if (epoch, sequence) == (descriptor.epoch, descriptor.sequence) && descriptor.segment > 0 =>
            {
                return Ok(Place::Skipped);
            }
            Arriving::Record { epoch, .. } if epoch == descriptor.epoch => {
                return if self.check_first(descriptor).is_ok() {
                    Ok(Place::CutsOff)
                } else {
                    Err(Refusal::OutOfOrder)
                };
            }
            _ => {}
        }
        self.check_first(descriptor)?;
        Ok(if self.is_mid_record() {
            Place::Supersedes
        } else {
            Place::Begins
        })
    }

    fn check_first(&self, descriptor: &Descriptor) -> Result<(), Refusal> {
        if descriptor.segment != 0 {
            return Err(Refusal::OutOfOrder);
        }
        let expected = match descriptor.epoch.cmp(&self.epoch) {
            core::cmp::Ordering::Less => return Err(Refusal::Replayed),
            core::cmp::Ordering::Equal => self.next_sequence,
            core::cmp::Ordering::Greater => 0,
        };
        if descriptor.sequence < expected {
            return Err(Refusal::Replayed);
        }
        if self.gapless && descriptor.sequence - expected > self.missing {
            return Err(Refusal::OutOfOrder);
        }
        Ok(())
    }

    /// Notes that `descriptor` opened.
    pub(super) fn accept(&mut self, descriptor: &Descriptor) {
        if descriptor.segment == 0 {
            let expected = if descriptor.epoch == self.epoch {
                self.next_sequence
            } else {
                0
            };
            self.missing = match self.missing {
                u64::MAX => 0,
                missing => missing.saturating_sub(descriptor.sequence.saturating_sub(expected)),
            };
        }
        self.epoch = descriptor.epoch;
        self.next_sequence = descriptor.sequence.saturating_add(1);
        self.arriving = if descriptor.last {
            Arriving::Nothing
        } else {
            Arriving::Record {
                epoch: descriptor.epoch,
                sequence: descriptor.sequence,
                next_segment: descriptor.segment.saturating_add(1),
            }
        };
    }

    /// Notes a refusal: the record that was arriving is lost, and what was refused may have been one.
    pub(super) fn refuse(&mut self) {
        self.missing = self.missing.saturating_add(1);
        self.give_up();
    }

    /// Passes over the rest of the record that is arriving, if one is.
    pub(super) fn give_up(&mut self) {
        if let Arriving::Record { epoch, sequence, .. } = self.arriving {
            self.arriving = Arriving::Skipping { epoch, sequence };
        }
    }

    /// Forgets the record that was arriving, as its producer was replaced.
    pub(super) fn abandon(&mut self) {
        self.arriving = Arriving::Nothing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::clock::Monotonic;
    use crate::record::invocation::InvocationId;

    fn descriptor(epoch: u32, sequence: u64, segment: u32, last: bool) -> Descriptor {
        Descriptor {
            sequence,
            offset: 0,
            len_bytes: 0,
            segment,
            attempt: 1,
            last,
            abort: false,
            invocation: InvocationId::new(1),
            deadline: Monotonic::from_ns(0),
            epoch,
            port: 0,
            generation: 0,
        }
    }

    fn accept(order: &mut Order, descriptor: &Descriptor) -> Result<Place, Refusal> {
        let place = order.place(descriptor)?;
        order.accept(descriptor);
        Ok(place)
    }

    #[test]
    fn records_in_order_are_accepted_and_replays_and_gaps_are_not() {
        let mut order = Order::new(true);
        assert_eq!(accept(&mut order, &descriptor(1, 0, 0, true)), Ok(Place::Begins));
        assert_eq!(accept(&mut order, &descriptor(1, 1, 0, false)), Ok(Place::Begins));
        assert_eq!(order.place(&descriptor(1, 2, 0, true)), Ok(Place::CutsOff));
        assert_eq!(order.place(&descriptor(1, 3, 0, true)), Err(Refusal::OutOfOrder));
        assert_eq!(order.place(&descriptor(1, 1, 2, true)), Err(Refusal::OutOfOrder));
        assert_eq!(
            accept(&mut order, &descriptor(1, 1, 1, true)),
            Ok(Place::Continues)
        );
        assert_eq!(order.place(&descriptor(1, 1, 0, true)), Err(Refusal::Replayed));
        assert_eq!(order.place(&descriptor(1, 3, 0, true)), Err(Refusal::OutOfOrder));
        assert_eq!(order.place(&descriptor(1, 2, 1, true)), Err(Refusal::OutOfOrder));
        assert_eq!(order.place(&descriptor(0, 9, 0, true)), Err(Refusal::Replayed));
        assert_eq!(accept(&mut order, &descriptor(2, 0, 0, true)), Ok(Place::Begins));
        assert_eq!(order.place(&descriptor(1, 2, 0, true)), Err(Refusal::Replayed));
    }

    #[test]
    fn after_a_refusal_the_rest_of_the_record_is_passed_over_and_the_next_is_accepted() {
        let mut order = Order::new(true);
        accept(&mut order, &descriptor(1, 0, 0, false)).unwrap();
        order.refuse();
        assert_eq!(order.place(&descriptor(1, 0, 2, true)), Ok(Place::Skipped));
        assert_eq!(accept(&mut order, &descriptor(1, 1, 0, true)), Ok(Place::Begins));
        assert_eq!(
            order.place(&descriptor(1, 4, 0, true)),
            Err(Refusal::OutOfOrder),
            "no more can be missing than was refused"
        );
        assert_eq!(accept(&mut order, &descriptor(1, 3, 0, true)), Ok(Place::Begins));
        assert_eq!(order.place(&descriptor(1, 5, 0, true)), Err(Refusal::OutOfOrder));
    }

    #[test]
    fn a_replaced_producer_supersedes_its_unfinished_record() {
        let mut order = Order::new(true);
        accept(&mut order, &descriptor(1, 0, 0, false)).unwrap();
        assert_eq!(order.place(&descriptor(2, 0, 0, true)), Ok(Place::Supersedes));
        order.abandon();
        assert_eq!(accept(&mut order, &descriptor(2, 0, 0, true)), Ok(Place::Begins));
    }

    #[test]
    fn a_ring_that_carries_a_part_of_a_port_allows_gaps_but_no_replay() {
        let mut order = Order::new(false);
        accept(&mut order, &descriptor(1, 3, 0, true)).unwrap();
        accept(&mut order, &descriptor(1, 7, 0, true)).unwrap();
        assert_eq!(order.place(&descriptor(1, 7, 0, true)), Err(Refusal::Replayed));
    }

    #[test]
    fn a_replaced_consumer_takes_what_was_not_released() {
        let mut order = Order::resume(true, 3, 10);
        assert_eq!(order.place(&descriptor(3, 9, 0, true)), Err(Refusal::Replayed));
        assert_eq!(accept(&mut order, &descriptor(3, 11, 0, true)), Ok(Place::Begins));
        assert_eq!(order.place(&descriptor(3, 13, 0, true)), Err(Refusal::OutOfOrder));
    }
}
