//! In steady state a hop of records of one segment allocates nothing (I8).
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code; a global allocator is an unsafe trait"
)]

mod topology;

use hacher_in_process::{Draft, Handler, Runner};
use hacher_libos_net::attach::Attachment;
use hacher_libos_net::inlet::Step;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use topology::{Pair, record, with_headers};

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn note() {
    // Fails only while a thread ends, and then nobody counts.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: passes every call on to the system's allocator, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_bytes: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(at, layout, new_bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_in(act: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    act();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations_in(|| drop(std::hint::black_box(Box::new(1)))), 2);
}

#[test]
fn sending_and_receiving_allocate_nothing() {
    let mut pair = Pair::new();
    let body = vec![5; 4096];
    let mut plain = Vec::with_capacity(8192);
    let mut hop = |invocation: u128| {
        let (producer, consumer) = (&mut pair.producer, &mut pair.consumer);
        producer
            .sender
            .send(&producer.own, 0, &record(invocation), &body, true)
            .unwrap();
        plain.clear();
        let ring = consumer.receiver.ring_with_news().unwrap();
        let Step::Opened(opened) = consumer.receiver.step(&consumer.own, ring, &mut plain) else {
            panic!("the record that was sent")
        };
        assert_eq!(plain, body);
        consumer.receiver.release(&consumer.own, opened.record);
    };
    (0..1000).for_each(&mut hop);
    let allocations = allocations_in(|| (1000..2000).for_each(&mut hop));
    assert_eq!(allocations, 0, "in 1,000 hops");
}

#[test]
fn handing_a_placed_record_over_allocates_nothing() {
    let mut draft = Draft::new();
    let (a, b) = (draft.function("a", &["out"]), draft.function("b", &["out"]));
    draft.mapped_edge((a, "out"), b);
    draft.limits(a).outbox_bytes = 4 << 20;
    let mut monitor = draft.define();
    let (mut producer, mut consumer) = (monitor.attach(a, 0), monitor.attach(b, 0));
    let mut plain = Vec::new();
    let mut hop = |invocation: u128| {
        let record = record(invocation);
        let len_bytes = if invocation.is_multiple_of(2) { 64 } else { 1 << 20 };
        let placed = producer.sender.place(0, record.invocation, len_bytes);
        assert_eq!(placed, Ok(true));
        producer.sender.send_placed(&producer.own, 0, &record).unwrap();
        let ring = consumer.receiver.ring_with_news().unwrap();
        let step = consumer.receiver.step_in_place(&consumer.own, ring, &mut plain);
        let Step::Opened(opened) = step else {
            panic!("the record that was sent")
        };
        let span = consumer.receiver.in_place(&opened).unwrap();
        assert_eq!(span.len_bytes(), len_bytes);
        consumer.receiver.release(&consumer.own, opened.record);
    };
    (0..1000).for_each(&mut hop);
    let allocations = allocations_in(|| (1000..2000).for_each(&mut hop));
    assert_eq!(allocations, 0, "in 1,000 hops");
}

#[test]
fn a_trustlet_between_mapped_edges_allocates_nothing() {
    let view: Handler = |mut input, output| {
        let view = input.view()?.expect("a mapped input has a view");
        let mut place = output.place(view.len_bytes())?;
        let mut at = 0;
        view.fold((), |(), piece| {
            let _ = place.write_at(at, piece);
            at += piece.len();
        });
        Ok(())
    };
    let copy: Handler = |mut input, output| output.send(input.bytes()?);
    for handler in [view, copy] {
        let mut draft = Draft::new();
        let gateway = draft.gateway(&["out"]);
        let f = draft.function("f", &["out"]);
        draft.mapped_edge((gateway, "out"), f);
        draft.mapped_edge((f, "out"), gateway);
        let mut monitor = draft.define();
        let mut gateway = monitor.attach(gateway, 0);
        let mut runner = Runner::new(handler, monitor.attach(f, 0));
        let request = with_headers(&[9; 100_000]);
        runs_allocate_nothing(&mut gateway, &mut runner, &request);
    }
}

/// Of 2,000 runs that copy a request into their answer, the second half.
fn runs_allocate_nothing(gateway: &mut Attachment, runner: &mut Runner<Handler>, request: &[u8]) {
    let mut plain = Vec::with_capacity(request.len());
    let mut round = |invocation: u128| {
        gateway
            .sender
            .send(&gateway.own, 0, &record(invocation), request, true)
            .unwrap();
        runner.settle();
        answer(gateway, &mut plain);
        assert_eq!(plain, request);
    };
    (0..1000).for_each(&mut round);
    let allocations = allocations_in(|| (1000..2000).for_each(&mut round));
    assert_eq!(allocations, 0, "in 1,000 runs");
}

fn answer(gateway: &mut Attachment, plain: &mut Vec<u8>) {
    plain.clear();
    let ring = gateway.receiver.ring_with_news().expect("an answer");
    let Step::Opened(opened) = gateway.receiver.step(&gateway.own, ring, plain) else {
        panic!("the answer")
    };
    gateway.receiver.release(&gateway.own, opened.record);
}

#[test]
fn a_trustlet_that_runs_its_handler_allocates_nothing() {
    let mut draft = Draft::new();
    let gateway = draft.gateway(&["out"]);
    let copy = draft.function("copy", &["out"]);
    draft.edge((gateway, "out"), copy);
    draft.edge((copy, "out"), gateway);
    let mut monitor = draft.define();
    let mut gateway = monitor.attach(gateway, 0);
    let handler: Handler = |mut input, output| output.send(input.bytes()?);
    let mut runner = Runner::new(handler, monitor.attach(copy, 0));
    let request = with_headers(&[9; 4096]);
    runs_allocate_nothing(&mut gateway, &mut runner, &request);
}

#[test]
fn a_fan_out_and_its_join_allocate_nothing() {
    let mut draft = Draft::new();
    let gateway = draft.gateway(&["out"]);
    let left = draft.function("left", &["out"]);
    let right = draft.function("right", &["out"]);
    let both = draft.function("both", &["out"]);
    draft.edge((gateway, "out"), left);
    draft.edge((gateway, "out"), right);
    draft.join(&[(left, "out"), (right, "out")], both);
    draft.edge((both, "out"), gateway);
    let mut monitor = draft.define();
    let mut gateway = monitor.attach(gateway, 0);
    let copy: Handler = |mut input, output| output.send(input.bytes()?);
    let pack: Handler = |input, output| {
        let mut out = output.out()?;
        input.parts().iter().try_for_each(|part| out.append(part.bytes()))
    };
    let mut runners = [(left, copy), (right, copy), (both, pack)]
        .map(|(node, handler)| Runner::new(handler, monitor.attach(node, 0)));
    let request = with_headers(&[9; 1000]);
    let mut plain = Vec::with_capacity(8192);
    let mut round = |invocation: u128| {
        gateway
            .sender
            .send(&gateway.own, 0, &record(invocation), &request, true)
            .unwrap();
        for runner in &mut runners {
            runner.settle();
        }
        answer(&mut gateway, &mut plain);
        assert_eq!(plain.len(), 2002);
    };
    (0..1000).for_each(&mut round);
    let allocations = allocations_in(|| (1000..2000).for_each(&mut round));
    assert_eq!(allocations, 0, "in 1,000 joins");
}
