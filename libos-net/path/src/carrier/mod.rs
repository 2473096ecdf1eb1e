//! A *carrier*: a node that stands where a function stands, holds no key, and hands on sealed segments as
//! they are. What makes a request durable is one, and so is one end of a link between machines. This one
//! hands on to the consumer behind it.
//!
//! ```text
//! producer's outbox                carrier's outbox                 consumer
//! segment ---- copied as it is ---> segment
//! descriptor -- peek, place anew --> descriptor ---- peek, open ---> plaintext, or refused
//! released <--- when all of it is <--- released <------------------- release
//! ```
//!
//! An edge that crosses a carrier has a port of its own, and so a key that its producer and its one consumer
//! share: whatever a carrier alters, makes up, swaps or plays again, that consumer refuses; what it drops is
//! missed, as if the producer had dropped it. It sees sizes, times and identifiers. What a hostile one can
//! still do is in ARCHITECTURE.md, and to be mended before a service runs any: no chain file can name one.
//!
//! A producer's record is released when the carrier's own consumer has released it, so *at least once* holds
//! across a carrier (I5), and a carrier never holds more of a producer than its outbox does (I6). One that
//! replaces another finds in its own rings how far that one had come (`resume.rs`).

mod before;
mod relay;
mod resume;

use crate::attach::contradiction::BadAttachment;
use crate::attach::message::{Begin, Inbound, Port};
use crate::machine::clock::Monotonic;
use crate::outlet::outbox::Outbox;
use crate::page::own::Own;
use crate::region::layout::{OutboxLayout, page_word};
use crate::wait::rest::Rest;
use alloc::vec::Vec;

pub(crate) use relay::Relay;

/// A node that relays what its producers seal, to one consumer for each of them.
pub struct Carrier {
    own: Own,
    outbox: Outbox,
    /// One for each producer instance.
    relays: Vec<Relay>,
    rest: Rest,
}

impl Carrier {
    /// Takes over from a predecessor, if there was one. `relays` come with whether records of theirs come
    /// without gaps.
    pub(crate) fn new(own: Own, mut outbox: Outbox, mut relays: Vec<Relay>, rest: Rest) -> Self {
        for relay in &mut relays {
            relay.resume(&own, &mut outbox);
        }
        outbox.slots_mut().keep_held();
        for (index, relay) in relays.iter_mut().enumerate() {
            relay.begin_counting(&own, index);
        }
        Self {
            own,
            outbox,
            relays,
            rest,
        }
    }

    /// Says in page and outbox that this instance serves.
    pub fn set_serving(&self) {
        self.own.store(page_word::STATE, 1);
        self.outbox.set_serving(true);
    }

    /// Does what can be done now: releases what is safe with consumers, and hands on one segment for each
    /// producer. `false` if there was nothing to do.
    pub fn turn(&mut self) -> bool {
        let mut released = false;
        for relay in &mut self.relays {
            released |= relay.release(&self.own, &mut self.outbox);
        }
        let mut carried = false;
        for relay in &mut self.relays {
            if released {
                relay.expect_room();
            }
            carried |= relay.carry(&self.own, &mut self.outbox);
        }
        released || carried
    }

    /// Sleeps until there is something to do, or `until`; may return without reason.
    pub fn rest(&mut self, until: Option<Monotonic>) {
        // Consumers that release something ring only those who say that they wait for it.
        let relays = &self.relays;
        if self.outbox.announce_starved() {
            self.rest
                .wait(&self.own, until, || relays.iter().any(Relay::has_news));
        }
        self.outbox.fed();
    }
}

/// Checks what a carrier is attached to: to no key, and to as much room as all its producers have together. A
/// record that is on its way in part can then always be finished: each producer's largest one fits beside
/// those of all others, and what is whole is released in time.
///
/// # Errors
/// [`BadAttachment`].
pub(crate) fn check(
    begin: &Begin,
    outbox: &OutboxLayout,
    inbound: &[&Inbound],
    ports: &[Port],
) -> Result<(), BadAttachment> {
    let has_key = ports
        .iter()
        .any(|port| port.epoch_secret.iter().any(|byte| *byte != 0))
        || inbound
            .iter()
            .any(|inbound| inbound.port_secret.iter().any(|byte| *byte != 0));
    if has_key {
        return Err(BadAttachment("a carrier is given a key"));
    }
    if begin.error_port != u32::MAX || inbound.iter().any(|inbound| inbound.mapped == 1) {
        return Err(BadAttachment("a carrier relays what is sealed, and nothing else"));
    }
    let numbers = |numbers: &mut dyn Iterator<Item = u32>| numbers.collect::<Vec<_>>();
    let (from, to) = (
        numbers(&mut inbound.iter().map(|inbound| inbound.port)),
        numbers(&mut ports.iter().map(|port| port.port)),
    );
    if from != to {
        return Err(BadAttachment("a carrier's ports are not those of its producers"));
    }
    let mut full_slots = 0_usize;
    for inbound in inbound {
        let producer = OutboxLayout::new(
            inbound.producer_ring_count,
            inbound.producer_ring_capacity,
            inbound.producer_outbox_bytes,
        )
        .ok_or(BadAttachment("a producer's outbox"))?;
        full_slots = full_slots.saturating_add(producer.full_slots());
        if producer.ring_capacity() > outbox.ring_capacity() {
            return Err(BadAttachment("a carrier's rings hold less than its producers'"));
        }
    }
    if full_slots > outbox.full_slots() {
        return Err(BadAttachment(
            "a carrier's outbox holds less than its producers' together",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::layout::ring_capacity;
    use zerocopy::FromZeros;

    const OUTBOX_BYTES: u64 = 4 << 20;

    fn entries() -> (Begin, Inbound, Port) {
        let mut begin = Begin::new_zeroed();
        begin.error_port = u32::MAX;
        let mut inbound = Inbound::new_zeroed();
        inbound.port = 7;
        inbound.producer_ring_count = 1;
        inbound.producer_ring_capacity = ring_capacity(OUTBOX_BYTES);
        inbound.producer_outbox_bytes = OUTBOX_BYTES;
        let mut port = Port::new_zeroed();
        port.port = 7;
        (begin, inbound, port)
    }

    fn layout(outbox_bytes: u64) -> OutboxLayout {
        OutboxLayout::new(2, ring_capacity(outbox_bytes), outbox_bytes).unwrap()
    }

    #[test]
    fn a_carrier_takes_no_key_and_nothing_that_is_not_sealed() {
        let (begin, inbound, port) = entries();
        let of = |begin: &Begin, inbound: &Inbound, port: &Port| {
            check(
                begin,
                &layout(OUTBOX_BYTES),
                &[inbound],
                core::slice::from_ref(port),
            )
            .is_ok()
        };
        assert!(of(&begin, &inbound, &port));
        let mut keyed = inbound;
        keyed.port_secret[31] = 1;
        assert!(!of(&begin, &keyed, &port));
        let mut keyed = port;
        keyed.epoch_secret[0] = 1;
        assert!(!of(&begin, &inbound, &keyed));
        let mut mapped = inbound;
        mapped.mapped = 1;
        assert!(!of(&begin, &mapped, &port));
        let mut other = port;
        other.port = 8;
        assert!(!of(&begin, &inbound, &other));
        let mut with_errors = begin;
        with_errors.error_port = 0;
        assert!(!of(&with_errors, &inbound, &port));
    }

    #[test]
    fn a_carrier_holds_what_all_its_producers_hold() {
        let (begin, inbound, port) = entries();
        let holds = |outbox_bytes| check(&begin, &layout(outbox_bytes), &[&inbound; 2], &[port; 2]).is_ok();
        assert!(!holds(OUTBOX_BYTES));
        assert!(!holds(2 * OUTBOX_BYTES - (64 << 10)));
        assert!(holds(2 * OUTBOX_BYTES));
    }
}
