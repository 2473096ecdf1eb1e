//! Descriptors and rings: whatever stands in the memory that a peer can write, its reader panics at nothing,
//! delivers of sealed edges only what was sealed, and stays within its bounds.

use crate::script::Script;
use hacher_in_process::{Draft, Monitor, Node, after};
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::inlet::Step;
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::seal::RecordContext;
use std::time::Duration;

/// Bytes of each outbox: small, so that random places meet something.
const OUTBOX_BYTES: u64 = 1 << 20;
/// More steps than all rings hold descriptors.
const STEPS_MAX: usize = 20_000;
/// Records that are sent before and after the tampering.
const RECORDS: u8 = 3;

struct Pair {
    monitor: Monitor,
    a: Node,
    b: Node,
    producer: Attachment,
    consumer: Attachment,
    mapped: bool,
}

/// Sends records over `a -> b`, changes the memory that they travel in as `bytes` say, and takes what
/// arrives.
pub fn data_path(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mapped = script.u8() % 2 == 1;
    let mut draft = Draft::new();
    let (a, b) = (draft.function("a", &["out"]), draft.function("b", &["out"]));
    if mapped {
        draft.mapped_edge((a, "out"), b);
    } else {
        draft.edge((a, "out"), b);
    }
    draft.limits(a).outbox_bytes = OUTBOX_BYTES;
    let mut monitor = draft.define();
    let (producer, consumer) = (monitor.attach(a, 0), monitor.attach(b, 0));
    let mut pair = Pair {
        monitor,
        a,
        b,
        producer,
        consumer,
        mapped,
    };
    let mut sizes = [0; RECORDS as usize];
    for (number, size) in (0..).zip(&mut sizes) {
        *size = usize::from(script.u16()) * 2;
        pair.send(number, *size);
    }
    while !script.is_empty() {
        pair.tamper(&mut script);
        if script.u8().is_multiple_of(4) {
            pair.take();
        }
    }
    pair.take();
    for number in RECORDS..2 * RECORDS {
        pair.send(number, 100);
    }
    pair.take();
}

impl Pair {
    /// Sends record `number`, every byte of which is its number.
    fn send(&mut self, number: u8, size: usize) {
        let context = RecordContext {
            invocation: InvocationId::new(u128::from(number)),
            deadline: after(Duration::from_secs(60)),
            attempt: 1,
        };
        let body = vec![number; size];
        let mut chunks = body.chunks(64 * 1024).peekable();
        if chunks.peek().is_none() {
            let _ = self
                .producer
                .sender
                .send(&self.producer.own, 0, &context, &[], true);
        }
        while let Some(chunk) = chunks.next() {
            let last = chunks.peek().is_none();
            // A producer believes its consumer's cursor no further than its own ring, so it may find no room.
            if self
                .producer
                .sender
                .send(&self.producer.own, 0, &context, chunk, last)
                .is_err()
            {
                return;
            }
        }
    }

    /// One change: of the producer's region, or of the consumer's page, which the producer reads.
    fn tamper(&self, script: &mut Script<'_>) {
        let place = script.u8();
        let at = script.u32();
        let value = script.u64();
        let (region, len_bytes) = match place % 4 {
            0 => {
                let layout = self.monitor.page_layout(self.b, 0);
                (self.monitor.page(self.b, 0), layout.len_bytes())
            }
            _ if self.mapped => {
                let layout = self.monitor.mapped_layout(self.a, 0);
                (self.monitor.mapped(self.a, 0, 0), layout.len_bytes())
            }
            _ => {
                let layout = self.monitor.outbox_layout(self.a, 0);
                (self.monitor.outbox(self.a, 0), layout.len_bytes())
            }
        };
        let len = usize::try_from(at).unwrap_or(0);
        // Half of all changes meet the beginning, where cursors and the first descriptors lie.
        let at = match place / 4 % 4 {
            0 => len % len_bytes,
            1 => len % 1024.min(len_bytes),
            _ => self.descriptors_at() + len % 512,
        };
        region.set_word(at.min(len_bytes - 8) / 8 * 8, value);
    }

    /// Where the first descriptors lie in the producer's outbox, or in its mapped region.
    fn descriptors_at(&self) -> usize {
        if self.mapped {
            return self.monitor.mapped_layout(self.a, 0).ring_at();
        }
        let layout = self.monitor.outbox_layout(self.a, 0);
        layout.ring_at(0).unwrap_or(0)
    }

    /// Takes all there is.
    fn take(&mut self) {
        let by = &mut self.consumer;
        for _ in 0..STEPS_MAX {
            let Some(ring) = by.receiver.ring_with_news() else {
                return;
            };
            let mut plain = Vec::new();
            match by.receiver.step(&by.own, ring, &mut plain) {
                Step::Empty => return,
                Step::Interrupted { .. } => panic!("no ring of these is read as a stream"),
                Step::Abandoned(record) => by.receiver.release(&by.own, record),
                Step::Refused { arriving, .. } => {
                    assert!(plain.is_empty(), "what is refused leaves no plaintext");
                    if let Some(record) = arriving {
                        by.receiver.release(&by.own, record);
                    }
                }
                Step::Opened(opened) => {
                    assert!(plain.len() <= usize::try_from(OUTBOX_BYTES).unwrap());
                    let number = opened.descriptor.invocation.as_u128();
                    if !self.mapped {
                        let sent = plain.iter().all(|byte| u128::from(*byte) == number);
                        assert!(sent, "something was delivered that nobody sealed");
                    }
                    if opened.descriptor.last {
                        by.receiver.release(&by.own, opened.record);
                    }
                }
            }
        }
        panic!("there is no end of what {OUTBOX_BYTES} bytes of outbox hold");
    }
}
