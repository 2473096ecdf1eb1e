//! What a process that was taken over leaves behind, in everything that it can write, keeps neither its clean
//! replacement nor its neighbours from working.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

mod topology;

use hacher_in_process::{Draft, Exposed, Handler, Monitor, Node, Runner};
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::error::Exhausted;
use hacher_libos_net::headers;
use hacher_libos_net::layout::{DONE_WORDS, SUSPECTS, cursor_word, outbox_word, page_word, suspect_word};
use std::collections::BTreeSet;
use topology::{Taken, record, send, with_headers};

/// `ingress -> f -> g -> egress`, of which each function is replaced when a test says so.
struct Chain {
    monitor: Monitor,
    gateway_node: Node,
    f_node: Node,
    g_node: Node,
    mapped: bool,
    gateway: Attachment,
    f: Runner<Handler>,
    g: Runner<Handler>,
    sent: u128,
}

/// Who is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Gateway,
    First,
    Second,
    Both,
}

const ECHO: Handler = |mut input, output| output.send(input.bytes()?);
/// Requests before and after: more than a ring holds.
const BEFORE: [u128; 3] = [0, 7, 300];
const AFTER: u128 = 300;

impl Chain {
    fn new(mapped: bool) -> Self {
        let mut draft = Draft::new();
        let gateway_node = draft.gateway(&["out"]);
        let f_node = draft.function("f", &["out"]);
        let g_node = draft.function("g", &["out"]);
        let edges = [(gateway_node, f_node), (f_node, g_node), (g_node, gateway_node)];
        for (from, to) in edges {
            if mapped {
                draft.mapped_edge((from, "out"), to);
            } else {
                draft.edge((from, "out"), to);
            }
        }
        let mut monitor = draft.define();
        Self {
            gateway: monitor.attach(gateway_node, 0),
            f: Runner::new(ECHO, monitor.attach(f_node, 0)),
            g: Runner::new(ECHO, monitor.attach(g_node, 0)),
            monitor,
            gateway_node,
            f_node,
            g_node,
            mapped,
            sent: 0,
        }
    }

    fn request(&mut self) -> u128 {
        self.sent += 1;
        let body = with_headers(&self.sent.to_le_bytes());
        if send(&mut self.gateway, 0, &record(self.sent), &body) == Err(Exhausted::Full.into()) {
            // Of what somebody before left there, which has to be passed over first.
            self.settle();
            send(&mut self.gateway, 0, &record(self.sent), &body).unwrap();
        }
        self.sent
    }

    /// The requests that are answered now. What else comes is refused, or passed over, and has no effect.
    fn answered(&mut self) -> BTreeSet<u128> {
        let mut taken = Taken::default();
        taken.take(&mut self.gateway, true);
        let answers = taken.whole.iter().filter_map(|(place, invocation, plain)| {
            let is_fault = self.gateway.receiver.upstream(place.ring).unwrap().fault;
            let body = headers::split(plain).ok()?.1;
            (!is_fault && body == invocation.as_u128().to_le_bytes()).then_some(invocation.as_u128())
        });
        answers.collect()
    }

    fn settle(&mut self) {
        self.f.settle();
        self.g.settle();
    }

    /// Sends requests one by one, each of which must be answered.
    fn expect_service(&mut self, requests: u128, what: &str) {
        for _ in 0..requests {
            let request = self.request();
            self.settle();
            assert!(self.answered().contains(&request), "{what}: request {request}");
        }
    }

    fn nodes(&self, who: Who) -> Vec<Node> {
        match who {
            Who::Gateway => vec![self.gateway_node],
            Who::First => vec![self.f_node],
            Who::Second => vec![self.g_node],
            Who::Both => vec![self.f_node, self.g_node],
        }
    }

    /// Has `write` fill all that the processes of `who` can write.
    fn spoil(&self, who: Who, write: &mut dyn FnMut(&Exposed<'_>, usize)) {
        for node in self.nodes(who) {
            write(
                &self.monitor.page(node, 0),
                self.monitor.page_layout(node, 0).len_bytes(),
            );
            write(
                &self.monitor.outbox(node, 0),
                self.monitor.outbox_layout(node, 0).len_bytes(),
            );
            if self.mapped {
                write(
                    &self.monitor.mapped(node, 0, 0),
                    self.monitor.mapped_layout(node, 0).len_bytes(),
                );
            }
        }
    }

    fn replace(&mut self, who: Who) {
        if who == Who::Gateway {
            self.gateway = self.monitor.attach(self.gateway_node, 0);
        }
        if who == Who::First || who == Who::Both {
            self.f = Runner::new(ECHO, self.monitor.attach(self.f_node, 0));
        }
        if who == Who::Second || who == Who::Both {
            self.g = Runner::new(ECHO, self.monitor.attach(self.g_node, 0));
        }
    }
}

fn fill(value: impl Fn(usize) -> u64) -> impl FnMut(&Exposed<'_>, usize) {
    move |region, len_bytes| {
        for at in (0..len_bytes).step_by(8) {
            region.set_word(at, value(at));
        }
    }
}

/// The `at`th number of a sequence that looks random.
fn random(seed: u64, at: usize) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at as u64;
    for _ in 0..3 {
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    state ^ (state >> 31)
}

/// Tries it with everything taken over in turn, after few and many requests.
fn each_case(spoil: impl Fn(&Chain, Who)) {
    for mapped in [false, true] {
        for who in [Who::Gateway, Who::First, Who::Second, Who::Both] {
            for before in BEFORE {
                let what = format!("{who:?}, mapped {mapped}, after {before}");
                let mut chain = Chain::new(mapped);
                chain.expect_service(before, &what);
                spoil(&chain, who);
                // While nobody is there, its neighbours look at what it left.
                match who {
                    Who::First => chain.g.settle(),
                    Who::Second => chain.f.settle(),
                    _ => {}
                }
                chain.answered();
                chain.replace(who);
                // What was left is passed over before anything new comes: in one thread, nobody does so while
                // another waits.
                chain.g.settle();
                chain.settle();
                chain.expect_service(AFTER, &what);
                // And once more, by a process that finds what the clean one has left.
                chain.replace(who);
                chain.expect_service(3, &what);
            }
        }
    }
}

#[test]
fn all_zeros_and_all_ones_keep_nobody_from_working() {
    each_case(|chain, who| chain.spoil(who, &mut fill(|_| 0)));
    each_case(|chain, who| chain.spoil(who, &mut fill(|_| u64::MAX)));
}

#[test]
fn noise_keeps_nobody_from_working() {
    for seed in 1..4 {
        each_case(|chain, who| chain.spoil(who, &mut fill(|at| random(seed, at))));
    }
}

/// The stamp of a published slot, see `ring.rs`.
fn stamp(position: u64) -> u64 {
    let low = (position.wrapping_add(1)) as u32;
    (u64::from(!low) << 32) | u64::from(low)
}

/// Descriptors with good stamps, from this position on, that pretend to be of this epoch and sequence.
fn forge(
    region: &Exposed<'_>,
    ring_at: usize,
    capacity: u64,
    from: u64,
    count: u64,
    claim: (u32, u64),
    (place, port): (u64, u64),
) {
    for position in from..from + count {
        let slot = ring_at + (position % capacity) as usize * 64;
        let words = [
            claim.1,
            place,
            1,
            5,
            0,
            u64::MAX,
            (u64::from(claim.0) << 32) | port,
        ];
        for (at, word) in words.into_iter().enumerate() {
            region.set_word(slot + 8 + at * 8, word);
        }
        region.set_word(slot, stamp(position));
    }
}

#[test]
fn impossible_positions_epochs_and_sequences_keep_nobody_from_working() {
    let cursors = [
        [u64::MAX, u64::MAX, u64::MAX, u64::MAX],
        [1 << 62, u64::MAX, u64::from(u32::MAX), 0],
        [0, u64::MAX, 2, 200],
        [1 << 40, 0, 0, (1 << 40) + 100],
        [u64::from(u32::MAX), 5, u64::from(u32::MAX), 3],
    ];
    for cursor in cursors {
        each_case(|chain, who| {
            for node in chain.nodes(who) {
                let (page, layout) = (chain.monitor.page(node, 0), chain.monitor.page_layout(node, 0));
                for ring in 0.. {
                    let Some(at) = layout.cursor_at(ring) else { break };
                    let words = [
                        at + cursor_word::RELEASED,
                        at + cursor_word::SEQUENCE,
                        at + cursor_word::EPOCH,
                        layout.taken_at(ring),
                    ];
                    for (word, value) in words.into_iter().zip(cursor) {
                        page.set_word(word, value);
                    }
                }
            }
        });
    }
}

#[test]
fn true_positions_beside_lies_keep_nobody_from_working() {
    each_case(|chain, who| {
        for node in chain.nodes(who) {
            let (page, layout) = (chain.monitor.page(node, 0), chain.monitor.page_layout(node, 0));
            for ring in 0.. {
                let Some(at) = layout.cursor_at(ring) else { break };
                let released = page.word(at + cursor_word::RELEASED);
                // What comes next is done already, or has ended processes; and was taken long ago.
                page.set_word(layout.taken_at(ring), released + 100);
                page.set_word(at + cursor_word::EPOCH, 2);
                page.set_word(at + cursor_word::SEQUENCE, u64::MAX);
                for word in 0..DONE_WORDS {
                    page.set_word(layout.done_at(ring) + word * 8, u64::MAX);
                }
                for entry in 0..SUSPECTS {
                    let suspect = layout.suspect_at(entry);
                    page.set_word(suspect + suspect_word::AT, released + entry as u64);
                    page.set_word(suspect + suspect_word::ATTEMPTS, u64::from(u32::MAX));
                    page.set_word(suspect + suspect_word::STAGE, 2);
                    page.set_word(suspect + suspect_word::DUE, u64::MAX);
                    page.set_word(suspect + suspect_word::INBOUND, ring as u64 + 1);
                }
                page.set_word(page_word::RUNNING_INBOUND, ring as u64 + 1);
                page.set_word(page_word::RUNNING_AT, released);
                page.set_word(page_word::RUNNING_ATTEMPT, u64::MAX);
                page.set_word(page_word::RUNNING_STAGE, u64::MAX);
            }
        }
    });
}

#[test]
fn forged_descriptors_keep_nobody_from_working() {
    for claim in [(2, 1 << 63), (u32::MAX, u64::MAX), (1, u64::MAX), (3, 0)] {
        for count in [1, 100, 256] {
            each_case(|chain, who| {
                for node in chain.nodes(who) {
                    let sent = chain.sent as u64;
                    let layout = chain.monitor.outbox_layout(node, 0);
                    let (outbox, capacity) = (chain.monitor.outbox(node, 0), layout.ring_capacity() as u64);
                    let first = layout.segments_at() as u64 / 64;
                    let ring_at = layout.ring_at(0).unwrap();
                    forge(
                        &outbox,
                        ring_at,
                        capacity,
                        sent,
                        count,
                        claim,
                        (first << 32, 3 << 16),
                    );
                    if chain.mapped {
                        let layout = chain.monitor.mapped_layout(node, 0);
                        let (region, capacity) =
                            (chain.monitor.mapped(node, 0, 0), layout.ring_capacity() as u64);
                        forge(&region, layout.ring_at(), capacity, sent, count, claim, (0, 0));
                    }
                }
            });
        }
    }
}

#[test]
fn what_a_neighbour_holds_meanwhile_is_no_reason_to_lose_what_comes_after() {
    for mapped in [false, true] {
        for left in [0, u64::MAX, 0x5555_5555_aaaa_aaaa] {
            let mut chain = Chain::new(mapped);
            chain.expect_service(20, "before");
            // The gateway takes answers and does not release them, while the one that sent them is taken
            // over.
            for _ in 0..5 {
                chain.request();
            }
            chain.settle();
            let mut held = Taken::default();
            held.take(&mut chain.gateway, false);
            assert_eq!(held.whole.len(), 5);
            chain.spoil(Who::Second, &mut fill(|_| left));
            chain.replace(Who::Second);
            let what = format!("mapped {mapped}, {left:x}");
            chain.expect_service(40, &what);
            for (place, ..) in held.whole {
                chain.gateway.receiver.release(&chain.gateway.own, place);
            }
            chain.expect_service(AFTER, &what);
        }
    }
}

#[test]
fn a_sleeper_that_was_made_to_be_rung_before_its_time_is_rung_again() {
    for left in [1, u64::MAX, 1 << 63 | 1] {
        let mut chain = Chain::new(true);
        for node in [chain.f_node, chain.g_node] {
            chain.monitor.page(node, 0).set_word(page_word::PARKED, left);
            chain.monitor.outbox(node, 0).set_word(outbox_word::STARVED, left);
            chain
                .monitor
                .mapped(node, 0, 0)
                .set_word(outbox_word::STARVED, left);
        }
        // Whoever looks at these words rings for them, and not again for the same.
        chain.expect_service(3, "before");
        for node in [chain.f_node, chain.g_node] {
            chain
                .monitor
                .page(node, 0)
                .set_word(page_word::PARKED, left.wrapping_sub(1));
        }
        let mut place = chain.monitor.attach(chain.f_node, 0);
        assert!(place.receiver.announce(&place.own), "there is nothing to do");
        chain.request();
        // It would sleep for ever otherwise.
        place.own.bell().wait(None);
    }
}
