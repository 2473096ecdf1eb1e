//! Waking ahead: who has handed over wakes the next one on its core, which looks for work before it sleeps
//! again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "test code"
)]

mod topology;

use core::time::Duration;
use hacher_in_process::Draft;
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::clock;
use hacher_libos_net::inlet::Step;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use topology::{record, with_headers};

/// `first -> second -> third`; `first` and `third` share a core, so the monitor has `first` wake `third`.
struct Line {
    first: Attachment,
    second: Attachment,
    third: Attachment,
}

impl Line {
    fn new(spin: Duration) -> Self {
        let mut draft = Draft::new();
        let nodes = ["first", "second", "third"].map(|name| draft.function(name, &["out"]));
        let [first, second, third] = nodes;
        draft.edge((first, "out"), second);
        draft.edge((second, "out"), third);
        for (node, core) in nodes.into_iter().zip([0, 1, 0]) {
            let limits = draft.limits(node);
            limits.core = Some(core);
            limits.spin = spin;
            limits.takes_turns = true;
        }
        let mut monitor = draft.define();
        Self {
            first: monitor.attach(first, 0),
            second: monitor.attach(second, 0),
            third: monitor.attach(third, 0),
        }
    }

    fn first_sends(&mut self) {
        let plain = with_headers(b"x");
        let Attachment { own, sender, .. } = &mut self.first;
        sender.send(own, 0, &record(1), &plain, true).unwrap();
    }

    /// Sleeps for a moment, for want of work.
    fn first_rests(&mut self) {
        let Attachment { own, receiver, .. } = &mut self.first;
        receiver.wait(own, Some(clock::now().after(Duration::from_millis(1))));
    }
}

fn has_rung(of: &Attachment) -> bool {
    let mut fds = [PollFd::new(&of.doorbell, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
}

const LOOKS: Duration = Duration::from_micros(50);

#[test]
fn who_has_handed_over_wakes_the_next_one_on_its_core_before_it_sleeps() {
    let mut line = Line::new(LOOKS);
    assert!(line.third.receiver.announce(&line.third.own));
    line.first_sends();
    assert!(!has_rung(&line.third), "not before there is nothing left to do");
    line.first_rests();
    assert!(has_rung(&line.third));
    assert!(
        line.third.receiver.ring_with_news().is_none(),
        "and no work is there yet"
    );
}

#[test]
fn who_has_handed_over_nothing_wakes_nobody() {
    let mut line = Line::new(LOOKS);
    assert!(line.third.receiver.announce(&line.third.own));
    line.first_rests();
    assert!(!has_rung(&line.third));
    line.first_sends();
    line.first_rests();
    assert!(has_rung(&line.third));
    // Once for what was handed over, and not again for the same.
    line.third.receiver.awake(&line.third.own);
    line.third.own.bell().wait(None);
    assert!(line.third.receiver.announce(&line.third.own));
    line.first_rests();
    assert!(!has_rung(&line.third));
}

#[test]
fn who_would_not_look_for_work_is_not_woken_ahead() {
    let mut line = Line::new(Duration::ZERO);
    assert!(line.third.receiver.announce(&line.third.own));
    line.first_sends();
    line.first_rests();
    assert!(!has_rung(&line.third));
}

#[test]
fn who_is_awake_is_not_woken() {
    let mut line = Line::new(LOOKS);
    line.first_sends();
    line.first_rests();
    assert!(!has_rung(&line.third));
}

#[test]
fn a_record_still_wakes_whoever_was_woken_ahead_for_nothing() {
    let mut line = Line::new(LOOKS);
    let Attachment { own, receiver, .. } = &mut line.third;
    // Woken ahead, it finds nothing, and announces the next sleep.
    assert!(receiver.announce(own));
    receiver.awake(own);
    assert!(receiver.announce(own));
    let plain = with_headers(b"x");
    let second = &mut line.second;
    second
        .sender
        .send(&second.own, 0, &record(1), &plain, true)
        .unwrap();
    assert!(has_rung(&line.third));
    let Attachment { own, receiver, .. } = &mut line.third;
    receiver.awake(own);
    let ring = receiver.ring_with_news().expect("the record");
    let mut into = Vec::new();
    assert!(matches!(receiver.step(own, ring, &mut into), Step::Opened(_)));
    assert_eq!(into, plain);
}
