//! Records that end processes: what their replacements run meanwhile, how often they try, and what they say
//! of the cause.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

mod topology;

use hacher_in_process::{Draft, Limits, Monitor, Node, Runner};
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::clock;
use hacher_libos_net::end::End;
use hacher_libos_net::fault::{Cause, KeptBack, limit};
use hacher_libos_net::headers;
use hacher_libos_net::layout::{cursor_word, page_word};
use hacher_libos_net::telemetry::Counter;
use hacher_libos_net::{Failure, Input, Output};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;
use topology::{Answers, answers, record, send, with_headers};

/// `ingress -> f -> egress`, with an `error` port if that is asked for.
struct Chain {
    monitor: Monitor,
    gateway: Attachment,
    f: Node,
}

const SIGABRT: u32 = 6;

impl Chain {
    fn new(ports: &[&str], limits: impl FnOnce(&mut Limits)) -> Self {
        Self::with_gateway(4 << 20, ports, limits)
    }

    fn with_gateway(outbox_bytes: u64, ports: &[&str], limits: impl FnOnce(&mut Limits)) -> Self {
        let mut draft = Draft::new();
        let gateway_node = draft.gateway(&["out"]);
        let f = draft.function("f", ports);
        draft.edge((gateway_node, "out"), f);
        for port in ports {
            draft.edge((f, *port), gateway_node);
        }
        limits(draft.limits(f));
        draft.limits(gateway_node).outbox_bytes = outbox_bytes;
        let mut monitor = draft.define();
        let gateway = monitor.attach(gateway_node, 0);
        Self { monitor, gateway, f }
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

    /// Makes the page look as a process leaves it that dies on the record at `position` of ring 0.
    fn die_on(&mut self, position: u64, attempt: u64, end: End) {
        let page = self.monitor.page(self.f, 0);
        page.set_word(page_word::RUNNING_ATTEMPT, attempt);
        page.set_word(page_word::RUNNING_AT, position);
        page.set_word(page_word::RUNNING_INBOUND, 1);
        self.monitor.ended(self.f, 0, end);
    }

    fn released(&self) -> u64 {
        let at = self.monitor.page_layout(self.f, 0).cursor_at(0).unwrap();
        self.monitor.page(self.f, 0).word(at + cursor_word::RELEASED)
    }
}

thread_local! {
    /// Attempts that ran, by request.
    static RAN: RefCell<BTreeMap<u128, Vec<u32>>> = const { RefCell::new(BTreeMap::new()) };
}

fn note(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let (request, attempt) = (input.invocation().as_u128(), input.attempt());
    RAN.with_borrow_mut(|ran| ran.entry(request).or_default().push(attempt));
    output.send(input.bytes()?)
}

fn ran(request: u128) -> Vec<u32> {
    RAN.with_borrow(|ran| ran.get(&request).cloned().unwrap_or_default())
}

#[test]
fn other_records_go_on_at_once_while_a_deadly_one_waits_for_its_next_attempt() {
    let mut chain = Chain::new(&["out"], |limits| {
        limits.retry_attempts = 3;
        limits.retry_backoff = Duration::from_millis(500);
    });
    for request in 0..5 {
        chain.request(request, b"x");
    }
    drop(chain.monitor.attach(chain.f, 0));
    chain.die_on(1, 1, End::Signalled(SIGABRT));
    let mut second = chain.start(note);
    second.settle();
    let done: Vec<u128> = chain.answers().bodies.iter().map(|(id, _)| *id).collect();
    assert_eq!(done, [0, 2, 3, 4], "all but the deadly one");
    assert_eq!(chain.released(), 1, "it is held");
    second.serve_until(|| !ran(1).is_empty());
    assert_eq!(ran(1), [2]);
    assert_eq!(chain.released(), 5);
}

#[test]
fn attempts_are_counted_though_other_records_end_processes_in_between() {
    let mut chain = Chain::new(&["out"], |limits| limits.retry_attempts = 3);
    for request in 0..4 {
        chain.request(request, b"x");
    }
    drop(chain.monitor.attach(chain.f, 0));
    // Each of 1 and 2 ends three processes, in turns.
    for attempt in 1..=3 {
        for position in [1, 2] {
            chain.die_on(position, attempt, End::Signalled(SIGABRT));
            drop(chain.start(note));
        }
    }
    let mut last = chain.start(note);
    last.settle();
    let got = chain.answers();
    assert_eq!(
        got.bodies.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [0, 3],
        "the others run"
    );
    let told: Vec<_> = got
        .notices
        .iter()
        .map(|(id, notice)| (*id, notice.attempts, notice.cause, notice.code))
        .collect();
    assert_eq!(
        told,
        [
            (1, 3, Cause::Signalled, SIGABRT),
            (2, 3, Cause::Signalled, SIGABRT)
        ]
    );
    assert_eq!((ran(1), ran(2)), (vec![], vec![]));
    assert_eq!(chain.released(), 4);
    // And they are forgotten: what comes to the same places of the ring is not taken for them.
    drop(last);
    let mut next = chain.start(note);
    for request in 10..10 + 256 {
        chain.request(request, b"x");
        next.settle();
        assert_eq!(chain.answers().bodies.len(), 1);
    }
}

#[test]
fn what_was_answered_before_an_older_record_was_done_does_not_run_again() {
    let mut chain = Chain::new(&["out"], |limits| {
        limits.retry_attempts = 3;
        limits.retry_backoff = Duration::from_secs(10);
    });
    for request in 0..8 {
        chain.request(request, b"x");
    }
    drop(chain.monitor.attach(chain.f, 0));
    chain.die_on(2, 1, End::Signalled(SIGABRT));
    drop({
        let mut second = chain.start(note);
        second.settle();
        second
    });
    assert_eq!(chain.released(), 2);
    chain.request(8, b"deadly");
    chain.request(9, b"x");
    chain.die_on(8, 1, End::Exited(3));
    let mut third = chain.start(note);
    third.settle();
    assert_eq!(chain.answers().bodies.len(), 8);
    for request in [0, 1, 3, 4, 5, 6, 7, 9] {
        assert_eq!(ran(request), [1], "request {request}");
    }
    assert_eq!((ran(2), ran(8)), (vec![], vec![]));
    assert_eq!(chain.monitor.reader(chain.f, 0).counter(Counter::Retried), 3);
}

#[test]
fn places_that_were_done_once_are_run_when_they_come_again() {
    let mut chain = Chain::new(&["out"], |limits| {
        limits.retry_attempts = 2;
        limits.retry_backoff = Duration::from_millis(1);
    });
    let mut count = 0;
    // More records than the window of places, with a death here and there.
    for round in 0..40_u64 {
        let base = round * 50;
        for request in 0..50 {
            chain.request(u128::from(base + request), b"x");
        }
        if round == 0 {
            drop(chain.monitor.attach(chain.f, 0));
        }
        chain.die_on(base + round, 1, End::Signalled(SIGABRT));
        let mut next = chain.start(note);
        next.serve_until(|| chain.released() == base + 50);
        count += chain.answers().bodies.len();
    }
    assert_eq!(count, 2000);
    for request in 0..2000_u64 {
        let attempt = if request % 50 == request / 50 { 2 } else { 1 };
        assert_eq!(ran(u128::from(request)), [attempt], "request {request}");
    }
}

#[test]
fn the_cause_is_what_the_process_ended_by_and_not_how_long_ago_it_began() {
    for (end, words, cause, code) in [
        (End::Exited(3), 0, Cause::Exited, 3),
        (End::Signalled(6), 0, Cause::Signalled, 6),
        (End::Signalled(11), 0, Cause::Signalled, 11),
        // The first process of a pid namespace.
        (End::Signalled(11), 1, Cause::Signalled, 6),
        (End::Signalled(11), 2, Cause::Panicked, 0),
        (End::Signalled(6), 3, Cause::OutOfMemory, 0),
        (End::Signalled(11), 4, Cause::StackOverflow, 0),
        (End::Signalled(6), 5, Cause::LimitReached, limit::THREADS),
        (End::Signalled(6), 6, Cause::LimitReached, limit::DESCRIPTORS),
        (End::Signalled(6), u64::MAX, Cause::Signalled, 6),
        (End::Signalled(9), 3, Cause::Signalled, 9),
        (End::Overran, 0, Cause::TimedOut, 0),
        (End::Ended, 0, Cause::Died, 0),
    ] {
        let mut chain = Chain::new(&["out"], |limits| limits.retry_attempts = 2);
        chain.request(1, b"deadly");
        drop(chain.monitor.attach(chain.f, 0));
        chain.die_on(0, 2, end);
        let page = chain.monitor.page(chain.f, 0);
        page.set_word(page_word::LAST_WORDS, words);
        // As long ago as can be: it has nothing to do with the cause.
        page.set_word(page_word::BUSY_SINCE, 1);
        let mut last = chain.start(note);
        last.settle();
        let got = chain.answers();
        let [(1, notice)] = got.notices.as_slice() else {
            panic!("one notice, not {got:?}")
        };
        assert_eq!(
            (notice.cause, notice.code, notice.attempts),
            (cause, code, 2),
            "{end:?}"
        );
    }
}

#[test]
fn a_run_that_nobody_waited_for_is_no_attempt() {
    let mut chain = Chain::new(&["out"], |limits| limits.retry_attempts = 1);
    chain.request(1, b"x");
    drop(chain.monitor.attach(chain.f, 0));
    chain.die_on(0, 1, End::Unwanted);
    let mut next = chain.start(note);
    next.settle();
    assert_eq!((ran(1), chain.answers().bodies.len()), (vec![1], 1));
}

#[test]
fn giving_up_never_ends_processes_without_end() {
    // Passing the record on to the `error` port has ended the process, say for lack of memory; then telling
    // the gateway.
    for (stage, notices) in [(1, 1), (2, 0)] {
        let mut chain = Chain::new(&["out", "error"], |limits| limits.retry_attempts = 1);
        chain.request(1, b"deadly");
        drop(chain.monitor.attach(chain.f, 0));
        chain.die_on(0, 1, End::Signalled(SIGABRT));
        chain
            .monitor
            .page(chain.f, 0)
            .set_word(page_word::RUNNING_STAGE, stage);
        let mut next = chain.start(note);
        next.settle();
        let got = chain.answers();
        assert_eq!((got.bodies.len(), got.notices.len()), (0, notices));
        if let [(1, notice)] = got.notices.as_slice() {
            assert_eq!(notice.kept_back, Some(KeptBack::Fatal));
        }
        assert_eq!(chain.released(), 1);
    }
}

#[test]
fn whatever_a_predecessor_left_in_the_tables_stops_nothing() {
    for word in [u64::MAX, u64::MAX - 3, 1 << 63, (1 << 40) + 7, 3, 1] {
        let mut chain = Chain::new(&["out"], |limits| limits.retry_attempts = 2);
        drop(chain.monitor.attach(chain.f, 0));
        chain.request(1, b"x");
        let (page, layout) = (
            chain.monitor.page(chain.f, 0),
            chain.monitor.page_layout(chain.f, 0),
        );
        for at in (layout.suspect_at(0)..layout.done_at(0)).step_by(8) {
            page.set_word(at, word);
        }
        chain.die_on(0, word, End::Signalled(SIGABRT));
        let mut next = chain.start(note);
        next.settle();
        chain.request(2, b"y");
        next.serve_until(|| chain.released() == 2);
        // Of records in its own rings it may say what it likes, of others it cannot.
        chain.request(3, b"z");
        next.settle();
        assert_eq!(chain.answers().bodies.last().map(|(id, _)| *id), Some(3));
    }
}

#[test]
fn the_reader_of_a_page_believes_nothing_and_stops_at_nothing() {
    for word in [u64::MAX, u64::MAX - 300, 1 << 63, 300, 1] {
        let chain = Chain::new(&["out"], |_| {});
        let (page, layout) = (
            chain.monitor.page(chain.f, 0),
            chain.monitor.page_layout(chain.f, 0),
        );
        for at in (0..layout.len_bytes()).step_by(8) {
            page.set_word(at, word);
        }
        let reader = chain.monitor.reader(chain.f, 0);
        let _ = (reader.traces(), reader.running(), reader.last_words());
        let _ = (
            reader.holds_record(),
            reader.is_closed(u64::MAX),
            reader.in_flight(),
        );
        let running = reader.running().unwrap();
        let _ = clock::now().saturating_duration_since(running.deadline);
    }
}

/// The headers and the body of what came out of the `error` port.
fn failed_record(chain: &mut Chain, plain: &[u8]) -> Result<Vec<u8>, Box<hacher_libos_net::fault::Notice>> {
    let mut runner = chain.start(|mut input: Input<'_>, _: &mut Output<'_>| {
        input.bytes()?;
        Err(Failure::permanent("not a photograph"))
    });
    send(&mut chain.gateway, 0, &record(1), plain).unwrap();
    runner.settle();
    let mut taken = topology::Taken::default();
    taken.take(&mut chain.gateway, true);
    let (_, _, got) = taken.whole.pop().expect("an answer");
    match hacher_libos_net::fault::Notice::decode(headers::split(&got).unwrap().1) {
        Some(notice) => Err(Box::new(notice)),
        None => Ok(got),
    }
}

#[test]
fn the_error_port_gets_a_record_whatever_headers_it_has() {
    let mut plain = vec![0, 0];
    let longest = headers::HEADERS_MAX_BYTES - 3 - "baggage".len();
    headers::set(&mut plain, "baggage", &"b".repeat(longest)).unwrap();
    plain.extend_from_slice(b"body");
    let mut chain = Chain::new(&["out", "error"], |_| {});
    let got = failed_record(&mut chain, &plain).expect("the record");
    let (encoded, body) = headers::split(&got).unwrap();
    assert_eq!(body, b"body");
    assert_eq!(headers::find(encoded, "baggage").map(str::len), Some(longest));
    assert_eq!(headers::find(encoded, "hacher-error-function"), Some("f"));
    assert_eq!(headers::find(encoded, "hacher-error-cause"), Some("failed"));
    assert_eq!(
        headers::find(encoded, "hacher-error-reason"),
        Some("not a photograph")
    );
    assert_eq!(headers::find(encoded, "hacher-error-attempts"), Some("1"));
}

#[test]
fn the_error_port_gets_a_record_as_large_as_the_outbox() {
    for (outbox_bytes, is_explained) in [(1 << 20, true), (16 << 20, false)] {
        let mut chain = Chain::with_gateway(outbox_bytes, &["out", "error"], |limits| {
            limits.outbox_bytes = outbox_bytes;
        });
        let plain = with_headers(&vec![7; usize::try_from(outbox_bytes).unwrap() - 2]);
        let got = failed_record(&mut chain, &plain).expect("the record");
        let (encoded, body) = headers::split(&got).unwrap();
        assert_eq!(body.len(), plain.len() - 2);
        // Where one more segment does not fit, the record goes without an explanation.
        let explained = headers::find(encoded, "hacher-error-cause").is_some();
        assert_eq!(explained, is_explained);
    }
}

#[test]
fn what_cannot_leave_by_the_error_port_is_told_with_both_sizes() {
    let mut chain = Chain::new(&["out", "error"], |limits| limits.outbox_bytes = 1 << 20);
    let plain = with_headers(&vec![7; 2 << 20]);
    let notice = failed_record(&mut chain, &plain).expect_err("it does not fit");
    assert_eq!(
        (notice.cause, notice.kept_back),
        (Cause::Failed, Some(KeptBack::TooLarge))
    );
    assert_eq!(notice.sizes_bytes, Some(((2 << 20) + 2, 1 << 20)));
    assert_eq!(notice.reason, "not a photograph");
}
