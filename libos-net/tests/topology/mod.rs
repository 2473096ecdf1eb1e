//! What the tests of this folder share: a producer and a consumer, records, and a gateway's two ends.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use hacher_in_process::{Draft, Monitor, Node, after};
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::error::SendError;
use hacher_libos_net::fault::Notice;
use hacher_libos_net::headers;
use hacher_libos_net::inlet::{RecordPlace, Step};
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::refusal::Refusal;
use hacher_libos_net::seal::RecordContext;
use hacher_libos_net::telemetry::Counter;
use std::time::Duration;

pub const SEGMENT: usize = 64 * 1024;

pub fn record(invocation: u128) -> RecordContext {
    RecordContext {
        invocation: InvocationId::new(invocation),
        deadline: after(Duration::from_secs(20)),
        attempt: 1,
    }
}

/// Sends a whole record, segment by segment; the consumer must have room.
pub fn send(
    from: &mut Attachment,
    port: usize,
    record: &RecordContext,
    body: &[u8],
) -> Result<(), SendError> {
    let mut chunks = body.chunks(SEGMENT).peekable();
    if chunks.peek().is_none() {
        return from.sender.send(&from.own, port, record, &[], true);
    }
    while let Some(chunk) = chunks.next() {
        from.sender
            .send(&from.own, port, record, chunk, chunks.peek().is_none())?;
    }
    Ok(())
}

/// What a consumer took from its rings.
#[derive(Debug, Default)]
pub struct Taken {
    pub whole: Vec<(RecordPlace, InvocationId, Vec<u8>)>,
    pub refused: Vec<Refusal>,
    pub abandoned: usize,
    arriving: Vec<(RecordPlace, Vec<u8>)>,
    /// Records whose rest was passed over, as a process before had read their beginnings.
    pub interrupted: Vec<InvocationId>,
}

impl Taken {
    /// Takes what there is now, and releases it if `release` says so.
    pub fn take(&mut self, by: &mut Attachment, release: bool) {
        while let Some(ring) = by.receiver.ring_with_news() {
            let mut plain = Vec::new();
            match by.receiver.step(&by.own, ring, &mut plain) {
                Step::Opened(opened) => {
                    if opened.begins {
                        self.arriving.push((opened.record, Vec::new()));
                    }
                    let index = self.arriving.iter().position(|record| record.0 == opened.record);
                    let index = index.expect("a later segment follows a first one");
                    self.arriving[index].1.extend_from_slice(&plain);
                    if opened.descriptor.last {
                        let (place, body) = self.arriving.remove(index);
                        self.whole.push((place, opened.descriptor.invocation, body));
                        if release {
                            by.receiver.release(&by.own, place);
                        }
                    }
                }
                Step::Refused {
                    refusal, arriving, ..
                } => {
                    assert!(plain.is_empty(), "what is refused leaves no plaintext");
                    self.refused.push(refusal);
                    if let Some(place) = arriving {
                        self.drop_record(by, place);
                    }
                }
                Step::Interrupted { claimed } => self.interrupted.push(claimed.invocation),
                Step::Abandoned(place) => {
                    self.abandoned += 1;
                    self.drop_record(by, place);
                }
                Step::Empty => {}
            }
        }
    }

    fn drop_record(&mut self, by: &mut Attachment, place: RecordPlace) {
        self.arriving.retain(|record| record.0 != place);
        by.receiver.release(&by.own, place);
    }

    pub fn bodies(&self) -> Vec<&[u8]> {
        self.whole.iter().map(|(_, _, body)| body.as_slice()).collect()
    }
}

/// `a -> b`, without a gateway.
pub struct Pair {
    pub monitor: Monitor,
    pub a: Node,
    pub b: Node,
    pub producer: Attachment,
    pub consumer: Attachment,
}

impl Pair {
    pub fn new() -> Self {
        Self::with_outbox(1 << 20)
    }

    pub fn with_outbox(outbox_bytes: u64) -> Self {
        let mut draft = Draft::new();
        let a = draft.function("a", &["out"]);
        let b = draft.function("b", &["out"]);
        draft.edge((a, "out"), b);
        draft.limits(a).outbox_bytes = outbox_bytes;
        let mut monitor = draft.define();
        let producer = monitor.attach(a, 0);
        let consumer = monitor.attach(b, 0);
        Self {
            monitor,
            a,
            b,
            producer,
            consumer,
        }
    }

    /// Where the descriptor at `position` lies in the producer's outbox.
    pub fn slot_at(&self, position: u64) -> usize {
        let layout = self.monitor.outbox_layout(self.a, 0);
        layout.ring_at(0).unwrap() + usize::try_from(position).unwrap() % layout.ring_capacity() * 64
    }

    pub fn refusals(&self, refusal: Refusal) -> u64 {
        self.monitor.reader(self.b, 0).counter(Counter::Refused(refusal))
    }

    /// Sends a small record and expects it to arrive.
    pub fn expect_delivery(&mut self, invocation: u128, body: &[u8]) {
        send(&mut self.producer, 0, &record(invocation), body).unwrap();
        let mut taken = Taken::default();
        taken.take(&mut self.consumer, true);
        assert_eq!(taken.bodies(), [body], "an honest record is delivered: {taken:?}");
    }
}

/// A body with the (empty) headers that the SDK expects before it.
pub fn with_headers(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    headers::start(&mut plain, &[]);
    plain.extend_from_slice(body);
    plain
}

/// What the gateway got: answers by port, and fault notices.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answers {
    pub bodies: Vec<(u128, Vec<u8>)>,
    pub notices: Vec<(u128, Notice)>,
    pub abandoned: usize,
}

/// Takes what the gateway's rings hold.
pub fn answers(gateway: &mut Attachment) -> Answers {
    let mut taken = Taken::default();
    taken.take(gateway, true);
    assert_eq!(taken.refused, [], "the gateway refuses nothing here");
    let mut answers = Answers {
        abandoned: taken.abandoned,
        ..Answers::default()
    };
    for (place, invocation, plain) in taken.whole {
        let (_, body) = headers::split(&plain).unwrap();
        let invocation = invocation.as_u128();
        if gateway.receiver.upstream(place.ring).unwrap().fault {
            answers.notices.push((invocation, Notice::decode(body).unwrap()));
        } else {
            answers.bodies.push((invocation, body.to_vec()));
        }
    }
    answers
}
