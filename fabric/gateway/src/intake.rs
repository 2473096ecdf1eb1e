//! What functions send to the gateway: taken in segment by segment, and matched with who waits.
//!
//! A record that ends a request is collected whole, as far as a reply may be long. If its edge streams, and
//! its client takes it so, it is a *flow* from its second segment on (`reply_flow.rs`): what has come is
//! released at once, and the client gets it while its function makes more.

use super::arriving::{Arriving, Judgement};
use super::endpoint::{Answer, Endpoint, Waiter};
use super::pace::BYTES_AT_ONCE;
use super::parts::{Added, Part};
use super::record::Record;
use super::reply_flow::{Flow, FlowReader, FlowSource, Outcome};
use hacher_libos_net::descriptor::Descriptor;
use hacher_libos_net::fault::Notice;
use hacher_libos_net::headers::{self, ENCODED_MAX_BYTES};
use hacher_libos_net::hop::Receiver;
use hacher_libos_net::inlet::{Opened, RecordPlace, Step, Taking, Upstream};
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::layout::SEGMENT_BYTES;
use hacher_libos_net::telemetry::Counter;
use std::rc::Rc;

/// Segments that are opened at once, if they are short; of long ones [`BYTES_AT_ONCE`].
const STEPS_AT_ONCE: usize = 256;
/// Bytes that say how long a record's headers are.
const PREFIX_BYTES: u64 = 2;

impl Endpoint {
    /// Takes in some of what there is.
    pub(super) fn take_in(self: &Rc<Self>) {
        let mut receiver = self.receiver.borrow_mut();
        let mut arriving = self.arriving.borrow_mut();
        self.drop_left(&mut receiver, &mut arriving);
        let mut opened_bytes = 0;
        // Some of what is there; the caller comes back, when others had their turn.
        for _ in 0..STEPS_AT_ONCE {
            if opened_bytes >= BYTES_AT_ONCE {
                return;
            }
            let Some(ring) = receiver.ring_with_news() else {
                return;
            };
            if let Some(flow) = arriving.flow(ring) {
                opened_bytes += self.take_in_flow(&mut receiver, &mut arriving, ring, &flow);
                continue;
            }
            let mut record = arriving
                .take(ring)
                .unwrap_or_else(|| Record::empty(&self.account));
            let had_bytes = record.len_bytes();
            let part_of = receiver.upstream(ring).copied();
            let part_of = part_of.filter(|upstream| upstream.group_width > 1);
            if let Some(upstream) = &part_of {
                arriving.note_group(ring, upstream.group);
            }
            let mut judgement = Judgement::Welcome;
            let step = receiver.step_choosing(&self.own, ring, record.tail(), |descriptor| {
                judgement = self.judge(&arriving, ring, part_of.as_ref(), had_bytes, descriptor);
                if judgement == Judgement::Welcome {
                    Taking::Copy
                } else {
                    Taking::InPlace
                }
            });
            match step {
                Step::Empty => arriving.put_back(ring, record),
                // The request was one of a gateway before this one.
                Step::Interrupted { .. } => {}
                Step::Opened(opened) if judgement == Judgement::Welcome => {
                    let (invocation, len_bytes) = (opened.descriptor.invocation, opened.descriptor.len_bytes);
                    record.settle(len_bytes);
                    opened_bytes += len_bytes;
                    if opened.begins && self.sampling.is_on() {
                        self.tell_arrival(&opened, &record);
                    }
                    if opened.descriptor.last {
                        if self.answer(&mut receiver, opened.record, invocation, record) {
                            self.drop_arriving(&mut receiver, &mut arriving, invocation);
                        }
                    } else {
                        self.begin_arriving(&mut receiver, &mut arriving, &opened, record);
                    }
                }
                Step::Opened(opened) => {
                    drop(record);
                    opened_bytes += opened.descriptor.len_bytes;
                    self.refuse(&receiver, ring, judgement, opened.descriptor.invocation);
                    if judgement == Judgement::Unawaited && opened.begins {
                        self.count_dropped(1);
                    }
                    if !opened.descriptor.last {
                        receiver.give_up_arriving(ring);
                    }
                    receiver.release(&self.own, opened.record);
                }
                Step::Abandoned(record) => {
                    self.own.count(Counter::Abandoned, 1);
                    receiver.release(&self.own, record);
                }
                Step::Refused { arriving: lost, .. } => {
                    if let Some(record) = lost {
                        receiver.release(&self.own, record);
                    }
                }
            }
        }
    }

    /// Whether a segment is taken in. What nobody waits for is not kept, whoever sends it; nor what is too
    /// large. `part_of`: of a record that a joined reply has a part of, who sent it.
    fn judge(
        &self,
        arriving: &Arriving,
        ring: usize,
        part_of: Option<&Upstream>,
        had_bytes: usize,
        descriptor: &Descriptor,
    ) -> Judgement {
        let waiters = self.waiters.borrow();
        let Some(waiter) = waiters.get(&descriptor.invocation) else {
            return Judgement::Unawaited;
        };
        let mut bytes = (had_bytes as u64).saturating_add(descriptor.len_bytes as u64);
        let mut limit = self
            .begin
            .max_reply_bytes
            .saturating_add(ENCODED_MAX_BYTES as u64 + PREFIX_BYTES);
        if let Some(upstream) = part_of {
            if waiter.parts.has(upstream) {
                return Judgement::Unawaited;
            }
            // Parts make the reply together; each may have headers.
            let others = u64::from(upstream.group_width.saturating_sub(1));
            limit = limit.saturating_add(others * (ENCODED_MAX_BYTES as u64 + PREFIX_BYTES));
            let beside = arriving.bytes_beside(ring, descriptor.invocation);
            bytes = bytes
                .saturating_add(waiter.parts.bytes_of(upstream.group))
                .saturating_add(beside);
        }
        if bytes > limit {
            Judgement::TooLarge(bytes)
        } else if !self.account.has_room(descriptor.len_bytes as u64) {
            Judgement::NoRoom
        } else {
            Judgement::Welcome
        }
    }

    /// Tells who waits that its answer was refused.
    fn refuse(&self, receiver: &Receiver, ring: usize, judgement: Judgement, invocation: InvocationId) {
        let answer = match judgement {
            Judgement::TooLarge(bytes) => Answer::TooLarge {
                function: receiver
                    .upstream(ring)
                    .map(|upstream| upstream.function.to_string())
                    .unwrap_or_default(),
                at_least_bytes: bytes.saturating_sub(PREFIX_BYTES),
                is_joined: receiver
                    .upstream(ring)
                    .is_some_and(|upstream| upstream.group_width > 1),
            },
            Judgement::NoRoom => Answer::NoRoom,
            Judgement::Unawaited | Judgement::Welcome => return,
        };
        self.own.close(invocation);
        if let Some(waiter) = self.waiters.borrow_mut().remove(&invocation) {
            // Fails if the client has gone meanwhile.
            self.count_dropped(waiter.parts.count());
            drop(waiter.answer.send(answer));
        }
    }

    /// Counts records that came for a request which needs them no more.
    pub(super) fn count_dropped(&self, records: u64) {
        if records > 0 {
            self.own.count(Counter::Cancelled, records);
        }
    }

    /// Keeps a record of which more is to come; or begins to hand it on, where it may flow.
    fn begin_arriving(
        self: &Rc<Self>,
        receiver: &mut Receiver,
        arriving: &mut Arriving,
        opened: &Opened,
        record: Record,
    ) {
        let (place, invocation) = (opened.record, opened.descriptor.invocation);
        let upstream = receiver.upstream(place.ring).copied();
        let waiter = upstream.filter(|upstream| upstream.streams).and_then(|upstream| {
            let waiter = self.waiters.borrow_mut().remove(&invocation)?;
            Some((waiter, upstream))
        });
        let Some((waiter, upstream)) = waiter else {
            return arriving.put(place.ring, place, invocation, record);
        };
        let Some(progress) = waiter.progress else {
            self.waiters.borrow_mut().insert(invocation, waiter);
            return arriving.put(place.ring, place, invocation, record);
        };
        progress.moves();
        self.own.count(Counter::BytesIn, record.len_bytes() as u64);
        let Some(flow) = Flow::new(&self.account, &progress) else {
            self.waiters.borrow_mut().insert(
                invocation,
                Waiter {
                    progress: Some(progress),
                    ..waiter
                },
            );
            self.refuse(receiver, place.ring, Judgement::NoRoom, invocation);
            receiver.give_up_arriving(place.ring);
            return receiver.release(&self.own, place);
        };
        // Another way was first: what has come of a joined reply is dropped.
        self.count_dropped(waiter.parts.count());
        self.drop_arriving(receiver, arriving, invocation);
        arriving.put_flow(place.ring, place, invocation, &flow);
        receiver.release_part(&self.own, place);
        let source = Rc::clone(self) as Rc<dyn FlowSource>;
        let rest = FlowReader::new(flow, source, place.ring, invocation);
        self.own.answer(invocation);
        // If the client has gone meanwhile, `rest` is dropped, which is seen to at the next look.
        drop(waiter.answer.send(Answer::Flow {
            beginning: record,
            rest,
            upstream,
        }));
    }

    /// Takes in the next segment of a flow: how many bytes.
    fn take_in_flow(
        &self,
        receiver: &mut Receiver,
        arriving: &mut Arriving,
        ring: usize,
        flow: &Rc<Flow>,
    ) -> usize {
        let step = flow.open(|tail| {
            receiver.step_choosing(&self.own, ring, tail, |descriptor| {
                match descriptor.len_bytes <= SEGMENT_BYTES {
                    true => Taking::Copy,
                    false => Taking::InPlace,
                }
            })
        });
        let (outcome, released) = match step {
            Step::Empty | Step::Interrupted { .. } => return 0,
            Step::Opened(opened) if !opened.in_place => {
                let len_bytes = opened.descriptor.len_bytes;
                self.own.count(Counter::BytesIn, len_bytes as u64);
                if opened.descriptor.last {
                    (Outcome::Whole, Some(opened.record))
                } else {
                    receiver.release_part(&self.own, opened.record);
                    if flow.is_full() {
                        flow.set_paused(true);
                        receiver.set_paused(ring, true);
                    }
                    return len_bytes;
                }
            }
            // As no function sends that streams.
            Step::Opened(opened) => {
                receiver.give_up_arriving(ring);
                (Outcome::Broken, Some(opened.record))
            }
            Step::Abandoned(record) => {
                self.own.count(Counter::Abandoned, 1);
                (Outcome::Broken, Some(record))
            }
            Step::Refused { arriving, .. } => (Outcome::Broken, arriving),
        };
        if let Some(record) = released {
            receiver.release(&self.own, record);
            arriving.end_flow(ring);
            flow.end(outcome);
        }
        0
    }

    /// Lets go of flows that nobody reads any more.
    fn drop_left(&self, receiver: &mut Receiver, arriving: &mut Arriving) {
        for (ring, invocation) in self.left.take() {
            self.drop_arriving(receiver, arriving, invocation);
            // Of another flow that has begun on the ring since, its own reader says when there is room.
            if arriving.flow(ring).is_none() {
                receiver.set_paused(ring, false);
            }
        }
    }

    /// Lets go what has arrived so far for a request that nobody waits for any more.
    pub(super) fn drop_arriving(
        &self,
        receiver: &mut Receiver,
        arriving: &mut Arriving,
        invocation: InvocationId,
    ) {
        while let Some(record) = arriving.take_of(invocation) {
            self.count_dropped(1);
            receiver.give_up_arriving(record.ring);
            receiver.release(&self.own, record);
        }
    }

    /// Takes a whole record for an answer, or for a part of one: whether its request needs no other.
    fn answer(
        &self,
        receiver: &mut Receiver,
        place: RecordPlace,
        invocation: InvocationId,
        record: Record,
    ) -> bool {
        self.own.count(Counter::BytesIn, record.len_bytes() as u64);
        let upstream = receiver.upstream(place.ring).copied();
        if let Some(upstream) = upstream.filter(|upstream| upstream.group_width > 1) {
            let is_answered = self.add_part(invocation, Part { record, upstream });
            receiver.release(&self.own, place);
            return is_answered;
        }
        // The first answer wins; a record for which nobody waits is a second one, or came too late.
        if let (Some(waiter), Some(upstream)) = (self.waiters.borrow_mut().remove(&invocation), upstream) {
            self.count_dropped(waiter.parts.count());
            let notice = upstream.fault.then(|| {
                headers::split(record.first())
                    .ok()
                    .and_then(|(_, body)| Notice::decode(body))
            });
            let function = || upstream.function.to_string();
            let body_bytes = headers::split(record.first()).map_or(0, |(headers, _)| {
                (record.len_bytes() as u64).saturating_sub(PREFIX_BYTES + headers.len() as u64)
            });
            let answer = match notice {
                None if body_bytes > self.begin.max_reply_bytes => Some(Answer::TooLarge {
                    function: function(),
                    at_least_bytes: body_bytes,
                    is_joined: false,
                }),
                None => Some(Answer::Record { record, upstream }),
                Some(Some(notice)) => Some(Answer::Fault {
                    function: function(),
                    notice,
                }),
                Some(None) => None,
            };
            match answer {
                // Other functions need not go on with it. After a record nothing is left to do as a rule,
                // so the request is not closed: a word in a page that all functions read costs each of them
                // a look at another core's cache. Of answers read joins alone, where many parts wait.
                Some(Answer::Fault { .. } | Answer::TooLarge { .. }) => self.own.close(invocation),
                Some(_) => self.own.answer(invocation),
                None => {}
            }
            if let Some(answer) = answer {
                // Fails if the client has gone meanwhile.
                drop(waiter.answer.send(answer));
            }
        }
        receiver.release(&self.own, place);
        true
    }

    /// Adds a part to a joined reply: whether it is answered.
    fn add_part(&self, invocation: InvocationId, part: Part) -> bool {
        let mut waiters = self.waiters.borrow_mut();
        let Some(waiter) = waiters.get_mut(&invocation) else {
            return true;
        };
        if waiter.parts.has(&part.upstream) {
            self.count_dropped(1);
            return false;
        }
        let function = part.upstream.function;
        let body_bytes = waiter.parts.bytes_of(part.upstream.group) + part.body_bytes();
        let answer = if body_bytes > self.begin.max_reply_bytes {
            // Those that are here are dropped with the waiter, and so is this one.
            self.count_dropped(waiter.parts.count() + 1);
            self.own.close(invocation);
            Answer::TooLarge {
                function: function.to_string(),
                at_least_bytes: body_bytes,
                is_joined: true,
            }
        } else {
            match waiter.parts.add(part) {
                Added::Waiting => return false,
                Added::Duplicate => {
                    self.count_dropped(1);
                    return false;
                }
                Added::Complete(parts) => Answer::Joined(parts),
            }
        };
        if let Some(waiter) = waiters.remove(&invocation) {
            if matches!(answer, Answer::Joined(_)) {
                self.count_dropped(waiter.parts.count());
                self.own.answer(invocation);
            }
            // Fails if the client has gone meanwhile.
            drop(waiter.answer.send(answer));
        }
        true
    }
}

impl FlowSource for Endpoint {
    fn resume_flow(&self, ring: usize) {
        self.receiver.borrow_mut().set_paused(ring, false);
        self.owed.notify_one();
    }

    fn leave_flow(&self, ring: usize, invocation: InvocationId) {
        self.own.close(invocation);
        self.left.borrow_mut().push((ring, invocation));
        self.owed.notify_one();
    }
}
