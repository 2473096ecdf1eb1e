//! Records through one ring, between a producer and a consumer that never sleep.

use crate::sources::{AsWritten, Model, Sources, segment_of, words_of};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use std::sync::Arc;

/// A segment in shared memory. A copy out of it is not atomic, so two accesses of which one writes must be
/// ordered; `touched` makes loom fail where they are not. `contents` alone can be read stale, as on hardware.
pub(crate) struct Segment {
    contents: AtomicU64,
    touched: UnsafeCell<()>,
}

#[allow(
    unsafe_code,
    reason = "loom's cell is not shared by default; it checks every access itself"
)]
// SAFETY: `touched` guards no data; loom fails the model on an access that races.
unsafe impl Sync for Segment {}

/// Whether a model looks for races on segments, or at what stale segments hold.
#[derive(Clone, Copy, PartialEq)]
enum Segments {
    Raced,
    Stale,
}

impl Segment {
    fn empty() -> Self {
        Self {
            contents: AtomicU64::new(0),
            touched: UnsafeCell::new(()),
        }
    }

    fn write(&self, contents: u64, segments: Segments) {
        if segments == Segments::Raced {
            self.touched.with_mut(|_| ());
        }
        self.contents.store(contents, Ordering::Relaxed);
    }

    fn read(&self, segments: Segments) -> u64 {
        if segments == Segments::Raced {
            self.touched.with(|_| ());
        }
        self.contents.load(Ordering::Relaxed)
    }
}

struct Edge<S: Sources> {
    slots: Vec<S::Slot>,
    segments: Vec<Segment>,
    cursor: AtomicU64,
}

/// Sends `records` records through a ring of `capacity` slots, each slot with one segment; the consumer
/// checks all that it reads.
fn hand_over<S: Sources>(capacity: usize, records: u64, segments: Segments) {
    let edge = Arc::new(Edge::<S> {
        slots: (0..capacity).map(|_| S::empty()).collect(),
        segments: (0..capacity).map(|_| Segment::empty()).collect(),
        cursor: AtomicU64::new(0),
    });
    let producer = thread::spawn({
        let edge = Arc::clone(&edge);
        move || {
            for position in 0..records {
                while position - S::released(&edge.cursor) == capacity as u64 {
                    thread::yield_now();
                }
                edge.segments[position as usize % capacity].write(segment_of(position), segments);
                S::publish(&edge.slots, position, &words_of(position));
            }
        }
    });
    for position in 0..records {
        let words = loop {
            match S::peek(&edge.slots, position) {
                Some(words) => break words,
                None => thread::yield_now(),
            }
        };
        let contents = edge.segments[position as usize % capacity].read(segments);
        assert_eq!(contents, segment_of(position), "stale segment");
        assert_eq!(words, words_of(position), "stale words");
        S::release(&edge.cursor, position + 1);
    }
    producer.join().unwrap();
}

/// Nothing is read before it is published: words and segment are those of the position, although both may be
/// read stale.
pub(crate) fn no_read_before_publish<S: Sources>() -> Model {
    Model {
        threads: || hand_over::<S>(2, 3, Segments::Stale),
        preemptions: None,
    }
}

/// Nothing is reused before it is released, and no access to a segment races, over two laps of the ring.
pub(crate) fn no_reuse_before_release<S: Sources>() -> Model {
    Model {
        threads: || hand_over::<S>(2, 4, Segments::Raced),
        preemptions: Some(5),
    }
}

/// The stamp of an honest producer is of this lap or of the one before, over four laps of one slot.
pub(crate) fn no_honest_producer_is_corrupt<S: Sources>() -> Model {
    Model {
        threads: || hand_over::<S>(1, 4, Segments::Raced),
        preemptions: Some(5),
    }
}

#[test]
fn words_and_segment_are_those_that_were_published() {
    no_read_before_publish::<AsWritten>().check();
}

#[test]
fn slot_and_segment_are_overwritten_only_after_their_release() {
    no_reuse_before_release::<AsWritten>().check();
}

#[test]
fn an_honest_producer_is_never_found_corrupt() {
    no_honest_producer_is_corrupt::<AsWritten>().check();
}
