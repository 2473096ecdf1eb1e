//! Sleepers and wakers. A lost wake-up leaves a thread asleep for ever, which loom reports as a deadlock.

use crate::sources::{AsWritten, Model, Sources, words_of};
use loom::sync::atomic::AtomicU64;
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;

/// An eventfd: a counter that a wait takes whole, and sleeps while it is nought.
struct Doorbell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Doorbell {
    fn new() -> Self {
        Self {
            rings: Mutex::new(0),
            rung: Condvar::new(),
        }
    }

    fn ring(&self) {
        *self.rings.lock().unwrap() += 1;
        self.rung.notify_one();
    }

    fn wait(&self) {
        let mut rings = self.rings.lock().unwrap();
        while *rings == 0 {
            rings = self.rung.wait(rings).unwrap();
        }
        *rings = 0;
    }
}

/// One sleeper's word, and its doorbell.
struct Bed {
    word: AtomicU64,
    doorbell: Doorbell,
}

impl Bed {
    fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            doorbell: Doorbell::new(),
        }
    }

    /// Waits, asleep whenever there is nothing, until `look` finds something.
    fn sleep_until<S: Sources, T>(&self, sleeper: &mut S::Sleeper, look: impl Fn() -> Option<T>) -> T {
        loop {
            if let Some(found) = look() {
                return found;
            }
            S::announce(sleeper, &self.word);
            let found = look();
            if found.is_none() {
                self.doorbell.wait();
            }
            S::awake(sleeper, &self.word);
            if let Some(found) = found {
                return found;
            }
        }
    }

    fn wake<S: Sources>(&self, waker: &mut S::Waker) {
        if S::must_ring(waker, &self.word) {
            self.doorbell.ring();
        }
    }
}

struct Edge<S: Sources> {
    slots: Vec<S::Slot>,
    cursor: AtomicU64,
    consumer: Bed,
    producer: Bed,
}

impl<S: Sources> Edge<S> {
    fn new(capacity: usize) -> Self {
        Self {
            slots: (0..capacity).map(|_| S::empty()).collect(),
            cursor: AtomicU64::new(0),
            consumer: Bed::new(),
            producer: Bed::new(),
        }
    }

    fn receive(&self, sleeper: &mut S::Sleeper, position: u64) {
        let words = self
            .consumer
            .sleep_until::<S, _>(sleeper, || S::peek(&self.slots, position));
        assert_eq!(words, words_of(position), "stale words");
    }
}

/// The consumer sleeps whenever the ring is empty, so up to once for each of two records.
fn consumer_sleeps<S: Sources>() {
    let edge = Arc::new(Edge::<S>::new(2));
    let producer = thread::spawn({
        let edge = Arc::clone(&edge);
        move || {
            let mut waker = S::Waker::default();
            for position in 0..2 {
                S::publish(&edge.slots, position, &words_of(position));
                S::waker_fence();
                edge.consumer.wake::<S>(&mut waker);
            }
        }
    });
    let mut sleeper = S::Sleeper::default();
    for position in 0..2 {
        edge.receive(&mut sleeper, position);
    }
    producer.join().unwrap();
}

/// The ring is full at the start; its producer sleeps until a slot has been released, up to twice.
fn producer_sleeps<S: Sources>() {
    let capacity = 2_u64;
    let edge = Arc::new(Edge::<S>::new(2));
    for position in 0..capacity {
        S::publish(&edge.slots, position, &words_of(position));
    }
    let consumer = thread::spawn({
        let edge = Arc::clone(&edge);
        move || {
            let mut waker = S::Waker::default();
            for position in 0..capacity {
                assert_eq!(
                    S::peek(&edge.slots, position),
                    Some(words_of(position)),
                    "stale words"
                );
                S::release(&edge.cursor, position + 1);
                S::waker_fence();
                edge.producer.wake::<S>(&mut waker);
            }
        }
    });
    let mut sleeper = S::Sleeper::default();
    for position in capacity..2 * capacity {
        edge.producer.sleep_until::<S, _>(&mut sleeper, || {
            (position - S::released(&edge.cursor) < capacity).then_some(())
        });
        S::publish(&edge.slots, position, &words_of(position));
    }
    consumer.join().unwrap();
}

/// Both ends sleep: three records through one slot.
fn both_sleep<S: Sources>() {
    let edge = Arc::new(Edge::<S>::new(1));
    let producer = thread::spawn({
        let edge = Arc::clone(&edge);
        move || {
            let mut waker = S::Waker::default();
            let mut sleeper = S::Sleeper::default();
            for position in 0..3 {
                edge.producer.sleep_until::<S, _>(&mut sleeper, || {
                    (position - S::released(&edge.cursor) < 1).then_some(())
                });
                S::publish(&edge.slots, position, &words_of(position));
                S::waker_fence();
                edge.consumer.wake::<S>(&mut waker);
            }
        }
    });
    let mut waker = S::Waker::default();
    let mut sleeper = S::Sleeper::default();
    for position in 0..3 {
        edge.receive(&mut sleeper, position);
        S::release(&edge.cursor, position + 1);
        S::waker_fence();
        edge.producer.wake::<S>(&mut waker);
    }
    producer.join().unwrap();
}

/// A fan-out: one record to two sleeping consumers, with one fence between both publications and both looks.
fn two_sleep<S: Sources>() {
    let edges = [(); 2].map(|()| Arc::new(Edge::<S>::new(1)));
    let consumers = edges
        .clone()
        .map(|edge| thread::spawn(move || edge.receive(&mut S::Sleeper::default(), 0)));
    for edge in &edges {
        S::publish(&edge.slots, 0, &words_of(0));
    }
    S::waker_fence();
    for edge in &edges {
        edge.consumer.wake::<S>(&mut S::Waker::default());
    }
    for consumer in consumers {
        consumer.join().unwrap();
    }
}

/// A join: one consumer, one doorbell, and a record from each of two producers.
fn joins<S: Sources>() {
    let bed = Arc::new(Bed::new());
    let rings = [(); 2].map(|()| Arc::new([S::empty()]));
    let producers = rings.clone().map(|ring| {
        let bed = Arc::clone(&bed);
        thread::spawn(move || {
            S::publish(&*ring, 0, &words_of(0));
            S::waker_fence();
            bed.wake::<S>(&mut S::Waker::default());
        })
    });
    let mut sleeper = S::Sleeper::default();
    let words = bed.sleep_until::<S, _>(&mut sleeper, || {
        let [one, other] = &rings;
        S::peek(&**one, 0).zip(S::peek(&**other, 0))
    });
    assert_eq!(words, (words_of(0), words_of(0)), "stale words");
    for producer in producers {
        producer.join().unwrap();
    }
}

pub(crate) fn no_sleeping_consumer_is_forgotten<S: Sources>() -> Model {
    Model {
        threads: consumer_sleeps::<S>,
        preemptions: None,
    }
}

pub(crate) fn no_starved_producer_is_forgotten<S: Sources>() -> Model {
    Model {
        threads: producer_sleeps::<S>,
        preemptions: None,
    }
}

pub(crate) fn neither_end_is_forgotten<S: Sources>() -> Model {
    Model {
        threads: both_sleep::<S>,
        preemptions: Some(3),
    }
}

pub(crate) fn one_fence_serves_two_sleepers<S: Sources>() -> Model {
    Model {
        threads: two_sleep::<S>,
        preemptions: None,
    }
}

pub(crate) fn no_half_of_a_join_is_forgotten<S: Sources>() -> Model {
    Model {
        threads: joins::<S>,
        preemptions: Some(3),
    }
}

#[test]
fn a_consumer_that_falls_asleep_is_woken_by_a_record() {
    no_sleeping_consumer_is_forgotten::<AsWritten>().check();
}

#[test]
fn a_producer_that_waits_for_space_is_woken_by_a_release() {
    no_starved_producer_is_forgotten::<AsWritten>().check();
}

#[test]
fn two_ends_that_wait_for_each_other_never_both_sleep() {
    neither_end_is_forgotten::<AsWritten>().check();
}

#[test]
fn one_fence_wakes_both_consumers_of_a_fan_out() {
    one_fence_serves_two_sleepers::<AsWritten>().check();
}

#[test]
fn a_consumer_that_waits_for_two_producers_is_woken_by_the_last() {
    no_half_of_a_join_is_forgotten::<AsWritten>().check();
}
