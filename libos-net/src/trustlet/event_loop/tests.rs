//! A function between a gateway's two ends, in one process, with a clock that is set: what it waits for comes
//! when the test says so, and nothing here sleeps.

use super::*;
use crate::fault::notice::Notice;
use crate::sdk::part::Part;
use core::cell::{Cell, RefCell};
use hacher_data_path::fault::cause::Cause;
use hacher_data_path::fault::end::End;
use hacher_data_path::inlet::Step;
use hacher_data_path::machine::clock::Clock;
use hacher_data_path::page::reader::PageReader;
use hacher_data_path::page::telemetry::Phase;
use hacher_data_path::record::invocation::InvocationId;
use hacher_data_path::seal::RecordContext;
use hacher_data_path::simulated::chain::{Chain, Way};

const GATEWAY: usize = 0;
const FUNCTION: usize = 1;
const MS_NS: u64 = 1_000_000;

/// A gateway, and what its function says to it.
struct Gateway {
    chain: Chain,
    place: Place,
}

impl Gateway {
    fn new(change: impl FnOnce(&mut Chain)) -> Self {
        Self::asking_over(&[Way::sealed(GATEWAY, FUNCTION)], change)
    }

    /// One whose function is asked over these edges.
    fn asking_over(asking: &[Way], change: impl FnOnce(&mut Chain)) -> Self {
        let faults = Way {
            streams: false,
            port: "fault",
            fault: true,
            ..Way::sealed(FUNCTION, GATEWAY)
        };
        let answering = [Way::sealed(FUNCTION, GATEWAY), faults];
        let mut chain = Chain::new(&[asking, &answering].concat());
        chain.set_gateway(GATEWAY);
        change(&mut chain);
        let place = chain.attach(GATEWAY).unwrap();
        Self { chain, place }
    }

    /// One whose function is asked over an edge of whole records, and over one that it reads as a stream, and
    /// tries each record twice.
    fn beside_a_stream() -> Self {
        let stream = Way {
            port: "stream",
            streams: true,
            ..Way::sealed(GATEWAY, FUNCTION)
        };
        Self::asking_over(&[Way::sealed(GATEWAY, FUNCTION), stream], |chain| {
            let limits = chain.limits_mut();
            (limits.retry_attempts, limits.retry_backoff_ns) = (2, 10 * MS_NS);
            limits.retry_max_ns = 10 * MS_NS;
        })
    }

    fn trustlet<H>(&mut self, handler: H) -> Trustlet<H>
    where
        H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
    {
        Trustlet::new(handler, self.chain.attach(FUNCTION).unwrap(), Vec::new())
    }

    fn now(&self) -> Monotonic {
        self.chain.clock().now()
    }

    /// Asks, for so long.
    fn ask(&mut self, count: u128, body: &[u8], deadline_ns: u64) {
        self.ask_over(0, count, body, deadline_ns);
    }

    /// Asks over the edge at this place.
    fn ask_over(&mut self, port: usize, count: u128, body: &[u8], deadline_ns: u64) {
        // No headers.
        self.send(port, count, &[&[0, 0], body].concat(), deadline_ns, true);
    }

    /// Sends a segment over the edge at this place.
    fn send(&mut self, port: usize, count: u128, plain: &[u8], deadline_ns: u64, last: bool) {
        let record = RecordContext {
            invocation: InvocationId::new(count),
            deadline: self.now().after(Duration::from_nanos(deadline_ns)),
            attempt: 1,
        };
        let Place { own, sender, .. } = &mut self.place;
        sender.send(own, port, &record, plain, last).unwrap();
    }

    /// What has come over ring `ring`, which stays held.
    fn take(&mut self, ring: usize) -> Option<Part> {
        let upstream = *self.place.receiver.upstream(ring).unwrap();
        let mut part = Part::new(upstream.function, upstream.port);
        let Place { own, receiver, .. } = &mut self.place;
        match receiver.step(own, ring, part.plain_mut()) {
            Step::Opened(opened) => {
                assert!(opened.descriptor.last);
                part.parse_headers().unwrap();
                Some(part)
            }
            _ => None,
        }
    }

    fn answer(&mut self) -> Option<Vec<u8>> {
        self.take(0).map(|part| part.bytes().to_vec())
    }

    fn notice(&mut self) -> Option<(Cause, u32)> {
        let part = self.take(1)?;
        let notice = Notice::decode(part.bytes()).unwrap();
        Some((notice.cause, notice.attempts))
    }

    fn page(&self) -> PageReader {
        let (page, layout) = self.chain.page(FUNCTION);
        PageReader::new(page, layout)
    }

    fn counter(&self, counter: Counter) -> u64 {
        self.page().counter(counter)
    }

    /// Makes the page look as a process leaves it that ends in its handler, in the first attempt at the first
    /// record.
    fn die<H>(&mut self, trustlet: Trustlet<H>) {
        let own = &trustlet.place.own;
        own.store(page_word::RUNNING_ATTEMPT, 1);
        own.store(page_word::RUNNING_AT, 0);
        own.store(page_word::RUNNING_INBOUND, 1);
        drop(trustlet);
        self.chain.set_last_end(FUNCTION, End::Signalled(9));
    }
}

/// Does all that can be done without a wait.
fn settle<H>(trustlet: &mut Trustlet<H>)
where
    H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    while trustlet.turn() {}
}

fn echo(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    output.send(input.bytes()?)
}

#[test]
fn a_function_answers_and_what_it_took_is_what_the_clock_says() {
    let mut gateway = Gateway::new(|_| ());
    let clock = gateway.chain.clock().clone();
    let mut trustlet = gateway.trustlet(move |input: Input<'_>, output: &mut Output<'_>| {
        clock.pass_ns(7 * MS_NS);
        echo(input, output)
    });
    gateway.ask(1, b"hello", 1000 * MS_NS);
    gateway.chain.clock().pass_ns(3 * MS_NS);
    settle(&mut trustlet);
    assert_eq!(gateway.answer().as_deref(), Some(&b"hello"[..]));
    let trace = gateway.page().traces()[0];
    assert_eq!((trace.queued_ns, trace.hand_over_ns), (0, 3 * MS_NS));
    assert_eq!(trace.run_ns, 7 * MS_NS);
    assert_eq!(gateway.chain.bell(FUNCTION).slept(), 0);
}

#[test]
fn a_failed_run_is_tried_again_when_it_is_due_and_others_run_meanwhile() {
    let mut gateway = Gateway::new(|chain| {
        let limits = chain.limits_mut();
        (limits.retry_attempts, limits.retry_backoff_ns) = (3, 10 * MS_NS);
        (limits.retry_factor_milli, limits.retry_max_ns) = (2000, 1000 * MS_NS);
    });
    let (runs, clock) = (RefCell::new(Vec::new()), gateway.chain.clock().clone());
    let start = gateway.now();
    let handler = |mut input: Input<'_>, output: &mut Output<'_>| {
        let body = input.bytes()?.to_vec();
        let after_ms = clock.now().ns_since(start) / MS_NS;
        runs.borrow_mut().push((body[0], input.attempt(), after_ms));
        if body == b"a" && input.attempt() < 3 {
            return Err(Failure::retry("not yet"));
        }
        output.send(&body)
    };
    let mut trustlet = gateway.trustlet(handler);
    gateway.ask(1, b"a", 1000 * MS_NS);
    settle(&mut trustlet);
    gateway.ask(2, b"b", 1000 * MS_NS);
    settle(&mut trustlet);
    assert_eq!(gateway.answer().as_deref(), Some(&b"b"[..]));
    assert!(gateway.answer().is_none());
    for _ in 0..2 {
        trustlet.rest();
        settle(&mut trustlet);
    }
    assert_eq!(gateway.answer().as_deref(), Some(&b"a"[..]));
    let expected = [(b'a', 1, 0), (b'b', 1, 0), (b'a', 2, 10), (b'a', 3, 30)];
    assert_eq!(*runs.borrow(), expected);
    assert_eq!(gateway.chain.bell(FUNCTION).slept_for_good(), 0);
}

#[test]
fn a_retry_holds_up_others_only_where_a_stream_is_to_be_tried_again() {
    const WHOLE: usize = 0;
    const STREAM: usize = 1;
    for (failing, expected) in [(WHOLE, "fails, other, fails"), (STREAM, "fails, fails, other")] {
        let mut gateway = Gateway::beside_a_stream();
        let runs = RefCell::new(Vec::new());
        let mut trustlet = gateway.trustlet(|mut input: Input<'_>, output: &mut Output<'_>| {
            if input.attempt() == 1 && runs.borrow().is_empty() {
                runs.borrow_mut().push("fails".to_owned());
                return Err(Failure::retry("not yet"));
            }
            let body = input.bytes()?;
            runs.borrow_mut().push(String::from_utf8_lossy(body).into_owned());
            output.send(body)
        });
        gateway.ask_over(failing, 1, b"fails", 1000 * MS_NS);
        settle(&mut trustlet);
        gateway.ask_over(WHOLE + STREAM - failing, 2, b"other", 1000 * MS_NS);
        settle(&mut trustlet);
        trustlet.rest();
        settle(&mut trustlet);
        assert_eq!(runs.borrow().join(", "), expected);
    }
}

#[test]
fn after_its_last_attempt_a_record_is_given_up_and_the_gateway_told() {
    let mut gateway = Gateway::new(|chain| chain.limits_mut().retry_attempts = 2);
    let mut trustlet = gateway.trustlet(|_: Input<'_>, _: &mut Output<'_>| Err(Failure::retry("never")));
    gateway.ask(1, b"a", 1000 * MS_NS);
    settle(&mut trustlet);
    trustlet.rest();
    settle(&mut trustlet);
    assert_eq!(gateway.notice(), Some((Cause::Failed, 2)));
    assert!(gateway.answer().is_none());
    assert_eq!(trustlet.next_timer(), None);
}

#[test]
fn a_retry_that_would_come_after_the_deadline_is_none() {
    let mut gateway = Gateway::new(|chain| {
        let limits = chain.limits_mut();
        (limits.retry_attempts, limits.retry_backoff_ns) = (9, 10 * MS_NS);
        limits.retry_max_ns = 10 * MS_NS;
    });
    let mut trustlet = gateway.trustlet(|_: Input<'_>, _: &mut Output<'_>| Err(Failure::retry("later")));
    gateway.ask(1, b"a", 5 * MS_NS);
    settle(&mut trustlet);
    assert_eq!(gateway.notice(), Some((Cause::Failed, 1)));
}

#[test]
fn what_comes_after_its_deadline_is_not_run() {
    let mut gateway = Gateway::new(|_| ());
    let runs = Cell::new(0);
    let mut trustlet = gateway.trustlet(|input: Input<'_>, output: &mut Output<'_>| {
        runs.set(runs.get() + 1);
        echo(input, output)
    });
    gateway.ask(1, b"late", 5 * MS_NS);
    gateway.chain.clock().pass_ns(5 * MS_NS);
    settle(&mut trustlet);
    gateway.ask(2, b"in time", 5 * MS_NS);
    gateway.chain.clock().pass_ns(5 * MS_NS - 1);
    settle(&mut trustlet);
    assert_eq!((runs.get(), gateway.counter(Counter::Expired)), (1, 1));
    assert_eq!(gateway.answer().as_deref(), Some(&b"in time"[..]));
}

#[test]
fn a_handler_sees_the_time_that_is_left_shrink() {
    let mut gateway = Gateway::new(|_| ());
    let clock = gateway.chain.clock().clone();
    let mut trustlet = gateway.trustlet(move |mut input: Input<'_>, output: &mut Output<'_>| {
        let before = input.remaining();
        clock.pass_ns(4 * MS_NS);
        assert_eq!(before - input.remaining(), Duration::from_millis(4));
        clock.pass_ns(1000 * MS_NS);
        assert_eq!(input.remaining(), Duration::ZERO);
        output.send(input.bytes()?)
    });
    gateway.ask(1, b"a", 100 * MS_NS);
    settle(&mut trustlet);
    assert_eq!(gateway.counter(Counter::Succeeded), 1);
}

#[test]
fn an_output_that_finds_no_room_waits_for_its_deadline_and_no_longer() {
    let mut gateway = Gateway::new(|_| ());
    let large = vec![1; 60_000];
    let mut trustlet = gateway.trustlet(move |_: Input<'_>, output: &mut Output<'_>| output.send(&large));
    let mut asked = 0;
    while gateway.counter(Counter::Waited) == 0 {
        asked += 1;
        gateway.ask(asked, b"a", 50 * MS_NS);
        settle(&mut trustlet);
    }
    // All at one time but for the last one, which has waited.
    let waited_ns = gateway.now().ns_since(Monotonic::from_ns(0));
    assert!((50 * MS_NS..51 * MS_NS).contains(&waited_ns), "{waited_ns} ns");
    assert_eq!(gateway.notice(), Some((Cause::Backlogged, 1)));
    assert_eq!(
        gateway.counter(Counter::Succeeded),
        u64::try_from(asked - 1).unwrap()
    );
}

#[test]
fn a_record_that_ended_a_process_is_tried_again_when_its_wait_is_over() {
    let mut gateway = Gateway::new(|chain| {
        let limits = chain.limits_mut();
        (limits.retry_attempts, limits.retry_backoff_ns) = (2, 10 * MS_NS);
        limits.retry_max_ns = 10 * MS_NS;
    });
    gateway.ask(1, b"a", 1000 * MS_NS);
    let before = gateway.trustlet(echo);
    gateway.die(before);
    let attempts = Cell::new(0);
    let mut trustlet = gateway.trustlet(|input: Input<'_>, output: &mut Output<'_>| {
        attempts.set(input.attempt());
        echo(input, output)
    });
    let start = gateway.now();
    settle(&mut trustlet);
    assert_eq!(attempts.get(), 0, "it waits");
    trustlet.rest();
    settle(&mut trustlet);
    assert_eq!(attempts.get(), 2);
    let waited_ns = gateway.now().ns_since(start);
    assert!(waited_ns <= 10 * MS_NS && waited_ns > 9 * MS_NS, "{waited_ns} ns");
    assert_eq!(gateway.answer().as_deref(), Some(&b"a"[..]));
    let traces = gateway.page().traces();
    let causes: Vec<_> = traces.iter().map(|trace| trace.cause).collect();
    assert_eq!(causes, [Some((Cause::Signalled, 9)), None]);
}

/// How often, and for how long, a record of the function's first ring lay there and was handed over.
fn arrivals(gateway: &Gateway) -> [(u64, u64); 2] {
    [Phase::Queued(0), Phase::HandOver(0)].map(|phase| {
        let histogram = gateway.page().histogram(phase).unwrap();
        (histogram.count, histogram.sum_ns)
    })
}

#[test]
fn what_a_process_had_taken_before_its_end_is_not_said_to_have_lain_there_since() {
    let mut gateway = Gateway::new(|chain| {
        let limits = chain.limits_mut();
        (limits.retry_attempts, limits.retry_backoff_ns) = (3, 10 * MS_NS);
        limits.retry_max_ns = 10 * MS_NS;
    });
    let mut first = gateway.trustlet(|_: Input<'_>, _: &mut Output<'_>| Err(Failure::retry("not yet")));
    gateway.ask(1, b"deadly", 1000 * MS_NS);
    gateway.ask(2, b"beside it", 1000 * MS_NS);
    gateway.chain.clock().pass_ns(3 * MS_NS);
    settle(&mut first);
    // Both wait for their second attempt.
    let arrived = [(2, 3 * MS_NS), (2, 3 * MS_NS)];
    assert_eq!(arrivals(&gateway), arrived);
    gateway.die(first);
    gateway.chain.clock().pass_ns(100 * MS_NS);
    let mut second = gateway.trustlet(echo);
    settle(&mut second);
    second.rest();
    settle(&mut second);
    assert_eq!(gateway.answer().as_deref(), Some(&b"beside it"[..]));
    assert_eq!(gateway.answer().as_deref(), Some(&b"deadly"[..]));
    assert_eq!(arrivals(&gateway), arrived);
    let traces = gateway.page().traces();
    let again = traces.iter().skip(2);
    assert!(
        again
            .map(|trace| trace.queued_ns + trace.hand_over_ns)
            .all(|ns| ns == 0)
    );
    // What comes to this process first lay there until it looked.
    gateway.ask(3, b"new", 1000 * MS_NS);
    gateway.chain.clock().pass_ns(MS_NS);
    second.rest();
    settle(&mut second);
    assert_eq!(arrivals(&gateway), [(3, 3 * MS_NS), (3, 4 * MS_NS)]);
}

/// How many records were sealed to the function's first port, and how long that took.
fn sealed(gateway: &Gateway) -> (u64, u64) {
    let histogram = gateway.page().histogram(Phase::Seal(0)).unwrap();
    (histogram.count, histogram.sum_ns)
}

#[test]
fn a_record_that_leaves_as_it_is_made_has_all_its_sealing_in_one_figure() {
    const STEP: usize = 50_000;
    let mut gateway = Gateway::new(|chain| chain.limits_mut().retry_attempts = 1);
    gateway.chain.clock().set_look_ns(1000);
    let mut trustlet = gateway.trustlet(|mut input: Input<'_>, output: &mut Output<'_>| {
        let breaks_off = input.bytes()? == b"breaks off";
        let mut out = output.out()?;
        out.stream();
        (0..3).try_for_each(|_| out.append(&[1; STEP]))?;
        match breaks_off {
            true => Err(Failure::permanent("half way")),
            false => Ok(()),
        }
    });
    let mut expected = (0, 0);
    for (count, body) in [(1, &b"whole"[..]), (2, b"breaks off"), (3, b"whole")] {
        gateway.ask(count, body, 1000 * MS_NS);
        settle(&mut trustlet);
        let trace = *gateway.page().traces().last().unwrap();
        assert!(trace.seal_ns > 0, "{trace:?}");
        expected = (expected.0 + 1, expected.1 + trace.seal_ns);
        assert_eq!(sealed(&gateway), expected);
    }
}

#[test]
fn the_rest_of_a_record_is_never_taken_for_another_though_the_function_reads_streams_elsewhere() {
    let mut gateway = Gateway::beside_a_stream();
    let seen = RefCell::new(Vec::new());
    let mut trustlet = gateway.trustlet(|mut input: Input<'_>, output: &mut Output<'_>| {
        seen.borrow_mut().push(input.attempt());
        if input.attempt() == 1 {
            return Err(Failure::retry("not yet"));
        }
        output.send(input.bytes()?.len().to_string().as_bytes())
    });
    let plain = vec![0; 70_000];
    let (beginning, rest) = plain.split_at(65_536);
    gateway.send(0, 1, beginning, 1000 * MS_NS, false);
    settle(&mut trustlet);
    gateway.send(0, 1, rest, 1000 * MS_NS, true);
    settle(&mut trustlet);
    assert_eq!(*seen.borrow(), [1]);
    trustlet.rest();
    settle(&mut trustlet);
    assert_eq!(*seen.borrow(), [1, 2]);
    assert_eq!(gateway.answer().as_deref(), Some(&b"69998"[..]));
}
