//! What a trustlet does with the trace of a request: it renews the context at each run, and tells in its page
//! of runs and arrivals, if the trace is recorded.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod topology;

use hacher_in_process::{Draft, Limits, Monitor, Node, Runner};
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::end::End;
use hacher_libos_net::headers;
use hacher_libos_net::layout::{SEGMENT_BYTES, page_word};
use hacher_libos_net::span_id::SpanId;
use hacher_libos_net::telemetry::{Outcome, Span, SpanKind};
use hacher_libos_net::trace_parent::{TRACEPARENT, TraceParent};
use hacher_libos_net::{Failure, Input, Output};
use std::cell::RefCell;
use topology::{Taken, record, send};

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

fn came(parent: u64, sampled: bool) -> TraceParent {
    TraceParent {
        trace: TRACE,
        parent: SpanId::of_bits(parent),
        flags: TraceParent::flags_of(sampled),
    }
}

/// A record's plaintext with a trace.
fn plain(trace: &TraceParent, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    headers::start(&mut plain, &[]);
    headers::append(&mut plain, "baggage", "a=1").unwrap();
    headers::append(&mut plain, TRACEPARENT, &trace.to_text()).unwrap();
    headers::append(&mut plain, "tracestate", "vendor=1").unwrap();
    plain.extend_from_slice(body);
    plain
}

fn read(value: Option<&str>) -> TraceParent {
    TraceParent::parse(value.unwrap()).unwrap()
}

/// What the gateway got, and the trace that it is part of.
fn answer(gateway: &mut Attachment) -> (Vec<u8>, TraceParent) {
    let mut taken = Taken::default();
    taken.take(gateway, true);
    let [(_, _, plain)] = taken.whole.as_slice() else {
        panic!("one record, not {taken:?}")
    };
    let (encoded, body) = headers::split(plain).unwrap();
    assert_eq!(headers::find(encoded, "tracestate"), Some("vendor=1"));
    (body.to_vec(), read(headers::find(encoded, TRACEPARENT)))
}

/// `ingress -> f -> egress`, and `f.error -> egress`.
struct Single {
    monitor: Monitor,
    gateway: Attachment,
    f: Node,
}

impl Single {
    fn new(limits: impl FnOnce(&mut Limits)) -> Self {
        let mut draft = Draft::new();
        let gateway = draft.gateway(&["out"]);
        let f = draft.function("f", &["out", "error"]);
        draft.edge((gateway, "out"), f);
        draft.edge((f, "out"), gateway);
        draft.edge((f, "error"), gateway);
        limits(draft.limits(f));
        let mut monitor = draft.define();
        let gateway = monitor.attach(gateway, 0);
        Self { monitor, gateway, f }
    }

    fn request(&mut self, trace: &TraceParent, body: &[u8]) {
        send(&mut self.gateway, 0, &record(7), &plain(trace, body)).unwrap();
    }

    fn spans(&self) -> Vec<Span> {
        self.monitor.reader(self.f, 0).spans_since(0).spans
    }
}

#[test]
fn each_attempt_finds_itself_as_the_parent_and_the_one_that_succeeds_is_handed_on() {
    for sampled in [true, false] {
        let mut chain = Single::new(|limits| limits.retry_attempts = 3);
        let seen = RefCell::new(Vec::new());
        let mut runner = Runner::new(
            |mut input: Input<'_>, output: &mut Output<'_>| {
                seen.borrow_mut().push(read(input.header(TRACEPARENT)));
                assert_eq!(input.header("tracestate"), Some("vendor=1"));
                if input.attempt() < 3 {
                    return Err(Failure::retry("not yet"));
                }
                output.send(input.bytes()?)
            },
            chain.monitor.attach(chain.f, 0),
        );
        let came = came(5, sampled);
        chain.request(&came, b"twelve bytes");
        runner.serve_until(|| seen.borrow().len() == 3);
        let ids = [1, 2, 3].map(|attempt| SpanId::of_run(came.parent, 7, 1, attempt));
        let expected = ids.map(|parent| TraceParent { parent, ..came });
        assert_eq!(*seen.borrow(), expected);
        assert_eq!(
            answer(&mut chain.gateway),
            (b"twelve bytes".to_vec(), expected[2])
        );

        let spans = chain.spans();
        if !sampled {
            assert_eq!(spans, [], "nobody records this trace");
            continue;
        }
        let told = |span: &Span| {
            (
                span.kind,
                span.id,
                span.parent,
                span.run.attempt,
                span.run.outcome,
            )
        };
        let expected = [
            (1, Outcome::Retried),
            (2, Outcome::Retried),
            (3, Outcome::Succeeded),
        ];
        let expected = expected.map(|(attempt, outcome)| {
            let id = SpanId::of_run(came.parent, 7, 1, attempt);
            (SpanKind::Run, id, came.parent, attempt, outcome)
        });
        assert_eq!(spans.iter().map(told).collect::<Vec<_>>(), expected);
        for span in &spans {
            assert!(span.run.seen_ns <= span.started_ns && span.started_ns <= span.ended_ns);
            assert_eq!(
                (span.run.invocation, span.run.inbound, span.run.in_bytes),
                (7, 0, 12)
            );
            assert_eq!(span.run.seen_ns, spans[0].run.seen_ns, "the record came once");
        }
        assert_eq!((spans[0].run.out_bytes, spans[2].run.out_bytes), (0, 12));
        assert_eq!((spans[2].run.queued_ns, spans[2].run.hand_over_ns), (0, 0));
        assert!(spans[2].run.open_ns > 0, "it was opened again");
    }
}

#[test]
fn bytes_of_a_run_are_those_of_its_bodies_whatever_its_headers_and_however_often_it_is_tried() {
    const BODY_BYTES: usize = 2 * SEGMENT_BYTES + 5;
    let mut chain = Single::new(|limits| limits.retry_attempts = 3);
    let mut runner = Runner::new(
        |mut input: Input<'_>, output: &mut Output<'_>| {
            let mut out = output.out()?;
            out.set_header("x-long", &"h".repeat(300))?;
            match input.attempt() {
                // Nothing leaves of what it reads.
                1 => input.bytes()?,
                // Some of it leaves before the attempt fails.
                2 => {
                    out.stream().append(&input.bytes()?[..SEGMENT_BYTES + 1])?;
                    &[]
                }
                _ => return out.append(input.bytes()?),
            };
            Err(Failure::retry("not yet"))
        },
        chain.monitor.attach(chain.f, 0),
    );
    chain.request(&came(5, true), &[7; BODY_BYTES]);
    runner.serve_until(|| chain.spans().len() == 3);
    let bytes: Vec<_> = chain
        .spans()
        .iter()
        .map(|span| (span.run.in_bytes, span.run.out_bytes))
        .collect();
    let (body, segment) = (BODY_BYTES as u64, SEGMENT_BYTES as u64);
    assert_eq!(bytes[2], (body, body), "{bytes:?}");
    assert_eq!((bytes[0], bytes[1].0), ((body, 0), body), "{bytes:?}");
    // A segment, of which a part are headers: some 300 bytes are the handler's.
    assert!((segment - 1024..segment - 300).contains(&bytes[1].1), "{bytes:?}");
}

#[test]
fn what_is_given_up_follows_the_run_that_failed() {
    let mut chain = Single::new(|limits| limits.retry_attempts = 2);
    let mut runner = Runner::new(
        |_: Input<'_>, _: &mut Output<'_>| Err(Failure::retry("never")),
        chain.monitor.attach(chain.f, 0),
    );
    let came = came(5, true);
    chain.request(&came, b"lost");
    runner.serve_until(|| chain.spans().len() == 2);
    let (body, trace) = answer(&mut chain.gateway);
    assert_eq!(body, b"lost");
    assert_eq!(trace.parent, SpanId::of_run(came.parent, 7, 1, 2));
    assert_eq!(chain.spans()[1].run.outcome, Outcome::Failed);
}

#[test]
fn a_run_that_ended_its_process_is_told_by_the_next_one() {
    let mut chain = Single::new(|limits| limits.retry_attempts = 2);
    let came = came(5, true);
    chain.request(&came, b"deadly");
    drop(chain.monitor.attach(chain.f, 0));
    let page = chain.monitor.page(chain.f, 0);
    page.set_word(page_word::RUNNING_ATTEMPT, 1);
    page.set_word(page_word::RUNNING_AT, 0);
    page.set_word(page_word::RUNNING_INBOUND, 1);
    page.set_word(page_word::BUSY_SINCE, 1);
    chain.monitor.ended(chain.f, 0, End::Ended);
    let mut second = Runner::new(
        |mut input: Input<'_>, output: &mut Output<'_>| output.send(input.bytes()?),
        chain.monitor.attach(chain.f, 0),
    );
    second.serve_until(|| chain.spans().len() == 2);
    let told = |span: &Span| (span.id, span.run.attempt, span.run.outcome);
    let id = |attempt| SpanId::of_run(came.parent, 7, 1, attempt);
    assert_eq!(
        chain.spans().iter().map(told).collect::<Vec<_>>(),
        [(id(1), 1, Outcome::Retried), (id(2), 2, Outcome::Succeeded)]
    );
}

#[test]
fn all_parts_of_a_join_name_its_run_and_each_arrival_is_told() {
    let mut draft = Draft::new();
    let gateway = draft.gateway(&["out"]);
    let (left, right) = (
        draft.function("left", &["out"]),
        draft.function("right", &["out"]),
    );
    let j = draft.function("j", &["out"]);
    draft.edge((gateway, "out"), left);
    draft.edge((gateway, "out"), right);
    draft.join(&[(left, "out"), (right, "out")], j);
    draft.edge((j, "out"), gateway);
    let mut monitor = draft.define();
    let mut gateway = monitor.attach(gateway, 0);
    let (mut left, mut right) = (monitor.attach(left, 0), monitor.attach(right, 0));
    let seen = RefCell::new(Vec::new());
    let mut runner = Runner::new(
        |input: Input<'_>, output: &mut Output<'_>| {
            let parts = input.parts().iter().map(|part| read(part.header(TRACEPARENT)));
            seen.borrow_mut().extend(parts);
            assert_eq!(read(input.header(TRACEPARENT)), seen.borrow()[0]);
            output.send(b"joined")
        },
        monitor.attach(j, 0),
    );
    let (from_left, from_right) = (came(5, true), came(6, true));
    // The second part comes first.
    send(&mut right, 0, &record(7), &plain(&from_right, b"right")).unwrap();
    runner.settle();
    send(&mut left, 0, &record(7), &plain(&from_left, b"left")).unwrap();
    runner.settle();
    let run = SpanId::of_run(from_left.parent, 7, 3, 1);
    let renewed = TraceParent {
        parent: run,
        ..from_left
    };
    assert_eq!(*seen.borrow(), [renewed, renewed]);
    assert_eq!(answer(&mut gateway), (b"joined".to_vec(), renewed));

    let spans = monitor.reader(j, 0).spans_since(0).spans;
    let told = |span: &Span| {
        (
            span.kind,
            span.id,
            span.parent,
            span.run.inbound,
            span.run.in_bytes,
        )
    };
    let [left_hop, right_hop] =
        [(from_left, 0), (from_right, 1)].map(|(came, inbound)| SpanId::of_hop(came.parent, 7, 3, inbound));
    assert_eq!(
        spans.iter().map(told).collect::<Vec<_>>(),
        [
            (SpanKind::Arrival, right_hop, from_right.parent, 1, 5),
            (SpanKind::Arrival, left_hop, from_left.parent, 0, 4),
            (SpanKind::JoinedRun, run, from_left.parent, 0, 9),
        ]
    );
}
