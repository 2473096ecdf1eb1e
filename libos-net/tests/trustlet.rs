//! The life of a function's trustlet between a gateway's two ends: replacements, retries, joins, streams that
//! fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test code"
)]

mod topology;

use hacher_in_process::{Draft, Handler, Limits, Monitor, Node, Runner, after};
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::clock::Monotonic;
use hacher_libos_net::end::End;
use hacher_libos_net::error::Exhausted;
use hacher_libos_net::fault::{Cause, KeptBack};
use hacher_libos_net::invocation::{GatewayLife, InvocationId};
use hacher_libos_net::layout::{OutboxLayout, cursor_word, outbox_word, page_word, ring_capacity};
use hacher_libos_net::seal::RecordContext;
use hacher_libos_net::telemetry::{Counter, Phase};
use hacher_libos_net::{Failure, Input, Output};
use std::cell::Cell;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use topology::{Answers, SEGMENT, Taken, answers, record, send, with_headers};

/// `ingress -> f -> egress`.
struct Single {
    monitor: Monitor,
    gateway: Attachment,
    gateway_node: Node,
    f: Node,
}

impl Single {
    fn new(limits: impl FnOnce(&mut Limits)) -> Self {
        Self::with_ports(&["out"], limits)
    }

    fn with_ports(ports: &[&str], limits: impl FnOnce(&mut Limits)) -> Self {
        let mut draft = Draft::new();
        let gateway_node = draft.gateway(&["out"]);
        let f = draft.function("f", ports);
        draft.edge((gateway_node, "out"), f);
        for port in ports {
            draft.edge((f, *port), gateway_node);
        }
        limits(draft.limits(f));
        draft.limits(gateway_node).outbox_bytes = 4 << 20;
        let mut monitor = draft.define();
        let gateway = monitor.attach(gateway_node, 0);
        Self {
            monitor,
            gateway,
            gateway_node,
            f,
        }
    }

    fn start<H>(&mut self, handler: H) -> Runner<H>
    where
        H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
    {
        Runner::new(handler, self.monitor.attach(self.f, 0))
    }

    fn request(&mut self, invocation: u128, body: &[u8]) {
        send(&mut self.gateway, 0, &record(invocation), &with_headers(body)).unwrap();
    }

    fn answers(&mut self) -> Answers {
        answers(&mut self.gateway)
    }

    fn count(&self, counter: Counter) -> u64 {
        self.monitor.reader(self.f, 0).counter(counter)
    }

    fn released(&self) -> u64 {
        let at = self.monitor.page_layout(self.f, 0).cursor_at(0).unwrap();
        self.monitor.page(self.f, 0).word(at + cursor_word::RELEASED)
    }
}

const ECHO: Handler = |mut input, output| output.send(input.bytes()?);

#[test]
fn records_of_any_size_go_through_a_handler() {
    let mut chain = Single::new(|limits| limits.outbox_bytes = 4 << 20);
    let mut echo = chain.start(ECHO);
    for size in [
        0,
        1,
        65_533,
        65_534,
        65_535,
        65_536,
        131_070,
        131_071,
        1 << 20,
        (4 << 20) - 2,
    ] {
        let body: Vec<u8> = (0..size).map(|i| (i * 7 + i / 255) as u8).collect();
        chain.request(size as u128, &body);
        echo.settle();
        assert_eq!(chain.answers().bodies, [(size as u128, body)]);
    }
    assert_eq!(chain.count(Counter::Succeeded), 10);
}

#[test]
fn a_failed_attempt_is_repeated_after_its_backoff_and_then_succeeds() {
    let mut chain = Single::new(|limits| {
        limits.retry_attempts = 3;
        limits.retry_backoff = Duration::from_millis(20);
        limits.retry_jitter = true;
    });
    let mut third_time = chain.start(|mut input: Input<'_>, output: &mut Output<'_>| {
        let attempt = input.attempt();
        let body = input.bytes()?;
        if attempt < 3 {
            return Err(Failure::retry("not yet"));
        }
        output.send(body)
    });
    let body = vec![9; 3 * SEGMENT];
    let before = std::time::Instant::now();
    chain.request(1, &body);
    third_time.settle();
    assert_eq!(chain.answers(), Answers::default(), "the backoff has not passed");
    assert_eq!(chain.released(), 0, "the record is held for its next attempt");
    third_time
        .serve_until(|| before.elapsed() > Duration::from_secs(5) || chain.count(Counter::Succeeded) == 1);
    assert!(
        before.elapsed() >= Duration::from_millis(10 + 20),
        "half of 20 ms, half of 40 ms"
    );
    assert_eq!(chain.answers().bodies, [(1, body)]);
    assert_eq!(chain.count(Counter::Retried), 2);
    assert_eq!(chain.released(), 4);
}

#[test]
fn other_records_are_served_while_one_waits_for_its_retry() {
    let mut chain = Single::new(|limits| {
        limits.retry_attempts = 2;
        limits.retry_backoff = Duration::from_millis(30);
    });
    let mut runner = chain.start(|mut input: Input<'_>, output: &mut Output<'_>| {
        let attempt = input.attempt();
        match input.bytes()? {
            b"fails first" if attempt == 1 => Err(Failure::retry("once")),
            body => output.send(body),
        }
    });
    chain.request(1, b"fails first");
    chain.request(2, b"second");
    runner.settle();
    assert_eq!(chain.answers().bodies, [(2, b"second".to_vec())]);
    assert_eq!(chain.released(), 0, "in order: the first is not done");
    runner.serve_until(|| chain.count(Counter::Succeeded) == 2);
    assert_eq!(chain.answers().bodies, [(1, b"fails first".to_vec())]);
    assert_eq!(chain.released(), 2);
}

#[test]
fn failures_and_panics_end_in_a_notice_that_names_cause_and_attempts() {
    let cases: [(Handler, Cause, u32, &str); 4] = [
        (|_, _| Err(Failure::permanent("never")), Cause::Failed, 1, "never"),
        (
            |_, _| Err(Failure::retry("maybe later")),
            Cause::Failed,
            2,
            "maybe later",
        ),
        (|_, _| panic!("on purpose"), Cause::Panicked, 2, ""),
        (|_, _| Ok(()), Cause::NoOutput, 1, ""),
    ];
    for (handler, cause, attempts, reason) in cases {
        let mut chain = Single::new(|limits| limits.retry_attempts = 2);
        let mut runner = chain.start(handler);
        chain.request(5, b"body");
        runner.settle();
        let got = chain.answers();
        assert_eq!(got.bodies, []);
        let [(5, notice)] = got.notices.as_slice() else {
            panic!("one notice, not {got:?}")
        };
        assert_eq!(
            (notice.cause, notice.attempts, notice.function),
            (cause, attempts, 1)
        );
        assert!(
            notice.reason.contains(reason) || cause == Cause::NoOutput,
            "{}",
            notice.reason
        );
        assert_eq!(chain.released(), 1);
        assert_eq!(chain.count(Counter::Failed), 1);
        let traces = chain.monitor.reader(chain.f, 0).traces();
        let causes: Vec<_> = traces.iter().map(|trace| trace.cause).collect();
        assert_eq!(causes, vec![Some((cause, 0)); attempts as usize]);
    }
}

#[test]
fn an_output_larger_than_the_outbox_is_refused_with_both_sizes() {
    for streams in [false, true] {
        let mut chain = Single::new(|limits| limits.retry_attempts = 3);
        let mut runner = chain.start(move |_: Input<'_>, output: &mut Output<'_>| {
            let mut out = output.out()?;
            if streams {
                out.stream();
            }
            (0..20).try_for_each(|_| out.append(&[1; SEGMENT]))
        });
        chain.request(1, b"");
        runner.settle();
        let got = chain.answers();
        assert_eq!((got.bodies.len(), got.abandoned), (0, usize::from(streams)));
        let notice = &got.notices[0].1;
        assert_eq!((notice.cause, notice.attempts), (Cause::OutputTooLarge, 1));
        let (size, limit) = notice.sizes_bytes.unwrap();
        assert!(size > limit && limit == 1 << 20);
    }
}

#[test]
fn what_fails_for_good_leaves_by_the_error_port_with_an_explanation() {
    let mut chain = Single::with_ports(&["out", "error"], |limits| limits.retry_attempts = 2);
    // It uses its input up before it fails, and leaves half an output on the error port itself.
    let mut runner = chain.start(|mut input: Input<'_>, output: &mut Output<'_>| {
        let mut sum = Vec::new();
        input.reader().read_to_end(&mut sum)?;
        output.port("error")?.stream().append(&[5; SEGMENT + 1])?;
        Err(Failure::retry("cannot"))
    });
    let body = vec![3; 2 * SEGMENT + 5];
    chain.request(1, &body);
    runner.settle();
    let got = chain.answers();
    assert_eq!(got.bodies, [(1, body)], "the input, whole");
    assert_eq!((got.notices.len(), got.abandoned), (0, 2));
}

#[test]
fn a_stream_that_fails_midway_is_dropped_downstream_and_repeated() {
    let mut draft = Draft::new();
    let gateway_node = draft.gateway(&["out"]);
    let f = draft.function("f", &["out"]);
    let g = draft.function("g", &["out"]);
    draft.edge((gateway_node, "out"), f);
    draft.edge((f, "out"), g);
    draft.edge((g, "out"), gateway_node);
    draft.limits(f).retry_attempts = 2;
    let mut monitor = draft.define();
    let mut gateway = monitor.attach(gateway_node, 0);
    let mut f_runner = Runner::new(
        |mut input: Input<'_>, output: &mut Output<'_>| {
            let attempt = input.attempt();
            let body = input.bytes()?;
            let mut out = output.out()?;
            out.stream();
            out.append(body)?;
            if attempt == 1 {
                return Err(Failure::retry("half way"));
            }
            out.append(b"the end")
        },
        monitor.attach(f, 0),
    );
    let seen_by_g = Cell::new(0);
    let mut g_runner = Runner::new(
        |mut input: Input<'_>, output: &mut Output<'_>| {
            seen_by_g.set(seen_by_g.get() + 1);
            let mut all = Vec::new();
            input.reader().read_to_end(&mut all)?;
            output.send(&all)
        },
        monitor.attach(g, 0),
    );
    let body = vec![8; 3 * SEGMENT];
    send(&mut gateway, 0, &record(1), &with_headers(&body)).unwrap();
    f_runner.settle();
    g_runner.settle();
    let mut expected = body;
    expected.extend_from_slice(b"the end");
    let got = answers(&mut gateway);
    assert_eq!(got.bodies, [(1, expected)]);
    assert_eq!(got.notices, []);
    assert_eq!(seen_by_g.get(), 2, "once on the half, once on the whole");
    assert_eq!(monitor.reader(g, 0).counter(Counter::Abandoned), 1);
}

#[test]
fn a_handler_that_hides_a_failed_output_is_not_believed() {
    // The answer's ring fills up and the deadline passes in the middle of a streamed record.
    let mut chain = Single::new(|_| {});
    let mut runner = chain.start(|mut input: Input<'_>, output: &mut Output<'_>| {
        if input.bytes()? != b"stream" {
            return output.send(&[1; SEGMENT - 2]);
        }
        let mut out = output.out()?;
        out.stream();
        for _ in 0..8 {
            let _ = out.append(&[7; SEGMENT]);
        }
        Ok(())
    });
    for number in 0..12 {
        chain.request(number, b"fill");
    }
    let soon = RecordContext {
        invocation: InvocationId::new(99),
        deadline: after(Duration::from_millis(50)),
        attempt: 1,
    };
    runner.settle();
    send(&mut chain.gateway, 0, &soon, &with_headers(b"stream")).unwrap();
    runner.settle();
    let got = chain.answers();
    assert_eq!(got.bodies.len(), 12);
    assert!(
        got.bodies.iter().all(|(invocation, _)| *invocation != 99),
        "never with a hole"
    );
    assert_eq!(got.abandoned, 1);
    assert_eq!(chain.count(Counter::Succeeded), 12);
    chain.request(100, b"fill");
    runner.settle();
    assert_eq!(chain.answers().bodies.len(), 1);
}

#[test]
fn requests_that_nobody_waits_for_are_not_run() {
    let mut chain = Single::new(|_| {});
    let ran = Cell::new(0);
    let mut runner = chain.start(|mut input: Input<'_>, output: &mut Output<'_>| {
        ran.set(ran.get() + 1);
        output.send(input.bytes()?)
    });
    for invocation in 0..3 {
        chain.request(invocation, b"x");
    }
    chain.gateway.own.close(InvocationId::new(1));
    let late = RecordContext {
        deadline: after(Duration::ZERO),
        ..record(4)
    };
    send(&mut chain.gateway, 0, &late, &with_headers(b"late")).unwrap();
    runner.settle();
    let bodies = chain.answers().bodies;
    assert_eq!(bodies.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(ran.get(), 2);
    assert_eq!(
        (chain.count(Counter::Cancelled), chain.count(Counter::Expired)),
        (1, 1)
    );
    assert_eq!(chain.released(), 4);
}

#[test]
fn a_replaced_gateway_takes_no_new_request_for_one_that_its_predecessor_closed() {
    let mut chain = Single::new(|_| {});
    let mut runner = chain.start(ECHO);
    for count in 0..4096 {
        chain.gateway.own.close(InvocationId::new(count));
    }
    chain.gateway = chain.monitor.attach(chain.gateway_node, 0);
    for count in [0, 1, 4095] {
        chain.request(count, b"new");
        runner.settle();
        assert_eq!(chain.answers().bodies, [(count, b"new".to_vec())]);
    }
    assert_eq!(chain.count(Counter::Cancelled), 0);
}

#[test]
fn requests_of_a_gateway_that_was_replaced_are_not_run_wherever_they_wait() {
    let mut chain = Single::new(|limits| {
        limits.retry_attempts = 6;
        limits.retry_backoff = Duration::from_millis(1);
    });
    let ran = Cell::new(0);
    let handler = |_: Input<'_>, _: &mut Output<'_>| {
        ran.set(ran.get() + 1);
        Err(Failure::retry("again"))
    };
    let lives = [1, 2].map(GatewayLife::of_epoch);
    let id = |life, count| InvocationId::unguessable([count as u8; 12], life, count);
    chain.gateway.own.set_life(lives[0]);
    let mut runner = chain.start(handler);
    // One waits for its next attempt, one in the ring.
    chain.request(id(lives[0], 1).as_u128(), b"x");
    assert!(runner.turn());
    assert_eq!(ran.get(), 1);
    chain.request(id(lives[0], 2).as_u128(), b"x");
    chain.gateway = chain.monitor.attach(chain.gateway_node, 0);
    chain.gateway.own.set_life(lives[1]);
    chain.request(id(lives[1], 3).as_u128(), b"x");
    runner.serve_until(|| ran.get() >= 7);
    runner.settle();
    assert_eq!(
        ran.get(),
        7,
        "one attempt for the first gateway, six for the second"
    );
    assert_eq!(chain.count(Counter::Cancelled), 2);
    let answers = chain.answers().notices;
    assert_eq!(
        answers.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [id(lives[1], 3).as_u128()]
    );
    // The daemon, who knows half of an id, sees the same.
    let page = chain.monitor.reader(chain.gateway_node, 0);
    assert!(page.is_closed(id(lives[0], 1).halves().0) && !page.is_closed(id(lives[1], 1).halves().0));
}

#[test]
fn that_a_record_will_not_end_is_said_as_soon_as_there_is_room_and_not_with_the_next_record() {
    let mut draft = Draft::new();
    let gateway_node = draft.gateway(&["out"]);
    let f = draft.function("f", &["out", "small", "more", "most"]);
    let bin = draft.function("bin", &["out"]);
    draft.edge((gateway_node, "out"), f);
    draft.edge((f, "out"), gateway_node);
    for port in ["small", "more", "most"] {
        draft.edge((f, port), bin);
    }
    let mut monitor = draft.define();
    let (mut gateway, mut bin) = (monitor.attach(gateway_node, 0), monitor.attach(bin, 0));
    // It dies in the middle of a record, when no slot of any size is left.
    let mut first = monitor.attach(f, 0);
    let half = record(1);
    first
        .sender
        .send(&first.own, 0, &half, &[1; SEGMENT], false)
        .unwrap();
    for port in 1..4 {
        while send(&mut first, port, &record(0), b"x").is_ok() {}
    }
    drop(first);
    let mut runner = Runner::new(ECHO, monitor.attach(f, 0));
    runner.settle();
    assert_eq!(answers(&mut gateway).abandoned, 0, "there is no room to say it");
    // Nothing comes for it to do; what its consumers give back wakes it.
    let starved = || monitor.outbox(f, 0).word(outbox_word::STARVED) % 2 == 1;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !starved() {
                std::thread::yield_now();
            }
            Taken::default().take(&mut bin, true);
        });
        let got = loop {
            assert!(!runner.turn(), "there is nothing to run");
            let got = answers(&mut gateway);
            if got != Answers::default() {
                break got;
            }
            runner.rest();
        };
        // The beginning, and the word that it has no end.
        assert!(got.abandoned >= 1);
        assert!(got.bodies.is_empty() && got.notices.is_empty());
    });
    assert!(!starved(), "and it waits for room no longer");
}

#[test]
fn a_request_is_cancelled_by_its_own_id_alone() {
    let mut chain = Single::new(|_| {});
    let mut runner = chain.start(ECHO);
    let closed = (7 << 64) | (5 << 20) | 3;
    chain.gateway.own.close(InvocationId::new(closed));
    // The same count; the same half; the same place in the table.
    for other in [3, (5 << 20) | 3, 7 << 64 | 3, (7 << 64) | (5 << 20) | (3 + 4096)] {
        chain.request(other, b"x");
        runner.settle();
        assert_eq!(chain.answers().bodies, [(other, b"x".to_vec())]);
    }
    chain.request(closed, b"x");
    // Closed later, so the table has forgotten it: it runs, for nobody.
    chain.gateway.own.close(InvocationId::new(9 << 32 | 4));
    chain.request((9 << 32) | 4, b"x");
    chain.gateway.own.close(InvocationId::new(9 << 32 | (4 + 4096)));
    runner.settle();
    assert_eq!(chain.answers().bodies, [((9 << 32) | 4, b"x".to_vec())]);
    assert_eq!(chain.count(Counter::Cancelled), 1);
}

#[test]
fn a_reader_that_stops_early_does_not_hold_its_producer_up() {
    let mut chain = Single::new(|_| {});
    let mut runner = chain.start(|mut input: Input<'_>, output: &mut Output<'_>| {
        let mut start = [0; 10];
        input.reader().read_exact(&mut start)?;
        output.send(&start)
    });
    let whole = with_headers(&vec![5; (4 << 20) - 2]);
    let context = record(1);
    for (number, chunk) in whole.chunks(SEGMENT).enumerate() {
        let (own, sender) = (&chain.gateway.own, &mut chain.gateway.sender);
        sender.send(own, 0, &context, chunk, number == 63).unwrap();
        runner.settle();
    }
    assert_eq!(chain.answers().bodies, [(1, vec![5; 10])]);
    assert_eq!(chain.released(), 64, "also what was never opened");
}

#[test]
fn a_producer_that_is_replaced_in_mid_record_starts_a_new_one() {
    let mut draft = Draft::new();
    let gateway_node = draft.gateway(&["out"]);
    let f = draft.function("f", &["out"]);
    draft.edge((gateway_node, "out"), f);
    draft.edge((f, "out"), gateway_node);
    let mut monitor = draft.define();
    let mut first = monitor.attach(gateway_node, 0);
    let mut runner = Runner::new(ECHO, monitor.attach(f, 0));
    send(&mut first, 0, &record(1), &with_headers(b"before")).unwrap();
    let half = record(2);
    for _ in 0..3 {
        let mut plain = with_headers(&[0; SEGMENT]);
        plain.truncate(SEGMENT);
        first.sender.send(&first.own, 0, &half, &plain, false).unwrap();
    }
    drop(first);
    let mut second = monitor.attach(gateway_node, 0);
    send(&mut second, 0, &record(3), &with_headers(b"after")).unwrap();
    runner.settle();
    let ids: Vec<u128> = answers(&mut second).bodies.iter().map(|(id, _)| *id).collect();
    assert_eq!(
        ids,
        [1, 3],
        "what the dead one published is delivered, what it began is not"
    );
    assert!(monitor.reader(f, 0).counter(Counter::Abandoned) >= 1);
    for refusal in hacher_libos_net::refusal::Refusal::ALL {
        assert_eq!(
            monitor.reader(f, 0).counter(Counter::Refused(refusal)),
            0,
            "{refusal:?}"
        );
    }
    // And the slots of the dead one come back: more than an outbox of them.
    for number in 0..600 {
        send(&mut second, 0, &record(10 + number), &with_headers(&[1; 9000])).unwrap();
        runner.settle();
        assert_eq!(answers(&mut second).bodies.len(), 1);
    }
}

#[test]
fn a_replaced_consumer_gets_again_what_was_not_released() {
    let mut chain = Single::new(|limits| limits.retry_attempts = 2);
    for invocation in 0..5 {
        chain.request(invocation, &[invocation as u8; 100]);
    }
    let mut first = chain.start(ECHO);
    assert!(first.turn());
    assert!(first.turn());
    drop(first);
    let mut second = chain.start(ECHO);
    second.settle();
    let bodies = chain.answers().bodies;
    assert_eq!(
        bodies.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4]
    );
    assert_eq!(chain.released(), 5);
}

/// Makes the page look as a process leaves it that dies in its handler, on the record at `position` of ring
/// 0.
fn die_in_handler(chain: &mut Single, position: u64, attempt: u64, end: End) {
    let page = chain.monitor.page(chain.f, 0);
    page.set_word(page_word::RUNNING_ATTEMPT, attempt);
    page.set_word(page_word::RUNNING_AT, position);
    page.set_word(page_word::RUNNING_INBOUND, 1);
    page.set_word(page_word::BUSY_SINCE, 1);
    chain.monitor.ended(chain.f, 0, end);
}

#[test]
fn a_death_in_the_handler_counts_as_an_attempt_and_the_last_one_is_told() {
    for (end, cause) in [(End::Ended, Cause::Died), (End::Overran, Cause::TimedOut)] {
        let mut chain = Single::new(|limits| limits.retry_attempts = 2);
        chain.request(1, b"deadly");
        chain.request(2, b"harmless");
        drop(chain.monitor.attach(chain.f, 0));
        die_in_handler(&mut chain, 0, 1, end);
        let attempts = Cell::new(Vec::new());
        let note = |mut input: Input<'_>, output: &mut Output<'_>| {
            let mut seen = attempts.take();
            seen.push((input.invocation().as_u128(), input.attempt()));
            attempts.set(seen);
            output.send(input.bytes()?)
        };
        let mut second = chain.start(note);
        assert!(second.turn());
        drop(second);
        assert_eq!(attempts.take(), [(1, 2)], "the death was the first attempt");
        chain.answers();

        let mut chain = Single::new(|limits| limits.retry_attempts = 2);
        chain.request(1, b"deadly");
        chain.request(2, b"harmless");
        drop(chain.monitor.attach(chain.f, 0));
        die_in_handler(&mut chain, 0, 2, end);
        let mut third = chain.start(ECHO);
        third.settle();
        let got = chain.answers();
        assert_eq!(got.bodies, [(2, b"harmless".to_vec())]);
        let [(1, notice)] = got.notices.as_slice() else {
            panic!("one notice, not {got:?}")
        };
        assert_eq!((notice.cause, notice.attempts), (cause, 2));
    }
}

#[test]
fn a_real_death_in_the_handler_is_redelivered_with_its_attempt_counted() {
    // A panic cannot kill, so the handler leaves the thread for good; its page stays as it was.
    let mut chain = Single::new(|limits| limits.retry_attempts = 2);
    chain.request(1, &vec![4; 2 * SEGMENT]);
    let place = chain.monitor.attach(chain.f, 0);
    let entered = Arc::new(AtomicBool::new(false));
    let flag = entered.clone();
    std::thread::spawn(move || {
        let stuck = move |_: Input<'_>, output: &mut Output<'_>| {
            output.out()?.stream().append(&[1; 2 * SEGMENT])?;
            flag.store(true, Ordering::Release);
            loop {
                std::thread::park();
            }
        };
        Runner::new(stuck, place).turn();
    });
    while !entered.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    let mut second = chain.start(|mut input: Input<'_>, output: &mut Output<'_>| {
        assert_eq!(input.attempt(), 2);
        output.send(input.bytes()?)
    });
    second.settle();
    let got = chain.answers();
    assert_eq!(got.bodies, [(1, vec![4; 2 * SEGMENT])]);
    assert!(got.abandoned >= 1, "the half output of the first attempt");
}

/// `ingress -> left & right -> j -> egress`, where the test plays `left` and `right`.
struct Join {
    monitor: Monitor,
    gateway: Attachment,
    left: Attachment,
    right: Attachment,
    j: Node,
}

impl Join {
    fn new() -> Self {
        Self::with_deadline(Duration::from_secs(30))
    }

    fn with_deadline(deadline: Duration) -> Self {
        Self::with_limits(deadline, 4 << 20, |_| {})
    }

    fn with_limits(deadline: Duration, outbox_bytes: u64, limits: impl FnOnce(&mut Limits)) -> Self {
        let mut draft = Draft::new();
        draft.set_deadline(deadline);
        let gateway = draft.gateway(&["out"]);
        let (left, right) = (
            draft.function("left", &["out"]),
            draft.function("right", &["out"]),
        );
        let j = draft.function("j", &["out", "error"]);
        draft.edge((gateway, "out"), left);
        draft.edge((gateway, "out"), right);
        draft.join(&[(left, "out"), (right, "out")], j);
        draft.edge((j, "out"), gateway);
        draft.edge((j, "error"), gateway);
        draft.limits(left).outbox_bytes = outbox_bytes;
        draft.limits(j).outbox_bytes = 4 << 20;
        limits(draft.limits(j));
        let mut monitor = draft.define();
        Self {
            gateway: monitor.attach(gateway, 0),
            left: monitor.attach(left, 0),
            right: monitor.attach(right, 0),
            monitor,
            j,
        }
    }

    /// Makes the page look as a process leaves it that dies on the record at `position` of `left`'s ring.
    fn die_on(&mut self, position: u64, attempt: u64) {
        let page = self.monitor.page(self.j, 0);
        page.set_word(page_word::RUNNING_ATTEMPT, attempt);
        page.set_word(page_word::RUNNING_AT, position);
        page.set_word(page_word::RUNNING_INBOUND, 1);
        self.monitor.ended(self.j, 0, End::Ended);
    }

    fn released(&self, ring: usize) -> u64 {
        let at = self.monitor.page_layout(self.j, 0).cursor_at(ring).unwrap();
        self.monitor.page(self.j, 0).word(at + cursor_word::RELEASED)
    }
}

const CONCATENATE: Handler = |input, output| {
    let mut all = input.part("left").unwrap().bytes().to_vec();
    all.extend_from_slice(input.part("right").unwrap().bytes());
    output.send(&all)
};

const LENGTHS: Handler = |input, output| {
    let len = |of: &str| input.part(of).unwrap().bytes().len();
    output.send(format!("{} and {}", len("left"), len("right")).as_bytes())
};

#[test]
fn a_join_waits_for_all_in_any_order_and_drops_duplicates() {
    let mut join = Join::new();
    let mut runner = Runner::new(CONCATENATE, join.monitor.attach(join.j, 0));
    send(&mut join.left, 0, &record(1), &with_headers(b"l1 ")).unwrap();
    send(&mut join.left, 0, &record(2), &with_headers(&[b'l'; 2 * SEGMENT])).unwrap();
    send(&mut join.left, 0, &record(1), &with_headers(b"again ")).unwrap();
    runner.settle();
    assert_eq!(answers(&mut join.gateway), Answers::default());
    assert_eq!(join.released(0), 0);
    send(&mut join.right, 0, &record(2), &with_headers(b"r2")).unwrap();
    runner.settle();
    let mut both = vec![b'l'; 2 * SEGMENT];
    both.extend_from_slice(b"r2");
    assert_eq!(answers(&mut join.gateway).bodies, [(2, both)]);
    send(&mut join.right, 0, &record(1), &with_headers(b"r1")).unwrap();
    runner.settle();
    assert_eq!(answers(&mut join.gateway).bodies, [(1, b"l1 r1".to_vec())]);
    assert_eq!(
        (join.released(0), join.released(1)),
        (5, 2),
        "all are released, the duplicate too"
    );
}

#[test]
fn a_join_that_expires_or_is_closed_gives_its_records_back() {
    let mut join = Join::new();
    let mut runner = Runner::new(CONCATENATE, join.monitor.attach(join.j, 0));
    let soon = RecordContext {
        deadline: after(Duration::from_millis(20)),
        ..record(1)
    };
    send(&mut join.left, 0, &soon, &with_headers(b"l")).unwrap();
    send(&mut join.right, 0, &record(2), &with_headers(b"r")).unwrap();
    runner.settle();
    join.gateway.own.close(InvocationId::new(2));
    assert_eq!((join.released(0), join.released(1)), (0, 0));
    runner.rest();
    // Something else wakes it, or it would sleep for good now.
    join.monitor.ring(join.j, 0);
    runner.rest();
    assert_eq!((join.released(0), join.released(1)), (1, 1));
    let reader = join.monitor.reader(join.j, 0);
    assert_eq!(
        (
            reader.counter(Counter::Expired),
            reader.counter(Counter::Cancelled)
        ),
        (1, 1)
    );
}

#[test]
fn of_joins_whose_requests_have_their_reply_many_give_way_and_few_wait() {
    let mut join = Join::new();
    let mut runner = Runner::new(CONCATENATE, join.monitor.attach(join.j, 0));
    let capacity = u128::from(ring_capacity(4 << 20));
    let mut sent = 0;
    // Those beyond a half.
    for (upto, expected) in [(capacity / 2, 0), (capacity / 2 + 1, 1), (capacity / 2 + 9, 9)] {
        while sent < upto {
            sent += 1;
            send(&mut join.left, 0, &record(sent), &with_headers(b"l")).unwrap();
            join.gateway.own.answer(InvocationId::new(sent));
        }
        runner.settle();
        join.monitor.ring(join.j, 0);
        runner.rest();
        let cancelled = join.monitor.reader(join.j, 0).counter(Counter::Cancelled);
        assert_eq!(
            (u128::from(join.released(0)), u128::from(cancelled)),
            (expected, expected)
        );
    }
    // Of a request that has no reply, the part waits however many there are.
    for invocation in sent + 1..=sent + capacity / 2 + 2 {
        send(&mut join.left, 0, &record(invocation), &with_headers(b"l")).unwrap();
        runner.settle();
        join.monitor.ring(join.j, 0);
        runner.rest();
    }
    join.monitor.ring(join.j, 0);
    runner.rest();
    assert_eq!(u128::from(join.released(0)), sent);
}

#[test]
fn of_joins_whose_requests_have_their_reply_large_ones_give_way_to_who_waits_for_room() {
    let mut join = Join::new();
    let mut runner = Runner::new(LENGTHS, join.monitor.attach(join.j, 0));
    // Three that have their reply, in an outbox of 4 MiB, and between the last two one that has none.
    for number in [1, 2, 9, 3] {
        let len = if number == 9 { 1 } else { 1 << 20 };
        send(
            &mut join.left,
            0,
            &record(number),
            &with_headers(&vec![b'l'; len]),
        )
        .unwrap();
        if number != 9 {
            join.gateway.own.answer(InvocationId::new(number));
        }
    }
    runner.settle();
    let cancelled = |join: &Join| join.monitor.reader(join.j, 0).counter(Counter::Cancelled);
    // While nobody waits for room, they wait for their parts, for however long.
    std::thread::sleep(Duration::from_millis(1100));
    join.monitor.ring(join.j, 0);
    runner.rest();
    assert_eq!(cancelled(&join), 0);
    // Nobody rings from here on.
    assert!(join.left.sender.announce_starved());
    while cancelled(&join) < 2 {
        runner.rest();
    }
    // The third would make no room: the one before it is held.
    runner.rest();
    assert_eq!((cancelled(&join), join.released(0)), (2, 2 * 17));
    join.left.sender.fed();
    send(&mut join.right, 0, &record(9), &with_headers(b"r")).unwrap();
    runner.settle();
    assert_eq!(answers(&mut join.gateway).bodies, [(9, b"1 and 1".to_vec())]);
}

/// `record` as far as there is room; what did not go.
fn send_what_fits<'b>(from: &mut Attachment, record: &RecordContext, body: &'b [u8]) -> &'b [u8] {
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(SEGMENT));
        match from.sender.send(&from.own, 0, record, chunk, after.is_empty()) {
            Ok(()) => rest = after,
            Err(_) => break,
        }
    }
    rest
}

/// Three records of `left` of which the last has no room for its end, as the first two wait for `right`'s.
fn stuck_behind_parts(join: &mut Join, runner: &mut Runner<Handler>, body: &[u8]) -> usize {
    for number in 1..=2 {
        send(&mut join.left, 0, &record(number), body).unwrap();
    }
    let rest = send_what_fits(&mut join.left, &record(3), body).len();
    assert!(
        (1..body.len()).contains(&rest),
        "{rest} of {} are left",
        body.len()
    );
    runner.settle();
    rest
}

#[test]
fn a_join_whose_producer_has_no_room_for_the_rest_of_a_record_takes_what_makes_room_for_it() {
    let mut join = Join::new();
    let mut runner = Runner::new(LENGTHS, join.monitor.attach(join.j, 0));
    let body = with_headers(&vec![b'l'; 3 << 19]);
    let mut rest = stuck_behind_parts(&mut join, &mut runner, &body);
    for number in 1..=3_u128 {
        send(&mut join.right, 0, &record(number), &with_headers(b"r")).unwrap();
        runner.settle();
        rest = send_what_fits(&mut join.left, &record(3), &body[body.len() - rest..]).len();
    }
    runner.settle();
    let lengths = format!("{} and 1", 3 << 19);
    assert_eq!(rest, 0);
    assert_eq!(
        answers(&mut join.gateway).bodies,
        [1, 2, 3].map(|id| (id, lengths.clone().into_bytes()))
    );
}

#[test]
fn a_record_that_is_given_up_waits_for_its_end_beside_what_makes_room_for_it() {
    let mut join = Join::new();
    let mut runner = Runner::new(LENGTHS, join.monitor.attach(join.j, 0));
    let body = with_headers(&vec![b'l'; 3 << 19]);
    let rest = stuck_behind_parts(&mut join, &mut runner, &body);
    drop(runner);
    join.die_on(2 * body.len().div_ceil(SEGMENT) as u64, 9);
    let mut runner = Runner::new(LENGTHS, join.monitor.attach(join.j, 0));
    for number in 1..=2 {
        send(&mut join.right, 0, &record(number), &with_headers(b"r")).unwrap();
    }
    runner.settle();
    assert_eq!(answers(&mut join.gateway).bodies.len(), 2);
    assert!(send_what_fits(&mut join.left, &record(3), &body[body.len() - rest..]).is_empty());
    runner.settle();
    let given_up = answers(&mut join.gateway).bodies;
    assert_eq!(given_up, [(3, vec![b'l'; 3 << 19])], "by the error port");
}

#[test]
fn a_record_that_is_given_up_and_does_not_end_is_told_and_not_tried_again() {
    let mut join = Join::new();
    let (record, body) = (record(1), with_headers(b"the beginning"));
    let Attachment { own, sender, .. } = &mut join.left;
    sender.send(own, 0, &record, &body, false).unwrap();
    drop(join.monitor.attach(join.j, 0));
    join.die_on(0, 9);
    let mut runner = Runner::new(LENGTHS, join.monitor.attach(join.j, 0));
    runner.settle();
    assert_eq!(answers(&mut join.gateway), Answers::default());
    join.left.sender.abort(&join.left.own, 0, &record).unwrap();
    runner.settle();
    let notices = answers(&mut join.gateway).notices;
    let [(1, notice)] = notices.as_slice() else {
        panic!("one notice, not {notices:?}")
    };
    assert_eq!((notice.cause, notice.attempts), (Cause::Died, 9));
    assert_eq!(notice.kept_back, Some(KeptBack::NotWhole));
}

#[test]
fn a_part_that_was_given_up_while_it_waited_leaves_by_the_error_port_whole() {
    let no_time_for_another = |limits: &mut Limits| {
        limits.retry_attempts = 3;
        limits.retry_backoff = Duration::from_secs(3600);
        limits.retry_max = Duration::from_secs(3600);
    };
    let mut join = Join::with_limits(Duration::from_secs(30), 48 << 20, no_time_for_another);
    drop(join.monitor.attach(join.j, 0));
    // More than waiting parts may hold.
    let (len, last) = (2 << 20, 17);
    let body = with_headers(&vec![b'l'; len]);
    for number in 1..=last {
        send(&mut join.left, 0, &record(number), &body).unwrap();
    }
    join.die_on((last as u64 - 1) * body.len().div_ceil(SEGMENT) as u64, 1);
    let mut runner = Runner::new(LENGTHS, join.monitor.attach(join.j, 0));
    runner.settle();
    send(&mut join.right, 0, &record(last), &with_headers(b"r")).unwrap();
    runner.settle();
    let given_up = answers(&mut join.gateway).bodies;
    assert_eq!(given_up.len(), 1);
    assert!(given_up[0] == (last, vec![b'l'; len]), "{}", given_up[0].1.len());
}

#[test]
fn large_parts_of_answered_requests_give_way_to_the_rest_of_a_record() {
    let mut join = Join::new();
    let mut runner = Runner::new(LENGTHS, join.monitor.attach(join.j, 0));
    let body = with_headers(&vec![b'l'; 3 << 19]);
    let rest = stuck_behind_parts(&mut join, &mut runner, &body);
    for number in 1..=2 {
        join.gateway.own.answer(InvocationId::new(number));
    }
    assert!(join.left.sender.announce_starved());
    while join.monitor.reader(join.j, 0).counter(Counter::Cancelled) < 2 {
        runner.rest();
    }
    join.left.sender.fed();
    assert!(send_what_fits(&mut join.left, &record(3), &body[body.len() - rest..]).is_empty());
    send(&mut join.right, 0, &record(3), &with_headers(b"r")).unwrap();
    runner.settle();
    assert_eq!(answers(&mut join.gateway).bodies.len(), 1);
}

#[test]
fn a_record_that_waits_for_its_end_is_dropped_with_its_request() {
    let mut join = Join::new();
    let mut runner = Runner::new(LENGTHS, join.monitor.attach(join.j, 0));
    let body = with_headers(&vec![b'l'; 3 << 19]);
    let rest = stuck_behind_parts(&mut join, &mut runner, &body);
    for number in 1..=3 {
        join.gateway.own.close(InvocationId::new(number));
    }
    join.monitor.ring(join.j, 0);
    runner.rest();
    assert_eq!(join.monitor.reader(join.j, 0).counter(Counter::Cancelled), 3);
    // Its end is passed over, and what comes behind it is taken.
    assert!(send_what_fits(&mut join.left, &record(3), &body[body.len() - rest..]).is_empty());
    for from in [&mut join.left, &mut join.right] {
        send(from, 0, &record(4), &with_headers(b"x")).unwrap();
    }
    runner.settle();
    assert_eq!(answers(&mut join.gateway).bodies, [(4, b"1 and 1".to_vec())]);
}

#[test]
fn failed_records_are_tried_again_though_a_later_one_has_no_room_for_its_end() {
    let mut chain = Single::new(|limits| {
        limits.retry_attempts = 2;
        limits.retry_backoff = Duration::from_millis(1);
    });
    let mut runner = chain.start(|mut input: Input<'_>, output: &mut Output<'_>| {
        if input.attempt() == 1 {
            return Err(Failure::retry("not yet"));
        }
        let len = input.bytes()?.len();
        output.send(&len.to_le_bytes())
    });
    let body = with_headers(&vec![b'x'; 3 << 19]);
    for number in 1..=2 {
        send(&mut chain.gateway, 0, &record(number), &body).unwrap();
    }
    let mut rest = send_what_fits(&mut chain.gateway, &record(3), &body);
    assert!(!rest.is_empty());
    while chain.count(Counter::Succeeded) < 3 {
        runner.settle();
        rest = send_what_fits(&mut chain.gateway, &record(3), rest);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(chain.answers().bodies.len(), 3);
}

#[test]
fn a_record_that_has_no_room_for_its_end_keeps_nothing_waiting_that_holds_the_room() {
    let mut draft = Draft::new();
    let gateway = draft.gateway(&["out"]);
    let p = draft.function("p", &["a", "b"]);
    let f = draft.function("f", &["out"]);
    draft.edge((gateway, "out"), p);
    draft.edge((p, "a"), f);
    draft.edge((p, "b"), f);
    draft.edge((f, "out"), gateway);
    draft.limits(p).outbox_bytes = 4 << 20;
    let mut monitor = draft.define();
    let (mut gateway, mut p) = (monitor.attach(gateway, 0), monitor.attach(p, 0));
    let lengths: Handler = |mut input, output| output.send(input.bytes()?.len().to_string().as_bytes());
    let mut runner = Runner::new(lengths, monitor.attach(f, 0));
    let body = with_headers(&vec![b'x'; 3 << 19]);
    for number in 1..=2 {
        send(&mut p, 1, &record(number), &body).unwrap();
    }
    // More than is kept of a record that has not come as a whole, or has come.
    let rest = send_what_fits(&mut p, &record(3), &body).len();
    assert!(rest > 0);
    runner.settle();
    assert_eq!(answers(&mut gateway).bodies.len(), 2);
    assert!(send_what_fits(&mut p, &record(3), &body[body.len() - rest..]).is_empty());
    runner.settle();
    let lengths = (3 << 19).to_string().into_bytes();
    assert_eq!(answers(&mut gateway).bodies, [(3, lengths)]);
}

#[test]
fn no_record_is_waited_for_longer_than_the_chain_allows_whatever_it_claims() {
    let mut join = Join::with_deadline(Duration::from_millis(50));
    let mut runner = Runner::new(CONCATENATE, join.monitor.attach(join.j, 0));
    let endless = |invocation| RecordContext {
        deadline: Monotonic::from_ns(u64::MAX),
        ..record(invocation)
    };
    // One that lacks its partner, and one that lacks its end.
    send(&mut join.left, 0, &endless(1), &with_headers(b"l")).unwrap();
    let mut begun = with_headers(&[0; SEGMENT]);
    begun.truncate(SEGMENT);
    join.right
        .sender
        .send(&join.right.own, 0, &endless(2), &begun, false)
        .unwrap();
    let before = std::time::Instant::now();
    runner.settle();
    while (join.released(0), join.released(1)) != (1, 1) && before.elapsed() < Duration::from_secs(10) {
        join.monitor.ring(join.j, 0);
        runner.rest();
    }
    assert!(before.elapsed() < Duration::from_secs(10));
    assert_eq!((join.released(0), join.released(1)), (1, 1));
    assert_eq!(join.monitor.reader(join.j, 0).counter(Counter::Expired), 2);
}

#[test]
fn expired_joins_are_dropped_though_the_trustlet_is_never_idle() {
    let mut join = Join::new();
    let mut runner = Runner::new(CONCATENATE, join.monitor.attach(join.j, 0));
    let soon = RecordContext {
        deadline: after(Duration::from_millis(5)),
        ..record(1)
    };
    send(&mut join.left, 0, &soon, &with_headers(b"l")).unwrap();
    runner.settle();
    std::thread::sleep(Duration::from_millis(6));
    for number in 10..20 {
        send(&mut join.left, 0, &record(number), &with_headers(b"l")).unwrap();
        send(&mut join.right, 0, &record(number), &with_headers(b"r")).unwrap();
        runner.settle();
    }
    assert_eq!((join.released(0), join.released(1)), (11, 10), "without a rest");
}

#[test]
fn a_join_that_fails_leaves_by_the_error_port_with_its_first_part() {
    for left_first in [true, false] {
        let mut join = Join::new();
        let fails: Handler = |_, _| Err(Failure::permanent("no"));
        let mut runner = Runner::new(fails, join.monitor.attach(join.j, 0));
        let mut order: [(&mut Attachment, &[u8]); 2] =
            [(&mut join.left, b"left's"), (&mut join.right, b"right's")];
        if !left_first {
            order.reverse();
        }
        for (from, body) in order {
            send(from, 0, &record(1), &with_headers(body)).unwrap();
        }
        runner.settle();
        assert_eq!(answers(&mut join.gateway).bodies, [(1, b"left's".to_vec())]);
    }
}

#[test]
fn a_join_is_whole_again_after_its_process_was_replaced() {
    let mut join = Join::new();
    let mut first = Runner::new(CONCATENATE, join.monitor.attach(join.j, 0));
    send(&mut join.left, 0, &record(1), &with_headers(b"l ")).unwrap();
    first.settle();
    drop(first);
    let mut second = Runner::new(CONCATENATE, join.monitor.attach(join.j, 0));
    second.settle();
    send(&mut join.right, 0, &record(1), &with_headers(b"r")).unwrap();
    second.settle();
    assert_eq!(answers(&mut join.gateway).bodies, [(1, b"l r".to_vec())]);
    let page = join.monitor.reader(join.j, 0);
    for phase in [Phase::Queued, Phase::HandOver] {
        let arrived = [0, 1].map(|ring| page.histogram(phase(ring)).unwrap().count);
        assert_eq!(arrived, [1, 1], "each part has come once");
    }
}

#[test]
fn a_predecessors_words_never_stop_its_replacement() {
    // A compromised process may leave anything in what it could write.
    for word in [u64::MAX, u64::MAX - 3, 1 << 63, (1 << 40) + 7, 3] {
        let mut chain = Single::new(|limits| limits.retry_attempts = 2);
        drop(chain.monitor.attach(chain.f, 0));
        chain.request(1, b"x");
        let (page, layout) = (
            chain.monitor.page(chain.f, 0),
            chain.monitor.page_layout(chain.f, 0),
        );
        for at in (0..1032).step_by(8) {
            page.set_word(at, word);
        }
        for at in [cursor_word::RELEASED, cursor_word::SEQUENCE, cursor_word::EPOCH] {
            page.set_word(layout.cursor_at(0).unwrap() + at, word);
        }
        let outbox = chain.monitor.outbox(chain.f, 0);
        let rings = chain.monitor.outbox_layout(chain.f, 0);
        for at in (0..rings.segments_at()).step_by(8) {
            outbox.set_word(at, word);
        }
        let mut runner = chain.start(ECHO);
        runner.settle();
        chain.request(2, b"y");
        runner.settle();
    }
}

#[test]
fn a_consumers_words_never_stop_its_producer_or_the_replacement_of_it() {
    for word in [u64::MAX, u64::MAX - 3, 1 << 63, (1 << 40) + 7, 3] {
        let mut chain = Single::new(|_| {});
        drop(chain.monitor.attach(chain.f, 0));
        chain.request(1, b"x");
        let (page, layout) = (
            chain.monitor.page(chain.f, 0),
            chain.monitor.page_layout(chain.f, 0),
        );
        page.set_word(layout.cursor_at(0).unwrap() + cursor_word::RELEASED, word);
        page.set_word(page_word::PARKED, word);
        chain.request(2, b"x");
        chain.gateway = chain.monitor.attach(chain.gateway_node, 0);
        for invocation in 3..20 {
            chain.request(invocation, b"x");
        }
    }
}

#[test]
fn a_predecessor_that_named_one_slot_everywhere_does_not_stop_its_replacement() {
    // One record, whose descriptor is then copied to every place of every ring.
    let mut draft = Draft::new();
    let a = draft.function("a", &["out"]);
    let b = draft.function("b", &["out"]);
    // More places than a count of 16 bits holds, in few instances: each takes descriptors.
    draft.limits(a).outbox_bytes = 512 << 20;
    draft.limits(b).instances = 10;
    draft.edge((a, "out"), b);
    let mut monitor = draft.define();
    let mut first = monitor.attach(a, 0);
    send(&mut first, 0, &record(0), b"x").unwrap();
    drop(first);
    let layout: OutboxLayout = monitor.outbox_layout(a, 0);
    assert!(10 * layout.ring_capacity() > usize::from(u16::MAX));
    let outbox = monitor.outbox(a, 0);
    let words: Vec<u64> = (1..8)
        .map(|i| outbox.word(layout.ring_at(0).unwrap() + 8 * i))
        .collect();
    for ring in 0..10 {
        for position in 0..layout.ring_capacity() as u64 {
            let slot = layout.ring_at(ring).unwrap() + position as usize * 64;
            let low = position + 1;
            outbox.set_word(slot, (u64::from(!(low as u32)) << 32) | low);
            for (i, word) in words.iter().enumerate() {
                outbox.set_word(slot + 8 * (i + 1), *word);
            }
        }
    }
    let mut second = monitor.attach(a, 0);
    assert_eq!(
        send(&mut second, 0, &record(0), b"y"),
        Err(Exhausted::Full.into())
    );
}

#[test]
fn a_producer_that_never_waits_does_not_fill_its_consumers_memory() {
    // A join holds what has come so far. A hostile member publishes past what was released.
    let mut join = Join::new();
    let mut runner = Runner::new(CONCATENATE, join.monitor.attach(join.j, 0));
    let (page, layout) = (join.monitor.page(join.j, 0), join.monitor.page_layout(join.j, 0));
    let cursor = layout.cursor_at(0).unwrap() + cursor_word::RELEASED;
    for number in 0..1000_u64 {
        // As if the consumer had released everything: the producer's own checks are gone.
        page.set_word(cursor, number);
        send(
            &mut join.left,
            0,
            &record(u128::from(number)),
            &with_headers(b"l"),
        )
        .unwrap();
        runner.settle();
    }
    page.set_word(cursor, 0);
    for number in 0..256_u64 {
        send(
            &mut join.right,
            0,
            &record(u128::from(number)),
            &with_headers(b"r"),
        )
        .unwrap();
    }
    runner.settle();
    assert_eq!(
        answers(&mut join.gateway).bodies.len(),
        256,
        "as many as the ring holds, and no more"
    );
}

#[test]
fn a_stream_passes_on_what_it_reads_before_the_rest_has_come() {
    let mut chain = Single::new(|limits| limits.outbox_bytes = 4 << 20);
    let place = chain.monitor.attach(chain.f, 0);
    let done = Arc::new(AtomicBool::new(false));
    let stop = done.clone();
    let thread = std::thread::spawn(move || {
        let copy: Handler = |mut input, output| {
            let mut out = output.out()?;
            out.stream();
            std::io::copy(&mut input.reader(), &mut out)?;
            out.flush()?;
            Ok(())
        };
        Runner::new(copy, place).serve_until(|| stop.load(Ordering::Acquire));
    });
    let whole = with_headers(&vec![6; 20 * SEGMENT - 2]);
    let context = record(1);
    let mut came = Vec::new();
    for (number, chunk) in whole.chunks(SEGMENT).enumerate() {
        let (own, sender, receiver) = (
            &chain.gateway.own,
            &mut chain.gateway.sender,
            &mut chain.gateway.receiver,
        );
        sender.send(own, 0, &context, chunk, number == 19).unwrap();
        // The segment comes back before the next one is sent.
        let before = came.len();
        let started = std::time::Instant::now();
        while came.len() < before + SEGMENT {
            receiver.step(own, 0, &mut came);
            assert!(started.elapsed() < Duration::from_secs(10));
        }
    }
    assert_eq!(came, whole);
    done.store(true, Ordering::Release);
    chain.monitor.ring(chain.f, 0);
    thread.join().unwrap();
}
