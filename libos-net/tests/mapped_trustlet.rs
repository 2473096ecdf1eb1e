//! Handlers between mapped edges: views, placed records, retries, joins, streams, replacements.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

mod topology;

use hacher_in_process::{Draft, Handler, Monitor, Node, Runner};
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::fault::Cause;
use hacher_libos_net::telemetry::Counter;
use hacher_libos_net::{Failure, Input, Output};
use std::io::Read;
use topology::{Answers, SEGMENT, answers, record, send, with_headers};

/// `ingress -> f -> egress`, both edges mapped.
struct Single {
    monitor: Monitor,
    gateway: Attachment,
    gateway_node: Node,
    f: Node,
}

impl Single {
    fn new() -> Self {
        let mut draft = Draft::new();
        let gateway_node = draft.gateway(&["out"]);
        let f = draft.function("f", &["out"]);
        draft.mapped_edge((gateway_node, "out"), f);
        draft.mapped_edge((f, "out"), gateway_node);
        draft.limits(f).retry_attempts = 2;
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

    /// In one segment of any size.
    fn request(&mut self, invocation: u128, body: &[u8]) {
        let gateway = &mut self.gateway;
        gateway
            .sender
            .send(&gateway.own, 0, &record(invocation), &with_headers(body), true)
            .unwrap();
    }

    fn answers(&mut self) -> Answers {
        answers(&mut self.gateway)
    }
}

fn whole(body: &[u8]) -> Vec<(u128, Vec<u8>)> {
    vec![(1, body.to_vec())]
}

fn pattern(len_bytes: usize) -> Vec<u8> {
    (0..len_bytes).map(|at| (at as u8).wrapping_mul(31)).collect()
}

#[test]
fn a_view_reads_what_was_sent_in_any_pieces() {
    let mut chain = Single::new();
    let body = pattern(300_001);
    let mut runner = chain.start(|mut input: Input<'_>, output: &mut Output<'_>| {
        let view = input.view()?.expect("a mapped input has a view");
        let mut last = [0; 10];
        assert_eq!(
            view.copy_to(view.len_bytes() - 4, &mut last),
            4,
            "only to the end"
        );
        assert_eq!(view.copy_to(view.len_bytes(), &mut last), 0);
        assert_eq!(view.copy_to(usize::MAX, &mut last), 0);
        let all = view.fold(Vec::new(), |mut all, piece| {
            all.extend_from_slice(piece);
            all
        });
        assert_eq!(all[all.len() - 4..], last[..4]);
        assert_eq!(input.bytes()?, all, "the copy is the same");
        output.send(&all)
    });
    chain.request(1, &body);
    runner.settle();
    assert_eq!(chain.answers().bodies, whole(&body));
}

#[test]
fn a_sealed_input_has_no_view() {
    let mut draft = Draft::new();
    let gateway = draft.gateway(&["out"]);
    let f = draft.function("f", &["out"]);
    draft.edge((gateway, "out"), f);
    draft.edge((f, "out"), gateway);
    let mut monitor = draft.define();
    let mut gateway = monitor.attach(gateway, 0);
    let handler: Handler = |mut input, output| {
        assert!(input.view()?.is_none());
        let mut place = output.place(6)?;
        place.write_at(3, b"def")?;
        place.write_at(0, b"abc")
    };
    let mut runner = Runner::new(handler, monitor.attach(f, 0));
    send(&mut gateway, 0, &record(1), &with_headers(b"x")).unwrap();
    runner.settle();
    assert_eq!(
        answers(&mut gateway).bodies,
        whole(b"abcdef"),
        "placing works all the same"
    );
}

#[test]
fn a_record_of_many_segments_is_viewed_and_read_as_one() {
    for reads in [false, true] {
        let mut chain = Single::new();
        let body = pattern(5 * SEGMENT + 17);
        let mut runner = chain.start(move |mut input: Input<'_>, output: &mut Output<'_>| {
            let mut all = Vec::new();
            if reads {
                input.reader().read_exact(&mut [0; 70_000])?;
                input.reader().read_to_end(&mut all)?;
                assert_eq!(input.bytes()?, all, "reading uses nothing up");
            } else {
                let view = input.view()?.expect("a mapped input has a view");
                all.resize(view.len_bytes(), 0);
                // Over the seams of segments.
                for at in (0..all.len()).step_by(10_007) {
                    let end = all.len().min(at + 10_007);
                    assert_eq!(view.copy_to(at, &mut all[at..end]), end - at);
                }
            }
            output.send(&all)
        });
        send(&mut chain.gateway, 0, &record(1), &with_headers(&body)).unwrap();
        runner.settle();
        assert_eq!(chain.answers().bodies, whole(&body));
    }
}

#[test]
fn bytes_that_change_under_a_view_change_no_copy() {
    let mut chain = Single::new();
    let place = chain.monitor.attach(chain.f, 0);
    chain.request(1, &[1; 1000]);
    let room = chain.monitor.mapped_layout(chain.gateway_node, 0).room_at();
    // Plays a gateway that changes what it has sent.
    let region = chain.monitor.mapped(chain.gateway_node, 0, 0);
    let mut runner = Runner::new(
        |mut input: Input<'_>, output: &mut Output<'_>| {
            let copy = input.bytes()?.to_vec();
            region.set_bytes(room + 2, &[9; 1000]);
            let view = input.view()?.expect("a mapped input has a view");
            assert!(view.fold(true, |all, piece| all && piece.iter().all(|byte| *byte == 9)));
            assert_eq!(input.bytes()?, copy, "what was copied stays");
            output.send(&copy)
        },
        place,
    );
    runner.settle();
    drop(runner);
    drop(region);
    assert_eq!(chain.answers().bodies, whole(&[1; 1000]));
}

#[test]
fn a_placed_record_keeps_headers_and_leaves_when_the_handler_returns() {
    let mut chain = Single::new();
    let mut runner = chain.start(|_: Input<'_>, output: &mut Output<'_>| {
        let mut out = output.out()?;
        out.set_header("content-type", "text/plain")?;
        let mut place = out.place(1 << 19)?;
        place.write_at(0, b"first")?;
        assert!(place.write_at(place.len_bytes() - 1, b"xx").is_err());
        place.write_at(place.len_bytes() - 4, b"last")
    });
    chain.request(1, b"x");
    runner.settle();
    let bodies = chain.answers().bodies;
    let body = &bodies[0].1;
    assert_eq!(
        (body.len(), &body[..5], &body[body.len() - 4..]),
        (1 << 19, &b"first"[..], &b"last"[..])
    );
}

#[test]
fn a_placed_record_is_fixed() {
    let mut chain = Single::new();
    let mut runner = chain.start(|_: Input<'_>, output: &mut Output<'_>| {
        output.send(b"some")?;
        assert!(output.place(10).is_err(), "after something was written");
        Ok(())
    });
    chain.request(1, b"x");
    runner.settle();
    drop(runner);
    assert_eq!(chain.answers().bodies, whole(b"some"));
    let mut runner = chain.start(|_: Input<'_>, output: &mut Output<'_>| {
        output.place(4)?.write_at(0, b"good")?;
        assert!(output.send(b"more").is_err());
        assert!(output.place(4).is_err());
        assert!(output.out()?.set_header("a", "b").is_err());
        Ok(())
    });
    chain.request(1, b"x");
    runner.settle();
    assert_eq!(chain.answers().bodies, whole(b"good"));
}

#[test]
fn attempts_that_fail_leave_nothing_placed_and_see_the_same_input() {
    let mut chain = Single::new();
    let mut runner = chain.start(|mut input: Input<'_>, output: &mut Output<'_>| {
        let attempt = input.attempt();
        let view = input.view()?.expect("a mapped input has a view");
        let len_bytes = view.len_bytes();
        let mut place = output.place(len_bytes)?;
        let mut whole = vec![0; len_bytes];
        view.copy_to(0, &mut whole);
        place.write_at(0, &whole)?;
        if attempt == 1 {
            return Err(Failure::retry("once"));
        }
        Ok(())
    });
    // Too large for two of them at once.
    let body = pattern(900_000);
    for _ in 0..3 {
        chain.request(1, &body);
        let monitor = &chain.monitor;
        let before = monitor.reader(chain.f, 0).counter(Counter::Succeeded);
        let reader = monitor.reader(chain.f, 0);
        runner.serve_until(|| reader.counter(Counter::Succeeded) > before);
        assert_eq!(chain.answers().bodies, whole(&body));
    }
}

#[test]
fn a_record_too_large_to_place_is_explained() {
    let mut chain = Single::new();
    let mut runner = chain.start(|_: Input<'_>, output: &mut Output<'_>| output.place(2 << 20).map(drop));
    chain.request(1, b"x");
    runner.settle();
    let notices = chain.answers().notices;
    assert_eq!(notices[0].1.cause, Cause::OutputTooLarge);
}

#[test]
fn a_join_of_mapped_and_sealed_records_has_views_of_the_mapped_ones() {
    let mut draft = Draft::new();
    let gateway = draft.gateway(&["out"]);
    let (left, right) = (
        draft.function("left", &["out"]),
        draft.function("right", &["out"]),
    );
    let both = draft.function("both", &["out"]);
    draft.mapped_edge((gateway, "out"), left);
    draft.edge((gateway, "out"), right);
    draft.mapped_join(&[(left, "out"), (right, "out")], both);
    draft.edge((both, "out"), gateway);
    let mut monitor = draft.define();
    let mut gateway = monitor.attach(gateway, 0);
    let copy: Handler = |mut input, output| output.send(input.bytes()?);
    let pack: Handler = |input, output| {
        let mut out = output.out()?;
        for part in input.parts() {
            assert_eq!(
                part.view().expect("both are mapped").len_bytes(),
                part.bytes().len()
            );
            out.append(part.bytes())?;
        }
        Ok(())
    };
    let mut runners = [(left, copy), (right, copy), (both, pack)]
        .map(|(node, handler)| Runner::new(handler, monitor.attach(node, 0)));
    for round in 0..3 {
        let body = pattern(100_000 + round);
        send(&mut gateway, 0, &record(1), &with_headers(&body)).unwrap();
        for _ in 0..2 {
            runners.iter_mut().for_each(Runner::settle);
        }
        assert_eq!(answers(&mut gateway).bodies, whole(&body.repeat(2)));
    }
}

#[test]
fn a_record_with_broken_headers_is_refused() {
    let mut chain = Single::new();
    let mut runner = chain.start(|_: Input<'_>, _: &mut Output<'_>| panic!("never runs"));
    for (number, plain) in [&b""[..], b"\x01", b"\xff\xff", b"\x05\x00abc", b"\x02\x00ab"]
        .into_iter()
        .enumerate()
    {
        let gateway = &mut chain.gateway;
        gateway
            .sender
            .send(&gateway.own, 0, &record(number as u128), plain, true)
            .unwrap();
        runner.settle();
        let notices = chain.answers().notices;
        assert_eq!(notices[0].1.cause, Cause::InputRefused, "{plain:?}");
    }
}

#[test]
fn a_replaced_trustlet_runs_the_record_that_its_predecessor_died_in_again() {
    let mut chain = Single::new();
    chain.request(1, b"both times");
    let dying = chain.start(|_: Input<'_>, _: &mut Output<'_>| panic!("never runs"));
    // Dead before it released anything.
    drop(dying);
    let mut runner = chain.start(|mut input: Input<'_>, output: &mut Output<'_>| output.send(input.bytes()?));
    runner.settle();
    assert_eq!(chain.answers().bodies, whole(b"both times"));
}
