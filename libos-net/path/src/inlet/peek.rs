//! `peek`: the next descriptor of one ring, copied to private memory once and checked there (I2).
//!
//! Its steps, and those of `open` and `publish`, are inlined into the walk of [`crate::hop`] always: as calls
//! they would hand the descriptor on by copies, a hundred instructions of the five thousand of a hop.

use super::held::Held;
use super::order::{Order, Place};
use super::step::{Opened, RecordPlace, Step};
use super::{Inlet, Peeked, Shape};
use crate::record::descriptor::Descriptor;
use crate::record::refusal::Refusal;
use crate::region::ring;

impl Inlet {
    /// What there is to look at next. Nothing, where a producer goes on without waiting for what was
    /// released: it could make this process hold any number of records (I6). And nothing at a corrupt
    /// slot that was refused once, until a later one shows that the producer has gone past it.
    #[inline(always)]
    fn look(&self) -> ring::Found {
        let Some(slots) = self.slots() else {
            return ring::Found::Empty;
        };
        if self.holds_all() {
            return ring::Found::Empty;
        }
        match ring::peek(slots, self.next) {
            ring::Found::Corrupt
                if self.corrupt_at == Some(self.next) && !ring::is_passed(slots, self.next) =>
            {
                ring::Found::Empty
            }
            found => found,
        }
    }

    /// Whether as much is held as the ring has room for, or this end has paused.
    fn holds_all(&self) -> bool {
        self.held_slots() >= self.held_max
    }

    /// How many slots of the ring its producer cannot use yet.
    pub(crate) fn held_slots(&self) -> u64 {
        self.next - self.held.oldest().unwrap_or(self.next)
    }

    /// Whether more than half of what the ring has room for is held.
    pub(crate) fn is_crowded(&self) -> bool {
        self.held_slots() > self.capacity as u64 / 2
    }

    /// Whether no record before the one at `first` is held.
    pub(crate) fn is_oldest(&self, first: u64) -> bool {
        self.held.oldest() == Some(first)
    }

    /// Takes nothing until it goes on: there is no room for what would come. The producer notices by its
    /// ring and its outbox being full.
    pub(crate) const fn set_paused(&mut self, paused: bool) {
        self.held_max = if paused { 0 } else { self.capacity as u64 };
    }

    /// Whether [`Self::peek`] would find something. An idle poll is one load.
    pub(crate) fn has_news(&self) -> bool {
        let Some(slots) = self.slots() else {
            return false;
        };
        match ring::news(slots, self.next) {
            ring::News::Nothing => false,
            ring::News::Words => !self.holds_all(),
            ring::News::Corrupt => self.finds_something(),
        }
    }

    /// Whether there is something at a slot whose stamp is neither of this position nor of the one before it.
    #[cold]
    fn finds_something(&self) -> bool {
        self.look() != ring::Found::Empty
    }

    /// Looks at the next descriptor.
    ///
    /// # Errors
    /// What became of it, if it is no segment whose payload is to be looked at.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Result<Peeked, Step> {
        loop {
            let words = match self.look() {
                ring::Found::Empty => return Err(Step::Empty),
                ring::Found::Corrupt if self.corrupt_at == Some(self.next) => {
                    self.pass_over();
                    continue;
                }
                ring::Found::Corrupt => return Err(self.refuse_slot()),
                ring::Found::Words(words) => words,
            };
            let Ok(descriptor) = self.read(&words) else {
                return Err(self.refuse(Refusal::Malformed, None));
            };
            if descriptor.port != self.port {
                return Err(self.refuse(Refusal::WrongPort, Some(descriptor)));
            }
            let stays = match self.order.place(&descriptor) {
                Ok(place @ (Place::Begins | Place::Continues)) => {
                    let begins = place == Place::Begins;
                    let published = self.shape.published(&words);
                    return Ok(Peeked {
                        descriptor,
                        begins,
                        published,
                    });
                }
                Ok(Place::Skipped) => {
                    let record = (descriptor.epoch, descriptor.sequence);
                    // Others are passed over because this process gave them up.
                    if self
                        .interrupted_record
                        .take_if(|interrupted| *interrupted == record)
                        .is_some()
                    {
                        // It stays where it is, and the next look passes over it.
                        return Err(Step::Interrupted { claimed: descriptor });
                    }
                    self.pass_over();
                    continue;
                }
                // In these three cases the descriptor stays where it is, and the next look takes it.
                Ok(Place::Supersedes) => self.arriving_until(Order::abandon),
                Ok(Place::CutsOff) => {
                    let arriving = self.arriving_until(Order::give_up);
                    return Err(Step::Refused {
                        refusal: Refusal::OutOfOrder,
                        arriving,
                        claimed: None,
                    });
                }
                Err(Refusal::Replayed | Refusal::OutOfOrder) if self.has_new_producer() => {
                    self.arriving_until(Order::start_over)
                }
                Err(refusal) => return Err(self.refuse(refusal, Some(descriptor))),
            };
            if let Some(record) = stays {
                return Err(Step::Abandoned(record));
            }
        }
    }

    /// The record that was arriving until `ends` was done to the order.
    fn arriving_until(&mut self, ends: impl FnOnce(&mut Order)) -> Option<RecordPlace> {
        let arriving = self.arriving();
        ends(&mut self.order);
        arriving
    }

    /// Refuses a slot whose stamp is of no position that could be there. It stays, as its producer may yet
    /// publish there.
    fn refuse_slot(&mut self) -> Step {
        self.corrupt_at = Some(self.next);
        let arriving = self.arriving_until(Order::refuse);
        Step::Refused {
            refusal: Refusal::CorruptSlot,
            arriving,
            claimed: None,
        }
    }

    /// Refuses the present descriptor, and goes past it.
    pub(crate) fn refuse(&mut self, refusal: Refusal, claimed: Option<Descriptor>) -> Step {
        let arriving = self.arriving_until(Order::refuse);
        self.pass_over();
        Step::Refused {
            refusal,
            arriving,
            claimed,
        }
    }

    /// Goes past the present descriptor without effect.
    fn pass_over(&mut self) {
        self.held.push(Held {
            first: self.next,
            from: self.next,
            end: self.next + 1,
            epoch: 0,
            sequence: 0,
            done: true,
        });
        self.next += 1;
    }

    /// On a mapped edge, notes which leaves the present segment takes, before any of it is looked at.
    ///
    /// # Errors
    /// When one of them is held by another segment.
    pub(crate) fn hold(&mut self, descriptor: &Descriptor) -> Result<(), Refusal> {
        let next = self.next;
        let Shape::Mapped(leaves) = &mut self.shape else {
            return Ok(());
        };
        if leaves.hold(next, descriptor).is_ok() {
            return Ok(());
        }
        if self.has_new_producer()
            && let Shape::Mapped(leaves) = &mut self.shape
        {
            return leaves.hold(next, descriptor);
        }
        Err(Refusal::Malformed)
    }

    /// Goes past the present segment, which belongs to a record that is held from now on. `in_place`: its
    /// payload was left where it is.
    #[inline(always)]
    pub(crate) fn accept(&mut self, found: &Peeked, in_place: bool) -> Step {
        let Peeked {
            descriptor,
            begins,
            published,
        } = found;
        self.order.accept(descriptor);
        let at = self.next;
        self.next += 1;
        let extended = if *begins {
            None
        } else {
            self.held.extend_newest(self.next)
        };
        let first = extended.unwrap_or_else(|| {
            self.held.push(Held {
                first: at,
                from: at,
                end: self.next,
                epoch: descriptor.epoch,
                sequence: descriptor.sequence,
                done: false,
            });
            at
        });
        let record = RecordPlace {
            ring: self.index,
            first,
        };
        if descriptor.abort {
            return Step::Abandoned(record);
        }
        Step::Opened(Opened {
            record,
            descriptor: *descriptor,
            begins: *begins,
            published: published.unwrap_or_else(|| self.published_behind(descriptor)),
            in_place,
        })
    }

    /// Passes over the rest of the record that is arriving.
    pub(crate) fn give_up_arriving(&mut self) {
        self.order.give_up();
    }

    /// The descriptor of segment `segment` of a record that was accepted and not released, once more. `None`
    /// when the record has no such segment among those that were accepted; a refusal when it is not what
    /// it was.
    pub(crate) fn look_again(
        &self,
        record: RecordPlace,
        segment: u64,
    ) -> Option<Result<Descriptor, Refusal>> {
        let held = self.held.at(record.first)?;
        let position = record.first.checked_add(segment);
        // What was released may not be there any more.
        let position = position.filter(|position| (held.from..held.end).contains(position))?;
        let Some(ring::Found::Words(words)) = self.slots().map(|slots| ring::peek(slots, position)) else {
            return Some(Err(Refusal::CorruptSlot));
        };
        let Ok(descriptor) = self.read(&words) else {
            return Some(Err(Refusal::Malformed));
        };
        let is_the_one = (descriptor.epoch, descriptor.sequence, descriptor.port)
            == (held.epoch, held.sequence, self.port)
            && u64::from(descriptor.segment) == segment;
        Some(if is_the_one {
            Ok(descriptor)
        } else {
            Err(Refusal::OutOfOrder)
        })
    }
}

#[cfg(test)]
mod tests;
