//! The two files behind one trait, so that a model runs unchanged on the files as written and on each
//! weakened copy; and how a model is run.

use crate::ring::WORDS;
use loom::sync::atomic::AtomicU64;

/// The functions of `ring.rs` and `park.rs` that a hand-over calls.
pub(crate) trait Sources: 'static {
    /// `ring::Slot`.
    type Slot: Send + Sync + 'static;
    /// `park::Sleeper`.
    type Sleeper: Default;
    /// `park::Waker`.
    type Waker: Default;

    fn empty() -> Self::Slot;
    fn publish(slots: &[Self::Slot], position: u64, words: &[u64; WORDS]);
    fn peek(slots: &[Self::Slot], position: u64) -> Option<[u64; WORDS]>;
    fn release(cursor: &AtomicU64, position: u64);
    fn released(cursor: &AtomicU64) -> u64;
    fn announce(sleeper: &mut Self::Sleeper, word: &AtomicU64);
    fn awake(sleeper: &mut Self::Sleeper, word: &AtomicU64);
    fn waker_fence();
    fn must_ring(waker: &mut Self::Waker, word: &AtomicU64) -> bool;
}

/// Implements [`Sources`] for a new type, from a module that holds `ring` and `park`.
macro_rules! sources {
    ($name:ident, $($module:ident)::+) => {
        pub(crate) struct $name;

        impl $crate::sources::Sources for $name {
            type Slot = $($module)::+::ring::Slot;
            type Sleeper = $($module)::+::park::Sleeper;
            type Waker = $($module)::+::park::Waker;

            fn empty() -> Self::Slot {
                Self::Slot::empty()
            }
            fn publish(slots: &[Self::Slot], position: u64, words: &[u64; $crate::ring::WORDS]) {
                $($module)::+::ring::publish(slots, position, words);
            }
            fn peek(slots: &[Self::Slot], position: u64) -> Option<[u64; $crate::ring::WORDS]> {
                use $($module)::+::ring::Found;
                match $($module)::+::ring::peek(slots, position) {
                    Found::Empty => None,
                    Found::Words(words) => Some(words),
                    Found::Corrupt => panic!("an honest producer was found corrupt"),
                }
            }
            fn release(cursor: &loom::sync::atomic::AtomicU64, position: u64) {
                $($module)::+::ring::release(cursor, position);
            }
            fn released(cursor: &loom::sync::atomic::AtomicU64) -> u64 {
                $($module)::+::ring::released(cursor)
            }
            fn announce(sleeper: &mut Self::Sleeper, word: &loom::sync::atomic::AtomicU64) {
                sleeper.announce(word);
            }
            fn awake(sleeper: &mut Self::Sleeper, word: &loom::sync::atomic::AtomicU64) {
                sleeper.awake(word);
            }
            fn waker_fence() {
                Self::Waker::fence();
            }
            fn must_ring(waker: &mut Self::Waker, word: &loom::sync::atomic::AtomicU64) -> bool {
                waker.must_ring(word)
            }
        }
    };
}
pub(crate) use sources;

sources!(AsWritten, crate);

/// A closed system of two or three threads.
#[derive(Clone, Copy)]
pub(crate) struct Model {
    pub(crate) threads: fn(),
    /// At how many preemptions of a thread executions are cut; `None` explores all.
    pub(crate) preemptions: Option<usize>,
}

impl Model {
    /// Runs every execution; panics in the first that fails.
    pub(crate) fn check(self) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = self.preemptions;
        builder.check(self.threads);
    }
}

/// The words of the descriptor at `position`: no two are the same, nor the same as those of another position.
pub(crate) fn words_of(position: u64) -> [u64; WORDS] {
    std::array::from_fn(|i| (position + 1) * 100 + i as u64)
}

/// What the segment of the record at `position` holds.
pub(crate) fn segment_of(position: u64) -> u64 {
    (position + 1) * 1000
}
