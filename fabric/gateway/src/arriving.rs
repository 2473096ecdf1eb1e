//! Records of which some segments have arrived and some are still to come: at most one for each ring, and
//! only for requests that somebody waits for.

use super::record::Record;
use super::reply_flow::{Flow, Outcome};
use hacher_libos_net::inlet::RecordPlace;
use hacher_libos_net::invocation::InvocationId;
use std::rc::Rc;

/// What to do with a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is taken in.
    Welcome,
    /// Nobody waits for its request.
    Unawaited,
    /// With it, its record has so many bytes, which is more than a reply may have.
    TooLarge(u64),
    /// There is no memory for it.
    NoRoom,
}

/// A record in part.
struct Part {
    place: RecordPlace,
    invocation: InvocationId,
    what: What,
}

/// What has come of a record.
enum What {
    /// All that has come so far, kept.
    Kept(Record),
    /// It is handed on as it comes.
    Flow(Rc<Flow>),
}

/// Records in part, by their ring.
pub(super) struct Arriving {
    rings: Vec<Option<Part>>,
    /// By ring, which way to a reply it belongs to, once a join's record has come.
    groups: Vec<u32>,
    /// How many there are.
    count: usize,
    /// The part that was taken off last, to be put back if nothing was added.
    taken: Option<(RecordPlace, InvocationId)>,
}

impl Arriving {
    pub(super) fn new(rings: usize) -> Self {
        Self {
            rings: core::iter::repeat_with(|| None).take(rings).collect(),
            groups: vec![u32::MAX; rings],
            count: 0,
            taken: None,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes off what has arrived on a ring.
    pub(super) fn take(&mut self, ring: usize) -> Option<Record> {
        let part = self.rings.get_mut(ring)?.take()?;
        self.count -= 1;
        self.taken = Some((part.place, part.invocation));
        match part.what {
            What::Kept(record) => Some(record),
            What::Flow(_) => None,
        }
    }

    /// The flow that comes over a ring, if one does.
    pub(super) fn flow(&self, ring: usize) -> Option<Rc<Flow>> {
        if self.is_empty() {
            return None;
        }
        match &self.rings.get(ring)?.as_ref()?.what {
            What::Flow(flow) => Some(Rc::clone(flow)),
            What::Kept(_) => None,
        }
    }

    /// Notes that what comes over a ring flows.
    pub(super) fn put_flow(
        &mut self,
        ring: usize,
        place: RecordPlace,
        invocation: InvocationId,
        flow: &Rc<Flow>,
    ) {
        self.put_part(
            ring,
            Part {
                place,
                invocation,
                what: What::Flow(Rc::clone(flow)),
            },
        );
    }

    /// A flow has ended.
    pub(super) fn end_flow(&mut self, ring: usize) {
        if self.rings.get_mut(ring).is_some_and(|slot| slot.take().is_some()) {
            self.count -= 1;
        }
    }

    /// Puts back what was taken off, as it was.
    pub(super) fn put_back(&mut self, ring: usize, record: Record) {
        if let Some((place, invocation)) = self.taken.take()
            && place.ring == ring
            && record.len_bytes() > 0
        {
            self.put(ring, place, invocation, record);
        }
    }

    /// Keeps what has arrived on a ring.
    pub(super) fn put(&mut self, ring: usize, place: RecordPlace, invocation: InvocationId, record: Record) {
        self.put_part(
            ring,
            Part {
                place,
                invocation,
                what: What::Kept(record),
            },
        );
    }

    fn put_part(&mut self, ring: usize, part: Part) {
        if let Some(slot) = self.rings.get_mut(ring) {
            self.count += usize::from(slot.is_none());
            *slot = Some(part);
        }
    }

    /// Notes which way to a reply a ring belongs to.
    pub(super) fn note_group(&mut self, ring: usize, group: u32) {
        if let Some(known) = self.groups.get_mut(ring) {
            *known = group;
        }
    }

    /// Bytes that have arrived for this request over other rings of this one's join.
    pub(super) fn bytes_beside(&self, ring: usize, invocation: InvocationId) -> u64 {
        let group = self.groups.get(ring);
        let others = (0..).zip(&self.rings).filter(|(at, _)| *at != ring);
        let others = others.filter(|(at, _)| self.groups.get(*at) == group);
        let others = others.filter_map(|(_, part)| part.as_ref());
        let of_request = others.filter(|part| part.invocation == invocation);
        let bytes = of_request.map(|part| match &part.what {
            What::Kept(record) => record.len_bytes() as u64,
            What::Flow(_) => 0,
        });
        bytes.sum()
    }

    /// Drops a record that arrives for this request; where it was.
    pub(super) fn take_of(&mut self, invocation: InvocationId) -> Option<RecordPlace> {
        if self.is_empty() {
            return None;
        }
        let slot = self
            .rings
            .iter_mut()
            .find(|slot| slot.as_ref().is_some_and(|part| part.invocation == invocation))?;
        let part = slot.take()?;
        self.count -= 1;
        if let What::Flow(flow) = part.what {
            flow.end(Outcome::Broken);
        }
        Some(part.place)
    }
}
